//go:build unix

package statedir

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Lock opens a file and locks it against other calls of Lock, until the file is closed or the
// process ends.
func Lock(path string) (f *os.File, err error) {
	for range 10 { // between open and lock another process may remove the file and make it anew
		if f, err = lock(path); err != nil || Holds(f, path) {
			return f, err
		}
		f.Close()
	}
	return nil, fmt.Errorf("lock %q: it is removed again and again", path)
}

// Holds reports whether the file of a lock still has its name. After a removal another process can
// make and lock a file of its own.
func Holds(f *os.File, path string) bool {
	own, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(own, named)
}

func lock(path string) (f *os.File, err error) {
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

// IsReadOnly reports whether a write failed because the file system is mounted read-only.
func IsReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }
