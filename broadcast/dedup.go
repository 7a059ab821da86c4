package broadcast

import (
	"time"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/registry"
)

// Broadcasts leave three ways, so each datagram comes three times. The receiver recognises copies
// by their MAC before it computes anything. A start of many processes on one machine then takes a
// third of the time.
const (
	dedupLife = 300 * time.Millisecond // in which the copies of a datagram come
	dedupMost = 256                    // datagrams remembered in such a time
)

// dedup holds the MACs of recent authentic datagrams with their senders, of this period and the
// last one.
type dedup struct {
	now, last map[[listing.HashSize]byte]registry.Owner
	since     time.Time
}

// seen reports whether a datagram was added lately.
func (e *dedup) seen(data []byte, now time.Time) bool {
	if now.Sub(e.since) > dedupLife {
		e.rotate(now)
	}
	return e.sender(data) != registry.Owner{}
}

// sender returns the sender of a datagram that was added lately.
func (e *dedup) sender(data []byte) registry.Owner {
	k, ok := dedupKey(data)
	if !ok {
		return registry.Owner{}
	}
	if o, ok := e.now[k]; ok {
		return o
	}
	return e.last[k]
}

// add remembers an authentic datagram.
func (e *dedup) add(data []byte, sender registry.Owner, now time.Time) {
	if k, ok := dedupKey(data); ok {
		if e.now == nil || len(e.now) >= dedupMost {
			e.rotate(now)
		}
		e.now[k] = sender
	}
}

func (e *dedup) rotate(now time.Time) {
	if now.Sub(e.since) > 2*dedupLife {
		clear(e.now)
	}
	e.now, e.last, e.since = e.last, e.now, now
	clear(e.now)
	if e.now == nil {
		e.now = map[[listing.HashSize]byte]registry.Owner{}
	}
}

// dedupKey is a prefix of the MAC.
func dedupKey(data []byte) (k [listing.HashSize]byte, ok bool) {
	if len(data) < macSize {
		return k, false
	}
	copy(k[:], data[len(data)-macSize:])
	return k, true
}
