package transport

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// ConnWaits reports whether a connection waits to be accepted. It works after the listener's
// deadline as well, when Accept fails although a connection waits.
func ConnWaits(l net.Listener) bool {
	c, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	waits := false
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		waits = err == nil && n > 0 && p[0].Revents&unix.POLLIN != 0
	})
	return err == nil && waits
}
