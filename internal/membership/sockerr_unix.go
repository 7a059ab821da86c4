//go:build unix

package membership

import "syscall"

// What a socket returns for a port that nothing listens at, and for a connection
// that the other end has reset.
const (
	connRefused = syscall.ECONNREFUSED
	connReset   = syscall.ECONNRESET
)
