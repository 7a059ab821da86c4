//go:build unix

package statedir

import (
	"errors"
	"os"
	"syscall"
)

// Lock opens a file that no other process has open through it, until it is
// closed or the process ends.
func Lock(path string) (f *os.File, err error) {
	err = in(path, func(root *os.Root, name string) error {
		f, err = openFile(root, name, path, os.O_RDWR|os.O_CREATE)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, err
}
