//go:build linux || darwin

package artifact

import "syscall"

// free is the number of bytes that this user may still write on the disk of a directory.
func free(dir string) (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil
}
