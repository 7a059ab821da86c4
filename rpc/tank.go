package rpc

import "sync/atomic"

// tank counts bytes that all connections of a server hold together. It is safe
// for concurrent use; a nil tank is never full.
type tank struct {
	limit int64
	used  atomic.Int64
}

func (t *tank) add(n int64) {
	if t != nil && n != 0 {
		t.used.Add(n)
	}
}

// take adds n bytes unless that makes more than so many times what the tank
// may hold.
func (t *tank) take(n, times int64) bool {
	if t == nil || t.used.Add(n) <= times*t.limit {
		return true
	}
	t.used.Add(-n)
	return false
}

func (t *tank) full() bool { return t != nil && t.used.Load() >= t.limit }

// burst reports whether with n more bytes it would be twice as full as it may be.
func (t *tank) burst(n int) bool { return t != nil && t.used.Load()+int64(n) > 2*t.limit }

// weight is what a message counts in the tank of requests: little ones are
// bounded by their number.
func weight(message string) int64 {
	if len(message) <= largeBuffer {
		return 0
	}
	return int64(len(message))
}
