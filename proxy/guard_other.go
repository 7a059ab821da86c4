//go:build unix && !linux

package proxy

import (
	"errors"
	"net"
)

// peerOf is unsupported on this system.
func peerOf(*net.UnixConn) (uid, gid uint32, err error) { return 0, 0, errors.ErrUnsupported }
