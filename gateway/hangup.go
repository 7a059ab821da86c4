package gateway

import (
	"context"
	"syscall"
	"time"
)

// closes returns true when the client's side has ended, even if bytes of the client are unread. It
// returns false when ctx ends or the system cannot tell. Nothing else may read the connection
// meanwhile.
func (c *client) closes(ctx context.Context) (ended bool) {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes the wait below
	})
	_ = raw.Read(func(fd uintptr) bool {
		ended = hungUp(fd)
		return ended
	})
	if !stop() {
		<-woken
		_ = c.Conn.SetReadDeadline(time.Time{}) // no deadline of the server applies to the body
	}
	return ended
}
