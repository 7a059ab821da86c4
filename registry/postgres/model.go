package postgres

import (
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/registrar"
	"github.com/skerry/skerry/registry"
)

// model holds what this process knows of the tables: the instances of the services that it watches,
// at one revision. It is pure, and one goroutine owns it.
type model struct {
	rev     int64           // lists hold all changes up to it; 0: nothing was read yet
	lists   map[string]list // by service, whatever the lease of an instance; no empty ones
	stale   map[string]bool // owners with a lapsed lease that no process has expired in the table yet
	older   time.Time       // when the database was last found to be an older copy
	beaten  time.Time       // when the latest heartbeat was answered
	doubted bool            // lists hold instances that the last full read did not show
	dirty   map[string]bool // services with a changed list
	left    map[string][]registry.Departure
	seen    map[string]bool // services that were read once
	seenAll bool
	guessed map[registry.ID]bool // listed with a lapsed lease, because no better instance was known
}

func newModel() *model {
	return &model{lists: map[string]list{}, stale: map[string]bool{}, dirty: map[string]bool{},
		left: map[string][]registry.Departure{}, seen: map[string]bool{}, guessed: map[registry.ID]bool{}}
}

// sees records that services were read, or all.
func (m *model) sees(services []string, all bool) {
	m.seenAll = m.seenAll || all
	for _, s := range services {
		m.seen[s] = true
	}
}

// merge applies changes. An instance with a lease that had run out when it was first seen is not
// listed; a living owner lists it again.
func (m *model) merge(changes []row) {
	for i := range changes {
		c := &changes[i]
		if c.gone != 0 {
			m.depart(c.ID(), c.gone, c.when)
			m.set(c.Service, m.lists[c.Service].without(&c.Instance))
			continue
		}
		if _, known := m.lists[c.Service].find(&c.Instance); c.lapsed && !known {
			continue
		}
		if m.stale[c.owner] && !c.lapsed { // a living owner wrote this row
			delete(m.stale, c.owner)
			m.touch(c.owner)
		}
		if !c.lapsed {
			m.unguess(&c.Instance)
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

// touch marks the services of an owner as changed.
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

// replace applies a full read. dead are owners of listed instances with a lapsed lease. An instance
// that the read does not show, without a known departure, was lost by the database and not by its
// owner. It stays while the database has not settled, so that the owner has time to list it again.
// An instance of a lapsed lease stays until the next full read, so that judge reports its
// departure.
func (m *model) replace(all []row, dead []string, settled bool) {
	fresh, lapsed, left := map[string][]registry.Instance{}, map[string][]registry.Instance{}, map[registry.ID]bool{}
	for i := range all {
		switch r := &all[i]; {
		case r.gone != 0:
			left[r.ID()] = true
			m.depart(r.ID(), r.gone, r.when)
		case r.lapsed:
			lapsed[r.Service] = append(lapsed[r.Service], r.Instance)
		default:
			fresh[r.Service] = append(fresh[r.Service], r.Instance)
		}
	}
	for _, in := range fresh {
		for i := range in {
			m.unguess(&in[i])
		}
	}
	for service, in := range lapsed {
		fresh[service] = append(fresh[service], m.believed(service, in, fresh[service])...)
	}
	ended := make(map[string]bool, len(dead))
	for _, owner := range dead {
		ended[owner] = true
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
			owner := old.Owner.String()
			switch at, shown := now.find(old); {
			case shown && now.in[at].Equal(*old):
				now.in[at] = *old // its start is known, and its strings are in memory
			case shown || left[old.ID()]:
			case !settled:
				m.doubted = true
				now, _ = now.with(old)
			case ended[owner] && !m.stale[owner]:
				now, _ = now.with(old)
			}
		}
		if !slices.EqualFunc(before.in, now.in, registry.Instance.Equal) {
			m.dirty[service] = true
			m.set(service, now)
		}
	}
}

// believed returns the instances that are listed with a lapsed lease. Known ones stay until judge
// decides. Of a service that was never read before, they are all instances of a version without a
// current one: their owners lived at the site's last write, and may be unable to write.
func (m *model) believed(service string, lapsed, fresh []registry.Instance) []registry.Instance {
	newcomer := !m.seenAll && !m.seen[service] && len(m.lists[service].in) == 0
	current := make(map[string]bool, len(fresh))
	for i := range fresh {
		current[fresh[i].Version] = true
	}
	return slices.DeleteFunc(lapsed, func(in registry.Instance) bool {
		if _, known := m.lists[service].find(&in); known {
			return false
		}
		if !newcomer || current[in.Version] {
			return true
		}
		m.guessed[in.ID()] = true
		return false
	})
}

// unguess removes the guesses about a version of a service, because a current instance is known.
// Living owners list theirs again.
func (m *model) unguess(better *registry.Instance) {
	if len(m.guessed) == 0 {
		return
	}
	delete(m.guessed, better.ID())
	l := m.lists[better.Service]
	for _, in := range slices.Clone(l.in) {
		if id := in.ID(); m.guessed[id] && in.Version == better.Version {
			delete(m.guessed, id)
			l = l.without(&in)
			m.dirty[in.Service] = true
		}
	}
	m.set(better.Service, l)
}

// only forgets services that are no longer watched.
func (m *model) only(services []string, all bool) {
	if all {
		return
	}
	unwatched := func(service string) bool { return !slices.Contains(services, service) }
	m.seenAll = false
	maps.DeleteFunc(m.seen, func(service string, _ bool) bool { return unwatched(service) })
	maps.DeleteFunc(m.lists, func(service string, _ list) bool { return unwatched(service) })
}

// judge records which owners have a lapsed lease, as the database says. Until the database has
// settled, no other owner is added.
func (m *model) judge(dead []string, settled bool, now time.Time) {
	if len(dead) == 0 && len(m.stale) == 0 {
		return
	}
	ended := make(map[string]bool, len(dead))
	for _, owner := range dead {
		if settled || m.stale[owner] {
			ended[owner] = true
		}
	}
	next := map[string]bool{} // without owners of which no instance is listed
	for service, l := range m.lists {
		for i := range l.in {
			owner := l.in[i].Owner.String()
			was, is := m.stale[owner], ended[owner]
			if is {
				next[owner] = true
			}
			switch {
			case is && !was:
				m.depart(l.in[i].ID(), registry.Expired, now)
			case was && !is:
				m.dirty[service] = true
			}
		}
	}
	m.stale = next
}

// anyNew reports whether one of the owners is not in stale.
func (m *model) anyNew(dead []string) bool {
	return slices.ContainsFunc(dead, func(owner string) bool { return !m.stale[owner] })
}

// owners returns the owners of all listed instances except this process, sorted.
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

// shown returns the present list of a service. The receiver may keep it.
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

// publish passes changed services and the given ones to the watchers.
func (m *model) publish(b *registrar.Publisher, services ...string) {
	for _, s := range services {
		m.dirty[s] = true
	}
	for s := range m.dirty {
		b.Publish(s, m.shown(s), m.left[s]...)
	}
	clear(m.dirty)
	clear(m.left)
}
