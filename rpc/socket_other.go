//go:build !linux

package rpc

import (
	"net"
	"time"
)

// setUserTimeout is Linux's; elsewhere pings and keep-alives have to do.
func setUserTimeout(net.Conn, time.Duration) {}
