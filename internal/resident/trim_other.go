//go:build !linux

package resident

import "runtime/debug"

// Trim gives back free memory.
func Trim() { debug.FreeOSMemory() }
