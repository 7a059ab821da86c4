package operator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// tallies adds up the counts of all processes for the new versions, from the
// moment when it was made. Each process counts from its start, under a name of
// its own. When a process answers for the first time later, only its counts after
// that answer are added, because earlier calls may be older than the tallies.
type tallies struct {
	site  Site
	fresh map[string]string // versions on trial, by service
	guard Guard

	mu   sync.Mutex
	seen map[string]map[source]Count // last counts of each process
	all  map[string]*Watched         // by service
}

// source is one counter of a process.
type source struct {
	service string
	made    bool
	peer    string
}

// newTallies returns tallies that start now.
func (c *Controller) newTallies(ctx context.Context, r rollout.Release, g Guard) *tallies {
	t := &tallies{
		site: c.cfg.Site, fresh: map[string]string{}, guard: g, seen: map[string]map[source]Count{},
		all: map[string]*Watched{},
	}
	for _, m := range r.Modules {
		if b := g.Of(m.Service); b.Watches() {
			t.fresh[m.Service] = m.New
			t.all[m.Service] = &Watched{Service: m.Service, Version: m.New, Bounds: b}
		}
	}
	t.poll(ctx)
	return t
}

// poll asks every process once for its counts. It returns how many did not
// answer; their last counts stand.
func (t *tallies) poll(ctx context.Context) (silent int) {
	members, err := t.site.Members(ctx)
	if err != nil {
		return len(t.seen)
	}
	slowOf := map[string]time.Duration{}
	for service, w := range t.all {
		slowOf[service] = w.Bounds.P99
	}
	failed := ask(ctx, members, func(ctx context.Context, m Member) error {
		list, err := m.Peer.Served(ctx, t.guard.P99, slowOf)
		if err == nil {
			t.addAnswer(m.Process, list)
		}
		return err
	})
	return len(failed)
}

// addAnswer adds what a process has counted since its last answer.
func (t *tallies) addAnswer(process string, list []Served) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, known := t.seen[process]
	now := map[source]Count{}
	for _, s := range list {
		if t.fresh[s.Service] == s.Version && s.Version != "" {
			now[source{s.Service, s.Made, s.Peer}] = s.Count
		}
	}
	t.seen[process] = now
	if !known {
		return
	}
	for src, c := range now {
		w, grown := t.all[src.service], c.since(before[src])
		if src.made {
			w.Callers.add(process+" calling "+orNone(src.peer), grown)
		} else {
			w.Callees.add(process, grown)
		}
	}
}

func orNone(peer string) string {
	if peer == "" {
		return "no instance: there was none"
	}
	return peer
}

// since returns the difference to an earlier count. A counter that shrank was
// reset, because the process made room for others, and adds nothing now.
func (c Count) since(o Count) Count {
	d := Count{
		Calls: max(0, c.Calls-o.Calls), Failures: max(0, c.Failures-o.Failures), Slow: max(0, c.Slow-o.Slow),
		Kinds: map[string]int64{},
	}
	for kind, n := range c.Kinds {
		if n > o.Kinds[kind] {
			d.Kinds[kind] = n - o.Kinds[kind]
		}
	}
	return d
}

func (c Count) plus(o Count) Count {
	sum := Count{
		Calls: c.Calls + o.Calls, Failures: c.Failures + o.Failures, Slow: c.Slow + o.Slow, Kinds: map[string]int64{},
		Denied: c.Denied + o.Denied,
	}
	for _, kinds := range []map[string]int64{c.Kinds, o.Kinds} {
		for kind, n := range kinds {
			sum.Kinds[kind] += n
		}
	}
	return sum
}

func (t *Tally) add(place string, c Count) {
	if t.ByPlace == nil {
		t.ByPlace = map[string]Count{}
	}
	t.Count, t.ByPlace[place] = t.Count.plus(c), t.ByPlace[place].plus(c)
}

// Copies returns the outcomes of the copies of calls that the site's policy sends to the new versions of the open
// release. It asks every process for its counts since the start of the process. Callers and callees count the same
// copies, and the guard of a ramp counts none. A version without copies is left out. silent is the number of
// processes that do not answer.
func (c *Controller) Copies(ctx context.Context, r rollout.Release, g Guard) (list []Watched, silent int, err error) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("find the processes: %w", err)
	}
	all, slowOf := map[[2]string]*Watched{}, map[string]time.Duration{}
	for _, m := range r.Modules {
		b := g.Of(m.Service)
		all[[2]string{m.Service, m.New}] = &Watched{Service: m.Service, Version: m.New, Bounds: b}
		slowOf[m.Service] = b.P99
	}
	var mu sync.Mutex
	failed := ask(ctx, alive(members, c.cfg.Without), func(ctx context.Context, m Member) error {
		served, err := m.Peer.Served(ctx, g.P99, slowOf)
		mu.Lock()
		defer mu.Unlock()
		for _, s := range served {
			w := all[[2]string{s.Service, s.Version}]
			switch {
			case w == nil || s.Copies.Calls == 0:
			case s.Made:
				w.Callers.add(m.Process+" calling "+orNone(s.Peer), s.Copies)
			default:
				w.Callees.add(m.Process, s.Copies)
			}
		}
		return err
	})
	for _, m := range r.Modules {
		if w := all[[2]string{m.Service, m.New}]; w.Callers.Calls+w.Callees.Calls > 0 {
			list = append(list, *w)
		}
	}
	return list, len(failed), nil
}

// watched returns the modules on trial, in the order of the release.
func (t *tallies) watched(r rollout.Release) (list []Watched) {
	for _, m := range r.Modules {
		if w := t.all[m.Service]; w != nil {
			list = append(list, *w)
		}
	}
	return list
}
