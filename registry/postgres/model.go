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
	rev     int64               // everything up to it is in rows; 0: nothing was read yet
	rows    map[registry.ID]row // listed, whatever their lease
	stale   map[string]bool     // owners whose lease has run out, though nobody has said so in the table yet
	older   time.Time           // when the database was last found to have gone back in time
	doubted bool                // rows holds some that the last full read did not show
	dirty   map[string]bool     // services whose list has changed
	left    map[string][]registry.Departure
}

func newModel() *model {
	return &model{rows: map[registry.ID]row{}, stale: map[string]bool{}, dirty: map[string]bool{}, left: map[string][]registry.Departure{}}
}

// merge takes changes in.
func (m *model) merge(changes []row) {
	for _, c := range changes {
		id := c.ID()
		old, listed := m.rows[id]
		switch {
		case c.gone == 0:
			delete(m.stale, c.owner) // a living owner wrote this
			if !listed || !old.Equal(c.Instance) {
				m.dirty[id.Service] = true
			}
			m.rows[id] = c
		default:
			m.depart(id, c.gone, c.when)
			if listed {
				delete(m.rows, id)
			}
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
	shown := make(map[registry.ID]bool, len(all))
	for _, r := range all {
		shown[r.ID()] = true
	}
	m.doubted = false
	for id := range m.rows {
		switch {
		case shown[id]:
		case settled:
			delete(m.rows, id)
			m.dirty[id.Service] = true
		default:
			m.doubted = true
		}
	}
	stale := maps.Clone(m.stale)
	m.merge(all)
	m.stale = stale // a row of a full read says nothing about its owner's life
}

// only forgets what is not watched any more.
func (m *model) only(services []string, all bool) {
	if all {
		return
	}
	maps.DeleteFunc(m.rows, func(id registry.ID, _ row) bool {
		return !slices.Contains(services, id.Service)
	})
}

// judge notes whose lease has run out, by the database's word. Until the
// database has settled nobody new is believed dead.
func (m *model) judge(dead []string, settled bool, now time.Time) {
	next := make(map[string]bool, len(dead))
	for _, owner := range dead {
		if settled || m.stale[owner] {
			next[owner] = true
		}
	}
	for id, r := range m.rows {
		switch was, is := m.stale[r.owner], next[r.owner]; {
		case is && !was:
			m.depart(id, registry.Expired, now)
		case was && !is:
			m.dirty[id.Service] = true
		}
	}
	m.stale = next
}

// owners lists whose leases matter to this process, but for itself.
func (m *model) owners(self string) []string {
	set := map[string]bool{}
	for _, r := range m.rows {
		set[r.owner] = true
	}
	delete(set, self)
	return slices.Sorted(maps.Keys(set))
}

// lists holds the present list of each service that has one.
func (m *model) lists() map[string][]registry.Instance {
	out := map[string][]registry.Instance{}
	for id, r := range m.rows {
		if !m.stale[r.owner] {
			out[id.Service] = append(out[id.Service], r.Instance)
		}
	}
	return out
}

// publish shows what has changed, and all of the given services, on the board.
func (m *model) publish(b *registry.Board, services ...string) {
	for _, s := range services {
		m.dirty[s] = true
	}
	if len(m.dirty) == 0 {
		return
	}
	lists := m.lists()
	for s := range m.dirty {
		b.Publish(s, lists[s], m.left[s]...)
	}
	clear(m.dirty)
	clear(m.left)
}
