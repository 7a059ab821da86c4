package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc/internal/theader"
)

var (
	errServerStopped = errors.New("the server has stopped")
	errPeerClosed    = errors.New("the peer has closed the connection")
)

// pushAt is how many bytes of replies a reader gathers while calls come.
const pushAt = 64 << 10

// tlsPatience is how long a TLS handshake may take.
const tlsPatience = 5 * time.Second

// serverConn is one connection of a server. Its reader finds out what each
// call wants. Handlers that are known to be quick it runs itself, and writes
// the replies to what came together at once; all others it hands to the
// workers. When one that it runs takes long after all, another goroutine
// reads on in its place. Replies go out through the writer in whatever order
// they are ready, except to clients that need them in order: their next call
// waits until the last one is answered.
type serverConn struct {
	s     *Server
	nc    net.Conn
	group *run.Group
	pool  *workers
	base  context.Context // of handlers
	peer  string          // the other end's host:port
	addr  string          // its address, by which names are bounded
	gone  bool            // it brings no more names; guarded by Server.callers

	out     writer
	dialect dialect
	number  uint32

	// The reader's, and handed on with its part.
	in     *frameReader
	head   theader.Header
	counts map[countKey]*counted
	last   *counted
	clock  time.Time // when the last handler ended that the reader has run
	taken  int       // calls since the last read
	batch  int       // the most that came between two reads lately

	skerry atomic.Bool   // the peer knows control frames
	told   atomic.Bool   // it has been sent a goaway
	turn   chan struct{} // held by the running call of a client that needs order
	done   chan struct{} // closed with the connection

	mu      sync.Mutex
	running map[int32]*request
	closed  bool
}

// countKey is what calls of one connection are counted by.
type countKey struct {
	served *served
	method *method
	caller string
}

// counted is what a connection knows about one kind of call.
type counted struct {
	key  countKey
	cell *health.Cell // nil counts nothing
	pace pace
}

func newServerConn(ctx context.Context, s *Server, nc net.Conn, group *run.Group, pool *workers) *serverConn {
	c := &serverConn{
		s: s, nc: nc, group: group, pool: pool, base: context.WithoutCancel(ctx),
		turn: make(chan struct{}, 1), done: make(chan struct{}),
		running: map[int32]*request{}, counts: map[countKey]*counted{}, number: pool.conns.Add(1),
	}
	if a := nc.RemoteAddr(); a != nil {
		c.peer = a.String()
		c.addr = addressOf(c.peer)
	}
	tuneAccepted(nc)
	if s.cfg.TLS != nil {
		c.nc = tls.Server(&conduit{Conn: nc}, s.cfg.TLS)
	}
	c.in = newFrameReader(c.nc, s.cfg.Sizes.frames())
	c.out = newWriter(c.nc, s.cfg.Sizes.Queue, c.spawn, c.close)
	c.in.all, c.out.all = &s.requests, &s.replies
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	return c
}

func (c *serverConn) spawn(f func()) bool {
	return c.group.Go(func(context.Context) error { f(); return nil })
}

// serve begins the connection.
func (c *serverConn) serve(ctx context.Context) {
	err := c.shakeHands(ctx)
	if err == nil {
		err = c.detect()
	}
	c.read(err)
}

// read reads until the connection ends, or another goroutine does.
func (c *serverConn) read(err error) {
	for err == nil {
		fresh := !c.in.ready()
		if fresh {
			c.batch, c.taken = max(c.taken, c.batch*3/4), 0
		}
		early := c.batch <= crowd/2 && c.taken%few == 0 // the callers are to go on
		if fresh || early || c.out.pending.Load() > pushAt {
			c.out.push()
		}
		c.taken++
		c.out.wait()
		var frame string
		if frame, err = c.dialect.read(c.in); err == nil {
			if fresh {
				c.clock = c.in.filled
			}
			var relieved bool
			if relieved, err = c.receive(frame); relieved {
				return
			}
		}
	}
	c.out.push()
	c.in.release()
	c.report(err)
	c.close(err)
}

// now is a clock for the reader that need not be exact.
func (c *serverConn) now() time.Time {
	if c.clock.IsZero() {
		c.clock = time.Now()
	}
	return c.clock
}

// relieve has another goroutine read on, as the reader is held up by r.
func (c *serverConn) relieve(r *request) {
	c.mu.Lock()
	ours := r.post.CompareAndSwap(r, nil)
	if ours {
		c.running[r.seq] = r
	}
	c.mu.Unlock()
	if !ours {
		return // it has just ended
	}
	if !c.pool.group.Go(func(context.Context) error { c.succeed(r); return nil }) {
		c.close(errServerStopped)
	}
}

// succeed is what the next reader does.
func (c *serverConn) succeed(r *request) {
	now := time.Now()
	r.counted.pace.ran(now.Sub(r.began), now)
	c.read(nil)
}

func (c *serverConn) shakeHands(ctx context.Context) error {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tlsPatience)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.out.start()
	return nil
}

func (c *serverConn) detect() error {
	kind, first, err := c.in.detect()
	if err != nil {
		return err
	}
	if kind == theader.Unknown {
		return fmt.Errorf("%w: %s (% x)", theader.ErrMalformed, theader.Guess(first), first[:min(len(first), theader.Sniff)])
	}
	c.dialect = heardDialect(kind)
	return nil
}

// receive deals with one frame or message. An error ends the connection.
// relieved says that another goroutine has become the reader meanwhile.
func (c *serverConn) receive(frame string) (relieved bool, err error) {
	r := &request{conn: c, encoding: c.dialect.encoding, payload: frame, arrived: c.in.filled}
	if c.dialect.header {
		if err := c.readHead(r, frame); err != nil || r.payload == "" {
			r.lighten()
			return false, err
		}
	}
	r.hold(weight(frame))
	if err := r.begin(); err != nil {
		r.lighten()
		return false, err
	}
	if !r.unordered {
		select {
		case c.turn <- struct{}{}:
		case <-c.done:
			r.lighten()
			return false, errPeerClosed
		}
	}
	return r.admit(), nil
}

// readHead takes the frame's header apart and obeys control frames, which
// have no payload.
func (c *serverConn) readHead(r *request, frame string) (err error) {
	h := &c.head
	if r.payload, err = theader.Parse(frame, h, c.in.limits); err != nil {
		return err
	}
	if k := h.Get(keyControl); k != "" {
		r.payload = ""
		return c.control(k, h)
	}
	r.header(h)
	if r.info.Service != "" {
		c.metSkerry()
	}
	if h.Zipped {
		err = r.inflate()
	}
	if err == nil && r.payload == "" {
		err = fmt.Errorf("%w: a frame without a message", theader.ErrMalformed)
	}
	return err
}

func (c *serverConn) control(kind string, h *theader.Header) error {
	c.metSkerry()
	switch kind {
	case controlPing:
		return c.out.write(appendControl(nil, controlPong, h.Seq, 0), nil, 0)
	case controlCancel:
		seq, err := strconv.ParseInt(h.Get(keyTarget), 10, 32)
		if err != nil {
			return fmt.Errorf("%w: cancel of %q", theader.ErrMalformed, h.Get(keyTarget))
		}
		c.mu.Lock()
		r := c.running[int32(seq)]
		c.mu.Unlock()
		if r != nil {
			r.cancel()
		}
	}
	return nil // later versions may know others
}

// metSkerry notes that the peer understands control frames.
func (c *serverConn) metSkerry() {
	if !c.skerry.Load() {
		c.skerry.Store(true)
		if c.s.leaving.Load() {
			c.goaway()
		}
	}
}

func (c *serverConn) goaway() {
	if c.skerry.Load() && !c.told.Swap(true) {
		_ = c.out.write(appendControl(nil, controlGoaway, 0, 0), nil, 0)
	}
}

// bye is the last that is sent after a drain. A skerry client closes the
// connection then; for others the server does.
func (c *serverConn) bye() {
	if !c.skerry.Load() {
		c.out.push()
		c.close(errServerStopped)
		return
	}
	_ = c.out.write(appendControl(nil, controlBye, 0, 0), nil, 0)
}

// close ends the connection and the contexts of its calls.
func (c *serverConn) close(err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	running := slices.Collect(maps.Values(c.running)) // no more are added
	c.mu.Unlock()
	close(c.done)
	c.pool.posts.each(func(r *request) {
		if r.conn == c {
			running = append(running, r)
		}
	})
	c.out.stop(err)
	_ = c.nc.Close()
	for _, r := range running {
		r.ctx.end()
	}
	c.s.callers.forget(c)
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.mu.Unlock()
}

// report logs why a connection was closed, when it is the peer's doing.
func (c *serverConn) report(err error) {
	select {
	case <-c.done: // we closed it
		return
	default:
	}
	for _, ordinary := range []error{io.EOF, net.ErrClosed, errPeerClosed, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, ordinary) && !errors.Is(err, theader.ErrMalformed) {
			return
		}
	}
	c.s.failed.Add(1)
	if ok, kept := c.s.bad.may(time.Now()); ok {
		c.s.log.Warn("rpc: connection closed", "peer", c.peer, "reason", err, "unreported", kept)
	}
}

// count returns what is known about a kind of call; only the reader calls it.
func (c *serverConn) count(k countKey) *counted {
	if c.last != nil && c.last.key == k {
		return c.last
	}
	known := c.counts[k]
	if known == nil && k.caller != "" {
		k.caller = c.s.callers.name(c, k.caller)
		known = c.counts[k]
	}
	if known == nil {
		if len(c.counts) >= maxKinds {
			clear(c.counts)
		}
		known = &counted{key: k, cell: c.cell(k)}
		c.counts[k] = known
	}
	c.last = known
	return known
}

// maxKinds is how many kinds of calls a connection remembers; when there are
// more it begins anew.
const maxKinds = 128

func (c *serverConn) cell(k countKey) *health.Cell {
	if c.s.cfg.Health == nil {
		return nil
	}
	caller := k.caller
	if caller == "" {
		caller, _, _ = net.SplitHostPort(c.peer)
	}
	return c.s.cfg.Health.Cell(health.Key{
		Side: health.Server, Service: k.served.name, Method: k.method.name, Peer: caller, Version: k.served.version,
	})
}
