package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/artifact"
)

// The rows of "What happens when" in docs/site.md that one host can play.

// find returns an instance of a report.
func find(r Report, name string) Instance {
	for _, i := range r.Instances {
		if i.Name == name {
			return i
		}
	}
	return Instance{}
}

// TestHostStartsAlone: the host was switched off, and starts without a network, without a database and without the file
// of the plan: everything starts from what the agent has. The states of before name processes; one of the numbers
// belongs to a stranger now, that lives on.
func TestHostStartsAlone(t *testing.T) {
	h := newHost(t)
	h.count = 2
	h.order(7, h.operator, "x", map[string]artifact.Digest{"v1": h.make("v1", serving, h.builder)})
	names := []string{"auth/v1#1", "auth/v1#2"}
	r := h.until("both are up", func(r Report) bool { return isUp(r, names[0]) && isUp(r, names[1]) })
	before := []int{pidOf(r, names[0]), pidOf(r, names[1])}
	h.stop()

	stranger := exec.Command("/bin/sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	for _, name := range names {
		path, err := Find(h.config.Dir, name)
		if err != nil {
			t.Fatal(err)
		}
		s, err := shim.Ask(t.Context(), path, shim.DoStatus, -1)
		if err != nil {
			t.Fatal(err)
		}
		syscall.Kill(s.Shim.PID, syscall.SIGKILL)
		h.until("it is gone", func(r Report) bool { return find(r, name).Phase == Gone })
		s.Boot = "the boot before"
		s.Shim.PID, s.Child = stranger.Process.Pid, &shim.Process{PID: stranger.Process.Pid, Start: 1}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		h.write(filepath.Join(path, "state.json"), string(text))
	}
	for _, lost := range []string{h.config.Plan, h.config.Plan + ".sig"} {
		if err := os.Remove(lost); err != nil {
			t.Fatal(err)
		}
	}
	h.start()
	r = h.until("both are up again", func(r Report) bool {
		for i, name := range names {
			if pid := pidOf(r, name); pid == 0 || pid == before[i] || pid == stranger.Process.Pid {
				return false
			}
		}
		return true
	})
	if r.Plan != 7 || r.SignedBy != "wang" {
		t.Errorf("it obeys plan %d of %q", r.Plan, r.SignedBy)
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger: %v", err)
	}
}

// TestFullDiskHoldsBack: a version that does not fit is not started, and says why. What runs goes on, and when there
// is room the version starts by itself.
func TestFullDiskHoldsBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts a small disk: run it as root")
	}
	h := newHost(t)
	h.stop()
	h.count = 1
	if err := os.MkdirAll(h.config.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(h.config.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		os.RemoveAll(filepath.Join(h.config.Dir, e.Name()))
	}
	if err := unix.Mount("tmpfs", h.config.Dir, "tmpfs", 0, "size=16m,mode=0711"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.end() // what lies on the disk names the shims
		unix.Unmount(h.config.Dir, unix.MNT_DETACH)
	})
	small := h.make("v1", serving, h.builder)
	large := h.make("v2", serving+"\n#"+strings.Repeat("x", 2<<20), h.builder)
	h.order(1, h.operator, "x", map[string]artifact.Digest{"v1": small})
	h.start()
	pid := pidOf(h.until("v1 is up", func(r Report) bool { return isUp(r, "auth/v1#1") }), "auth/v1#1")
	filler := filepath.Join(h.config.Dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 13<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	h.order(2, h.operator, "x", map[string]artifact.Digest{"v1": small, "v2": large})
	r := h.until("v2 is held back", func(r Report) bool {
		return strings.Contains(find(r, "auth/v2#1").Problem, "store.floor")
	})
	if pidOf(r, "auth/v1#1") != pid {
		t.Error("v1 was touched")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	r = h.until("v2 is up", func(r Report) bool { return isUp(r, "auth/v2#1") })
	if pidOf(r, "auth/v1#1") != pid {
		t.Error("v1 was touched")
	}
}

// TestPortIsTaken: the one port of a service is that of the version that runs. The next version says so and waits, and
// has the port when the first one goes.
func TestPortIsTaken(t *testing.T) {
	h := newHost(t)
	h.ports = 1
	v1, v2 := h.make("v1", serving, h.builder), h.make("v2", serving, h.builder)
	h.order(1, h.operator, "x", map[string]artifact.Digest{"v1": v1})
	pid := pidOf(h.until("v1 is up", func(r Report) bool { return isUp(r, "auth/v1#1") }), "auth/v1#1")
	h.order(2, h.operator, "x", map[string]artifact.Digest{"v1": v1, "v2": v2})
	r := h.until("v2 waits", func(r Report) bool {
		return strings.Contains(find(r, "auth/v2#1").Problem, "give the service more ports")
	})
	if pidOf(r, "auth/v1#1") != pid {
		t.Error("v1 was touched")
	}
	h.order(3, h.operator, "x", map[string]artifact.Digest{"v2": v2})
	r = h.until("v2 is up", func(r Report) bool { return isUp(r, "auth/v2#1") })
	if got := fmt.Sprint(find(r, "auth/v2#1").Ports); got != fmt.Sprintf("[%d]", h.first) {
		t.Errorf("v2 has the ports %s", got)
	}
}

// TestHalfStarted: of two instances of a new version one does not come up. The old version runs on. A plan without the
// new version takes back what has started.
func TestHalfStarted(t *testing.T) {
	h := newHost(t)
	v1 := h.make("v1", serving, h.builder)
	h.order(1, h.operator, "x", map[string]artifact.Digest{"v1": v1})
	pid := pidOf(h.until("v1 is up", func(r Report) bool { return isUp(r, "auth/v1#1") }), "auth/v1#1")
	h.count = 2
	v2 := h.make("v2", `case "$3" in *~2) exit 9;; esac; exec sleep 1000`, h.builder)
	h.order(2, h.operator, "x", map[string]artifact.Digest{"v1": v1, "v2": v2})
	r := h.until("the second one of v2 is said to fail", func(r Report) bool {
		second := find(r, "auth/v2#2")
		return isUp(r, "auth/v2#1") && second.CrashLooping && second.LastExit != nil && second.LastExit.Code == 9
	})
	if pidOf(r, "auth/v1#1") != pid || r.Problem != "" {
		t.Errorf("v1 was touched: %+v", r)
	}
	h.order(3, h.operator, "x", map[string]artifact.Digest{"v1": v1})
	r = h.until("v2 is gone", func(r Report) bool {
		return find(r, "auth/v2#1").Phase == string(shim.Stopped) && find(r, "auth/v2#2").Phase == string(shim.Stopped)
	})
	if pidOf(r, "auth/v1#1") != pid {
		t.Error("v1 was touched")
	}
}
