package broadcast

import (
	"time"

	"github.com/skerry/skerry/registry"
)

// What goes to everyone goes three ways, so each datagram comes three times.
// The copies are known by their MAC, before anything is computed: a start of
// many processes on one machine takes a third of the time.
const (
	echoLife = 300 * time.Millisecond // in which the copies of a datagram come
	echoMost = 256                    // datagrams remembered in such a time
)

// echoes are the MACs of authentic datagrams that have come lately, and who
// sent them: of this period and the last one.
type echoes struct {
	now, last map[[HashSize]byte]registry.Owner
	since     time.Time
}

// heard reports whether a datagram has been noted lately.
func (e *echoes) heard(data []byte, now time.Time) bool {
	if now.Sub(e.since) > echoLife {
		e.turn(now)
	}
	return e.sender(data) != registry.Owner{}
}

// sender is who sent a datagram that was noted lately.
func (e *echoes) sender(data []byte) registry.Owner {
	k, ok := echoKey(data)
	if !ok {
		return registry.Owner{}
	}
	if o, ok := e.now[k]; ok {
		return o
	}
	return e.last[k]
}

// note remembers an authentic datagram.
func (e *echoes) note(data []byte, sender registry.Owner, now time.Time) {
	if k, ok := echoKey(data); ok {
		if e.now == nil || len(e.now) >= echoMost {
			e.turn(now)
		}
		e.now[k] = sender
	}
}

func (e *echoes) turn(now time.Time) {
	if now.Sub(e.since) > 2*echoLife {
		clear(e.now)
	}
	e.now, e.last, e.since = e.last, e.now, now
	clear(e.now)
	if e.now == nil {
		e.now = map[[HashSize]byte]registry.Owner{}
	}
}

// echoKey is enough of a MAC.
func echoKey(data []byte) (k [HashSize]byte, ok bool) {
	if len(data) < macSize {
		return k, false
	}
	copy(k[:], data[len(data)-macSize:])
	return k, true
}
