//go:build !linux

package postgres

import "syscall"

// limitUnacked has no equivalent here: keep-alives and pings notice a dead
// connection too, a little later.
func limitUnacked(string, string, syscall.RawConn) error { return nil }
