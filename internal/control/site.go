package control

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Time limits of a look at the site.
const (
	siteLimit = 3 * time.Second        // for registries that have not answered
	listsGrow = 150 * time.Millisecond // for a list that the LAN has just begun to give
)

// site implements operator.Site by the processes that the node and its peers know.
type site struct {
	n *skerry.Node
	m *membership.Membership

	mu     sync.Mutex
	all    map[string]membership.Member // by process, from the last look
	looked map[string]time.Time         // by service: time of the first look
	// was holds the place of every process ever seen. A process that leaves is
	// forgotten by the members, but only its host can certify its death.
	was map[string]string
}

func newSite(n *skerry.Node) *site {
	return &site{n: n, m: n.Membership(), was: map[string]string{}, looked: map[string]time.Time{}}
}

// Members implements operator.Site.
func (s *site) Members(ctx context.Context) ([]operator.Member, error) {
	all, err := s.members(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]operator.Member, 0, len(all))
	for _, k := range all {
		p, err := s.m.Peer(k)
		if err != nil {
			return nil, err
		}
		out = append(out, operator.Member{Process: k.Owner.String(), Addr: k.Addr, Peer: peer{p}, Gone: k.Gone,
			Heard: k.Heard})
	}
	return out, nil
}

// members returns the processes that this one knows and those that they know. It
// leaves out the processes that are certified dead.
func (s *site) members(ctx context.Context) ([]membership.Member, error) {
	if err := s.m.AwaitList(ctx); err != nil {
		return nil, err
	}
	all := map[string]membership.Member{}
	var listed []membership.Member
	for _, k := range s.m.List() {
		all[k.Owner.String()] = k
		if k.Gone == "" {
			listed = append(listed, k)
		}
	}
	var mu sync.Mutex
	s.m.Each(ctx, listed, func(ctx context.Context, p *membership.Peer) {
		theirs, _ := p.Members(ctx, time.Now())
		mu.Lock()
		defer mu.Unlock()
		for _, k := range theirs {
			if known, ok := all[k.Owner.String()]; !ok || known.Gone != "" && k.Gone == "" {
				all[k.Owner.String()] = k
			}
		}
	})
	s.mu.Lock()
	s.all = all
	for process, k := range all {
		s.was[process] = k.Place
	}
	s.mu.Unlock()
	return s.living(ctx, all), nil
}

// others returns the members other than this process.
func (s *site) others(ctx context.Context) ([]membership.Member, error) {
	all, err := s.members(ctx)
	return slices.DeleteFunc(all, func(k membership.Member) bool { return k.Owner == s.m.Owner() }), err
}

// living leaves out the processes that are certified dead.
func (s *site) living(ctx context.Context, all map[string]membership.Member) []membership.Member {
	var out []membership.Member
	for process, k := range all {
		if k.Gone != "" && s.Ended(ctx, process, k.Place) {
			s.m.Forget(process)
			continue
		}
		out = append(out, k)
	}
	return out
}

// Ended implements operator.Site: it asks this process, then processes of the other one's host.
func (s *site) Ended(ctx context.Context, process, where string) bool {
	k, neighbours, known := s.neighbours(process, where)
	if !known {
		return false
	}
	if s.m.Ended(k.Owner, k.Place) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, siteLimit)
	defer cancel()
	for _, o := range neighbours[:min(len(neighbours), 3)] {
		if p, err := s.m.Peer(o); err == nil {
			if dead, err := p.Ended(ctx, k.Owner, k.Place); err == nil {
				return dead
			}
		}
	}
	return false
}

// neighbours returns a process and the living processes of its host.
func (s *site) neighbours(process, where string) (k membership.Member, neighbours []membership.Member, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, known = s.all[process]
	if owner, err := registry.ParseOwner(process); !known && err == nil { // the process has left
		k = membership.Member{Owner: owner, Place: cmp.Or(where, s.was[process])}
		known = k.Place != ""
	}
	for _, o := range s.all {
		if o.Gone == "" && o.Owner.Host == k.Owner.Host && o.Owner != k.Owner && membership.SameHost(o.Place, k.Place) {
			neighbours = append(neighbours, o)
		}
	}
	return k, neighbours, known
}

// Instances implements operator.Site.
func (s *site) Instances(ctx context.Context, service string) ([]operator.Instance, error) {
	begun, limit := s.lookedAt(service), time.Now().Add(siteLimit)
	for !s.shown(service, begun) && time.Now().Before(limit) {
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

// shown reports whether a registry has given its list of the service. The list
// of a LAN grows for a moment, so its look lasts at least listsGrow.
func (s *site) shown(service string, begun time.Time) bool {
	answered, grows := false, false
	for _, l := range s.n.Sources(service) {
		answered = answered || l.Answered && (!l.Partial || l.Listed > 0)
		grows = grows || l.Name == broadcast.Source
	}
	return answered && (!grows || time.Since(begun) >= listsGrow)
}

// lookedAt returns the time of the first look at a service's instances.
func (s *site) lookedAt(service string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked[service].IsZero() {
		s.looked[service] = time.Now()
	}
	return s.looked[service]
}

// peer implements operator.Peer for one process.
type peer struct{ *membership.Peer }

// Served implements operator.Peer: it returns the process's counts of the calls
// that it served and made.
func (p peer) Served(ctx context.Context, slow time.Duration, slowOf map[string]time.Duration) ([]operator.Served,
	error) {
	if err := p.Same(ctx); err != nil {
		return nil, err
	}
	ms := map[string]int64{}
	for service, d := range slowOf {
		ms[service] = d.Milliseconds()
	}
	list, err := p.Client().Served(ctx, slow.Milliseconds(), ms)
	var out []operator.Served
	for _, s := range list {
		served := operator.Served{
			Service: s.Name,
			Version: s.GetVersion(),
			Made:    s.Peer != nil,
			Peer:    s.GetPeer(),
			Count:   operator.Count{Calls: s.Calls, Failures: s.Failures, Slow: s.Slow, Kinds: s.Kinds},
		}
		if c := s.Copies; c != nil {
			const denied = "denied" // the outcome of package health
			served.Copies = operator.Count{Calls: c.Calls, Failures: c.Failures, Slow: c.Slow, Kinds: c.Kinds,
				Denied: c.Kinds[denied]}
			delete(c.Kinds, denied)
		}
		out = append(out, served)
	}
	return out, err
}
