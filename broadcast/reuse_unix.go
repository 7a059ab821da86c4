//go:build unix

package broadcast

import (
	"runtime"
	"syscall"
)

// shareOption lets several processes of a host bind the shared port. On Linux, SO_REUSEADDR gives
// each of them a copy of each broadcast, and SO_REUSEPORT would choose one of them, as BSDs do with
// SO_REUSEADDR alone.
func shareOption(fd uintptr) error {
	if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if runtime.GOOS == "linux" {
		return nil
	}
	const soReusePort = 0x200 // on every BSD
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
}

var errRefused error = syscall.ECONNREFUSED
