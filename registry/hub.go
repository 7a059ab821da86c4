package registry

import (
	"fmt"
	"maps"
	"sync"
	"time"
)

// The intervals of row 1.3 and 1.4, for registries that name no others.
const (
	DefaultHeartbeat = 30 * time.Second
	DefaultExpiry    = 90 * time.Second
)

// Hub is the place that several [Memory] registries share, as processes share
// a database: it holds leases and lists, and can be made to fail. The zero
// value is ready to use; the fields are set before it is used.
type Hub struct {
	Heartbeat time.Duration // how often a Memory renews its lease; 0 means DefaultHeartbeat
	Expiry    time.Duration // age at which a lease has run out; 0 means DefaultExpiry

	mu      sync.Mutex
	down    error
	resumed time.Time // end of the latest outage: nobody expires soon after it
	leases  map[Owner]time.Time
	listed  map[ID]Instance
	gone    map[ID]Departure
	members map[*Memory]struct{}
}

// Fail makes every Memory of the hub fail with err, as a database that is
// down; nil ends the outage.
func (h *Hub) Fail(err error) {
	h.mu.Lock()
	if h.down != nil && err == nil {
		h.resumed = time.Now()
	}
	h.down = err
	h.mu.Unlock()
	h.tell()
}

// Forget loses every lease and registration, as a database that was restored
// from an older backup; their owners find out and list them again.
func (h *Hub) Forget() {
	h.mu.Lock()
	clear(h.leases)
	clear(h.listed)
	h.mu.Unlock()
	h.tell()
}

func (h *Hub) heartbeat() time.Duration {
	if h.Heartbeat > 0 {
		return h.Heartbeat
	}
	return DefaultHeartbeat
}

func (h *Hub) expiry() time.Duration {
	if h.Expiry > 0 {
		return h.Expiry
	}
	return DefaultExpiry
}

func (h *Hub) join(m *Memory) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.members == nil {
		h.members = map[*Memory]struct{}{}
		h.leases = map[Owner]time.Time{}
		h.listed = map[ID]Instance{}
		h.gone = map[ID]Departure{}
	}
	h.members[m] = struct{}{}
}

// tell wakes every member, to read again.
func (h *Hub) tell() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.members {
		select {
		case m.kick <- struct{}{}:
		default:
		}
	}
}

func (h *Hub) list(owner Owner, put []Instance, drop []ID) error {
	h.mu.Lock()
	if h.down != nil {
		defer h.mu.Unlock()
		return unavailable(h.down)
	}
	now := time.Now()
	h.leases[owner] = now
	for _, in := range put {
		h.listed[in.ID()] = in
		delete(h.gone, in.ID())
	}
	for _, id := range drop {
		h.depart(id, Withdrawn, now)
	}
	h.mu.Unlock()
	h.tell()
	return nil
}

// depart takes an instance off the list. h.mu is held.
func (h *Hub) depart(id ID, kind DepartureKind, now time.Time) {
	if _, ok := h.listed[id]; ok {
		delete(h.listed, id)
		h.gone[id] = Departure{ID: id, Kind: kind, When: now}
	}
}

// beat renews the owner's lease and reports whether it still has one; without
// one its registrations are to be listed again.
func (h *Hub) beat(owner Owner) (leased bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down != nil {
		return false, unavailable(h.down)
	}
	if _, leased = h.leases[owner]; leased {
		h.leases[owner] = time.Now()
	}
	return leased, nil
}

// read returns copies of everything, after removing what has expired.
func (h *Hub) read() (listed map[ID]Instance, gone map[ID]Departure, err error) {
	h.mu.Lock()
	if h.down != nil {
		defer h.mu.Unlock()
		return nil, nil, unavailable(h.down)
	}
	expired := h.expire(time.Now())
	listed, gone = maps.Clone(h.listed), maps.Clone(h.gone)
	h.mu.Unlock()
	if expired {
		h.tell()
	}
	return listed, gone, nil
}

// expire ends the leases that have run out. h.mu is held.
func (h *Hub) expire(now time.Time) (any bool) {
	if now.Sub(h.resumed) < h.expiry()/2 {
		return false // the living have not all had their turn yet
	}
	for owner, beat := range h.leases {
		if now.Sub(beat) <= h.expiry() {
			continue
		}
		delete(h.leases, owner)
		for id, in := range h.listed {
			if in.Owner == owner {
				h.depart(id, Expired, now)
				any = true
			}
		}
	}
	maps.DeleteFunc(h.gone, func(_ ID, d Departure) bool { return now.Sub(d.When) > goneKept })
	return any
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
