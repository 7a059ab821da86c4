package proxy

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/skerry/skerry/config"
)

// These users may connect to a program's socket: root, the proxy's user and the named
// user. Without a named user, the socket's group may connect.
func TestSocketIsForItsUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	own, group := uint32(os.Geteuid()), info.Sys().(*syscall.Stat_t).Gid
	for _, c := range []struct {
		guard    guard
		uid, gid uint32
		admitted bool
	}{
		{guard{only: "4711"}, 0, 0, true},
		{guard{only: "4711"}, own, group, true},
		{guard{only: "4711"}, 4711, 99, true},
		{guard{only: "4711"}, 4712, group, false},
		{guard{file: path}, 4712, group, true},
		{guard{file: path}, 4712, group + 4242, false},
	} {
		if err := c.guard.admits(c.uid, c.gid); (err == nil) != c.admitted {
			t.Errorf("%+v, user %d, group %d: %v", c.guard, c.uid, c.gid, err)
		}
	}
	client, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if uid, _, err := peerOf(server); err != nil || uid != own {
		t.Errorf("the kernel says user %d, %v", uid, err)
	}
	if _, err := newGuard("no such user here"); err == nil {
		t.Error("a user that does not exist is taken")
	}
}

const nobody = 65534 // the user and the group

// dialAs connects as a process of another user and group would.
func dialAs(t *testing.T, uid, gid uintptr, path string) (*caller, error) {
	t.Helper()
	type dialled struct {
		nc  net.Conn
		err error
	}
	done := make(chan dialled)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		const same = ^uintptr(0)
		for _, call := range [][2]uintptr{{syscall.SYS_SETRESGID, gid}, {syscall.SYS_SETRESUID, uid}} {
			if _, _, errno := syscall.RawSyscall(call[0], same, call[1], same); errno != 0 { // of this thread only
				done <- dialled{err: errors.New("root is needed to connect as another user: " + errno.Error())}
				return
			}
		}
		nc, err := net.Dial("unix", path)
		done <- dialled{nc, err}
	}()
	d := <-done
	if d.err != nil {
		return nil, d.err
	}
	t.Cleanup(func() { d.nc.Close() })
	return newCaller(d.nc), nil
}

// A process of another user can call where the configuration names its user, or where it belongs to
// the socket's group and no user is named.
func TestOtherUsersProcessesCall(t *testing.T) {
	c := site(t)
	offer(t, c, "auth", "v1", echoing("", nil))
	dir, err := os.MkdirTemp("", "users-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	start(t, c, map[string]config.Program{
		"named": {Listen: "unix:" + at("named"), User: "nobody"},
		"other": {Listen: "unix:" + at("other"), User: "daemon"},
		"any":   {Listen: "unix:" + at("any")},
	})
	group := uintptr(os.Getegid()) // of the sockets
	for _, k := range []struct {
		socket string
		gid    uintptr
		dials  bool
		called bool
	}{
		{"named", nobody, true, true},
		{"named", group, true, true},
		{"other", group, true, false},
		{"other", nobody, false, false},
		{"any", group, true, true},
		{"any", nobody, false, false},
	} {
		p, err := dialAs(t, nobody, k.gid, at(k.socket))
		if (err == nil) != k.dials || err != nil && !errors.Is(err, syscall.EACCES) {
			t.Errorf("socket %s, group %d: %v", k.socket, k.gid, err)
		}
		if p == nil {
			continue
		}
		if _, err := p.call(t.Context(), "auth:verify", "x"); (err == nil) != k.called {
			t.Errorf("socket %s, group %d: the call: %v", k.socket, k.gid, err)
		}
	}
}
