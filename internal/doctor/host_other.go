//go:build !linux

package doctor

import "errors"

// openFiles returns how many files this process has open, of how many.
func openFiles() (open, most int, known bool) { return 0, 0, false }

// space returns the bytes that a user may still write beside a file, and the size of that disk.
func space(string) (free, all uint64, err error) { return 0, 0, errors.ErrUnsupported }
