package proxy

import (
	"errors"
	"log/slog"
	"net"
)

// guard is for Unix sockets. Windows can't tell which user connects.
type guard struct{ file string }

func newGuard(string) (*guard, error) {
	return nil, errors.New("use a port of the loopback interface and a token on Windows, such as listen: " +
		"127.0.0.1:7760")
}

func (g *guard) own(string) error { return nil }

// guarded is a listener with a guard.
type guarded struct {
	*net.UnixListener
	guard *guard
	log   *slog.Logger
}

func isRefused(error) bool { return false }
