package transport

import "sync/atomic"

// ByteBudget counts bytes that the connections or streams of a server or client hold
// together. It is safe for concurrent use; a nil ByteBudget is never full.
type ByteBudget struct {
	Limit int64 // bytes; Add may exceed it by any amount, Take up to a multiple
	used  atomic.Int64
}

// Add counts n bytes more, or fewer when n is negative.
func (t *ByteBudget) Add(n int64) {
	if t != nil && n != 0 {
		t.used.Add(n)
	}
}

// Take adds n bytes unless the sum would exceed the limit multiplied by times. It reports
// whether it has added them.
func (t *ByteBudget) Take(n, times int64) bool {
	if t == nil || t.used.Add(n) <= times*t.Limit {
		return true
	}
	t.used.Add(-n)
	return false
}

// Full reports whether the limit is reached.
func (t *ByteBudget) Full() bool { return t != nil && t.used.Load() >= t.Limit }

// Used is the number of bytes that are held now.
func (t *ByteBudget) Used() int64 { return t.used.Load() }

// overTwice reports whether n more bytes would exceed twice the limit.
func (t *ByteBudget) overTwice(n int) bool { return t != nil && t.used.Load()+int64(n) > 2*t.Limit }

// Weight is the size of a message in the ByteBudget of requests. Small messages count nothing,
// because their number bounds them.
func Weight(message string) int64 {
	if len(message) <= LargeBuffer {
		return 0
	}
	return int64(len(message))
}
