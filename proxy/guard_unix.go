//go:build unix

package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// guard decides which users' processes may connect to a Unix socket.
type guard struct {
	only string // user id; "" = the users that the file's mode allows
	file string // the socket; its group may connect when only is ""
}

func newGuard(name string) (*guard, error) {
	if name == "" {
		return &guard{}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return nil, fmt.Errorf("this host has no user %q", name)
	}
	return &guard{only: u.Uid}, nil
}

// own gives the socket to the named user when this process may do so. Otherwise the user needs the
// socket's group.
func (g *guard) own(path string) error {
	id, err := strconv.Atoi(g.only)
	if g.only == "" || err != nil || os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(path, id, -1)
}

// admits returns nil if a process of a user may connect, else the reason.
func (g *guard) admits(uid, gid uint32) error {
	id := strconv.Itoa(int(uid))
	switch {
	case uid == 0 || int(uid) == os.Geteuid() || id == g.only:
		return nil
	case g.only != "":
		return fmt.Errorf("processes of user %s may not connect: the configuration names user %s", id, g.only)
	}
	info, err := os.Lstat(g.file)
	if err != nil {
		return err
	}
	group := info.Sys().(*syscall.Stat_t).Gid
	if gid == group {
		return nil
	}
	if u, err := user.LookupId(id); err == nil {
		if groups, err := u.GroupIds(); err == nil && slices.Contains(groups, strconv.Itoa(int(group))) {
			return nil
		}
	}
	return fmt.Errorf("processes of user %s may not connect: it is not in the group %d of the socket", id, group)
}

// guarded is a listener that closes the connections of users that may not connect.
type guarded struct {
	*net.UnixListener
	guard *guard
	log   *slog.Logger
}

// Accept implements net.Listener.
func (l *guarded) Accept() (net.Conn, error) {
	for {
		nc, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if err := l.judge(nc); err != nil {
			l.log.Warn("a connection to the socket was refused", "socket", l.Addr().String(), "err", err)
			_ = nc.Close()
			continue
		}
		return nc, nil
	}
}

func (l *guarded) judge(nc *net.UnixConn) error {
	uid, gid, err := peerOf(nc)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil // the file's mode has decided
	}
	if err != nil {
		return err
	}
	return l.guard.admits(uid, gid)
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
