package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// sharingViolation is the error of Windows for a file that another process has open exclusively.
const sharingViolation syscall.Errno = 32

// Lock opens a file and locks it against other calls of Lock, until the file is closed or the
// process ends.
func Lock(path string) (*os.File, error) {
	if err := Check(filepath.Dir(path)); err != nil {
		return nil, err
	}
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const shareWithNobody = 0
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, shareWithNobody, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL|syscall.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	switch {
	case err == nil:
		return os.NewFile(uintptr(h), path), nil
	case errors.Is(err, sharingViolation):
		return nil, ErrLocked
	}
	return nil, err
}

// Holds reports whether the file of a lock still has its name. Windows guarantees it.
func Holds(*os.File, string) bool { return true }

// writeProtected is the error of Windows for a write to a read-only volume.
const writeProtected syscall.Errno = 19

// IsReadOnly reports whether a write failed because its volume is read-only.
func IsReadOnly(err error) bool { return errors.Is(err, writeProtected) }
