//go:build !linux

package rpc

import (
	"net"
	"time"
)

// setUserTimeout is Linux's; elsewhere pings and keep-alives have to do.
func setUserTimeout(net.Conn, time.Duration) {}

// setSegment is Linux's, and so is getSegment.
func setSegment(uintptr, int) error { return nil }

func getSegment(uintptr) int { return 0 }
