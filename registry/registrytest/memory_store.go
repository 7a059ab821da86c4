package registrytest

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/skerry/skerry/registry"
)

const (
	defaultHeartbeat = 30 * time.Second
	defaultExpiry    = 90 * time.Second
	goneKept         = 10 * time.Minute // how long departures are kept
)

// MemoryStore is the store that several [Memory] registries share, as processes share a database.
// It holds leases and lists, and can be made to fail. The zero value is ready to use; the fields
// are set before use.
type MemoryStore struct {
	Heartbeat time.Duration // how often a Memory renews its lease; 0 means 30 s
	Expiry    time.Duration // age at which a lease has run out; 0 means 90 s

	mu      sync.Mutex
	down    error
	resumed time.Time // end of the latest outage: no lease expires soon after it
	leases  map[registry.Owner]time.Time
	listed  map[registry.ID]registry.Instance
	gone    map[registry.ID]registry.Departure
	members map[*Memory]struct{}
}

// Fail makes every Memory of the store fail with err, as a database that is down; nil ends the
// outage.
func (s *MemoryStore) Fail(err error) {
	s.mu.Lock()
	if s.down != nil && err == nil {
		s.resumed = time.Now()
	}
	s.down = err
	s.mu.Unlock()
	s.tell()
}

// Forget loses every lease and registration, as a database restored from an older backup. Their
// owners notice it and list them again.
func (s *MemoryStore) Forget() {
	s.mu.Lock()
	clear(s.leases)
	clear(s.listed)
	s.mu.Unlock()
	s.tell()
}

func (s *MemoryStore) heartbeat() time.Duration {
	if s.Heartbeat > 0 {
		return s.Heartbeat
	}
	return defaultHeartbeat
}

func (s *MemoryStore) expiry() time.Duration {
	if s.Expiry > 0 {
		return s.Expiry
	}
	return defaultExpiry
}

func (s *MemoryStore) join(m *Memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members == nil {
		s.members = map[*Memory]struct{}{}
		s.leases = map[registry.Owner]time.Time{}
		s.listed = map[registry.ID]registry.Instance{}
		s.gone = map[registry.ID]registry.Departure{}
	}
	s.members[m] = struct{}{}
}

// tell makes every member read again.
func (s *MemoryStore) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.members {
		m.kick.Set()
	}
}

func (s *MemoryStore) list(owner registry.Owner, put []registry.Instance, drop []registry.ID) error {
	s.mu.Lock()
	if s.down != nil {
		defer s.mu.Unlock()
		return unavailable(s.down)
	}
	now := time.Now()
	s.leases[owner] = now
	for _, in := range put {
		s.listed[in.ID()] = in
		delete(s.gone, in.ID())
	}
	for _, id := range drop {
		s.depart(id, registry.Deregistered, now)
	}
	s.mu.Unlock()
	s.tell()
	return nil
}

// depart removes an instance from the list. s.mu is held.
func (s *MemoryStore) depart(id registry.ID, kind registry.DepartureKind, now time.Time) {
	if _, ok := s.listed[id]; ok {
		delete(s.listed, id)
		s.gone[id] = registry.Departure{ID: id, Kind: kind, When: now}
	}
}

// beat renews the owner's lease and reports whether the owner still has one. Without a lease its
// registrations must be listed again.
func (s *MemoryStore) beat(owner registry.Owner) (leased bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return false, unavailable(s.down)
	}
	if _, leased = s.leases[owner]; leased {
		s.leases[owner] = time.Now()
	}
	return leased, nil
}

// read returns copies of all lists, after removing expired leases.
func (s *MemoryStore) read() (listed map[registry.ID]registry.Instance,
	gone map[registry.ID]registry.Departure, err error) {
	s.mu.Lock()
	if s.down != nil {
		defer s.mu.Unlock()
		return nil, nil, unavailable(s.down)
	}
	expired := s.expire(time.Now())
	listed, gone = maps.Clone(s.listed), maps.Clone(s.gone)
	s.mu.Unlock()
	if expired {
		s.tell()
	}
	return listed, gone, nil
}

// expire ends the leases that have run out. s.mu is held.
func (s *MemoryStore) expire(now time.Time) (any bool) {
	if now.Sub(s.resumed) < s.expiry()/2 {
		return false // not every live process has renewed its lease yet
	}
	for owner, beat := range s.leases {
		if now.Sub(beat) <= s.expiry() {
			continue
		}
		delete(s.leases, owner)
		for id, in := range s.listed {
			if in.Owner == owner {
				s.depart(id, registry.Expired, now)
				any = true
			}
		}
	}
	maps.DeleteFunc(s.gone, func(_ registry.ID, d registry.Departure) bool { return now.Sub(d.When) > goneKept })
	return any
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", registry.ErrUnavailable, err) }
