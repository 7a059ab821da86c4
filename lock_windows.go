package skerry

import (
	"errors"
	"os"
	"syscall"
)

// sharingViolation is what Windows says of a file that somebody has open for
// himself.
const sharingViolation syscall.Errno = 32

// lockFile opens a file that no other process has open through it, until it is
// closed or the process ends.
func lockFile(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const shareWithNobody = 0
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, shareWithNobody, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case err == nil:
		return os.NewFile(uintptr(h), path), nil
	case errors.Is(err, sharingViolation):
		return nil, errTaken
	}
	return nil, err
}
