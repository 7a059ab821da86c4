package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/artifact"
)

// install places the binary, by the command and a systemctl that only writes down what it is told.
func (h *agentHost) install() (told string) {
	h.t.Helper()
	must(h.t, os.MkdirAll(h.path("bin"), 0o700))
	must(h.t, os.WriteFile(h.path("bin/systemctl"), []byte("#!/bin/sh\necho \"$*\" >>"+h.path("told")+"\n"), 0o700))
	cmd := exec.Command(h.bin, "agent", "install", "--file", h.path("agent.yaml"), "--units", h.dir)
	cmd.Env = append(os.Environ(), "PATH="+h.path("bin")+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(h.path("told"))
	must(h.t, err)
	return string(text)
}

// supervise starts the agent again and again, as a service manager does.
func (h *agentHost) supervise() {
	h.t.Helper()
	h.real = exec.Command("/bin/sh", "-c", "trap 'kill $!; wait; exit' TERM\n"+
		"while :; do \"$1\" agent run --file \"$2\" & wait; sleep 0.05; done", "sh",
		agent.Program(h.path("agent")), h.path("agent.yaml"))
	must(h.t, h.real.Start())
	h.t.Cleanup(func() { // before the host ends
		h.real.Process.Signal(syscall.SIGTERM)
		h.real.Wait()
	})
}

// upgrade runs the command.
func (h *agentHost) upgrade(what string, more ...string) (string, error) {
	args := append([]string{"agent", "upgrade", "--file", h.path("agent.yaml"), what}, more...)
	out, err := exec.Command(h.bin, args...).CombinedOutput()
	return string(out), err
}

// TestInstallWritesAUnit: systemd is told to start what current leads to, and to leave the instances alone.
func TestInstallWritesAUnit(t *testing.T) {
	t.Parallel()
	h, _ := newAgentHost(t)
	if told := h.install(); told != "daemon-reload\nenable skerry-agent.service\nrestart skerry-agent.service\n" {
		t.Errorf("systemctl was told %q", told)
	}
	path := h.path("skerry-agent.service")
	unit, err := os.ReadFile(path)
	must(t, err)
	for _, want := range []string{"KillMode=process\n", "Delegate=yes\n", "Restart=always\n",
		"WantedBy=multi-user.target",
		`ExecStart="` + agent.Program(h.path("agent")) + `" agent run --file "` + h.path("agent.yaml") + `"`} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("the unit has no %s:\n%s", want, unit)
		}
	}
	if analyze, err := exec.LookPath("systemd-analyze"); err == nil {
		if out, err := exec.Command(analyze, "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze: %v: %s", err, out)
		}
	}
	out, err := exec.Command(h.bin, "agent", "install", "--print", "--file", h.path("agent.yaml")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), string(unit)) ||
		!strings.Contains(string(out), "systemctl enable skerry-agent.service") {
		t.Errorf("--print: %v: %s", err, out)
	}
}

// TestAgentIsUpgraded: a binary that does not prove itself changes nothing, one that fails later is taken back, and
// a good one takes the agent's place. Programs are called meanwhile, and no call fails.
func TestAgentIsUpgraded(t *testing.T) {
	t.Parallel()
	h, node := newAgentHost(t)
	h.order(1, map[string]artifact.Digest{"v1": h.make("v1")})
	if out, err := h.upgrade(h.bin); err == nil || !strings.Contains(out, "agent") {
		t.Errorf("without an agent: %v: %s", err, out)
	}
	h.install()
	h.supervise()
	l := newLoad(t, node)
	defer l.stop()
	program := func() string {
		r, err := agent.Look(t.Context(), h.path("agent"))
		if err != nil || !r.Running || !r.Proved || len(r.Instances) != 1 {
			return ""
		}
		return r.Program
	}
	var first string
	eventually(t, "the first agent runs", func() bool { first = program(); return first != "" })

	bad := h.path("bad")
	must(t, os.WriteFile(bad, []byte("#!/bin/sh\necho I do not start; exit 1\n"), 0o700))
	if out, err := h.upgrade(bad); err == nil || !strings.Contains(out, "I do not start") {
		t.Errorf("one that does not prove itself: %v: %s", err, out)
	}
	late := h.path("late")
	must(t, os.WriteFile(late, []byte("#!/bin/sh\n[ \"$2\" = prove ]\n"), 0o700))
	if out, err := h.upgrade(late, "--within", "3s"); err == nil || !strings.Contains(out, "was taken back") {
		t.Errorf("one that fails later: %v: %s", err, out)
	}
	eventually(t, "the first agent is back", func() bool { return program() == first })
	l.more("calls after two bad upgrades")

	text, err := os.ReadFile(h.bin)
	must(t, err)
	good := h.path("good")
	must(t, os.WriteFile(good, append(text, "another version"...), 0o700)) // its hash is another one
	if out, err := h.upgrade(good); err != nil {
		t.Errorf("a good one: %v: %s", err, out)
	}
	if now := program(); now == first || !strings.HasPrefix(now, h.path("agent/versions")) {
		t.Errorf("%s runs, after %s", now, first)
	}
	l.more("calls after the upgrade")
	if all, _ := filepath.Glob(h.path("agent/versions/*/skerry")); len(all) != 4 {
		t.Errorf("versions on the disk: %v", all)
	}
}
