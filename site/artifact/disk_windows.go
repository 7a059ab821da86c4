package artifact

import (
	"errors"
	"syscall"
	"unsafe"
)

// The errors of Windows for a full disk.
const (
	handleDiskFull syscall.Errno = 39
	diskFull       syscall.Errno = 112
)

var getDiskFreeSpace = syscall.NewLazyDLL("kernel32.dll").NewProc("GetDiskFreeSpaceExW")

func isFull(err error) bool { return errors.Is(err, diskFull) || errors.Is(err, handleDiskFull) }

// free is the number of bytes that this user may still write on the disk of a directory.
func free(dir string) (int64, error) {
	name, err := syscall.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var available uint64
	ok, _, err := getDiskFreeSpace.Call(uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&available)), 0, 0)
	if ok == 0 {
		return 0, err
	}
	return int64(min(available, 1<<62)), nil
}
