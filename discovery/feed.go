package discovery

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// EventKind is the kind of a change.
type EventKind string

// The kinds of events.
const (
	Listed    EventKind = "listed"    // a source lists it, for the first time or again
	Dropped   EventKind = "dropped"   // it gets no calls any more
	Protected EventKind = "protected" // it vanished among many: it is probed before it is dropped
	Changed   EventKind = "changed"   // its state or its description
)

// Event is one change of a list.
type Event struct {
	When   time.Time `json:"when"`
	Kind   EventKind `json:"kind"`
	Entry  Entry     `json:"entry"` // after the change
	Why    string    `json:"why"`
	Missed int       `json:"missed,omitempty"` // events before this one that the reader was too slow to get

	recovered bool // it was suspect or ejected, and is now well
}

// feed passes events to subscribers. It never waits for a subscriber.
type feed struct {
	mu   sync.Mutex
	subs map[*subscriber]struct{}
}

type subscriber struct {
	out    chan Event
	missed int
}

// Subscribe returns a channel of every change from now on, and a function that ends it. A reader
// that falls more than size events behind misses some; the next event says how many. The reader
// should then call Explain. The channel is never closed.
func (d *Discovery) Subscribe(size int) (events <-chan Event, stop func()) {
	sub := &subscriber{out: make(chan Event, max(size, 1))}
	f := &d.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subs == nil {
		f.subs = map[*subscriber]struct{}{}
	}
	f.subs[sub] = struct{}{}
	return sub.out, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, sub)
	}
}

// noted reports whether the member has a pending note about its coming or going, with its state.
// Then the state needs no event of its own.
func (u *union) noted(m *member) bool {
	return slices.ContainsFunc(u.notes,
		func(n note) bool { return n.m == m && (n.kind == Listed || n.kind == Dropped) })
}

// drain turns the notes into events. The service's mutex is held.
func (u *union) drain(s *service, now time.Time) []Event {
	events := make([]Event, 0, len(u.notes))
	for _, n := range u.notes {
		events = append(
			events,
			Event{
				When:      now,
				Kind:      n.kind,
				Entry:     s.entry(n.m, now),
				Why:       n.why,
				recovered: n.kind == Changed && n.m.recovered,
			},
		)
	}
	u.notes = nil
	return events
}

// tell logs events and passes them to subscribers.
func (d *Discovery) tell(events []Event) {
	if len(events) == 0 {
		return
	}
	for i := range events {
		d.logEvent(&events[i])
	}
	f := &d.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	for sub := range f.subs {
		for _, e := range events {
			e.Missed = sub.missed
			select {
			case sub.out <- e:
				sub.missed = 0
			default:
				sub.missed++
			}
		}
	}
}

func (d *Discovery) logEvent(e *Event) {
	level := slog.LevelInfo
	switch {
	case e.recovered: // at the level of the failure, so that the log does not end with the failure
		level = slog.LevelWarn
	case e.Kind == Protected, e.Kind == Changed && (e.Entry.State == Suspect || e.Entry.State == Ejected):
		level = slog.LevelWarn
	case e.Kind == Changed && e.Entry.State == OK || e.Kind == Listed:
		level = slog.LevelDebug
	}
	d.cfg.Logger.Log(context.Background(), level, "instance "+string(e.Kind),
		"service", e.Entry.Service, "version", e.Entry.Version, "addr", e.Entry.Addr,
		"state", string(e.Entry.State), "why", e.Why, "cause", e.Entry.Why)
}
