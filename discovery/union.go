package discovery

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/patrickmn/go-cache"

	"github.com/skerry/skerry/registry"
)

// union is the list of one service, united from its sources. It does no I/O and starts nothing. The
// service's mutex guards it, and every method takes the time.
type union struct {
	service string
	cfg     *Config
	sources []sourceState // as in Config, then the disk
	begun   time.Time     // when the sources were asked first

	members *cache.Cache // key → *member; expires when its protection does
	ending  bool         // some members may expire
	tombs   *cache.Cache // key → *tombstone
	order   []*member    // the same members in the order of registry.Compare
	finger  int          // index of the last find

	byEndpoint sync.Map // *rpc.Endpoint → *member; read by calls without the mutex

	refused  bool        // instances are listed, and the consumer's rules admit none; set by publish
	vanished []vanishing // of the last minute
	notes    []note      // pending events for drain
}

type vanishing struct {
	m      *member
	source string
	at     time.Time
	asked  bool
}

// note is one event to report.
type note struct {
	m    *member
	kind EventKind
	why  string
}

func newUnion(service string, cfg *Config, now time.Time) *union {
	u := &union{
		service: service, cfg: cfg, begun: now,
		members: cache.New(cache.NoExpiration, 0),
		tombs:   cache.New(tombstoneLife, 0),
	}
	for _, s := range cfg.Sources {
		u.sources = append(u.sources, sourceState{name: s.Name})
	}
	u.sources = append(u.sources, sourceState{name: Disk, partial: true})
	u.members.OnEvicted(func(_ string, v any) { u.forget(v.(*member)) })
	return u
}

func (u *union) disk() int { return len(u.sources) - 1 }

// apply applies the snapshot of a source.
func (u *union) apply(i int, snap registry.Snapshot, now time.Time) {
	src := &u.sources[i]
	first := !src.answered
	if src.lost = snap.Lost; snap.Lost != nil {
		if len(src.list) == 0 && len(snap.Instances) > 0 { // the source's last known list is better than an empty one
			u.replace(i, snap.Instances, nil, true, now)
		}
		return
	}
	src.answered, src.partial, src.read = true, snap.Partial, snap.Read
	said := u.departures(src, snap)
	u.replace(i, snap.Instances, said, first, now)
	for id, d := range said { // of members that this source has not listed
		u.bury(id, d, src.name, now)
	}
}

// replace sets a source's list. said has the reported departures; first is true for a list that
// can't be newer than a known departure.
func (u *union) replace(i int, list []registry.Instance, said map[registry.ID]registry.Departure, first bool,
	now time.Time) {
	u.expire()
	src := &u.sources[i]
	if len(list) > 0 && len(list) == len(src.list) && &list[0] == &src.list[0] && len(said) == 0 {
		return // the same list, confirmed
	}
	var lost []*member
	diff(src.list, list, func(before, after *registry.Instance) {
		switch {
		case before == nil:
			u.list(i, after, first, now)
		case after == nil:
			m := u.unlist(i, before)
			if d, ok := said[before.ID()]; m != nil && ok {
				u.bury(before.ID(), d, src.name, now)
				delete(said, before.ID())
			} else if m != nil && m.sources() == 0 && m.heir != nil {
				u.members.Delete(m.key())
			} else if m != nil && m.sources() == 0 {
				lost = append(lost, m)
			}
		default:
			u.restate(i, after)
		}
	})
	src.list = list
	u.settleVanished(lost, src.name, false, now)
}

// keepFor sets the expiry of a protected member.
func (u *union) keepFor(m *member, d time.Duration) {
	u.members.Set(m.key(), m, d)
	u.ending = true
}

// expire drops members at the end of their protection. The cache scans every member for that, so
// expire asks it only while a member is protected.
func (u *union) expire() {
	if !u.ending {
		return
	}
	u.members.DeleteExpired()
	u.ending = slices.ContainsFunc(u.order, func(m *member) bool { return m.guard != nil })
}

// list notes that a source lists an instance anew.
func (u *union) list(i int, in *registry.Instance, first bool, now time.Time) {
	m, at, found := u.find(in)
	if !found {
		m = u.admit(*in, at)
		u.vanished = slices.DeleteFunc(u.vanished, func(v vanishing) bool { return v.m.key() == m.key() })
		u.notes = append(u.notes, note{m, Listed, "listed by " + u.sources[i].name})
		if t, ok := u.tombs.Get(m.key()); ok {
			m.buried = t.(*tombstone)
		}
	}
	m.listed[i] = listing{in: in, since: now.UnixMicro()}
	m.describe()
	m.guard = nil
	u.members.Set(m.key(), m, cache.NoExpiration)
	if m.buried != nil && !first && i != u.disk() {
		u.unbury(m, u.sources[i].name+" lists it anew")
	}
	if m.buried != nil && m.buried.kind == registry.Silent {
		m.ask(now)
	}
}

// admit makes a member at its place in the order.
func (u *union) admit(in registry.Instance, at int) *member {
	m := newMember(in, len(u.sources), u.cfg.Sealed)
	if m.away = u.cfg.Elsewhere(in); m.away != "" {
		u.cfg.Logger.Warn("an instance is not called: its address is for processes of its own host",
			"service", in.Service, "version", in.Version, "addr", m.ep.Addr, "owner", in.Owner.String(), "why", m.away)
	}
	u.order = slices.Insert(u.order, at, m)
	u.byEndpoint.Store(m.ep, m)
	return m
}

// restate notes that a source still lists an instance, maybe with another description.
func (u *union) restate(i int, in *registry.Instance) {
	if m, _, ok := u.find(in); ok {
		m.listed[i].in = in
		if m.describe() {
			u.notes = append(u.notes, note{m, Changed, "described anew by " + u.sources[i].name})
		}
	}
}

func (u *union) unlist(i int, in *registry.Instance) *member {
	m, _, ok := u.find(in)
	if !ok {
		return nil
	}
	m.listed[i] = listing{}
	m.describe()
	if m.buried != nil && m.sources() == 0 {
		u.members.Delete(m.key())
		return nil
	}
	return m
}

// bury notes that an instance left: it gets no calls any more, even if another source lists it.
func (u *union) bury(id registry.ID, d registry.Departure, source string, now time.Time) {
	t := &tombstone{source: source, kind: d.Kind, when: now}
	u.tombs.Set(id.String(), t, cache.DefaultExpiration)
	u.vanished = slices.DeleteFunc(u.vanished, func(v vanishing) bool { return v.m.id() == id })
	v, ok := u.members.Get(id.String())
	if !ok {
		return
	}
	m := v.(*member)
	if m.buried == nil {
		u.notes = append(u.notes, note{m, Dropped, fmt.Sprintf("%s by %s", d.Kind, source)})
	}
	m.buried, m.guard = t, nil
	if m.sources() == 0 {
		u.members.Delete(m.key())
	} else if d.Kind == registry.Silent {
		m.ask(now)
	}
}

func (u *union) unbury(m *member, why string) {
	m.buried = nil
	u.tombs.Delete(m.key())
	u.notes = append(u.notes, note{m, Listed, why})
}

// find looks an instance up in the order; at is its index or the index to insert it. Lists come in
// the same order, so it looks first behind the last find.
func (u *union) find(in *registry.Instance) (m *member, at int, ok bool) {
	for at = u.finger; at < min(u.finger+3, len(u.order)); at++ {
		if sameID(u.order[at].in, in) {
			u.finger = at
			return u.order[at], at, true
		}
	}
	at, ok = slices.BinarySearchFunc(u.order, in, func(m *member, in *registry.Instance) int {
		return m.in.Compare(in)
	})
	if u.finger = at; ok {
		m = u.order[at]
	}
	return m, at, ok
}

// forget removes a member that the cache has evicted from the order.
func (u *union) forget(m *member) {
	if known, at, ok := u.find(m.in); ok && known == m {
		u.order = slices.Delete(u.order, at, at+1)
	}
	u.byEndpoint.Delete(m.ep)
	m.ep.Retire()
	if m.guard != nil {
		u.notes = append(u.notes, note{m, Dropped, "protection ended: " + m.guard.why})
	}
}

// inherit finds members that have lost their address to a later process, as after a quick restart.
// A call to the older member would reach the later one, with any version of the two.
func (u *union) inherit() {
	for _, m := range u.order {
		m.heir = nil
	}
	if n := len(u.order); n == 0 || u.order[0].in.Version == u.order[n-1].in.Version {
		u.inheritNear()
		return
	}
	latest := make(map[string]*member, len(u.order))
	for _, m := range u.order {
		if m.away != "" {
			continue
		}
		if last := latest[m.ep.Addr]; last == nil || last.in.Owner == m.in.Owner || m.outlives(last) {
			latest[m.ep.Addr] = m
		}
	}
	for _, m := range u.order {
		if last := latest[m.ep.Addr]; m.away == "" && last.in.Owner != m.in.Owner {
			m.heir = last
		}
	}
}

// inheritNear is inherit for one version: members of one address stand side by side.
func (u *union) inheritNear() {
	var last *member // the latest member with the address so far
	for _, m := range u.order {
		switch {
		case m.away != "":
		case last == nil || last.ep.Addr != m.ep.Addr:
			last = m
		case m.outlives(last):
			last.heir = m
			last = m
		default:
			m.heir = last
		}
	}
}

// outlives reports whether m, not last, has their common address now.
func (m *member) outlives(last *member) bool {
	if m.buried != nil {
		return false
	}
	return last.buried != nil || !m.in.Started.Before(last.in.Started)
}
