//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package device

import (
	"errors"
	"os"
	"syscall"
)

// lock locks the file for this process, until it is closed or the process ends.
func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrOwned
	}
	return err
}
