package proxy

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/config"
)

// startHeld is startProcess with a socket that a service manager holds.
func startHeld(t *testing.T, file, listen string, held *os.File) (stop func() error) {
	t.Helper()
	var log strings.Builder
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+file)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{held}, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("process %d:\n%s", cmd.Process.Pid, log.String())
		}
	})
	eventually(t, "the proxy serves", func() bool {
		s, err := Ask(t.Context(), config.Program{Listen: listen})
		return err == nil && s.PID == cmd.Process.Pid
	})
	return func() error {
		ended = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		return cmd.Wait()
	}
}

// A service manager holds a socket while the proxy is restarted: connections wait, and no call fails.
func TestARestartWithAHeldSocketFailsNoCall(t *testing.T) {
	c := site(t)
	offer(t, c, "auth", "v1", echoing("", nil))
	path := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	held, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	file := writeProxyConfig(t, c, path, "")
	stop := startHeld(t, file, "unix:"+path, held)
	load := &load{}
	for range 3 {
		load.add(t, "a call of the program", func() error {
			_, err := helperCall(path, "auth:verify", "x")
			return err
		}, nil)
	}
	for range 2 {
		before := load.calls.Load()
		eventually(t, "calls go on", func() bool { return t.Failed() || load.calls.Load() > before+20 })
		if err := stop(); err != nil {
			t.Errorf("the proxy that was stopped: %v", err)
		}
		stop = startHeld(t, file, "unix:"+path, held)
	}
	before := load.calls.Load()
	eventually(t, "calls go on", func() bool { return t.Failed() || load.calls.Load() > before+20 })
	load.end()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the service manager's file: %v", err)
	}
}

// A socket that no program of the configuration has is an error: its clients would wait for ever.
func TestAHeldSocketOfNoProgram(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	i := inherited{listenerName(l): l}
	if i.take("tcp", "127.0.0.1:1") != nil || i.has("127.0.0.1:1") {
		t.Error("a listener of another address was taken")
	}
	if err := i.rest(); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("%v", err)
	}
	if i.take("tcp", l.Addr().String()) != l || i.rest() != nil {
		t.Error("the listener of the address was not taken")
	}
}
