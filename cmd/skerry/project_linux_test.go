package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/build"
	"github.com/skerry/skerry/site/project"
	"github.com/skerry/skerry/site/spread"
)

// yard is a workshop with a project, and a clone of its first repository.
type yard struct {
	workshop
	project, clone string
}

func newYard(t *testing.T) yard {
	t.Helper()
	for _, v := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		t.Setenv(v, os.DevNull)
	}
	for _, role := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+role+"_NAME", "wang")
		t.Setenv("GIT_"+role+"_EMAIL", "wang@ops-1")
	}
	y := yard{workshop: newWorkshop(t), clone: t.TempDir()}
	y.project = filepath.Join(y.dir, "project")
	if err := os.Chmod(filepath.Dir(y.dir), 0o755); err != nil { // the user of the steps goes through it
		t.Fatal(err)
	}
	y.git("init", "-q", "-b", "main")
	return y
}

// git runs the stock git in the clone; hooks find this test as the program.
func (y yard) git(args ...string) string {
	y.t.Helper()
	c := exec.CommandContext(y.t.Context(), "git", args...)
	c.Dir, c.Env = y.clone, append(os.Environ(), asProgram+"=1", "SKERRY_LANG=en")
	out, err := c.CombinedOutput()
	if err != nil {
		y.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (y yard) commit(recipe string) string {
	y.t.Helper()
	if err := os.MkdirAll(filepath.Join(y.clone, ".skerry"), 0o755); err != nil {
		y.t.Fatal(err)
	}
	writeText(y.t, filepath.Join(y.clone, ".skerry", "build.yaml"), recipe)
	y.git("add", "-A")
	y.git("commit", "-q", "-m", "a recipe")
	return y.git("rev-parse", "HEAD")
}

func (y yard) build(code int, says, complains string, args ...string) string {
	y.t.Helper()
	args = append(append([]string{"build"}, args...), "--dir", y.project)
	return y.run(code, says, complains, "store", args...)
}

const scriptRecipe = `service: auth
platforms: [any]
steps: ["mkdir dist; printf '#!/bin/sh\\necho hello\\n' >dist/auth; chmod +x dist/auth; echo made"]
outputs: dist
run: {command: ./auth}
`

// TestProjectAndBuild: a service is added, pushed to, built twice, and shown in the tree; a bad recipe is named at the
// push, and a build that is not there is said.
func TestProjectAndBuild(t *testing.T) {
	y := newYard(t)
	p := func(code int, says, complains string, args ...string) string {
		t.Helper()
		return want(t, "", code, says, complains, append(append([]string{"project"}, args...), "--dir", y.project, "-c",
			y.config)...)
	}
	p(exitProblem, "", "is no project", "ls")
	p(exitProblem, "", "--project NAME", "add", "auth")
	p(exitOK, "auth.git", "", "add", "auth", "--project", "launch-control")
	if os.Geteuid() == 0 {
		writeText(t, filepath.Join(y.project, "builder.yaml"), "user: nobody\nbuilds: [release-*]\nkey: "+y.key+"\n")
	} else {
		writeText(t, filepath.Join(y.project, "builder.yaml"), "builds: [release-*]\nkey: "+y.key+"\n")
	}
	y.build(exitProblem, "it is empty", "", "auth")
	repo := filepath.Join(y.project, "repos", "auth.git")
	y.commit(strings.Replace(scriptRecipe, "auth", "proc", 1))
	said := y.git("push", repo, "main")
	if !strings.Contains(said, `remote: auth: `) || !strings.Contains(said, "can't be built") {
		t.Errorf("the push says:\n%s", said)
	}
	id := y.commit(scriptRecipe)
	said = y.git("push", repo, "main", "main:release-1")
	if !strings.Contains(said, "skerry build auth --commit "+id[:12]) ||
		!strings.Contains(said, "is built by skerry build run") {
		t.Errorf("the push says:\n%s", said)
	}
	if out := y.build(exitOK, "made", "", "auth"); !strings.Contains(out, "succeeded") {
		t.Errorf("build says:\n%s", out)
	}
	var r build.Result
	if err := json.Unmarshal([]byte(y.build(exitOK, "", "", "auth", "--json", "--by", "wang")), &r); err != nil ||
		r.Outcome != build.Succeeded || r.Commit != id || r.By != "wang" || r.Log.Bytes == 0 {
		t.Fatalf("build --json: %+v, %v", r, err)
	}
	y.run(exitOK, "good, signed by li", "", "store", "artifact", "verify", string(r.Artifacts[0].Digest))
	y.build(exitOK, "made", "", "log", strconv.Itoa(r.ID))
	y.build(exitProblem, "", "has ended", "cancel", strconv.Itoa(r.ID))
	y.build(exitProblem, "", "there is no build 99", "log", "99")
	y.build(exitUsage, "", "no number of a build", "log", "../1")
	y.build(exitProblem, "", `no service "proc"`, "proc")
	y.build(exitProblem, "refused", "", "auth", "--commit", "--upload-pack=x")
	if out := y.build(exitOK, id[:12], "", "ls"); strings.Count(out, "succeeded") != 2 {
		t.Errorf("ls:\n%s", out)
	}
	tree := p(exitOK, "where it runs is unknown", "", "tree")
	for _, part := range []string{"launch-control", "release-1", id[:12], "wang  a recipe", "succeeded", "any"} {
		if !strings.Contains(tree, part) {
			t.Errorf("the tree lacks %q:\n%s", part, tree)
		}
	}
	var t2 project.Tree
	if err := json.Unmarshal([]byte(p(exitOK, "", "", "tree", "auth", "--json")), &t2); err != nil ||
		t2.Services[0].Branches[0].Commits[0].Builds[0].Artifacts[0].Running != nil {
		t.Errorf("tree --json: %+v, %v", t2, err)
	}
}

// TestWhereItRuns: instances that run are sorted by their artifacts; a host that does not answer is said.
func TestWhereItRuns(t *testing.T) {
	d := artifact.Digest("sha256:" + strings.Repeat("a", 64))
	silent := 0
	r := runningOn([]spread.HostStatus{{Status: &spread.Status{Host: "ops-1", Instances: []spread.Instance{
		{Name: "auth/v1#1", Digest: string(d), PID: 7}, {Name: "auth/v1#2", Digest: string(d)},
		{Name: "auth/v2#1", Digest: "x", PID: 8}}}}, {Agent: spread.Agent{Host: "ops-2"}}},
		func(spread.HostStatus) { silent++ })
	if got := r.Running(d); len(got) != 1 || got[0] != "auth/v1#1@ops-1" || len(r) != 1 || silent != 1 {
		t.Errorf("%v, %d silent", r, silent)
	}
}

// TestProjectPage: the recipe and the builder's configuration on docs/project.md are read as written there.
func TestProjectPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(testdata, "..", "..", "..", "docs", "project.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yml\n")
	if len(blocks) != 3 {
		t.Fatalf("%d blocks, 2 are known", len(blocks)-1)
	}
	recipe, _, _ := strings.Cut(blocks[1], "```")
	if _, err := build.ParseRecipe("docs/project.md", []byte(recipe), "auth", "linux/amd64"); err != nil {
		t.Error(err)
	}
	builder, _, _ := strings.Cut(blocks[2], "```")
	file := filepath.Join(t.TempDir(), "builder.yaml")
	writeText(t, file, builder)
	if c, err := build.ReadConfig(file); err != nil || !c.Lets("release-1") || c.Lets("x") {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestBuildRun: what is pushed to a branch of builder.yaml is built once.
func TestBuildRun(t *testing.T) {
	y := newYard(t)
	want(t, "", exitOK, "auth", "", "project", "add", "auth", "--project", "x", "--dir", y.project, "-c", y.config)
	user := ""
	if os.Geteuid() == 0 {
		user = "user: nobody\n"
	}
	y.build(exitProblem, "", "names no branches", "run", "--unsigned")
	writeText(t, filepath.Join(y.project, "builder.yaml"), user+"builds: [release-*]\n")
	id := y.commit(scriptRecipe)
	y.git("push", "-q", filepath.Join(y.project, "repos", "auth.git"), "main", "main:release-1")
	c, lines := program(t, "build", "run", "--unsigned", "--every", "100ms", "--json", "--dir", y.project, "--store",
		filepath.Join(y.dir, "store"), "--floor", "0", "-c", y.config)
	if !lines.Scan() {
		t.Fatal("it says nothing")
	}
	var r build.Result
	if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Commit != id || r.Outcome != build.Succeeded {
		t.Errorf("built: %s, %v", lines.Text(), err)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Errorf("built again: %s", lines.Text())
	}
}
