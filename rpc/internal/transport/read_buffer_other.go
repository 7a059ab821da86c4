//go:build !linux

package transport

// useSocket is Linux's; elsewhere a silent connection waits for one byte.
func (*readBuffer) useSocket() {}
