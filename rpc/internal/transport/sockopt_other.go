//go:build !linux

package transport

import (
	"net"
	"time"
)

// setUserTimeout is Linux's; elsewhere pings and keep-alives have to do.
func setUserTimeout(net.Conn, time.Duration) {}

// The rest is Linux's as well.

// CanLimitSegments reports whether WithSegment has an effect here.
const CanLimitSegments = false

func setSegment(uintptr, int) error { return nil }
func getSegment(uintptr) int        { return 0 }
func getPacket(uintptr) int         { return 0 }
