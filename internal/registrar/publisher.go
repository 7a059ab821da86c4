package registrar

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// How long, and how many of each service, a Publisher remembers departures. An hour-old goodbye
// contradicts no list, because the LAN forgets sooner.
const (
	goneKept = 10 * time.Minute
	goneMost = 256
)

// Publisher shows lists to watchers: the part that every Registry has in common. The registry
// publishes its lists. The publisher remembers departures, skips lists that a slow watcher had no
// time for, and never skips the newest list. Its methods may be called from any goroutine.
type Publisher struct {
	source  string
	partial bool
	wants   run.Signal // the set of watched services has changed

	mu       sync.Mutex
	lists    map[string]registry.Snapshot // by service; AllServices: the mark that everything was read
	lost     error
	watchers map[*watcher]struct{}
}

// NewPublisher returns an empty publisher. source and partial are the fields of these names in its
// snapshots.
func NewPublisher(source string, partial bool) *Publisher {
	return &Publisher{
		source:   source,
		partial:  partial,
		wants:    run.NewSignal(),
		lists:    map[string]registry.Snapshot{},
		watchers: map[*watcher]struct{}{},
	}
}

// Watch implements registry.Registry.
func (b *Publisher) Watch(service string, f func(registry.Snapshot)) (stop func()) {
	w := &watcher{service: service, f: f, pending: map[string]registry.Snapshot{}, signal: run.NewSignal()}
	b.mu.Lock()
	b.watchers[w] = struct{}{}
	for _, s := range b.lists {
		w.offer(s)
	}
	if _, known := b.lists[service]; !known && b.lost != nil {
		w.offer(b.unread(service))
	}
	b.mu.Unlock()
	b.wants.Set()

	g := run.NewGroup(context.Background())
	g.Go(w.deliver)
	return func() {
		b.leave(w)
		_ = g.Stop() // only cancellation ends deliver
	}
}

func (b *Publisher) leave(w *watcher) {
	b.mu.Lock()
	delete(b.watchers, w)
	if !b.wanted(w.service) {
		delete(b.lists, w.service) // without a watcher the registry no longer updates it
	}
	b.mu.Unlock()
	b.wants.Set()
}

// wanted reports whether a watcher wants the service. b.mu is held.
func (b *Publisher) wanted(service string) bool {
	for w := range b.watchers {
		if w.service == service || w.service == registry.AllServices {
			return true
		}
	}
	return false
}

// Wants receives after the set of watched services changed.
func (b *Publisher) Wants() <-chan struct{} { return b.wants }

// Watched lists the services that are watched by name, sorted, and reports
// whether AllServices is watched.
func (b *Publisher) Watched() (services []string, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	set := map[string]struct{}{}
	for w := range b.watchers {
		if w.service == registry.AllServices {
			all = true
			continue
		}
		set[w.service] = struct{}{}
	}
	return slices.Sorted(maps.Keys(set)), all
}

// Unread reports whether a watched service has not been published yet.
func (b *Publisher) Unread() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w := range b.watchers {
		if _, known := b.lists[w.service]; !known {
			return true
		}
	}
	return false
}

// Publish replaces the list of a service and adds to its departures. The caller gives the list
// away. A list in the order of Compare is kept as it is, others are sorted in place. A departed
// instance that is listed again is no longer Gone. Lists without a watcher are not kept. The
// service AllServices, without instances, says that all services have been published.
func (b *Publisher) Publish(service string, instances []registry.Instance, gone ...registry.Departure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.wanted(service) {
		return
	}
	now := time.Now()
	sortList(instances)
	s := registry.Snapshot{Service: service, Source: b.source, Instances: instances, Partial: b.partial,
		Read: now, Gone: departures(b.lists[service].Gone, gone, instances, now)}
	b.lists[service] = s
	for w := range b.watchers {
		w.offer(s)
	}
}

// sortList only reads a list that is in order, because its owner may show it again.
func sortList(list []registry.Instance) {
	for i := 1; i < len(list); i++ {
		if list[i-1].Compare(&list[i]) > 0 {
			slices.SortFunc(list, registry.Compare)
			return
		}
	}
}

// Confirm says that all published lists are valid as of now, and that the registry can be reached.
// Watchers see every list with its new Read.
func (b *Publisher) Confirm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = nil
	now := time.Now()
	b.update(func(s *registry.Snapshot) {
		s.Read, s.Lost = now, nil
		s.Gone = departures(s.Gone, nil, s.Instances, now)
	})
}

// Lose says that the registry can't be reached. Watchers keep their lists and see err, which must
// not be nil.
func (b *Publisher) Lose(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost != nil && b.lost.Error() == err.Error() {
		return
	}
	b.lost = err
	b.update(func(s *registry.Snapshot) { s.Lost = err })
	for w := range b.watchers {
		if _, known := b.lists[w.service]; !known {
			w.offer(b.unread(w.service))
		}
	}
}

// update edits a copy of every list and shows it. b.mu is held.
func (b *Publisher) update(edit func(*registry.Snapshot)) {
	for service, s := range b.lists {
		edit(&s)
		b.lists[service] = s
		for w := range b.watchers {
			w.offer(s)
		}
	}
}

// unread is the snapshot of a list that was never read. b.mu is held.
func (b *Publisher) unread(service string) registry.Snapshot {
	return registry.Snapshot{Service: service, Source: b.source, Partial: b.partial, Lost: b.lost}
}

// departures joins known and fresh departures. It leaves out instances that are listed again,
// departures that are too old, and all but the newest of each ID.
func departures(known, fresh []registry.Departure, listed []registry.Instance, now time.Time) []registry.Departure {
	if len(known)+len(fresh) == 0 {
		return nil
	}
	seen := make(map[registry.ID]bool, len(known)+len(fresh))
	var out []registry.Departure
	all := slices.Concat(known, fresh)
	for _, d := range slices.Backward(all) { // the newest of an ID comes first
		if seen[d.ID] || now.Sub(d.When) > goneKept || isListed(listed, d.ID) {
			continue
		}
		seen[d.ID] = true
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(a, b registry.Departure) int { return b.When.Compare(a.When) })
	out = out[:min(len(out), goneMost)]
	slices.Reverse(out)
	return out
}

// isListed looks an ID up in a list in order.
func isListed(list []registry.Instance, id registry.ID) bool {
	_, found := slices.BinarySearchFunc(list, id,
		func(in registry.Instance, id registry.ID) int { return in.ID().Compare(id) })
	return found
}

// watcher holds the newest undelivered snapshot of each service for one f.
type watcher struct {
	service string
	f       func(registry.Snapshot)
	signal  run.Signal // pending has grown

	mu      sync.Mutex
	pending map[string]registry.Snapshot
}

func (w *watcher) offer(s registry.Snapshot) {
	if w.service != s.Service && w.service != registry.AllServices {
		return
	}
	w.mu.Lock()
	w.pending[s.Service] = s
	w.mu.Unlock()
	w.signal.Set()
}

func (w *watcher) deliver(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.signal:
		}
		w.mu.Lock()
		batch := w.pending
		w.pending = map[string]registry.Snapshot{}
		w.mu.Unlock()
		for _, service := range slices.SortedFunc(maps.Keys(batch), markLast) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.f(batch[service])
		}
	}
}

// markLast orders services by name, and puts AllServices, the mark that everything was read, behind
// them.
func markLast(a, b string) int {
	if (a == registry.AllServices) != (b == registry.AllServices) {
		if a == registry.AllServices {
			return 1
		}
		return -1
	}
	return strings.Compare(a, b)
}
