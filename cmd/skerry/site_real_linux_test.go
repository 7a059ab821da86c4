package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/site/agent/shim"
)

// inHall3 chooses the hosts of the site.
const inHall3 = `on: {labels: {hall: "3"}, count: 3}`

// realSite is a site of hosts on the loopback interface, each with an agent that is a process.
type realSite struct {
	t      *testing.T
	dir    string // short, for sockets
	agents map[string]*exec.Cmd
}

func (s *realSite) path(host, name string) string { return filepath.Join(s.dir, host, name) }

// meet has a host of this machine find the others.
func (s *realSite) meet(host string, port int) {
	s.t.Helper()
	path := s.path(host, "skerry.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	whole, _, _ := strings.Cut(string(text), "lan:\n")
	writeText(s.t, path, whole+fmt.Sprintf("lan: {port: %d, interfaces: [lo]}\nstate_dir: %s\nlog: {level: error}\n",
		port, s.path(host, "state/node")))
}

func (s *realSite) start(host string) {
	s.t.Helper()
	c, _ := program(s.t, "agent", "run", "--file", s.path(host, "agent.yaml"))
	s.agents[host] = c
}

// run runs a command at the seat, and returns what it prints as JSON.
func (s *realSite) run(code int, out any, args ...string) string {
	s.t.Helper()
	args = append(args, "-c", s.path("ops-1", "skerry.yaml"), "--json", "--timeout", patient)
	got, text, errs := cli(s.t, "", args...)
	if got != code {
		s.t.Fatalf("%v: exit code %d, not %d\n%s%s", args, got, code, text, errs)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(text), out); err != nil {
			s.t.Fatalf("%v: %v\n%s", args, err, text)
		}
	}
	return text + errs
}

// apply applies a plan with a key.
func (s *realSite) apply(code int, file string, more ...string) (out siteApplied) {
	s.t.Helper()
	s.run(code, &out, append([]string{"site", "apply", file, "--store", s.path("ops-1", "state/store"), "--key",
		filepath.Join(os.Getenv("HOME"), ".ssh", "skerry-launch-site-2"), "--patience", "2m"}, more...)...)
	return out
}

// up are the instances that run, as HOST:NAME.
func (s *realSite) up(code int) (all []string) {
	s.t.Helper()
	var st siteStatus
	s.run(code, &st, "site", "status")
	for _, h := range st.Hosts {
		for _, i := range h.Instances {
			if i.Phase == string(shim.Up) {
				all = append(all, h.Host+":"+i.Name)
			}
		}
	}
	return all
}

// end stops what still runs.
func (s *realSite) end() {
	for _, c := range s.agents {
		c.Process.Kill()
		c.Wait()
	}
	dirs, _ := filepath.Glob(filepath.Join(s.dir, "*", "state", "agent", "instances", "*"))
	for _, dir := range dirs {
		shim.Ask(context.Background(), dir, shim.DoStop, 0)
	}
	os.RemoveAll(s.dir)
}

// TestSiteFromNothing is the way of docs/site.md: a site of three hosts from nothing, a bundle, a plan, a new version,
// and back.
func TestSiteFromNothing(t *testing.T) {
	w := newWorkshop(t)
	recipe := filepath.Join(w.dir, "artifact.yaml")
	writeText(t, recipe, "service: auth\nplatform: any\nrun: {command: ./auth}\n")
	for _, v := range []string{"v1", "v2"} {
		dir := w.program(v)
		writeText(t, filepath.Join(dir, "auth"), "#!/bin/sh\n# "+v+"\nexec sleep 3600\n")
		w.run(exitOK, "", "", "made", "artifact", "make", dir, "-f", recipe, "--version", v, "--key", w.key)
	}
	stick := filepath.Join(w.dir, "site.skb")
	w.run(exitOK, "", "", "made", "bundle", "make", "auth/v1", "auth/v2", "-o", stick, "--key", w.key)

	dir, err := os.MkdirTemp("", "seat")
	if err != nil {
		t.Fatal(err)
	}
	s := &realSite{t: t, dir: dir, agents: map[string]*exec.Cmd{}}
	defer s.end()
	port := lab.Port(t)
	want(t, "", exitOK, "", "", "site", "init", "--cluster", "launch-site-2", "--mode", "broadcast", "--operator",
		"wang", "--no-passphrase", "--dir", s.path("ops-1", ""), "--state", s.path("ops-1", "state"), "--host", "ops-1",
		"--builder", "li="+w.key+".pub", "--label", "hall=3")
	i, rows := invite(t, s.path("ops-1", ""), "ops-2", "ops-3")
	for n, host := range []string{"ops-2", "ops-3"} {
		args := append(strings.Fields(rows[n].Command)[1:], "--dir", s.path(host, ""), "--state", s.path(host, "state"),
			"--host", host, "--label", "hall=3")
		want(t, rows[n].Token, exitOK, host+" is a host of launch-site-2", "", args...)
	}
	if code := <-i.code; code != exitOK {
		t.Fatalf("site invite ends with %d", code)
	}
	hosts := []string{"ops-1", "ops-2", "ops-3"}
	for _, host := range hosts {
		s.meet(host, port)
		s.start(host)
	}
	// On one host only: the others fetch what they need.
	want(t, "", exitOK, "auth", "", "bundle", "import", stick, "--store", s.path("ops-1", "state/store"), "--builders",
		s.path("ops-1", "builders"), "-c", s.path("ops-1", "skerry.yaml"), "--floor", "0")
	eventually(t, "three agents are found", func() bool {
		code, out, _ := cli(t, "", "site", "status", "--json", "-c", s.path("ops-1", "skerry.yaml"))
		var st siteStatus
		return code == exitOK && json.Unmarshal([]byte(out), &st) == nil && len(st.Hosts) == 3
	})

	if _, out, _ := cli(t, "", "ls", "-c", s.path("ops-1", "skerry.yaml")); !strings.Contains(out,
		"3 agents of hosts answered") || strings.Contains(out, noneAnswered) {
		t.Errorf("ls of a site where only agents run says\n%s", out)
	}
	file := filepath.Join(w.dir, "plan.yaml")
	text := "cluster: launch-site-2\nservices: {auth: {user: root, run: {%s: {" + inHall3 + "}}}}\n"
	if os.Geteuid() != 0 {
		text = strings.Replace(text, "user: root, ", "", 1)
	}
	writeText(t, file, fmt.Sprintf(text, "v1"))
	var p sitePreview
	s.run(exitOK, &p, "site", "plan", file, "--store", s.path("ops-1", "state/store"))
	if len(p.Effects) != 3 || p.Plan != 1 || len(s.up(exitOK)) != 0 {
		t.Fatalf("%+v", p)
	}
	if out := s.apply(exitOK, file); !out.Done || out.Plan != 1 || out.By != "wang" || len(out.Hosts) != 3 {
		t.Fatalf("%+v", out)
	}
	if got := strings.Join(s.up(exitOK), " "); got != "ops-1:auth/v1#1 ops-2:auth/v1#1 ops-3:auth/v1#1" {
		t.Fatalf("up: %s", got)
	}
	if out := s.apply(exitOK, file); out.Changed {
		t.Errorf("the same plan again: %+v", out)
	}

	writeText(t, file, fmt.Sprintf(text, "v2"))
	if out := s.apply(exitOK, file); !out.Done || out.Plan != 2 {
		t.Fatalf("%+v", out)
	}
	if got := strings.Join(s.up(exitOK), " "); got != "ops-1:auth/v2#1 ops-2:auth/v2#1 ops-3:auth/v2#1" {
		t.Fatalf("up: %s", got)
	}
	var back siteApplied
	s.run(exitOK, &back, "site", "undo", "--store", s.path("ops-1", "state/store"), "--key",
		filepath.Join(os.Getenv("HOME"), ".ssh", "skerry-launch-site-2"))
	if got := strings.Join(s.up(exitOK), " "); back.Plan != 3 || !strings.Contains(got, "ops-3:auth/v1#1") {
		t.Fatalf("%+v, up: %s", back, got)
	}
	var history []sitePlanRow
	s.run(exitOK, &history, "site", "history")
	if len(history) != 3 || history[0].Plan != 3 || history[2].Changes[0] != "+ auth/v1: ops-1, ops-2, ops-3" ||
		history[0].Reason != "as plan 1" {
		t.Errorf("%+v", history)
	}

	t.Run("refused", func(t *testing.T) { s.refusals(t, file, text) })
	t.Run("silent", func(t *testing.T) { s.silent(t, file, text) })
}

// refusals are plans that reach no host.
func (s *realSite) refusals(t *testing.T, file, text string) {
	s.t = t
	for what, c := range map[string]struct {
		text, want string
		code       int
	}{
		"of another cluster": {strings.Replace(text, "launch-site-2", "other", 1), "is a plan of the cluster other",
			exitProblem},
		"with a mistake": {strings.Replace(text, "run:", "runs:", 1), "plan.yaml:2", exitUsage},
		"an unknown host": {strings.Replace(text, inHall3, "hosts: {ops-9: 1}", 1), "ops-9 has no agent",
			exitProblem},
		"of an old number": {"plan: 1\n" + text, "another operator has changed it since", exitProblem},
		"without artifact": {strings.Replace(text, "%s", "v7", 1), "no such artifact", exitProblem},
	} {
		writeText(t, file, strings.Replace(c.text, "%s", "v2", 1))
		out := s.run(c.code, nil, "site", "apply", file, "--store", s.path("ops-1", "state/store"))
		if !strings.Contains(out, c.want) {
			t.Errorf("a plan %s: %s", what, out)
		}
	}
	writeText(t, file, fmt.Sprintf(text, "v2"))
	stranger := filepath.Join(t.TempDir(), "stranger")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
		stranger).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out := s.run(exitProblem, nil, "site", "apply", file, "--store", s.path("ops-1", "state/store"), "--key",
		stranger); !strings.Contains(out, "the plan is not signed") {
		t.Error(out)
	}
	if got := len(s.up(exitOK)); got != 3 {
		t.Errorf("%d instances run after plans that were refused", got)
	}
}

// silent: a host without its agent is named, and follows when it is back.
func (s *realSite) silent(t *testing.T, file, text string) {
	s.t = t
	s.agents["ops-3"].Process.Kill()
	s.agents["ops-3"].Wait()
	writeText(t, file, fmt.Sprintf(text, "v2"))
	out := s.apply(exitProblem, file, "--patience", "15s")
	done := map[string]bool{}
	for _, h := range out.Hosts {
		done[h.Host] = h.Done
		if !h.Done && h.Problem == "" {
			t.Errorf("%s is not done, and no reason is said", h.Host)
		}
	}
	if done["ops-3"] || len(out.Hosts) < 2 {
		t.Errorf("%+v", out)
	}
	s.start("ops-3")
	eventually(t, "ops-3 follows", func() bool {
		code, _, _ := cli(t, "", "site", "status", "-c", s.path("ops-1", "skerry.yaml"))
		return code == exitOK
	})
}
