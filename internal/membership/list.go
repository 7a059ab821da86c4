package membership

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

	"github.com/skerry/skerry/internal/reach"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// Tags of the hidden service.
const (
	identityTag = "place"   // boot, process namespace and start of the process; see processIdentity
	rulesTag    = "rules"   // generation and hash of the rules that it has applied; on the LAN only
	gatewayTag  = "gateway" // "1" of a process that takes in users' requests
)

// Hidden reports whether a service is the framework's own: not shown in lists
// of the site's services.
func Hidden(service string) bool { return strings.HasPrefix(service, "skerry.") }

// Member is one process as this one remembers it.
type Member struct {
	Owner  registry.Owner `json:"owner"`
	Addr   string         `json:"addr"` // of its internal service
	TLS    bool           `json:"tls,omitempty"`
	Place  string         `json:"place,omitempty"`
	Heard  time.Time      `json:"heard"`          // last time that it was listed
	Gone   string         `json:"gone,omitempty"` // how it left the lists; "" while it is listed
	Own    bool           `json:"own,omitempty"`  // known by its own introduction alone
	Also   string         `json:"also,omitempty"` // reach.AlsoTag of its address
	mark   string         // reach.HostTag of its address
	rules  string         // generation and hash as it announced them
	policy string         // its policyTag
	obey   string         // its obeyTag
	edge   bool           // it has the gatewayTag
}

// Announced is the newest generation of rules that the process says it has; zero
// when it says none.
func (m *Member) Announced() rollout.Generation {
	g, _ := announcedRules(m.rules)
	return g
}

// sane checks what another process says of a member.
func (m *Member) sane() error {
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

// list remembers every process of the site that has not withdrawn: one
// that vanished may be alive, and hold what others want to stop. It forgets
// those that said goodbye and those that are dead for certain.
type list struct {
	mu         sync.Mutex
	all        map[registry.Owner]*Member
	listed     map[string]map[registry.Owner]bool // by source
	lost       map[string]error                   // by source: why it can't be reached now
	introduced map[registry.Owner]time.Time       // by themselves, and when last
	dirty      bool                               // differs from what is kept on disk
}

func newList(kept []Member) *list {
	l := &list{all: map[registry.Owner]*Member{}, listed: map[string]map[registry.Owner]bool{},
		lost: map[string]error{}, introduced: map[registry.Owner]time.Time{}}
	l.recall(kept)
	return l
}

// recall adds processes that were known before. They may be there still.
func (l *list) recall(kept []Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range kept {
		if l.all[k.Owner] != nil {
			continue
		}
		if k.Gone == "" {
			k.Gone = "not heard of since this process started"
		}
		l.all[k.Owner] = &k
	}
}

// heard takes in what a registry lists. It reports whether a process announces
// other rules than before, and another policy.
func (l *list) heard(source string, s registry.Snapshot, now time.Time) (news, policies bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[source] = s.Lost
	if s.Lost != nil {
		return false, false // what it listed last stands
	}
	before, listed := l.listed[source], map[registry.Owner]bool{}
	for _, in := range s.Instances {
		listed[in.Owner] = true
		k := l.all[in.Owner]
		if k == nil {
			k = &Member{Owner: in.Owner}
			l.all[in.Owner], l.dirty = k, true
		}
		l.dirty = l.dirty || k.Gone != "" || k.Addr != in.Addr()
		k.Addr = in.Addr()
		k.TLS = in.TLS
		k.Place = in.Tags[identityTag]
		k.Heard = now
		k.Gone = ""
		k.Own = false
		k.obey = in.Tags[obeyTag]
		k.mark, k.Also = in.Tags[reach.HostTag], in.Tags[reach.AlsoTag]
		k.edge = in.Tags[gatewayTag] != ""
		if r := in.Tags[rulesTag]; r != "" && r != k.rules {
			k.rules, news = r, true
		}
		if p := in.Tags[policyTag]; p != "" && p != k.policy {
			k.policy, policies = p, true
		}
	}
	l.listed[source] = listed
	l.departed(s.Gone, listed)
	for owner := range before {
		if k := l.all[owner]; k != nil && !l.isListed(owner) && k.Gone == "" {
			k.Gone, l.dirty = "no registry lists it any more", true
		}
	}
	return news, policies
}

// also are the further addresses of a process's host, as it was listed last; those
// of k itself when it is not on the list at that address.
func (l *list) also(of Member) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.all[of.Owner]; k != nil && k.Addr == of.Addr {
		return k.Also
	}
	return of.Also
}

// ahead are up to a few listed members that announce newer rules than those
// applied, the newest first, and were not tried yet.
func (l *list) ahead(applied rollout.Generation, tried map[registry.Owner]bool, few int) (out []Member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for owner, k := range l.all { // in no order, so that not all ask the same
		if k.Gone == "" && applied.Before(k.Announced()) && !tried[owner] {
			out = append(out, *k)
		}
	}
	slices.SortStableFunc(out, func(a, b Member) int {
		switch {
		case b.Announced().Before(a.Announced()):
			return -1
		case a.Announced().Before(b.Announced()):
			return 1
		}
		return 0
	})
	return out[:min(few, len(out))]
}

// departed takes in how some left. Goodbyes are final.
func (l *list) departed(gone []registry.Departure, listed map[registry.Owner]bool) {
	if len(gone) == 0 {
		return
	}
	type place struct {
		addr  string
		epoch int64
	}
	at := make(map[place][]registry.Owner, len(l.all))
	for owner, k := range l.all {
		p := place{k.Addr, owner.Epoch}
		at[p] = append(at[p], owner)
	}
	for _, d := range gone {
		for _, owner := range at[place{d.ID.Addr, d.ID.Epoch}] {
			switch k := l.all[owner]; {
			case k == nil || listed[owner]:
			case d.Kind == registry.Deregistered:
				l.remove(owner)
			case !l.isListed(owner) && k.Gone != d.Kind.String():
				k.Gone, l.dirty = d.Kind.String(), true
			}
		}
	}
}

// listedOwners are the processes that a registry lists now, or that have introduced themselves of late.
func (l *list) listedOwners() map[registry.Owner]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	owners := make(map[registry.Owner]bool, len(l.all))
	for owner := range l.all {
		if l.isListed(owner) {
			owners[owner] = true
		}
	}
	return owners
}

// isListed reports whether a registry lists the process, or it has introduced
// itself of late.
func (l *list) isListed(owner registry.Owner) bool {
	if at, ok := l.introduced[owner]; ok && time.Since(at) < introductionEnds {
		return true
	}
	return l.onLists(owner)
}

// onLists reports whether a registry lists the process.
func (l *list) onLists(owner registry.Owner) bool {
	for _, by := range l.listed {
		if by[owner] {
			return true
		}
	}
	return false
}

func (l *list) remove(owner registry.Owner) {
	delete(l.all, owner)
	delete(l.introduced, owner)
	for _, by := range l.listed {
		delete(by, owner)
	}
	l.dirty = true
}

var errCrowded = fmt.Errorf("%d processes have introduced themselves here, the limit", introducedMost)

// introduce takes in a process that no registry lists. What a registry says of
// one stands.
func (l *list) introduce(k Member) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, now := l.all[k.Owner], time.Now()
	if old == nil && l.unlisted() >= introducedMost {
		return errCrowded
	}
	k.Own = old == nil || old.Own
	if old != nil {
		k.rules, k.policy, k.obey = old.rules, old.policy, old.obey
		if l.onLists(k.Owner) {
			k = *old
		}
	}
	l.dirty = l.dirty || old == nil || old.Gone != "" || old.Addr != k.Addr
	k.Heard, k.Gone = now, ""
	l.all[k.Owner], l.introduced[k.Owner] = &k, now
	return nil
}

// unlisted is the number of processes that no registry has ever listed here.
func (l *list) unlisted() (n int) {
	for _, k := range l.all {
		if k.Own {
			n++
		}
	}
	return n
}

// find is what is known of a process.
func (l *list) find(owner registry.Owner) (Member, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.all[owner]; k != nil {
		return *k, true
	}
	return Member{}, false
}

// edges is the number of listed processes other than self that take in users' requests.
func (l *list) edges(self registry.Owner) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for owner, k := range l.all {
		if k.edge && k.Gone == "" && owner != self {
			n++
		}
	}
	return n
}

// farewell takes off a process that had introduced itself.
func (l *list) farewell(owner registry.Owner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.introduced[owner]; !ok {
		return
	}
	if delete(l.introduced, owner); !l.onLists(owner) {
		l.remove(owner)
	}
}

// faded marks those that have stopped introducing themselves.
func (l *list) faded() {
	for owner := range l.introduced {
		if l.isListed(owner) {
			continue
		}
		delete(l.introduced, owner)
		if k := l.all[owner]; k != nil && k.Gone == "" {
			k.Gone, l.dirty = "it has stopped introducing itself", true
		}
	}
}

// onList reports whether a registry lists the process.
func (l *list) onList(owner registry.Owner) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.onLists(owner)
}

// forget takes processes off that are dead for certain (registry.Owner.String).
func (l *list) forget(owners ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for owner := range l.all {
		if slices.Contains(owners, owner.String()) {
			l.remove(owner)
		}
	}
}

// members are all processes, by owner.
func (l *list) members() []Member {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sorted()
}

func (l *list) sorted() []Member {
	l.faded()
	out := make([]Member, 0, len(l.all))
	for k := range maps.Values(l.all) {
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b Member) int {
		return cmp.Or(strings.Compare(a.Owner.Host, b.Owner.Host), cmp.Compare(a.Owner.PID, b.Owner.PID),
			cmp.Compare(a.Owner.Epoch, b.Owner.Epoch))
	})
	return out
}

// changed is the list when it has changed since the last call.
func (l *list) changed() (list []Member, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty {
		return nil, false
	}
	l.dirty = false
	return l.sorted(), true
}

// touch has changed give the list once more.
func (l *list) touch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirty = true
}

// of is how many processes beside self a source lists, and why it can't be reached. shown is false before its first
// list.
func (l *list) of(source string, self registry.Owner) (others int, lost error, shown bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	listed, shown := l.listed[source]
	if others = len(listed); listed[self] {
		others--
	}
	return others, l.lost[source], shown
}

// sources is how many registries have shown a list.
func (l *list) sources() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.listed)
}
