package postgres

import (
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/registrar"
	"github.com/skerry/skerry/registry"
)

// model is what this process knows of the tables: the instances of the
// services that it watches, as of a revision. It is pure; one goroutine owns it.
type model struct {
	rev     int64           // everything up to it is in lists; 0: nothing was read yet
	lists   map[string]list // listed, whatever their lease, by service; no empty ones
	stale   map[string]bool // owners whose lease has run out, though nobody has said so in the table yet
	older   time.Time       // when the database was last found to have gone back in time
	beaten  time.Time       // when the latest heartbeat was answered
	doubted bool            // lists hold some that the last full read did not show
	dirty   map[string]bool // services whose list has changed
	left    map[string][]registry.Departure
	seen    map[string]bool // services that were read once
	seenAll bool
	guessed map[registry.ID]bool // listed though their lease had run out, as nothing better was known
}

func newModel() *model {
	return &model{lists: map[string]list{}, stale: map[string]bool{}, dirty: map[string]bool{},
		left: map[string][]registry.Departure{}, seen: map[string]bool{}, guessed: map[registry.ID]bool{}}
}

// sees notes that services were read, or all.
func (m *model) sees(services []string, all bool) {
	m.seenAll = m.seenAll || all
	for _, s := range services {
		m.seen[s] = true
	}
}

// merge takes changes in. An instance whose lease had run out when it was first
// seen is not listed: a living owner will list it again.
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
		if m.stale[c.owner] && !c.lapsed { // a living owner wrote this
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

// replace takes in a full read, and the owners of the listed instances whose
// lease has run out. Instances that it does not show and of whose departure
// nothing is known were lost by the database, not by their owners: while the
// database has not settled they stay, so that owners have time to list
// themselves again. Those whose lease has run out stay as well until the next
// full read, for judge.
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
				now.in[at] = *old // its start is known, and its strings are there already
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

// believed are the instances that are listed though their lease has run out:
// those that are known, which judge decides about; and of a service that was
// never read before, all of a version of which nothing better is known. Their
// owners lived when the site was last written, and may be unable to write.
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

// unguess takes the guesses about a version of a service off the list, as
// something better is known of it. Those that live will list themselves.
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

// only forgets what is not watched any more.
func (m *model) only(services []string, all bool) {
	if all {
		return
	}
	unwatched := func(service string) bool { return !slices.Contains(services, service) }
	m.seenAll = false
	maps.DeleteFunc(m.seen, func(service string, _ bool) bool { return unwatched(service) })
	maps.DeleteFunc(m.lists, func(service string, _ list) bool { return unwatched(service) })
}

// judge notes whose lease has run out, by the database's word. Until the
// database has settled nobody new is believed dead.
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
	next := map[string]bool{} // without those of whom nothing is listed any more
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

// anyNew reports whether one of the owners was not known to be dead.
func (m *model) anyNew(dead []string) bool {
	return slices.ContainsFunc(dead, func(owner string) bool { return !m.stale[owner] })
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

// publish shows what has changed, and all of the given services, to the watchers.
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
