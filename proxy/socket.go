package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/skerry/skerry/rpc"
)

// socketMode lets the proxy's user and group connect.
const socketMode = 0o660

// socket is one listener of a program. On a Unix socket the listener has a file of
// its own, PATH.ID. PATH is a link to the file of the newest proxy.
type socket struct {
	network, addr string
	service       string // callee of calls that name none
	own           string // the listener's own file; "" with TCP
	listener      net.Listener
	server        *rpc.Server
	once          sync.Once // of close
}

// String returns the address as in the configuration.
func (s *socket) String() string {
	if s.network == "unix" {
		return "unix:" + s.addr
	}
	return s.addr
}

// bind makes the listener. On a Unix socket it gets no connections before publish.
func (s *socket) bind(id, user string, log *slog.Logger) error {
	if s.network != "unix" {
		l, err := net.Listen(s.network, s.addr)
		s.listener = l
		return err
	}
	sweepStale(s.addr, "")
	allowed, err := newGuard(user)
	if err != nil {
		return err
	}
	own := ownPath(s.addr, id)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: own, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(own, socketMode), allowed.own(own)); err != nil {
		return errors.Join(err, l.Close(), os.Remove(own))
	}
	allowed.file = own
	s.own, s.listener = own, &guarded{l, allowed, log}
	return nil
}

// adopt serves a listener that a service manager holds. Its file is the service manager's.
func (s *socket) adopt(l net.Listener, user string, log *slog.Logger) error {
	s.listener = l
	unix, ok := l.(*net.UnixListener)
	if !ok {
		return nil
	}
	allowed, err := newGuard(user)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	unix.SetUnlinkOnClose(false)
	allowed.file = s.addr
	s.listener = heldListener{&guarded{unix, allowed, log}}
	return nil
}

// heldListener is a Unix listener that a service manager holds. It has no deadline for Accept, so a
// handover closes it at once. The connections that wait are for the next proxy.
type heldListener struct{ net.Listener }

// ownPath returns the file of one proxy's listener.
func ownPath(path, id string) string { return path + "." + id }

// publish directs new connections to the listener.
func (s *socket) publish() error {
	if s.own == "" {
		return nil
	}
	link := s.own + ".new"
	_ = os.Remove(link)
	if err := os.Link(s.own, link); err != nil {
		return err
	}
	if err := os.Rename(link, s.addr); err != nil {
		return errors.Join(err, os.Remove(link))
	}
	return nil
}

// current reports whether new connections still reach this listener.
func (s *socket) current() bool {
	if s.own == "" {
		return true
	}
	own, err := os.Lstat(s.own)
	named, err2 := os.Lstat(s.addr)
	return err == nil && err2 == nil && os.SameFile(own, named)
}

// withdraw removes the socket's name while it leads to this listener.
func (s *socket) withdraw() {
	if s.own != "" && s.current() {
		_ = os.Remove(s.addr)
	}
}

// close ends the listener and removes its files.
func (s *socket) close() {
	s.once.Do(func() {
		s.withdraw()
		if s.listener != nil {
			_ = s.listener.Close()
		}
		if s.own != "" {
			_ = os.Remove(s.own)
		}
	})
}

// sweepStale removes the files of proxies that no longer run.
func sweepStale(path, own string) {
	list, _ := filepath.Glob(path + ".???")
	links, _ := filepath.Glob(path + ".???.new") // of a proxy that died between two steps
	list = append(list, links...)
	for _, file := range list {
		if file == own {
			continue
		}
		if !answers(file) {
			_ = os.Remove(file)
		}
	}
}

// sameText compares secrets in constant time.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
