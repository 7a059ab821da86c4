//go:build !linux

package transport

import "net"

// ConnWaits reports whether a connection waits to be accepted; false where that is unknown.
func ConnWaits(net.Listener) bool { return false }
