//go:build !linux

package transport

import (
	"errors"
	"net"
)

// tryWriter is Linux's; elsewhere a write gets a deadline.
type tryWriter struct{}

func newTryWriter(net.Conn) *tryWriter { return nil }

func (*tryWriter) write([]byte) (int, error) { return 0, errors.ErrUnsupported }
