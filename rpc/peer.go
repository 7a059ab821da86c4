package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const dialPause = 50 * time.Millisecond // after a failed dial, during which calls get its error

// peer is everything that a client has for one endpoint.
type peer struct {
	c       *Client
	ep      *Endpoint
	dialect dialect
	bad     error // the endpoint can't be used
	width   width
	cells   cells

	lanes []lane // of a skerry endpoint
	turn  atomic.Uint32

	mu       sync.Mutex
	links    []*link   // all that stand
	plain    plainPool // of connections to a plain server
	failed   error     // of the last dial
	failedAt time.Time
}

// lane is one of the shared connections.
type lane struct {
	link atomic.Pointer[link]
	dial *dial // under way; guarded by peer.mu
}

// dial is a connection in the making, for all who wait for it.
type dial struct {
	done chan struct{}
	link *link
	err  error
}

func newPeer(c *Client, e *Endpoint) *peer {
	p := &peer{c: c, ep: e}
	p.dialect, p.bad = dialectOf(e.Protocol)
	if c.cfg.Narrow {
		p.width.segment.Store(narrowSegment)
	}
	if p.dialect.shared {
		p.lanes = make([]lane, c.cfg.Connections)
	} else {
		p.plain = newPlainPool(e.Concurrency)
	}
	return p
}

// acquire returns a link for one call; release must follow. The call waits for
// a new one for as long as its patience lasts; 0 means to its end.
func (p *peer) acquire(ctx context.Context, patience time.Duration) (*link, error) {
	switch {
	case p.bad != nil:
		return nil, p.bad
	case !p.dialect.shared:
		return p.take(ctx, patience)
	}
	lane := &p.lanes[0]
	if n := uint32(len(p.lanes)); n > 1 {
		lane = &p.lanes[p.turn.Add(1)%n]
	}
	if l := lane.link.Load(); l != nil && l.alive() {
		return l, nil
	}
	return p.connect(ctx, lane, patience)
}

// connect makes the lane's link, or waits for whoever is making it.
func (p *peer) connect(ctx context.Context, on *lane, patience time.Duration) (*link, error) {
	p.mu.Lock()
	if l := on.link.Load(); l != nil && l.alive() {
		p.mu.Unlock()
		return l, nil
	}
	if p.failed != nil && time.Since(p.failedAt) < dialPause {
		err := p.failed
		p.mu.Unlock()
		return nil, fmt.Errorf("%w (%v ago)", err, dialPause)
	}
	d := on.dial
	if d == nil {
		d = &dial{done: make(chan struct{})}
		on.dial = d
		if !p.c.spawn(func() { p.dial(on, d) }) {
			on.dial = nil
			p.mu.Unlock()
			return nil, errClientClosed
		}
	}
	p.mu.Unlock()
	var late <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-d.done:
		return d.link, d.err
	case <-late:
		return nil, fmt.Errorf("no connection in %v", patience.Round(time.Millisecond))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *peer) dial(on *lane, d *dial) {
	d.link, d.err = p.open(p.c.ctx, 0)
	p.mu.Lock()
	on.dial = nil
	p.failed, p.failedAt = d.err, time.Now()
	if d.err == nil {
		on.link.Store(d.link)
	}
	p.mu.Unlock()
	close(d.done)
}

// open makes a link, tells the watcher how that went, and lets it receive.
func (p *peer) open(caller context.Context, patience time.Duration) (*link, error) {
	l, err := p.attempt(withSegment(caller, int(p.width.segment.Load())), patience)
	if err == nil {
		l.up.Store(true)
		p.c.watch.Up(p.ep)
	}
	return l, err
}

// attempt makes a link of which the watcher is told only if there is none.
func (p *peer) attempt(caller context.Context, patience time.Duration) (*link, error) {
	limit := p.c.cfg.ConnectTimeout
	if patience > 0 {
		limit = min(limit, patience)
	}
	ctx, cancel := forOpening(caller, limit)
	defer cancel()
	l, err := p.establish(ctx)
	if err == nil {
		return l, nil
	}
	if caller.Err() == nil { // otherwise it is the caller who had no time
		p.c.watch.Down(p.ep, true, err)
	}
	return nil, err
}

func (p *peer) establish(ctx context.Context) (*link, error) {
	nc, err := p.c.dialNet(ctx, p.ep)
	if err != nil {
		return nil, err
	}
	l := newLink(p, nc)
	p.mu.Lock()
	p.links = append(p.links, l)
	p.mu.Unlock()
	if !p.c.spawn(l.reside) {
		l.fail(errClientClosed)
		return nil, errClientClosed
	}
	if !p.dialect.shared {
		return l, nil
	}
	// A frozen process, or a backlog that nobody accepts from, connects too:
	// only an answer proves a server. Until then nothing has been sent that
	// could be executed. It must also be the one that was meant.
	if err := l.greet(ctx); err != nil {
		var refused *net.OpError
		switch {
		case errors.Is(err, ErrOther):
		case p.ep.Site && errors.As(err, &refused) && refused.Op == "remote error":
			err = fmt.Errorf("%s does not take this process for one of its site; give both the same site key and cluster: %w", p.ep.Addr, err)
		default:
			err = fmt.Errorf("connected to %s, but it does not answer as a skerry server: %w", p.ep.Addr, err)
		}
		l.fail(err)
		return nil, err
	}
	return l, nil
}

var (
	errUnused       = errors.New("not needed any more")
	errClientClosed = errors.New("the client is closed")
)

// lost is told once by each link that has ended.
func (p *peer) lost(l *link, err error) {
	p.mu.Lock()
	if i := slices.Index(p.links, l); i >= 0 {
		p.links = slices.Delete(p.links, i, i+1)
	}
	p.plain.lost(l)
	p.mu.Unlock()
	err = p.doubt(err)
	ours := errors.Is(err, errUnused) || errors.Is(err, errTimedOut) || errors.Is(err, errClientClosed)
	if l.up.Load() && !ours {
		p.c.watch.Down(p.ep, false, err)
	}
}

// standing is a copy of the links that stand.
func (p *peer) standing() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.links)
}

// reconsider ends site connections that the keys of now do not prove.
func (p *peer) reconsider() {
	for _, l := range p.standing() {
		if l.trust == nil {
			continue
		}
		if err := l.trust.holds(); err != nil {
			l.fail(err)
		}
	}
}

// check finds out whether the endpoint answers now.
func (p *peer) check(ctx context.Context) error {
	switch {
	case p.bad != nil && p.ep.Protocol != protocolHTTP:
		return p.bad
	case !p.dialect.shared:
		return p.ask(ctx)
	case p.width.doubted.Load():
		return p.probe(ctx)
	}
	if l := p.lanes[0].link.Load(); l != nil && l.alive() {
		asking, cancel := context.WithTimeout(ctx, p.c.cfg.ConnectTimeout)
		defer cancel()
		err := l.ping(asking)
		if err != nil && ctx.Err() == nil {
			p.width.doubted.Store(true)
		}
		return err
	}
	_, err := p.connect(ctx, &p.lanes[0], 0)
	return err
}
