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

	"github.com/skerry/skerry/rpc/internal/transport"
)

// dialPause is the time after a failed dial in which calls fail with its error, without another dial.
const dialPause = 50 * time.Millisecond

// connPool holds the connections of a client to one endpoint.
type connPool struct {
	c       *Client
	ep      *Endpoint
	dialect dialect
	bad     error // why the endpoint can't be used
	path    pathWidth
	cells   cells

	shared  []sharedConn // of a skerry endpoint
	streams sharedConn   // of its streams: a full socket under them delays no call
	dropped atomic.Bool  // the client no longer sweeps it
	turn    atomic.Uint32

	mu       sync.Mutex
	all      []*clientConn // every connection that stands
	plain    plainConns    // the connections to a plain server
	failed   error         // error of the last dial; nil: it succeeded
	failedAt time.Time
	rested   bool // it had no call when the client tidied last
}

// sharedConn is the place of one shared connection.
type sharedConn struct {
	conn atomic.Pointer[clientConn]
	dial *dialing // the dial under way; nil: none; guarded by connPool.mu
}

// dialing is a connection in the making, for all calls that wait for it.
type dialing struct {
	done chan struct{}
	conn *clientConn
	err  error
}

func newConnPool(c *Client, e *Endpoint) *connPool {
	p := &connPool{c: c, ep: e}
	p.dialect, p.bad = dialectOf(e.Protocol)
	if c.cfg.Narrow {
		p.path.segment.Store(narrowSegment)
	}
	if p.dialect.shared {
		p.shared = make([]sharedConn, c.cfg.Connections)
	} else {
		p.plain = newPlainConns(e)
	}
	return p
}

// acquire returns a connection for one call; release must follow. It waits for a new connection for
// at most patience; 0 means until ctx ends.
func (p *connPool) acquire(ctx context.Context, patience time.Duration) (*clientConn, error) {
	switch {
	case p.bad != nil:
		return nil, p.bad
	case !p.dialect.shared:
		return p.acquirePlain(ctx, patience)
	}
	lane := &p.shared[0]
	if n := uint32(len(p.shared)); n > 1 {
		lane = &p.shared[p.turn.Add(1)%n]
	}
	if l := lane.conn.Load(); l != nil && l.alive() {
		return l, nil
	}
	return p.connect(ctx, lane, patience)
}

// acquireStreams is acquire for a stream.
func (p *connPool) acquireStreams(ctx context.Context, patience time.Duration) (*clientConn, error) {
	if p.bad != nil {
		return nil, p.bad
	}
	if l := p.streams.conn.Load(); l != nil && l.alive() {
		return l, nil
	}
	return p.connect(ctx, &p.streams, patience)
}

// connect makes the shared connection, or waits for the call that is making it.
func (p *connPool) connect(ctx context.Context, on *sharedConn, patience time.Duration) (*clientConn, error) {
	p.mu.Lock()
	if l := on.conn.Load(); l != nil && l.alive() {
		p.mu.Unlock()
		return l, nil
	}
	if p.failed != nil && time.Since(p.failedAt) < dialPause {
		err := p.failed
		p.mu.Unlock()
		return nil, fmt.Errorf("%w (less than %v ago)", err, dialPause)
	}
	d := on.dial
	if d == nil {
		d = &dialing{done: make(chan struct{})}
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
		return d.conn, d.err
	case <-late:
		return nil, fmt.Errorf("no connection in %v", patience.Round(time.Millisecond))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *connPool) dial(on *sharedConn, d *dialing) {
	d.conn, d.err = p.open(p.c.ctx, 0)
	p.mu.Lock()
	on.dial = nil
	p.failed, p.failedAt = d.err, time.Now()
	if d.err == nil {
		on.conn.Store(d.conn)
	}
	p.mu.Unlock()
	close(d.done)
}

// open makes a connection and reports the result to the watcher.
func (p *connPool) open(caller context.Context, patience time.Duration) (*clientConn, error) {
	l, err := p.attempt(transport.WithSegment(caller, int(p.path.segment.Load())), patience)
	if err == nil {
		l.proven.Store(true)
		p.c.watch.Up(p.ep)
	}
	return l, err
}

// attempt is open that reports only a failure: a probe does not make the endpoint good.
func (p *connPool) attempt(caller context.Context, patience time.Duration) (*clientConn, error) {
	limit := p.c.cfg.ConnectTimeout
	if patience > 0 {
		limit = min(limit, patience)
	}
	ctx, cancel := transport.WithOpenDeadline(caller, limit)
	defer cancel()
	l, err := p.establish(ctx)
	if err == nil {
		return l, nil
	}
	if caller.Err() == nil { // otherwise the caller's time was over
		p.c.watch.Down(p.ep, true, err)
	}
	return nil, err
}

func (p *connPool) establish(ctx context.Context) (*clientConn, error) {
	nc, err := p.c.dialNet(ctx, p.ep)
	if err != nil {
		return nil, err
	}
	l := newClientConn(p, nc)
	p.mu.Lock()
	p.all = append(p.all, l)
	p.mu.Unlock()
	if !p.c.spawn(l.runReader) {
		l.fail(errClientClosed)
		return nil, errClientClosed
	}
	if !p.dialect.shared {
		return l, nil
	}
	// The kernel connects even if the process is frozen or accepts nothing. So only an answer
	// proves a server, and it must be the intended one. Nothing that could be executed has been
	// sent until then.
	if err := l.greet(ctx); err != nil {
		var refused *net.OpError
		switch {
		case errors.Is(err, ErrOther):
		case p.ep.Site && errors.As(err, &refused) && refused.Op == "remote error":
			err = fmt.Errorf(
				"%s does not take this process for one of its site; give both the same site key and cluster: %w",
				p.ep.Addr,
				err,
			)
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
	errClientClosed = transport.ErrDialStopped
)

// connEnded is called once by each connection that has ended.
func (p *connPool) connEnded(l *clientConn, err error) {
	p.mu.Lock()
	if i := slices.Index(p.all, l); i >= 0 {
		p.all = slices.Delete(p.all, i, i+1)
	}
	p.plain.remove(l)
	p.mu.Unlock()
	err = p.noteSilence(err)
	ours := errors.Is(err, errUnused) || errors.Is(err, errTimedOut) || errors.Is(err, errClientClosed)
	if l.proven.Load() && !ours {
		p.c.watch.Down(p.ep, false, err)
	}
}

// abandonedTwice reports whether the endpoint is retired, and has no call now and had none when it was
// last tidied. Once is not enough: a call may have picked the endpoint before it was retired, and take
// a connection only now.
func (p *connPool) abandonedTwice() bool {
	rests := p.ep.gone.Load() && p.ep.Pending() == 0
	p.mu.Lock()
	defer p.mu.Unlock()
	rests = rests && p.plain.used == 0
	before := p.rested
	p.rested = rests
	return rests && before
}

// standing returns a copy of the standing connections.
func (p *connPool) standing() []*clientConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// size returns how many connections stand.
func (p *connPool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

// verifySites ends site connections that the present keys do not prove.
func (p *connPool) verifySites() {
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
func (p *connPool) check(ctx context.Context) error {
	switch {
	case p.bad != nil && p.ep.Protocol != protocolHTTP:
		return p.bad
	case !p.dialect.shared:
		return p.pingPlain(ctx)
	case p.path.doubted.Load():
		return p.probeFull(ctx)
	}
	if l := p.shared[0].conn.Load(); l != nil && l.alive() {
		asking, cancel := context.WithTimeout(ctx, p.c.cfg.ConnectTimeout)
		defer cancel()
		err := l.ping(asking)
		if err != nil && ctx.Err() == nil {
			p.path.doubted.Store(true)
		}
		return err
	}
	_, err := p.connect(ctx, &p.shared[0], 0)
	return err
}
