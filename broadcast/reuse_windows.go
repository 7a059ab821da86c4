package broadcast

import "syscall"

// shareOption lets several processes of a host bind the shared port.
func shareOption(fd uintptr) error {
	return syscall.SetsockoptInt(syscall.Handle(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
}

// errRefused is the error on Windows for an ICMP "port unreachable".
var errRefused error = syscall.WSAECONNRESET
