package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

var (
	errServerStopped = errors.New("the server has stopped")
	errPeerClosed    = errors.New("the peer has closed the connection")
)

// trustCheckEvery is the interval of checking the keys behind a site connection.
const trustCheckEvery = time.Second

// serverConn is one connection of a server. Its reader runs handlers that are known to be quick and
// gives all others to the workers. When an inline run takes long, another goroutine reads on. When
// several calls have come together, the reader writes their replies together.
//
// Replies leave in the order in which they are ready. A client that needs its replies in order is
// served one call at a time.
type serverConn struct {
	s         *Server
	wire      net.Conn // below TLS; else nc
	group     *run.Group
	workers   *workers
	base      context.Context // of handlers
	serving   context.Context // of Serve
	peer      string          // the other end's host:port
	addr      string          // the address by which callers bounds names
	forgotten bool            // callers has dropped it; guarded by callers.mu
	source    netip.Addr      // the address by which connections and log lines are counted
	info      atomic.Pointer[PeerInfo]

	nc      net.Conn         // set by begin
	out     transport.Writer // set by begin
	dialect dialect
	number  uint32

	// Owned by the reader, and passed to the next one.
	in           *transport.Reader
	head         theader.Header
	counts       map[countKey]*counted
	last         *counted
	routed       lastRoute
	clock        time.Time    // end of the last handler that the reader has run
	taken        int          // messages since the last read of the socket
	batch        int          // the largest number of messages between two recent reads
	proven       bool         // a message was completed
	unordered    bool         // its client takes replies in any order, without a header that says so
	loggedIn     bool         // skerry.login has been called, or is not needed
	clear        bool         // it is not encrypted, and CountClear or RefuseClear is set
	trust        *siteTrust   // of a site connection
	trustChecked time.Time    // when it was last checked
	hello        *greeting    // the client's; nil: it has sent none
	answered     *greeting    // the server's answer
	facts        *callerFacts // of hello; nil: none
	itemHead     *replyHead   // of the latest item of a stream; nil: none has come
	lane         *streamLane  // writes for streams; nil: there was none

	streamCount atomic.Int32

	skerry     atomic.Bool   // the peer knows control frames
	goawaySent atomic.Bool   // it has been sent a goaway
	ordered    chan struct{} // holds one element while a call runs for a client that needs its replies in order
	done       chan struct{} // closed with the connection

	mu        sync.Mutex
	running   map[int32]*serverCall
	sentWaits []*sentWait
	idle      chan struct{} // closed when no call runs; nil: no goroutine waits
	begun     bool          // nc and out are set
	closed    bool

	// Guarded by Server.mu.
	stage  stage
	listed censusPlace
}

func newServerConn(ctx context.Context, s *Server, nc net.Conn, group *run.Group, pool *workers) *serverConn {
	c := &serverConn{
		s: s, wire: nc, nc: nc, group: group, workers: pool, serving: ctx, base: context.WithoutCancel(ctx),
		ordered: make(chan struct{}, 1), done: make(chan struct{}),
		running: map[int32]*serverCall{}, counts: map[countKey]*counted{}, number: pool.conns.Add(1),
	}
	if a := nc.RemoteAddr(); a != nil {
		c.peer = a.String()
		c.addr = addressOf(c.peer)
	}
	transport.TuneAccepted(nc)
	info := PeerInfo{Addr: addrOf(nc.RemoteAddr())}
	c.source = sourceOf(info.Addr.Addr())
	c.setInfo(info)
	c.unordered, c.loggedIn = s.cfg.Unordered, s.cfg.Login == nil
	c.in = transport.NewReader(nc, s.cfg.Sizes.frames(), &s.requests)
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	return c
}

// setInfo stores the peer's description.
func (c *serverConn) setInfo(info PeerInfo) {
	info.Member = info.Site || c.s.cfg.Member != nil && c.s.cfg.Member(info) == nil
	c.info.Store(&info)
}

func (c *serverConn) spawn(f func()) bool {
	return c.group.Go(func(context.Context) error { f(); return nil })
}

// serve runs the connection.
func (c *serverConn) serve(ctx context.Context) {
	c.read(c.open(ctx))
}

// open makes the TLS handshake where there is one, and finds out the peer's protocol.
func (c *serverConn) open(ctx context.Context) error {
	if c.s.cfg.TLS != nil {
		if err := c.s.move(c, stageHandshake); err != nil {
			return err
		}
		if err := c.encrypt(ctx, nil); err != nil {
			return err
		}
		return c.detect()
	}
	if err := c.s.move(c, stageFresh); err != nil {
		return err
	}
	kind, first, err := c.in.Detect()
	switch {
	case err != nil:
		return err
	case c.s.tls != nil && transport.IsClientHello(first):
		first = bytes.Clone(first[:min(len(first), siteShake+1)]) // one byte over the limit fails in the handshake
		c.in.Release()
		if err := c.s.move(c, stageHandshake); err != nil {
			return err
		}
		if err := c.encrypt(ctx, first); err != nil {
			return err
		}
		return c.detect()
	}
	if err := c.begin(c.wire); err != nil {
		return err
	}
	return c.speak(kind, first)
}

// begin prepares the connection for messages, over TLS when nc is a TLS connection.
func (c *serverConn) begin(nc net.Conn) error {
	if nc != c.wire {
		if err := c.s.move(c, stageFresh); err != nil {
			return err
		}
		c.in = transport.NewReader(nc, c.s.cfg.Sizes.frames(), &c.s.requests)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errPeerClosed
	}
	c.nc = nc
	c.clear = nc == c.wire && (c.s.cfg.CountClear || c.s.cfg.RefuseClear)
	c.out = transport.NewWriter(nc, c.s.cfg.Sizes.Queue, &c.s.replies, c.spawn, c.close)
	c.out.Start()
	c.begun = true
	return nil
}

// hasBegun reports whether the connection can carry messages.
func (c *serverConn) hasBegun() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun
}

func (c *serverConn) detect() error {
	kind, first, err := c.in.Detect()
	if err != nil {
		return err
	}
	return c.speak(kind, first)
}

// speak continues the connection in the protocol of its first bytes.
func (c *serverConn) speak(kind theader.Kind, first []byte) error {
	if kind == theader.Unknown {
		return fmt.Errorf(
			"%w: %s (% x)",
			theader.ErrMalformed,
			theader.Guess(first),
			first[:min(len(first), theader.Sniff)],
		)
	}
	c.dialect = dialectOfKind(kind)
	return nil
}

// metSkerry records that the peer understands control frames.
func (c *serverConn) metSkerry() {
	if !c.skerry.Load() {
		c.skerry.Store(true)
		if c.s.leaving.Load() {
			c.goaway()
		}
	}
}

func (c *serverConn) goaway() {
	if c.skerry.Load() && !c.goawaySent.Swap(true) {
		_ = c.out.Send(appendControl(nil, controlGoaway, 0, 0), nil, 0)
	}
}

// bye tells a skerry client that every accepted call is answered; the client then closes the
// connection. For other clients the server closes it.
func (c *serverConn) bye() {
	if !c.skerry.Load() {
		if c.hasBegun() {
			c.out.Flush()
		}
		c.close(errServerStopped)
		return
	}
	_ = c.out.Send(appendControl(nil, controlBye, 0, 0), nil, 0)
}

// close ends the connection and the contexts of its calls.
func (c *serverConn) close(err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	nc, begun := c.nc, c.begun
	running := slices.Collect(maps.Values(c.running)) // no more are added
	c.mu.Unlock()
	close(c.done)
	c.workers.inline.each(func(r *serverCall) {
		if r.conn == c {
			running = append(running, r)
		}
	})
	if begun {
		c.out.Stop(err)
	}
	_ = nc.Close()
	for _, r := range running {
		r.connectionEnded(err)
	}
	c.s.callers.forget(c)
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.stages.leave(c)
	c.s.mu.Unlock()
	c.s.idle.announce()
}

// ordinaryEnds are the errors of connections that the peer has closed.
var ordinaryEnds = []error{
	io.EOF, net.ErrClosed, errPeerClosed, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE,
}

// report logs why a connection was closed, when the peer caused it.
func (c *serverConn) report(err error) {
	select {
	case <-c.done: // this server closed it
		return
	default:
	}
	for _, ordinary := range ordinaryEnds {
		if errors.Is(err, ordinary) && !errors.Is(err, theader.ErrMalformed) {
			return
		}
	}
	c.s.logClose(c, err)
}
