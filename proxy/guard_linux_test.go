package proxy

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
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
