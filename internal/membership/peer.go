package membership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/trust"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// peerLimit is how long one question to a process may take.
const peerLimit = 3 * time.Second

// peerIdle is how long a process that is on no list keeps its connection after the last question.
const peerIdle = 5 * time.Minute

// Peer is another process's internal service.
type Peer struct {
	Member
	calls *rpc.Client
	to    thrift.TClient
	used  atomic.Int64 // Unix time in ns of the last question
}

// Client asks the process. A client is for one goroutine.
func (p *Peer) Client() *wire.InternalClient { return p.client() }

func (p *Peer) client() *wire.InternalClient {
	p.used.Store(time.Now().UnixNano())
	return wire.NewInternalClient(p.to)
}

// peers are the connections made so far.
type peers struct {
	mu  sync.Mutex
	all map[string]*Peer // by owner and address
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

// Peer is the internal service of a process, without a word on the wire yet.
func (m *Membership) Peer(k Member) (*Peer, error) { return m.peer(k) }

func (m *Membership) peer(k Member) (*Peer, error) {
	m.peers.mu.Lock()
	defer m.peers.mu.Unlock()
	key := k.Owner.String() + " " + k.Addr
	if m.bySite() {
		key += " site"
	}
	if p := m.peers.all[key]; p != nil {
		return p, nil
	}
	p, err := m.newPeer(k, false)
	if err != nil {
		return nil, err
	}
	if m.peers.all == nil {
		m.peers.all = map[string]*Peer{}
	}
	m.peers.all[key] = p
	m.spawn(func(context.Context) { m.closeIdlePeers() })
	return p, nil
}

// closeIdlePeers ends the connections with processes that have left. So years of restarts at a site cost no more
// than processes that stay.
func (m *Membership) closeIdlePeers() {
	listed := m.list.listedOwners()
	var idle []*Peer
	m.peers.mu.Lock()
	for key, p := range m.peers.all {
		if !listed[p.Owner] && time.Since(time.Unix(0, p.used.Load())) > peerIdle {
			idle = append(idle, p)
			delete(m.peers.all, key)
		}
	}
	m.peers.mu.Unlock()
	for _, p := range idle {
		if err := p.calls.Close(); err != nil {
			m.log.Debug("close the connection with a process that has left", "process", p.Owner, "error", err)
		}
	}
}

// call asks another process something, within the limit of a question.
func (m *Membership) call(ctx context.Context, k Member, ask func(context.Context, *Peer) error) error {
	ctx, cancel := context.WithTimeout(ctx, peerLimit)
	defer cancel()
	p, err := m.peer(k)
	if err != nil {
		return err
	}
	return ask(ctx, p)
}

// Each asks processes at once, each within the limit of a question, and returns
// when all have answered or failed.
func (m *Membership) Each(ctx context.Context, all []Member, ask func(context.Context, *Peer)) {
	g := run.NewGroup(ctx)
	for _, k := range all {
		g.Go(func(ctx context.Context) error {
			// without a peer there is no answer
			_ = m.call(ctx, k, func(ctx context.Context, p *Peer) error { ask(ctx, p); return nil })
			return nil
		})
	}
	_ = g.Wait()
}

// bySite reports whether other processes are asked by site connections: by the
// site's key. Otherwise it takes a certificate, an open site, or the same host.
func (m *Membership) bySite() bool { return m.cfg.Trust.Mode() == "" && !m.cfg.Trust.Keyless() }

// newPeer makes the client of a process; a narrow one is for an answer that no
// path may swallow.
func (m *Membership) newPeer(k Member, narrow bool) (*Peer, error) {
	c, t, err := m.connect(k, InternalService, narrow, peerLimit)
	if err != nil {
		return nil, err
	}
	p := &Peer{Member: k, calls: c, to: t}
	p.used.Store(time.Now().UnixNano())
	return p, nil
}

// Connect makes a client of one of the framework's services in another process, which uses a connection of its own: for
// answers that are too large for the one on which processes are asked. Its calls end after limit.
func (m *Membership) Connect(k Member, service string, limit time.Duration) (
	to thrift.TClient, stop func() error, err error) {
	c, t, err := m.connect(k, service, false, limit)
	if err != nil {
		return nil, nil, err
	}
	return t, c.Close, nil
}

func (m *Membership) connect(k Member, service string, narrow bool, limit time.Duration) (
	*rpc.Client, thrift.TClient, error) {
	ep := &rpc.Endpoint{
		ID:      k.Addr,
		Service: service,
		Addr:    k.Addr,
		TLS:     k.TLS || m.cfg.Trust.Mode() == trust.Certificates,
		Site:    m.bySite(),
	}
	if k.Owner != (registry.Owner{}) {
		ep.Owner = k.Owner.String()
	}
	cfg := m.cfg.Client
	cfg.Resolver = rpc.Static(ep)
	if away := m.Away(k); away != nil {
		cfg.Resolver = nowhere{away}
	}
	cfg.Reach = func(*rpc.Endpoint) string { return m.reach(k) }
	cfg.Watcher = peerWatch{m.vouchers}
	cfg.Caller = NodeService
	cfg.Narrow = narrow
	cfg.Logger = m.log
	c, err := rpc.NewClient(cfg)
	if err != nil {
		return nil, nil, err
	}
	t, err := c.Service(service, rpc.ServiceOptions{Timeout: limit})
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, t, nil
}

// Same checks that the process is the one that was meant, not a later one at
// its address.
func (p *Peer) Same(ctx context.Context) error {
	id, err := p.client().WhoAmI(ctx)
	if err == nil && ownerOf(id.GetOwner()) != p.Owner {
		err = fmt.Errorf("%s is now the address of %v", p.Addr, ownerOf(id.GetOwner()))
	}
	return err
}

// logMost bounds what is fetched of one process's log.
const logMost = 64 << 20

// Since fetches the entries after a generation.
func (p *Peer) Since(ctx context.Context, g rollout.Generation) (all []rollout.Entry, err error) {
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
func (p *Peer) Learn(ctx context.Context, entries ...rollout.Entry) error {
	for len(entries) > 0 {
		var page [][]byte
		size, n := 0, 0
		for ; n < len(entries) && n < bringMost && (n == 0 || size < pageBytes); n++ {
			page = append(page, entries[n].Record().Marshal())
			size += len(page[n])
		}
		if _, err := p.client().Bring(ctx, page); err != nil {
			return refused(err)
		}
		entries = entries[n:]
	}
	return nil
}

// Promise asks it to accept no other entry of that number.
func (p *Peer) Promise(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error {
	return p.withEntry(ctx, e, by, (*wire.InternalClient).Promise)
}

// Abandon takes the promise back.
func (p *Peer) Abandon(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error {
	return p.withEntry(ctx, e, by, (*wire.InternalClient).Abandon)
}

// Reject asks it never to promise the entry.
func (p *Peer) Reject(ctx context.Context, e rollout.Entry, by rollout.Undertaking) error {
	return p.withEntry(ctx, e, by, (*wire.InternalClient).Bar)
}

func (p *Peer) withEntry(ctx context.Context, e rollout.Entry, by rollout.Undertaking,
	do func(_ *wire.InternalClient, _ context.Context, record, undertaking []byte) error) error {
	undertaking, err := json.Marshal(by)
	if err != nil {
		return err
	}
	if err := p.Same(ctx); err != nil {
		return err
	}
	return refused(do(p.client(), ctx, e.Record().Marshal(), undertaking))
}

// Promised is the entry that it has promised and that is not committed.
func (p *Peer) Promised(ctx context.Context) (*rollout.Entry, error) {
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
func (p *Peer) Report(ctx context.Context, q rollout.Question) (rollout.Report, error) {
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

// Sees asks which versions it could call.
func (p *Peer) Sees(ctx context.Context, services []string) (map[string][]string, error) {
	return p.client().Sees(ctx, services)
}

// Leave asks it to leave with a version that the rules have retired.
func (p *Peer) Leave(ctx context.Context, service, version string) (bool, error) {
	if err := p.Same(ctx); err != nil {
		return false, err
	}
	return p.client().Leave(ctx, service, version)
}

// CutStreams asks it to end the streams of a version that the rules have told to move. One of an older release has
// none.
func (p *Peer) CutStreams(ctx context.Context, service, version string) (int, error) {
	n, err := p.client().CutStreams(ctx, service, version)
	if rpc.CodeOf(err) == rpc.UnknownMethod {
		return 0, nil
	}
	return int(n), err
}

// Members asks which processes it knows.
func (p *Peer) Members(ctx context.Context, now time.Time) ([]Member, error) {
	list, err := p.client().Members(ctx)
	var out []Member
	for _, w := range list {
		out = append(out, memberOf(w, now))
	}
	return out, err
}

func memberOf(w *wire.Member, now time.Time) Member {
	return Member{Owner: ownerOf(w.GetOwner()), Addr: w.Addr, TLS: w.GetTLS(), Place: w.GetPlace(),
		Heard: now.Add(-time.Duration(w.GetSilentMs()) * time.Millisecond), Gone: w.GetGone()}
}

// introduce makes a process known to it that no registry lists.
func (p *Peer) introduce(ctx context.Context, m Member) error {
	if err := p.Same(ctx); err != nil {
		return err
	}
	return p.client().Introduce(ctx, &wire.Member{Owner: wireOwner(m.Owner), Addr: m.Addr, TLS: &m.TLS,
		Place: &m.Place})
}

// farewell takes it off again.
func (p *Peer) farewell(ctx context.Context, o registry.Owner) error {
	return p.client().Farewell(ctx, wireOwner(o))
}

// Ended asks it whether a process of its host is dead for certain.
func (p *Peer) Ended(ctx context.Context, o registry.Owner, place string) (bool, error) {
	return p.client().Ended(ctx, wireOwner(o), place)
}
