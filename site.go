package skerry

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/operator"
)

// siteLimit is how long a look at the site waits for registries that have not
// answered, quietLimit how long for more members on a LAN.
const (
	siteLimit  = 3 * time.Second
	quietLimit = 700 * time.Millisecond
	listsGrow  = 150 * time.Millisecond // how long a list that the LAN has just begun to give may still grow
)

// Operator is the one by whose word a site's rules change.
type Operator struct {
	Name    string          // for the audit trail
	Signer  operator.Signer // the operator's key; nil: the site's key signs, where no operators are named
	Without []string        // processes, host/pid or hosts that the operator vouches are dead

	Progress func(operator.Progress) // hears what a long step waits for; may be nil
}

// Releases is the operator's side of releases: the steps on the rule log of
// this node's site, in the database or, where there is none, in the processes.
func (n *Node) Releases(o Operator) *operator.Controller {
	site := &site{n: n, begun: time.Now(), was: map[string]string{}, looked: map[string]time.Time{}}
	if o.Signer == nil {
		o.Signer = n.trust.SiteSigner()
	}
	c := operator.Config{Site: site, Store: &operator.Ballot{Site: site, Signer: o.Signer, Without: o.Without}, By: o.Name, Without: o.Without,
		Progress: o.Progress, Cluster: n.cfg.Cluster, Trust: n.trust, Signer: o.Signer}
	if db := n.database(); db != nil {
		c.Store = db.Rules()
	}
	return operator.New(c)
}

// MemberKeys are the fingerprints of the site's keys that a process verifies
// by; the first one signs.
type MemberKeys struct {
	Process string
	Keys    []string
}

// Keyrings asks every process of the site by which keys it verifies; silent are
// those that do not answer.
func (n *Node) Keyrings(ctx context.Context) (list []MemberKeys, silent []string, err error) {
	var mu sync.Mutex
	err = n.askMembers(ctx, func(ctx context.Context, process string, p *peer) {
		id, failed := p.client().WhoAmI(ctx)
		mu.Lock()
		defer mu.Unlock()
		if failed != nil {
			silent = append(silent, process)
			return
		}
		list = append(list, MemberKeys{process, id.GetKeys()})
	})
	slices.SortFunc(list, func(a, b MemberKeys) int { return cmp.Compare(a.Process, b.Process) })
	slices.Sort(silent)
	return list, silent, err
}

// SignerOf names the operator whose key has signed an entry of the rule log, by
// the keys that are trusted now.
func (n *Node) SignerOf(e rollout.Entry) (string, error) { return e.SignedBy(n.trust) }

// database is the registry that also orders the rules, nil where there is none.
func (n *Node) database() *postgres.Registry {
	for _, s := range n.sources {
		if db, ok := s.Registry.(*postgres.Registry); ok {
			return db
		}
	}
	return nil
}

// site is the processes as this node and its peers know them.
type site struct {
	n     *Node
	begun time.Time

	mu     sync.Mutex
	all    map[string]member    // of the last look, by process
	looked map[string]time.Time // when a service was first looked for
	was    map[string]string    // place of everybody ever seen: who says goodbye is forgotten, and is dead only when his host says so
}

// Members is release.Site.Members: whom this process knows and whom those know.
func (s *site) Members(ctx context.Context) ([]operator.Member, error) {
	if err := s.n.awaitMembers(ctx, s.begun); err != nil {
		return nil, err
	}
	all := map[string]member{}
	for _, m := range s.n.members.list() {
		all[m.Owner.String()] = m
	}
	var mu sync.Mutex
	g := run.NewGroup(ctx)
	for _, m := range s.n.members.list() {
		if m.Gone != "" {
			continue
		}
		g.Go(func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, peerLimit)
			defer cancel()
			p, err := s.n.peer(m)
			if err != nil {
				return nil
			}
			list, _ := p.members(ctx, time.Now())
			mu.Lock()
			defer mu.Unlock()
			for _, o := range list {
				if known, ok := all[o.Owner.String()]; !ok || known.Gone != "" && o.Gone == "" {
					all[o.Owner.String()] = o
				}
			}
			return nil
		})
	}
	_ = g.Wait()
	s.mu.Lock()
	s.all = all
	for process, m := range all {
		s.was[process] = m.Place
	}
	s.mu.Unlock()
	return s.asked(ctx, all)
}

// asked gives each member its peer, and leaves out those who are certified dead.
func (s *site) asked(ctx context.Context, all map[string]member) ([]operator.Member, error) {
	var out []operator.Member
	for process, m := range all {
		if m.Gone != "" && s.Ended(ctx, process, m.Place) {
			s.n.members.forget(process)
			continue
		}
		p, err := s.n.peer(m)
		if err != nil {
			return nil, err
		}
		out = append(out, operator.Member{Process: process, Addr: m.Addr, Peer: p, Gone: m.Gone, Heard: m.Heard})
	}
	return out, nil
}

// Ended is release.Site.Ended: this process, or one of the other's host, says so.
func (s *site) Ended(ctx context.Context, process, where string) bool {
	s.mu.Lock()
	m, known := s.all[process]
	if owner, err := registry.ParseOwner(process); !known && err == nil { // it has said goodbye
		m = member{Owner: owner, Place: cmp.Or(where, s.was[process])}
		known = m.Place != ""
	}
	var neighbours []member
	host, _ := cutLast(m.Place)
	for _, o := range s.all {
		if h, _ := cutLast(o.Place); o.Gone == "" && host != "" && h == host && o.Owner.Host == m.Owner.Host && o.Owner != m.Owner {
			neighbours = append(neighbours, o)
		}
	}
	s.mu.Unlock()
	if !known {
		return false
	}
	if ended(m.Owner, m.Place, s.n.owner) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	for _, o := range neighbours[:min(len(neighbours), 3)] {
		if p, err := s.n.peer(o); err == nil {
			if dead, err := p.ended(ctx, m.Owner, m.Place); err == nil {
				return dead
			}
		}
	}
	return false
}

// Instances is release.Site.Instances.
func (s *site) Instances(ctx context.Context, service string) ([]operator.Instance, error) {
	s.n.lists.Resolve(service)
	begun := s.lookedAt(service)
	limit := time.Now().Add(siteLimit)
	for (!s.n.answered(service) || s.n.mode() != config.ModeDatabase && time.Since(begun) < listsGrow) && time.Now().Before(limit) {
		if err := run.Sleep(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
	var out []operator.Instance
	for _, e := range s.n.Explain(service) {
		if !e.Stale && e.State != discovery.Elsewhere {
			out = append(out, operator.Instance{Process: e.Owner, Service: e.Service, Version: e.Version, Addr: e.Addr})
		}
	}
	return out, nil
}

// lookedAt is when the instances of a service were first looked for.
func (s *site) lookedAt(service string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked[service].IsZero() {
		s.looked[service] = time.Now()
	}
	return s.looked[service]
}

// answered reports whether some registry has given its list of the service.
func (n *Node) answered(service string) bool {
	for _, s := range n.lists.Sources(service) {
		if s.Answered && (!s.Partial || s.Listed > 0) {
			return true
		}
	}
	return false
}

// awaitMembers waits until every registry has shown its list, or has had the
// time to; a LAN's list may still grow then.
func (n *Node) awaitMembers(ctx context.Context, begun time.Time) error {
	for {
		since := time.Since(begun)
		all := n.members.sources() == len(n.sources)
		if since > siteLimit || all && (since > quietLimit || !slices.Contains(n.sourceNames(), sourceLAN)) {
			return nil
		}
		if err := run.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// sources is how many registries have shown a list.
func (m *membership) sources() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.listed)
}
