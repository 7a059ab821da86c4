package rpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// stopPolling runs once, with the first server of the process. Generated processors poll the
// connection every 5 ms, in a goroutine for each call. A Server knows the state of the connection
// without polling and cancels the call's context, so polling is off for the whole process.
var stopPolling = sync.OnceFunc(func() { thrift.ServerConnectivityCheckInterval = 0 })

// ServerConfig configures a Server. The zero value is usable.
type ServerConfig struct {
	Instance string      // this instance's address, sent in replies; "": it is not sent
	TLS      *tls.Config // every connection must be TLS, with client certificates by ClientAuth; nil: plain TCP
	Site     Site        // takes site connections on the same port; nil: none are taken
	Identity Identity    // of this process, for new skerry clients

	// Member judges a peer without a site connection. It returns nil when the peer counts as a
	// process of the site, else an error that says which proof is missing. nil: no such peer counts.
	Member func(PeerInfo) error

	// CountClear and RefuseClear are for users' calls in the clear: neither by a site connection nor by
	// TLS. CountClear counts them and logs one a minute. RefuseClear does so too, and refuses them
	// unexecuted as NotSealed. With neither, they are served like other calls.
	CountClear, RefuseClear bool

	MaxConns     int   // connections at a time, after their handshake; 0 means 20,000
	MaxCalls     int   // calls that run at a time; more are refused as Overloaded; 0 means 10,000
	MaxConnCalls int   // calls of one connection that run at a time; 0 means 2,000
	Sizes        Sizes // of requests and of bytes that wait to be written
	Streams      StreamLimits
	Unordered    bool // plain clients match replies by sequence numbers, so their calls run side by side

	// Login, with HandleUnknown, judges the token of skerry.login, which must then be the first
	// call of each connection. nil: no login is needed.
	Login func(token string) error

	Interceptors []ServerInterceptor // around every handler, the first one outermost
	Health       *health.Recorder    // nil counts nothing
	Recent       *recent.Recorder    // remembers the calls of the last minutes; nil: nothing does
	Spans        *spans.Recorder     // keeps spans of slow, failed and sampled calls; nil: nothing does
	Logger       *slog.Logger        // nil means slog.Default()

	// Also reports whether a registry lists the process at this address with a further version of a
	// service. Callers that ask for that version are then served, too. nil: there is none.
	Also func(service, version string) bool

	// Listed reports whether a registry lists a service. A caller that names such a service as its
	// own is counted under that name, whatever the number of names. nil: none is listed.
	Listed func(service string) bool

	// Policy is the site's policy: access and limits are checked before a call runs, except for calls of
	// internal services. Host is the name of this host for it. nil: there is none.
	Policy SitePolicy
	Host   string

	// Rollout is this process's part in releases: every call is checked by the rules of its token
	// and counted. Callers push rules that this process lacks (RuleExchange), so the server must
	// then serve a service that accepts them from every caller. nil: tokens are ignored.
	Rollout       *participant.Agent
	Entry         func(service, method string) bool // methods that begin a trace for a call without one; nil: none
	RefuseOrphans bool                              // refuse other calls without a token; false only counts them
}

// Server serves Thrift services to skerry clients and to plain Thrift clients
// on one port. It is safe for concurrent use.
type Server struct {
	cfg               ServerConfig
	log               *slog.Logger
	routes            routes
	closeLog          logLimit
	memberLog         logLimit // of calls that are for members only
	olderLog          logLimit // of calls of processes before 0.2
	clearLog          logLimit // of calls without encryption
	requests, replies transport.ByteBudget
	decodeLimits      decodeLimits     // of the elements of a request
	tls               *tls.Config      // nil: the port has no TLS
	handshakes        *transport.Turns // bounds the handshakes that compute at a time
	internal          internalLimit
	callers           callers
	gates             policyGates
	denied            deniedCalls
	foreign           foreignGates
	begun             time.Time
	unknown           *served // of HandleUnknown; nil: none

	streams     streamMemory
	streamCount atomic.Int64 // open streams, which running counts, too

	running atomic.Int64 // calls that were accepted and are not answered

	// alone holds the running one-way calls after their connection has ended: *serverCall → func() bool,
	// which keeps the end of Serve from ending the call.
	alone sync.Map

	leaving   atomic.Bool
	handover  atomic.Bool
	accepts   atomic.Int32 // listeners that accept connections
	draining  atomic.Bool
	idle      idleEvents    // wakes goroutines when calls, connections or listeners have ended
	drained   chan struct{} // closed when Drain has closed everything
	drainOnce sync.Once     // closes drained

	mu        sync.Mutex
	conns     map[*serverConn]struct{}
	stages    connStages
	listeners map[net.Listener]struct{}

	accepted, refused, failed                 atomic.Int64
	madeRoom, badHandshakes, outsiders, older atomic.Int64
	inClear                                   atomic.Int64
}

// ServerStats are counts of a server: present numbers, and totals since it was made.
type ServerStats struct {
	Connections int // after their handshake
	Handshakes  int // connections in their TLS handshake
	Members     int // connections of processes of the site
	Running     int // calls and streams
	Streams     int // open

	Accepted  int64 // connections
	Refused   int64 // calls that were not executed: overload, draining, no such service
	BadPeers  int64 // connections that the server closed for their content, or because there were too many
	MadeRoom  int64 // the part of BadPeers that made room for other connections
	BadShakes int64 // the part of BadPeers that failed in the TLS handshake
	Outsiders int64 // refused calls of internal services by peers that are not members of the site
	Older     int64 // refused calls of processes that run skerry before 0.2
	InClear   int64 // users' calls without encryption, served or refused; 0 without CountClear and RefuseClear
}

// NewServer makes a server without services. It does no I/O. It sets
// thrift.ServerConnectivityCheckInterval to 0 in the whole process.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.MaxConns < 0 || cfg.MaxCalls < 0 || cfg.MaxConnCalls < 0 {
		return nil, errors.New(
			"rpc server: MaxConns, MaxCalls and MaxConnCalls must not be negative (0 means the default)",
		)
	}
	stopPolling()
	cfg.MaxConns = cmp.Or(cfg.MaxConns, 20_000)
	cfg.MaxCalls = cmp.Or(cfg.MaxCalls, 10_000)
	cfg.MaxConnCalls = cmp.Or(cfg.MaxConnCalls, 2_000)
	cfg.Sizes = cfg.Sizes.withDefaults()
	s := &Server{
		tls:        serverTLS(cfg.TLS, cfg.Site),
		handshakes: transport.NewTurns(4 * runtime.GOMAXPROCS(0)),
		stages:     newConnStages(cfg.MaxConns),
		memberLog:  logLimit{every: logInternalEvery},
		olderLog:   logLimit{every: logInternalEvery},
		clearLog:   logLimit{every: logInternalEvery},
		closeLog:   logLimit{every: time.Second},
		cfg:        cfg,
		log:        cfg.Logger,
		begun:      time.Now(),
		drained:    make(chan struct{}),
		conns:      map[*serverConn]struct{}{},
		listeners:  map[net.Listener]struct{}{},
	}
	s.callers.listed = cfg.Listed
	s.streams.init(cfg.Streams)
	s.requests.Limit, s.replies.Limit = int64(cfg.Sizes.Requests), int64(cfg.Sizes.Replies)
	s.decodeLimits = newDecodeLimits(&s.requests, cfg.Sizes.Frame)
	if s.log == nil {
		s.log = slog.Default()
	}
	return s, nil
}

// Handle serves a service from now on. Replies carry version. A name can be served once at a time.
// remove removes the service. Running calls then go on, and later ones are refused: for ten minutes
// as Draining, like those of a stopping server, and then as UnknownService.
func (s *Server) Handle(service, version string, p thrift.TProcessor) (remove func(), err error) {
	return s.handle(&served{name: service, version: version, processor: p})
}

func (s *Server) handle(v *served) (remove func(), err error) {
	if p := v.processor; p != nil {
		v.methods = methodsOf(p)
		if streams, ok := p.(*StreamProcessor); ok {
			v.streams = streams.methods
		}
	}
	v.makeAdmissions(&s.cfg)
	return s.routes.add(v)
}

// Stats counts connections and calls.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	standing, shaking, members := s.stages.standing(), s.stages.handshakes.n, 0
	for c := range s.conns {
		if !c.info.Load().outside() {
			members++
		}
	}
	s.mu.Unlock()
	return ServerStats{
		Connections: standing,
		Handshakes:  shaking,
		Members:     members,
		MadeRoom:    s.madeRoom.Load(),
		BadShakes:   s.badHandshakes.Load(),
		Outsiders:   s.outsiders.Load(),
		Older:       s.older.Load(),
		InClear:     s.inClear.Load(),
		Running:     int(s.running.Load()),
		Streams:     int(s.streamCount.Load()),
		Accepted:    s.accepted.Load(),
		Refused:     s.refused.Load(),
		BadPeers:    s.failed.Load(),
	}
}

// stopWait is how long Serve waits for handlers after their contexts have ended.
const stopWait = 5 * time.Second

// Serve serves the connections of l until ctx ends, Drain has finished, or l fails; it closes l.
// When ctx ends, it closes the connections and ends the contexts of running handlers. A handler
// that runs for 5 s more is left behind and reported in the error. For a polite stop call Leave and
// Drain first.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conns := run.NewGroup(context.WithoutCancel(ctx))
	pool := newWorkers(context.WithoutCancel(ctx))
	s.listen(l, true)
	stop := context.AfterFunc(ctx, func() {
		s.listen(l, false)
		s.closeConns(conns)
	})
	if s.cfg.Rollout != nil {
		conns.Go(s.followRules)
	}
	s.accepts.Add(1)
	err := s.accept(ctx, l, conns, pool)
	s.accepts.Add(-1)
	s.idle.announce()
	if s.draining.Load() || s.handover.Load() {
		select {
		case <-s.drained:
		case <-ctx.Done():
		}
	}
	cancel()
	stop()
	s.listen(l, false)
	s.closeConns(conns) // includes connections that were accepted while ctx ended
	return errors.Join(err, conns.Stop(), s.stopWorkers(pool))
}

// stopWorkers joins the workers, unless a handler does not return.
func (s *Server) stopWorkers(pool *workers) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	if s.idle.await(ctx, s.noCalls) != nil {
		return fmt.Errorf("rpc server: %d handlers still run %v after their contexts have ended; they are left behind",
			s.running.Load(), stopWait)
	}
	return pool.group.Stop()
}

func (s *Server) listen(l net.Listener, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.listeners[l] = struct{}{}
		return
	}
	delete(s.listeners, l)
	_ = l.Close()
}

// accept takes connections until the listener is closed. It tries again after an error, because a
// lack of file descriptors or memory passes.
func (s *Server) accept(ctx context.Context, l net.Listener, conns *run.Group, pool *workers) error {
	var backoff run.Backoff
	for waited := true; ; {
		nc, err := l.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed), ctx.Err() != nil:
			return nil
		case s.handover.Load() && errors.Is(err, os.ErrDeadlineExceeded):
			// This goroutine may have had no chance to run before the deadline, so connections may wait.
			if waited && !transport.ConnWaits(l) {
				return nil
			}
			waited = true
			acceptFor(l, acceptWait)
			continue
		default:
			s.log.Warn("rpc: accept failed, trying again", "listener", l.Addr().String(), "err", err)
			if backoff.Wait(ctx) != nil {
				return nil
			}
			continue
		}
		waited = false
		backoff.Reset()
		s.accepted.Add(1)
		c := newServerConn(ctx, s, nc, conns, pool)
		if !pool.group.Go(func(ctx context.Context) error { c.serve(ctx); return nil }) {
			c.close(errServerStopped)
		}
	}
}
