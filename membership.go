package skerry

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
)

// nodeName is the hidden service under which every process is listed: the
// membership list of the site.
const nodeName = "skerry.node"

// Tags of the hidden service.
const (
	placeTag = "place" // boot, process namespace and start of the process; see place
	rulesTag = "rules" // generation and hash of the rules that it has applied; on the LAN only
)

// hidden reports whether a service is the framework's own: not shown in lists
// of the site's services.
func hidden(service string) bool { return strings.HasPrefix(service, "skerry.") }

// member is one process as this one remembers it.
type member struct {
	Owner registry.Owner `json:"owner"`
	Addr  string         `json:"addr"` // of its internal service
	TLS   bool           `json:"tls,omitempty"`
	Place string         `json:"place,omitempty"`
	Heard time.Time      `json:"heard"`          // last time that it was listed
	Gone  string         `json:"gone,omitempty"` // how it left the lists; "" while it is listed
	Own   bool           `json:"own,omitempty"`  // known by its own introduction alone
	Also  string         `json:"also,omitempty"` // registry.AlsoTag of its address
	mark  string         // registry.HostTag of its address
	rules string         // generation and hash as it announced them
}

// sane checks what another process says of a member.
func (m *member) sane() error {
	for what, text := range map[string]string{"host": m.Owner.Host, "address": m.Addr, "place": m.Place} {
		if len(text) > memberText || strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
			return fmt.Errorf("its %s is no text of at most %d bytes", what, memberText)
		}
	}
	if _, _, err := net.SplitHostPort(m.Addr); err != nil {
		return fmt.Errorf("its address is no host:port: %w", err)
	}
	return nil
}

const memberText = 255 // bytes

// membership remembers every process of the site that has not withdrawn: one
// that vanished may be alive, and hold what others want to stop. It forgets
// those who said goodbye and those who are dead for certain.
type membership struct {
	mu         sync.Mutex
	all        map[registry.Owner]*member
	listed     map[string]map[registry.Owner]bool // by source
	introduced map[registry.Owner]time.Time       // by themselves, and when last
	dirty      bool                               // differs from what is kept on disk
}

func newMembership(kept []member) *membership {
	m := &membership{all: map[registry.Owner]*member{}, listed: map[string]map[registry.Owner]bool{}, introduced: map[registry.Owner]time.Time{}}
	for _, k := range kept {
		if k.Gone == "" {
			k.Gone = "not heard of since this process started"
		}
		m.all[k.Owner] = &k
	}
	return m
}

// heard takes in what a registry lists. It reports whether somebody announces
// other rules than before.
func (m *membership) heard(source string, s registry.Snapshot, now time.Time) (news bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Lost != nil {
		return false // what it listed last stands
	}
	before, listed := m.listed[source], map[registry.Owner]bool{}
	for _, in := range s.Instances {
		listed[in.Owner] = true
		k := m.all[in.Owner]
		if k == nil {
			k = &member{Owner: in.Owner}
			m.all[in.Owner], m.dirty = k, true
		}
		m.dirty = m.dirty || k.Gone != "" || k.Addr != in.Addr()
		k.Addr, k.TLS, k.Place, k.Heard, k.Gone, k.Own = in.Addr(), in.TLS, in.Tags[placeTag], now, "", false
		k.mark, k.Also = in.Tags[registry.HostTag], in.Tags[registry.AlsoTag]
		if r := in.Tags[rulesTag]; r != "" && r != k.rules {
			k.rules, news = r, true
		}
	}
	m.listed[source] = listed
	m.departed(s.Gone, listed)
	for owner := range before {
		if k := m.all[owner]; k != nil && !m.isListed(owner) && k.Gone == "" {
			k.Gone, m.dirty = "no registry lists it any more", true
		}
	}
	return news
}

// also are the further addresses of a process's host, as it was listed last; those
// of m itself when it is not on the list at that address.
func (m *membership) also(of member) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.all[of.Owner]; k != nil && k.Addr == of.Addr {
		return k.Also
	}
	return of.Also
}

// ahead are up to a few listed members that announce newer rules than those
// applied, the newest first, and were not tried yet.
func (m *membership) ahead(applied rollout.Generation, tried map[registry.Owner]bool, few int) (out []member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := func(k member) rollout.Generation { g, _ := announcedRules(k.rules); return g }
	for owner, k := range m.all { // in no order, so that not all ask the same
		if g, said := announcedRules(k.rules); said && k.Gone == "" && applied.Before(g) && !tried[owner] {
			out = append(out, *k)
		}
	}
	slices.SortStableFunc(out, func(a, b member) int {
		switch {
		case newest(b).Before(newest(a)):
			return -1
		case newest(a).Before(newest(b)):
			return 1
		}
		return 0
	})
	return out[:min(few, len(out))]
}

// departed takes in how some left. Goodbyes are final.
func (m *membership) departed(gone []registry.Departure, listed map[registry.Owner]bool) {
	if len(gone) == 0 {
		return
	}
	type place struct {
		addr  string
		epoch int64
	}
	at := make(map[place][]registry.Owner, len(m.all))
	for owner, k := range m.all {
		p := place{k.Addr, owner.Epoch}
		at[p] = append(at[p], owner)
	}
	for _, d := range gone {
		for _, owner := range at[place{d.ID.Addr, d.ID.Epoch}] {
			switch k := m.all[owner]; {
			case k == nil || listed[owner]:
			case d.Kind == registry.Deregistered:
				m.remove(owner)
			case !m.isListed(owner) && k.Gone != d.Kind.String():
				k.Gone, m.dirty = d.Kind.String(), true
			}
		}
	}
}

// isListed reports whether a registry lists the process, or it has introduced
// itself of late.
func (m *membership) isListed(owner registry.Owner) bool {
	if at, ok := m.introduced[owner]; ok && time.Since(at) < introductionEnds {
		return true
	}
	return m.onLists(owner)
}

// onLists reports whether a registry lists the process.
func (m *membership) onLists(owner registry.Owner) bool {
	for _, l := range m.listed {
		if l[owner] {
			return true
		}
	}
	return false
}

func (m *membership) remove(owner registry.Owner) {
	delete(m.all, owner)
	delete(m.introduced, owner)
	for _, l := range m.listed {
		delete(l, owner)
	}
	m.dirty = true
}

var errCrowded = fmt.Errorf("%d processes have introduced themselves here, the limit", introducedMost)

// introduce takes in a process that no registry lists. What a registry says of
// one stands.
func (m *membership) introduce(k member) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, now := m.all[k.Owner], time.Now()
	if old == nil && m.unlisted() >= introducedMost {
		return errCrowded
	}
	k.Own = old == nil || old.Own
	if old != nil {
		k.rules = old.rules
		if m.onLists(k.Owner) {
			k = *old
		}
	}
	m.dirty = m.dirty || old == nil || old.Gone != "" || old.Addr != k.Addr
	k.Heard, k.Gone = now, ""
	m.all[k.Owner], m.introduced[k.Owner] = &k, now
	return nil
}

// unlisted is the number of processes that no registry has ever listed here.
func (m *membership) unlisted() (n int) {
	for _, k := range m.all {
		if k.Own {
			n++
		}
	}
	return n
}

// find is what is known of a process.
func (m *membership) find(owner registry.Owner) (member, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.all[owner]; k != nil {
		return *k, true
	}
	return member{}, false
}

// farewell takes off a process that had introduced itself.
func (m *membership) farewell(owner registry.Owner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.introduced[owner]; !ok {
		return
	}
	if delete(m.introduced, owner); !m.onLists(owner) {
		m.remove(owner)
	}
}

// faded marks those who have stopped introducing themselves.
func (m *membership) faded() {
	for owner := range m.introduced {
		if m.isListed(owner) {
			continue
		}
		delete(m.introduced, owner)
		if k := m.all[owner]; k != nil && k.Gone == "" {
			k.Gone, m.dirty = "it has stopped introducing itself", true
		}
	}
}

// onList reports whether a registry lists the process.
func (m *membership) onList(owner registry.Owner) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.onLists(owner)
}

// forget takes processes off that are dead for certain (registry.Owner.String).
func (m *membership) forget(owners ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for owner := range m.all {
		if slices.Contains(owners, owner.String()) {
			m.remove(owner)
		}
	}
}

// list is everybody, by owner.
func (m *membership) list() []member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sorted()
}

func (m *membership) sorted() []member {
	m.faded()
	out := make([]member, 0, len(m.all))
	for k := range maps.Values(m.all) {
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b member) int {
		return cmp.Or(strings.Compare(a.Owner.Host, b.Owner.Host), cmp.Compare(a.Owner.PID, b.Owner.PID), cmp.Compare(a.Owner.Epoch, b.Owner.Epoch))
	})
	return out
}

// changed is the list when it has changed since the last call.
func (m *membership) changed() (list []member, changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirty {
		return nil, false
	}
	m.dirty = false
	return m.sorted(), true
}
