package postgres

import (
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/registry"
)

// model is what this process knows of the tables: the instances of the
// services that it watches, as of a revision. It is pure; one goroutine owns it.
type model struct {
	rev     int64           // everything up to it is in lists; 0: nothing was read yet
	lists   map[string]list // listed, whatever their lease, by service; no empty ones
	stale   map[string]bool // owners whose lease has run out, though nobody has said so in the table yet
	older   time.Time       // when the database was last found to have gone back in time
	doubted bool            // lists hold some that the last full read did not show
	dirty   map[string]bool // services whose list has changed
	left    map[string][]registry.Departure
}

func newModel() *model {
	return &model{lists: map[string]list{}, stale: map[string]bool{}, dirty: map[string]bool{}, left: map[string][]registry.Departure{}}
}

// merge takes changes in.
func (m *model) merge(changes []row) {
	for i := range changes {
		c := &changes[i]
		if c.gone != 0 {
			m.depart(c.ID(), c.gone, c.when)
			m.set(c.Service, m.lists[c.Service].without(&c.Instance))
			continue
		}
		if m.stale[c.owner] { // a living owner wrote this
			delete(m.stale, c.owner)
			m.touch(c.owner)
		}
		if l, news := m.lists[c.Service].with(&c.Instance); news {
			m.dirty[c.Service] = true
			m.set(c.Service, l)
		}
	}
}

func (m *model) set(service string, l list) {
	if len(l.in) == 0 {
		delete(m.lists, service)
	} else {
		m.lists[service] = l
	}
}

// touch marks the services of an owner.
func (m *model) touch(owner string) {
	for service, l := range m.lists {
		if slices.ContainsFunc(l.in, func(in registry.Instance) bool { return in.Owner.String() == owner }) {
			m.dirty[service] = true
		}
	}
}

func (m *model) depart(id registry.ID, kind registry.DepartureKind, when time.Time) {
	m.dirty[id.Service] = true
	m.left[id.Service] = append(m.left[id.Service], registry.Departure{ID: id, Kind: kind, When: when})
}

// replace takes in a full read. Instances that it does not show and of whose
// departure nothing is known were lost by the database, not by their owners:
// while the database has not settled they stay, so that owners have time to
// list themselves again.
func (m *model) replace(all []row, settled bool) {
	fresh, left := map[string][]registry.Instance{}, map[registry.ID]bool{}
	for i := range all {
		r := &all[i]
		if r.gone == 0 {
			fresh[r.Service] = append(fresh[r.Service], r.Instance)
		} else {
			left[r.ID()] = true
			m.depart(r.ID(), r.gone, r.when)
		}
	}
	m.doubted = false
	for service := range m.lists {
		if fresh[service] == nil {
			fresh[service] = []registry.Instance{}
		}
	}
	for service, in := range fresh {
		slices.SortFunc(in, registry.Compare)
		before, now := m.lists[service], list{in: in}
		for k := range before.in {
			old := &before.in[k]
			switch at, shown := now.find(old); {
			case shown && now.in[at].Equal(*old):
				now.in[at] = *old // its start is known, and its strings are there already
			case !shown && !settled && !left[old.ID()]:
				m.doubted = true
				now, _ = now.with(old)
			}
		}
		if !slices.EqualFunc(before.in, now.in, registry.Instance.Equal) {
			m.dirty[service] = true
			m.set(service, now)
		}
	}
}

// only forgets what is not watched any more.
func (m *model) only(services []string, all bool) {
	if all {
		return
	}
	maps.DeleteFunc(m.lists, func(service string, _ list) bool { return !slices.Contains(services, service) })
}

// judge notes whose lease has run out, by the database's word. Until the
// database has settled nobody new is believed dead.
func (m *model) judge(dead []string, settled bool, now time.Time) {
	if len(dead) == 0 && len(m.stale) == 0 {
		return
	}
	next := make(map[string]bool, len(dead))
	for _, owner := range dead {
		if settled || m.stale[owner] {
			next[owner] = true
		}
	}
	for service, l := range m.lists {
		for i := range l.in {
			owner := l.in[i].Owner.String()
			switch was, is := m.stale[owner], next[owner]; {
			case is && !was:
				m.depart(l.in[i].ID(), registry.Expired, now)
			case was && !is:
				m.dirty[service] = true
			}
		}
	}
	m.stale = next
}

// owners lists whose leases matter to this process, but for itself.
func (m *model) owners(self string) []string {
	set := map[registry.Owner]bool{}
	for _, l := range m.lists {
		for i := range l.in {
			set[l.in[i].Owner] = true
		}
	}
	out := make([]string, 0, len(set))
	for owner := range set {
		if name := owner.String(); name != self {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// shown is the present list of a service, for others to keep.
func (m *model) shown(service string) []registry.Instance {
	l, ok := m.lists[service]
	if !ok {
		return nil
	}
	l.shared = true
	m.lists[service] = l
	if len(m.stale) == 0 {
		return l.in
	}
	return slices.DeleteFunc(slices.Clone(l.in), func(in registry.Instance) bool { return m.stale[in.Owner.String()] })
}

// publish shows what has changed, and all of the given services, on the board.
func (m *model) publish(b *registry.Board, services ...string) {
	for _, s := range services {
		m.dirty[s] = true
	}
	for s := range m.dirty {
		b.Publish(s, m.shown(s), m.left[s]...)
	}
	clear(m.dirty)
	clear(m.left)
}
