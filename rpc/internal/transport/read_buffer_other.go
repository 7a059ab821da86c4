//go:build !linux

package transport

// useSocket has an effect on Linux only; elsewhere a silent connection waits for one byte.
func (*readBuffer) useSocket() {}
