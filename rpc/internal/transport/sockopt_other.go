//go:build !linux

package transport

import (
	"net"
	"time"
)

// setUserTimeout has an effect on Linux only; elsewhere pings and keepalives find a dead peer.
func setUserTimeout(net.Conn, time.Duration) {}

// The functions below have an effect on Linux only.

// CanLimitSegments reports whether WithSegment has an effect here.
const CanLimitSegments = false

func setSegment(uintptr, int) error { return nil }
func getSegment(uintptr) int        { return 0 }
func getPacket(uintptr) int         { return 0 }
