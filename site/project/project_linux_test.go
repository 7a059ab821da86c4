package project

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/build"
)

// TestMain is the command that the hook of a repository calls, when it is told so.
func TestMain(m *testing.M) {
	if file := os.Getenv("HOOK_OF_TEST"); file != "" {
		os.Exit(hookOfTest(file))
	}
	os.Exit(m.Run())
}

// hookOfTest writes what a push means to a file: skerry-test pushed SERVICE --dir DIR.
func hookOfTest(file string) int {
	p, err := Open(os.Args[4])
	if err == nil {
		var all []Pushed
		if all, err = p.Pushed(context.Background(), os.Args[2], os.Stdin); err == nil {
			text, _ := json.Marshal(all)
			f, _ := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
			_, err = f.Write(append(text, '\n'))
		}
	}
	if err != nil {
		os.Stderr.WriteString(err.Error())
		return 1
	}
	return 0
}

// desk is a project, and a clone in which commits are made.
type desk struct {
	t         *testing.T
	dir, work string
	pushes    string // file that the hook writes
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	for _, v := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		t.Setenv(v, os.DevNull)
	}
	for _, role := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+role+"_NAME", "li")
		t.Setenv("GIT_"+role+"_EMAIL", "li@ops-1")
	}
	d := &desk{t: t, dir: filepath.Join(t.TempDir(), "it's a project"), work: t.TempDir()}
	d.pushes = filepath.Join(t.TempDir(), "pushes")
	d.git("init", "-q", "-b", "main")
	return d
}

func (d *desk) git(args ...string) string {
	d.t.Helper()
	c := exec.CommandContext(d.t.Context(), "git", args...)
	c.Dir, c.Env = d.work, append(os.Environ(), "HOOK_OF_TEST="+d.pushes)
	out, err := c.CombinedOutput()
	if err != nil {
		d.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (d *desk) commit(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.work, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.git("add", "-A")
	d.git("commit", "-q", "-m", name)
	return d.git("rev-parse", "HEAD")
}

func (d *desk) add(a Addition) (*Project, error) {
	a.Hook = []string{os.Args[0], "pushed"}
	if a.Name == "" {
		a.Name = "auth"
	}
	return Add(d.t.Context(), d.dir, a)
}

// said is what the hook has said.
func (d *desk) said() (all []Pushed) {
	d.t.Helper()
	text, err := os.ReadFile(d.pushes)
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var some []Pushed
		if err := json.Unmarshal([]byte(line), &some); err != nil {
			d.t.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

const goodRecipe = "service: auth\nsteps: [make]\noutputs: dist\nrun: {command: ./auth}\n"

// hosts tells where one artifact runs.
type hosts map[artifact.Digest][]string

func (h hosts) Running(d artifact.Digest) []string { return h[d] }

// TestPushToTree: a push reaches the hook, which reads the recipe; the tree shows branches, commits, builds and hosts.
func TestPushToTree(t *testing.T) {
	d := newDesk(t)
	if _, err := d.add(Addition{}); err == nil || !strings.Contains(err.Error(), "--project NAME") {
		t.Errorf("a project without a name: %v", err)
	}
	p, err := d.add(Addition{Project: "launch-control"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.add(Addition{}); err != nil {
		t.Errorf("a second time: %v", err)
	}
	repo := filepath.Join(d.dir, "repos", "auth.git")
	first := d.commit("README", "hello")
	d.git("push", "-q", repo, "main")
	second := d.commit(build.DefaultRecipe, goodRecipe)
	d.git("push", "-q", repo, "main", "main:refs/heads/f'$(x)", "main:refs/tags/v1")
	d.git("push", "-q", repo, ":refs/heads/f'$(x)")
	said := d.said()
	if len(said) != 4 || said[0].Outcome != build.Refused || !strings.Contains(said[0].Why, build.DefaultRecipe) ||
		said[1].Outcome != build.Succeeded || said[1].Commit != second || said[3].Commit != "" {
		t.Errorf("the hook said %+v", said)
	}
	digest := artifact.Digest("sha256:" + strings.Repeat("a", 64))
	results := []build.Result{
		{ID: 3, Service: "auth", Commit: strings.Repeat("1", 40), Outcome: build.Failed, Why: "gone"},
		{ID: 2, Service: "auth", Commit: first, Outcome: build.Succeeded, Version: "v1",
			Artifacts: []build.Built{{Platform: "any", Digest: digest}}},
		{ID: 1, Service: "proc", Commit: first}}
	tree, err := p.Tree(t.Context(), "", results, hosts{digest: {"auth/v1#1@ops-1"}})
	if err != nil || len(tree.Services) != 1 || len(tree.Services[0].Branches) != 2 {
		t.Fatalf("tree: %+v, %v", tree, err)
	}
	main, lost := tree.Services[0].Branches[0], tree.Services[0].Branches[1]
	if main.Name != "main" || len(main.Commits) != 2 || main.Commits[0].ID != second ||
		len(main.Commits[0].Builds) != 0 || main.Commits[1].Builds[0].ID != 2 ||
		!slices.Equal(main.Commits[1].Builds[0].Artifacts[0].Running, []string{"auth/v1#1@ops-1"}) {
		t.Errorf("main: %+v", main)
	}
	if lost.Name != "" || lost.Commits[0].Builds[0].Why != "gone" {
		t.Errorf("on no branch: %+v", lost)
	}
	tree, err = p.Tree(t.Context(), "auth", results, nil)
	if err != nil || tree.Services[0].Branches[0].Commits[1].Builds[0].Artifacts[0].Running != nil {
		t.Errorf("without agents: %+v, %v", tree, err)
	}
	if _, err := p.Tree(t.Context(), "proc", nil, nil); err == nil {
		t.Error("an unknown service has a tree")
	}
	tips, err := p.Tips(t.Context(), "auth", nil, func(b string) bool { return b == "main" })
	if err != nil || len(tips) != 1 || tips[0].ID != second {
		t.Errorf("tips: %+v, %v", tips, err)
	}
	if tips, _ = p.Tips(t.Context(), "auth", []build.Result{{Service: "auth", Commit: second}},
		func(string) bool { return true }); len(tips) != 0 {
		t.Errorf("built tips: %+v", tips)
	}
}

// TestTwoPushesAtOnce: both reach the repository and the hook.
func TestTwoPushesAtOnce(t *testing.T) {
	d := newDesk(t)
	p, err := d.add(Addition{Project: "x"})
	if err != nil {
		t.Fatal(err)
	}
	d.commit(build.DefaultRecipe, goodRecipe)
	repo := filepath.Join(d.dir, "repos", "auth.git")
	var both sync.WaitGroup
	for _, branch := range []string{"a", "b", "c"} {
		both.Go(func() {
			c := exec.Command("git", "push", "-q", repo, "main:refs/heads/"+branch)
			c.Dir, c.Env = d.work, append(os.Environ(), "HOOK_OF_TEST="+d.pushes)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	both.Wait()
	if said := d.said(); len(said) != 3 {
		t.Errorf("the hook said %+v", said)
	}
	if tree, err := p.Tree(t.Context(), "", nil, nil); err != nil || len(tree.Services[0].Branches) != 3 {
		t.Errorf("tree: %+v, %v", tree, err)
	}
}

// TestBundleAndSSH: what lies on a stick or on another host is fetched when it is used.
func TestBundleAndSSH(t *testing.T) {
	d := newDesk(t)
	id := d.commit(build.DefaultRecipe, goodRecipe)
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.git("bundle", "create", "-q", filepath.Join(d.dir, "proc.bundle"), "main")
	p, err := d.add(Addition{Project: "x", Name: "proc", Service: Service{Repo: "bundle:proc.bundle"}})
	if err != nil {
		t.Fatal(err)
	}
	next := d.commit("more", "x")
	d.git("bundle", "create", "-q", filepath.Join(d.dir, "proc.bundle"), "main")
	repo, err := p.Repository(t.Context(), "proc")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := repo.Resolve(t.Context(), ""); c.ID != next || err != nil {
		t.Errorf("%s, %v; want %s after %s", c.ID, err, next, id)
	}
	_, err = d.add(Addition{Name: "gone", Service: Service{Repo: "bundle:gone.bundle"}})
	if err == nil || !strings.Contains(err.Error(), "gone.bundle") {
		t.Errorf("a bundle that is not there: %v", err)
	}
	// ssh HOST COMMAND, with this host as the other one.
	ssh := filepath.Join(t.TempDir(), "ssh")
	if err := os.WriteFile(ssh, []byte("#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSH_COMMAND", ssh)
	p, err = d.add(Addition{Name: "far", Service: Service{Repo: "git@ops-1:" + filepath.Join(d.work, ".git")}})
	if err != nil {
		t.Fatal(err)
	}
	if repo, err = p.Repository(t.Context(), "far"); err != nil {
		t.Fatal(err)
	}
	if c, err := repo.Resolve(t.Context(), "main"); c.ID != next || err != nil {
		t.Errorf("by SSH: %s, %v", c.ID, err)
	}
}

// TestHooksOfOthers: a hook that is there is left, and the line for it is said.
func TestHooksOfOthers(t *testing.T) {
	d := newDesk(t)
	bare := filepath.Join(t.TempDir(), "own.git")
	d.git("init", "-q", "--bare", bare)
	hook := filepath.Join(bare, "hooks", "post-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho mine\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	a := Addition{Project: "x", Service: Service{Repo: bare}}
	_, err := d.add(a)
	if err == nil || !strings.Contains(err.Error(), "add this line to it") {
		t.Fatalf("a hook of its own: %v", err)
	}
	_, line, _ := strings.Cut(err.Error(), "again: ")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\n"+line+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := d.add(a); err != nil {
		t.Errorf("with the line: %v", err)
	}
	d.commit(build.DefaultRecipe, goodRecipe)
	d.git("push", "-q", bare, "main")
	if len(d.said()) != 1 {
		t.Errorf("the hook said %+v", d.said())
	}
	a.Service.Repo, a.Name = t.TempDir(), "none"
	if _, err := d.add(a); err == nil || !strings.Contains(err.Error(), "no Git repository") {
		t.Errorf("no repository: %v", err)
	}
}

// TestManifest: people's comments stay, and mistakes are named.
func TestManifest(t *testing.T) {
	d := newDesk(t)
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.dir, manifestFile)
	text := "# ours\nproject: launch-control\nservices: # all of them\n    db: {repo: \"bundle:db.bundle\"} # later\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.add(Addition{Service: Service{Recipe: "build/recipe.yaml"}}); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(file)
	line := "    auth: {repo: \"auth.git\", recipe: \"build/recipe.yaml\"}\n"
	want := strings.Replace(text, "    db:", line+"    db:", 1)
	if err != nil || string(now) != want {
		t.Errorf("the manifest is\n%s%v", now, err)
	}
	if _, err := d.add(Addition{Service: Service{Repo: "other.git"}}); err == nil {
		t.Error("a service has two repositories")
	}
	if _, err := d.add(Addition{Project: "other", Name: "x"}); err == nil {
		t.Error("a project has two names")
	}
	for _, text := range []string{"services: {}", "project: x\nservices: {../x: {}}",
		"project: x\nservices: {a: {repo: ../../etc}}", "project: x\nservices: {a: {repo: \"ext::sh -c x\"}}",
		"project: x\nservices: {a: {repo: \"-oProxyCommand=x:y\"}}",
		"project: x\nservices: {a: {repo: \"https://h/x\"}}",
		"project: x\nservices: {a: {repo: \"ssh://-oProxyCommand=x/y\"}}",
		"project: x\nservices: {a: {repo: \"u@-x:y\"}}",
		"project: x\nservices: {a: {recipe: ../x}}", "project: x\nservices: {a: {branch: x}}",
		"project: x\nservices: {a: {repo: \"bundle:\"}}"} {
		if m, err := parseManifest("project.yaml", []byte(text)); err == nil {
			t.Errorf("%s is taken: %+v", text, m)
		}
	}
	for repo, want := range map[string]kind{"auth.git": local, "/srv/auth.git": local, "bundle:x": bundled,
		"git@ops-1:auth.git": remote, "ops-1:/srv/auth.git": remote, "ssh://ops-1/srv/a": remote, "a/b:c.git": local} {
		if got := kindOf(repo); got != want || checkRepo(repo) != nil {
			t.Errorf("%q is %v, %v", repo, got, checkRepo(repo))
		}
	}
	if _, err := Open(filepath.Join(d.dir, "none")); !os.IsNotExist(err) {
		t.Errorf("no project: %v", err)
	}
}

// TestPushedLines: what is no line of git is refused.
func TestPushedLines(t *testing.T) {
	d := newDesk(t)
	p, err := d.add(Addition{Project: "x"})
	if err != nil {
		t.Fatal(err)
	}
	zero := strings.Repeat("0", 40)
	for _, text := range []string{"x", zero, zero + " " + zero, strings.Repeat("x", 100_000)} {
		if all, err := p.Pushed(t.Context(), "auth", strings.NewReader(text)); err == nil {
			t.Errorf("%.50q is taken: %+v", text, all)
		}
	}
	all, err := p.Pushed(t.Context(), "auth", strings.NewReader(zero+" --upload-pack=x refs/heads/main\n"))
	if err != nil || len(all) != 1 || all[0].Outcome != build.Refused {
		t.Errorf("%+v, %v", all, err)
	}
	many := strings.NewReader(strings.Repeat(zero+" "+zero+" refs/heads/x\n", 3000))
	if all, err := p.Pushed(t.Context(), "auth", many); err != nil || len(all) != maxPushed {
		t.Errorf("%d, %v", len(all), err)
	}
}
