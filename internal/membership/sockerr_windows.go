package membership

import "syscall"

// What a socket returns for a port that nothing listens at (WSAECONNREFUSED), and
// for a connection that the other end has reset. The syscall.ECONNREFUSED and
// ECONNRESET of Windows are numbers that its sockets never return.
const (
	connRefused = syscall.Errno(10061)
	connReset   = syscall.WSAECONNRESET
)
