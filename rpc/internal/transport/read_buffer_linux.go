package transport

import (
	"io"
	"os"
	"syscall"
)

// useSocket makes the readBuffer of a socket wait for bytes without a buffer. It borrows one only
// when the kernel may have bytes.
func (f *readBuffer) useSocket() {
	if raw := socketOf(f.nc); raw != nil {
		f.raw, f.once = raw, f.readSocket
		f.spin = newSpin()
	}
}

// readSocket reads the bytes that the kernel has. It reports false when the caller must wait for some.
func (f *readBuffer) readSocket(fd uintptr) bool {
	b := f.room()
	for {
		n, err := syscall.Read(int(fd), b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN && f.poll:
		case err == syscall.EAGAIN:
			if f.spin.again() {
				continue
			}
			f.shrink()
			return false
		case err != nil:
			f.err = os.NewSyscallError("read", err)
		case n == 0:
			f.err = io.EOF
		default:
			f.got = n
		}
		return true
	}
}
