package skerry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/trust"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/operator"
	"github.com/skerry/skerry/rpc"
)

// peerLimit is how long one question to a process may take.
const peerLimit = 3 * time.Second

// peer is another process's internal service.
type peer struct {
	member
	calls  *rpc.Client
	client func() *wire.InternalClient
}

// peers are the connections made so far.
type peers struct {
	mu  sync.Mutex
	all map[string]*peer // by owner and address
}

// close ends all connections.
func (p *peers) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all error
	for _, peer := range p.all {
		all = errors.Join(all, peer.calls.Close())
	}
	p.all = nil
	return all
}

// peer is the internal service of a process, without a word on the wire yet.
func (n *Node) peer(m member) (*peer, error) {
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	key := m.Owner.String() + " " + m.Addr
	if n.bySite() {
		key += " site"
	}
	if p := n.peers.all[key]; p != nil {
		return p, nil
	}
	p, err := n.newPeer(m, false)
	if err != nil {
		return nil, err
	}
	if n.peers.all == nil {
		n.peers.all = map[string]*peer{}
	}
	n.peers.all[key] = p
	return p, nil
}

// bySite reports whether other processes are asked by site connections: by the
// site's key. Otherwise it takes a certificate, an open site, or the same host.
func (n *Node) bySite() bool { return n.trust.Mode() == "" && !n.trust.Keyless() }

// newPeer makes the client of a process; a narrow one is for an answer that no
// path may swallow.
func (n *Node) newPeer(m member, narrow bool) (*peer, error) {
	ep := &rpc.Endpoint{ID: m.Addr, Service: internalName, Addr: m.Addr,
		TLS: m.TLS || n.trust.Mode() == trust.Certificates, Site: n.bySite()}
	if m.Owner != (registry.Owner{}) {
		ep.Owner = m.Owner.String()
	}
	resolver := rpc.Static(ep)
	if away := n.away(m); away != nil {
		resolver = nowhere{away}
	}
	c, err := rpc.NewClient(rpc.ClientConfig{
		Resolver:       resolver,
		Watcher:        peerWatch{n},
		Reach:          func(*rpc.Endpoint) string { return n.reachMember(m) },
		ConnectTimeout: n.cfg.Calls.ConnectTimeout,
		TLSNow:         n.tls.Client,
		RequireTLS:     n.cfg.TLS.Providers != "any",
		Site:           n.siteTLS,
		Identity:       n.identity(),
		Caller:         nodeName,
		Narrow:         narrow,
		Logger:         n.log,
	})
	if err != nil {
		return nil, err
	}
	t, err := c.Service(internalName, rpc.ServiceOptions{Timeout: peerLimit})
	if err != nil {
		c.Close()
		return nil, err
	}
	return &peer{m, c, func() *wire.InternalClient { return wire.NewInternalClient(t) }}, nil
}

// same checks that the process is the one that was meant, not a later one at
// its address.
func (p *peer) same(ctx context.Context) error {
	id, err := p.client().WhoAmI(ctx)
	if err == nil && ownerOf(id.GetOwner()) != p.Owner {
		err = fmt.Errorf("%s is now the address of %v", p.Addr, ownerOf(id.GetOwner()))
	}
	return err
}

// logMost bounds what is fetched of one process's log.
const logMost = 64 << 20

// Since fetches the entries after a generation.
func (p *peer) Since(ctx context.Context, g rollout.Generation) (all []rollout.Entry, err error) {
	for size := 0; ; {
		page, err := p.client().Log(ctx, g.String())
		if err != nil {
			return nil, err
		}
		entries, err := openRecords(page.Records)
		if errors.Is(err, rollout.ErrNeeds) {
			return append(all, entries...), nil // as far as this version can read it
		}
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			size += len(r)
		}
		all = append(all, entries...)
		switch n := len(entries); {
		case !page.GetMore() || n == 0:
			return all, nil
		case !g.Before(entries[n-1].Generation) || size > logMost:
			return nil, fmt.Errorf("%s gives a log without end", p.Addr)
		default:
			g = entries[n-1].Generation
		}
	}
}

// Learn brings it committed entries, as many at a time as one call takes.
func (p *peer) Learn(ctx context.Context, entries ...rollout.Entry) error {
	for len(entries) > 0 {
		var records [][]byte
		size, n := 0, 0
		for ; n < len(entries) && n < bringMost && (n == 0 || size < pageBytes); n++ {
			records = append(records, entries[n].Record().Marshal())
			size += len(records[n])
		}
		if _, err := p.client().Bring(ctx, records); err != nil {
			return refused(err)
		}
		entries = entries[n:]
	}
	return nil
}

// Promise asks it to accept no other entry of that number.
func (p *peer) Promise(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error {
	return p.withEntry(ctx, e, by, (*wire.InternalClient).Promise)
}

// Abandon takes the promise back.
func (p *peer) Abandon(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error {
	return p.withEntry(ctx, e, by, (*wire.InternalClient).Abandon)
}

// Bar asks it never to promise the entry.
func (p *peer) Reject(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error {
	return p.withEntry(ctx, e, by, (*wire.InternalClient).Bar)
}

func (p *peer) withEntry(ctx context.Context, e rollout.Entry, by rollout.Undertaking,
	do func(_ *wire.InternalClient, _ context.Context, record, undertaking []byte) error) error {
	undertaking, err := json.Marshal(by)
	if err != nil {
		return err
	}
	if err := p.same(ctx); err != nil {
		return err
	}
	return refused(do(p.client(), ctx, e.Record().Marshal(), undertaking))
}

// Promised is the entry that it has promised and that is not committed.
func (p *peer) Promised(ctx context.Context) (*rollout.Entry, error) {
	record, err := p.client().Promised(ctx)
	if err != nil || len(record) == 0 {
		return nil, err
	}
	entries, err := openRecords([][]byte{record})
	if err != nil {
		return nil, err
	}
	return &entries[0], nil
}

// Report asks for its part of a drain's round.
func (p *peer) Report(ctx context.Context, q rollout.Question) (rollout.Report, error) {
	var r rollout.Report
	text, err := p.client().Report(ctx, int64(q.Round), q.Until.String(), q.Wait.Milliseconds())
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err == nil && r.Process != p.Owner.String() {
		err = fmt.Errorf("%s is now the address of %s", p.Addr, r.Process)
	}
	return r, err
}

// Served asks what it has counted of the calls that it served and made.
func (p *peer) Served(ctx context.Context, slow time.Duration, slowOf map[string]time.Duration) ([]operator.Served, error) {
	if err := p.same(ctx); err != nil {
		return nil, err
	}
	ms := map[string]int64{}
	for service, d := range slowOf {
		ms[service] = d.Milliseconds()
	}
	list, err := p.client().Served(ctx, slow.Milliseconds(), ms)
	var out []operator.Served
	for _, s := range list {
		out = append(out, operator.Served{Service: s.Name, Version: s.GetVersion(), Made: s.Peer != nil, Peer: s.GetPeer(),
			Count: operator.Count{Calls: s.Calls, Failures: s.Failures, Slow: s.Slow, Kinds: s.Kinds}})
	}
	return out, err
}

// Sees asks which versions it could call.
func (p *peer) Sees(ctx context.Context, services []string) (map[string][]string, error) {
	return p.client().Sees(ctx, services)
}

// Leave asks it to leave with a version that the rules have retired.
func (p *peer) Leave(ctx context.Context, service, version string) (bool, error) {
	if err := p.same(ctx); err != nil {
		return false, err
	}
	return p.client().Leave(ctx, service, version)
}

// members asks whom it knows.
func (p *peer) members(ctx context.Context, now time.Time) ([]member, error) {
	list, err := p.client().Members(ctx)
	var out []member
	for _, w := range list {
		out = append(out, memberOf(w, now))
	}
	return out, err
}

func memberOf(w *wire.Member, now time.Time) member {
	return member{Owner: ownerOf(w.GetOwner()), Addr: w.Addr, TLS: w.GetTLS(), Place: w.GetPlace(),
		Heard: now.Add(-time.Duration(w.GetSilentMs()) * time.Millisecond), Gone: w.GetGone()}
}

// introduce makes a process known to it that no registry lists.
func (p *peer) introduce(ctx context.Context, m member) error {
	if err := p.same(ctx); err != nil {
		return err
	}
	return p.client().Introduce(ctx, &wire.Member{Owner: wireOwner(m.Owner), Addr: m.Addr, TLS: &m.TLS, Place: &m.Place})
}

// farewell takes it off again.
func (p *peer) farewell(ctx context.Context, o registry.Owner) error {
	return p.client().Farewell(ctx, wireOwner(o))
}

// ended asks it whether a process of its host is dead for certain.
func (p *peer) ended(ctx context.Context, o registry.Owner, place string) (bool, error) {
	return p.client().Ended(ctx, wireOwner(o), place)
}
