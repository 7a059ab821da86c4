package transport

import (
	"errors"
	"net"
	"syscall"
)

// tryWriter writes what the kernel accepts at once. A write deadline would cost a timer each time,
// and often the wake-up of an idle thread. One goroutine at a time uses it.
type tryWriter struct {
	raw syscall.RawConn
	try func(fd uintptr) bool

	out []byte
	n   int
	err error
}

// newTryWriter returns nil for a connection without a socket.
func newTryWriter(nc net.Conn) *tryWriter {
	raw := socketOf(nc)
	if raw == nil {
		return nil
	}
	e := &tryWriter{raw: raw}
	e.try = e.once
	return e
}

// write returns how many bytes of b were accepted. Fewer than all without an error means that the
// kernel's buffer is full.
func (e *tryWriter) write(b []byte) (int, error) {
	e.out, e.n, e.err = b, 0, nil
	err := e.raw.Write(e.try)
	e.out = nil
	return e.n, errors.Join(err, e.err)
}

func (e *tryWriter) once(fd uintptr) bool {
	for e.n < len(e.out) {
		n, err := syscall.Write(int(fd), e.out[e.n:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			e.err = err
			return true
		default:
			e.n += n
		}
	}
	return true
}

// socketOf returns the socket of a TCP or Unix connection, or nil.
func socketOf(nc net.Conn) syscall.RawConn {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		if raw, err := nc.(syscall.Conn).SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
