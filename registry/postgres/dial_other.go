//go:build !linux

package postgres

import "syscall"

// limitUnacked has no equivalent here. Keep-alives and pings detect a dead connection a little
// later.
func limitUnacked(string, string, syscall.RawConn) error { return nil }
