package transport

import (
	"cmp"
	"context"
	"errors"
	"net"
	"syscall"
)

// UsualSegment is the assumed size in bytes of a full TCP segment if the kernel does not report it.
const UsualSegment = 1460

type segmentKey struct{}

// WithSegment makes dialled connections use TCP segments of at most segment bytes, both ways; 0 =
// as the kernel chooses.
func WithSegment(ctx context.Context, segment int) context.Context {
	if segment == 0 {
		return ctx
	}
	return context.WithValue(ctx, segmentKey{}, segment)
}

// limitSegment is for net.Dialer.ControlContext.
func limitSegment(ctx context.Context, _, _ string, raw syscall.RawConn) (err error) {
	segment, _ := ctx.Value(segmentKey{}).(int)
	if segment == 0 {
		return nil
	}
	return errors.Join(raw.Control(func(fd uintptr) { err = setSegment(fd, segment) }), err)
}

// SegmentSize is the number of TCP bytes in a full packet of a connection.
func SegmentSize(nc net.Conn) int { return cmp.Or(ofSocket(nc, getSegment), UsualSegment) }

// PacketSize is the number of bytes of a full packet of a connection, 0 for unknown.
func PacketSize(nc net.Conn) int { return ofSocket(nc, getPacket) }

// ofSocket reads an option of a connection; 0 is no answer.
func ofSocket(nc net.Conn, get func(fd uintptr) int) (n int) {
	tc := tcpOf(nc)
	if tc == nil {
		return 0
	}
	raw, err := tc.SyscallConn()
	if err != nil || raw.Control(func(fd uintptr) { n = max(0, get(fd)) }) != nil {
		return 0
	}
	return n
}
