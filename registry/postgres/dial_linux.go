package postgres

import (
	"strings"
	"syscall"
)

const (
	tcpUserTimeout = 0x12   // TCP_USER_TIMEOUT, which package syscall does not name
	unackedMillis  = 20_000 // longest time that sent bytes stay unacknowledged
)

// limitUnacked sets TCP_USER_TIMEOUT before the connection is made.
func limitUnacked(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var set error
	err := raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, unackedMillis)
	})
	if err != nil {
		return err
	}
	return set
}
