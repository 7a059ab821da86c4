package transport

import (
	"net"
	"syscall"
	"time"
)

// Constants of linux/tcp.h and linux/in6.h that package syscall lacks.
const (
	tcpUserTimeout = 18 // TCP_USER_TIMEOUT
	ipv6MTU        = 24 // IPV6_MTU
)

// CanLimitSegments reports whether WithSegment has an effect here.
const CanLimitSegments = true

// setUserTimeout bounds how long sent bytes may stay unacknowledged. Errors are ignored, because
// pings find a dead peer without it.
func setUserTimeout(nc net.Conn, d time.Duration) {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(d.Milliseconds()))
	})
}

// setSegment bounds the segments of a socket before it connects. The kernel tells the other end,
// which bounds its segments as well.
func setSegment(fd uintptr, bytes int) error {
	return syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, bytes)
}

// getSegment is the size of a connection's full segments, 0 for unknown.
func getSegment(fd uintptr) int { return getOption(fd, syscall.IPPROTO_TCP, syscall.TCP_MAXSEG) }

// getPacket is the size of a connection's full packets, 0 for unknown.
func getPacket(fd uintptr) int {
	if n := getOption(fd, syscall.IPPROTO_IPV6, ipv6MTU); n > 0 {
		return n
	}
	return getOption(fd, syscall.IPPROTO_IP, syscall.IP_MTU)
}

func getOption(fd uintptr, level, name int) int {
	n, err := syscall.GetsockoptInt(int(fd), level, name)
	if err != nil {
		return 0
	}
	return n
}
