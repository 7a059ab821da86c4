package rpc

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// ClientConfig configures a Client. Only Resolver must be set.
type ClientConfig struct {
	Resolver Resolver
	Watcher  Watcher // learns the state of connections; nil: none
	Caller   string  // the service of this process, for servers; "": servers see none

	// Facts describes this process's instance of Caller when it connects, for the policies of servers. They
	// are claims, like Caller. nil: none.
	Facts func() (zone, version string, tags map[string]string)

	TLS        *tls.Config        // for endpoints with TLS set; an empty ServerName means the endpoint's host
	TLSNow     func() *tls.Config // instead of TLS, called for each connection; its result is not changed
	RequireTLS bool               // with TLS: endpoints without it are not called
	Site       Site               // makes the connections to endpoints with Site set
	Identity   Identity           // what servers learn of this process

	// Vouch checks each new connection to an endpoint with an Announcer, before
	// anything is sent: it asks whether the process that lists the endpoint runs
	// now. An error means that another process may have the address; it wraps
	// ErrOther. nil: no connection is checked.
	Vouch func(ctx context.Context, e *Endpoint) error

	// ConnectTimeout bounds TCP, TLS and the first answer together. It grows by six
	// times the duration of the TCP handshake, so that a slow network has time for
	// the rest. 0 means 500 ms.
	ConnectTimeout time.Duration
	Connections    int   // to each skerry endpoint, for calls; 0 means 1. Streams have one more
	Narrow         bool  // sends small packets only, which pass every path; for small messages that must arrive
	Sizes          Sizes // of messages and of bytes that wait to be written
	Streams        StreamLimits

	Interceptors []ClientInterceptor // around every call of every service, the first one outermost
	Health       *health.Recorder    // nil counts nothing
	Recent       *recent.Recorder    // remembers the calls of the last minutes; nil: nothing does
	Spans        *spans.Recorder     // keeps spans of slow, failed and sampled calls; nil: nothing does
	Logger       *slog.Logger        // nil means slog.Default()

	// Rollout is this process's part in releases. Calls carry the tokens of their traces and reach
	// only the versions that the tokens name. nil: calls carry none.
	Rollout       *participant.Agent
	Rules         RuleExchange // with Rollout; nil: a call fails when one side lacks rules of the other
	RefuseOrphans bool         // with Rollout: refuse calls outside any trace; false only counts them

	// Policy returns the site's policy in force. It is asked once for each call, and must not block.
	// Calls of the framework's own services do not obey it. nil: there is none.
	Policy func() *policy.Table
	// Self holds what conditions of the policy can name of this process: version, zone and tags of the
	// caller.
	Self policy.Request

	// Reach is the address, host:port, by which this host connects to an endpoint.
	// It is called for each connection. nil: Endpoint.Addr.
	Reach func(e *Endpoint) string

	// Dial replaces the TCP dialler, for tests and tunnels. The client puts TLS on top of its
	// result.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// Client calls services. Its connections are made when calls need them, and
// shared by all services' clients. It is safe for concurrent use.
type Client struct {
	cfg          ClientConfig
	watch        Watcher
	rules        RuleExchange
	ctx          context.Context // ends with Close
	cancel       context.CancelFunc
	group        *run.Group
	sweeper      sweeper
	start        time.Time
	pools        sync.Map             // *Endpoint → *connPool
	replies      transport.ByteBudget // of decoded replies
	decodeLimits decodeLimits         // of the elements of a reply
	route        func(service string, t rollout.Token) (version string, by rollout.Strategy, ok bool, err error)
	sweeps       sync.Once
	forks        forkLog
	copies       copying
	streams      streamMemory

	exchanges exchanges
}

// NewClient makes a client without connections. Close it when it is no
// longer needed.
func NewClient(cfg ClientConfig) (*Client, error) {
	switch {
	case cfg.Resolver == nil:
		return nil, errors.New(
			"rpc client: Resolver is missing; use package discovery's, or rpc.Static for a known address",
		)
	case cfg.ConnectTimeout < 0:
		return nil, fmt.Errorf(
			"rpc client: ConnectTimeout is %v; it must not be negative (0 means 500ms)",
			cfg.ConnectTimeout,
		)
	case cfg.Connections < 0:
		return nil, fmt.Errorf("rpc client: Connections is %d; it must not be negative (0 means 1)", cfg.Connections)
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 500*time.Millisecond)
	cfg.Connections = cmp.Or(cfg.Connections, 1)
	cfg.Sizes = cfg.Sizes.withDefaults()
	c := &Client{cfg: cfg, watch: cfg.Watcher, start: time.Now()}
	c.replies.Limit = int64(cfg.Sizes.Requests)
	c.decodeLimits = newDecodeLimits(&c.replies, cfg.Sizes.Frame)
	c.streams.init(cfg.Streams)
	if c.cfg.Logger == nil {
		c.cfg.Logger = slog.Default()
	}
	c.sweeper.wake = make(chan struct{}, 1)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.group = run.NewGroup(c.ctx)
	if agent := cfg.Rollout; agent != nil {
		c.route = func(service string, t rollout.Token) (string, rollout.Strategy, bool, error) {
			return agent.Log().Route(service, t)
		}
	}
	if c.watch == nil {
		c.watch = noWatcher{}
	}
	if c.rules = cfg.Rules; c.rules == nil {
		c.rules = noRules{}
	}
	return c, nil
}

// noWatcher is the Watcher of a client without one.
type noWatcher struct{}

func (noWatcher) Down(*Endpoint, bool, error) {}
func (noWatcher) Up(*Endpoint)                {}
func (noWatcher) Leaving(*Endpoint)           {}

// Close breaks every connection, fails the calls on them, and waits until all
// goroutines of the client have ended. Calls made later fail as Unreachable.
func (c *Client) Close() error {
	c.cancel()
	c.eachPool(func(p *connPool) {
		for _, l := range p.standing() {
			l.fail(errClientClosed)
		}
	})
	return c.group.Stop()
}

// Check finds out whether an endpoint answers now, by a ping on a standing connection or by a new
// one. It reports the result to the watcher.
func (c *Client) Check(ctx context.Context, e *Endpoint) error {
	if err := c.pool(e).check(ctx); err != nil {
		return fmt.Errorf("check %s at %s: %w", e.Service, e.Addr, err)
	}
	return nil
}

func (c *Client) pool(e *Endpoint) *connPool {
	if p := e.pool.Load(); p != nil && p.c == c && !p.dropped.Load() {
		return p
	}
	v, ok := c.pools.Load(e)
	if !ok {
		v, _ = c.pools.LoadOrStore(e, newConnPool(c, e))
	}
	p := v.(*connPool)
	e.pool.Store(p)
	return p
}

func (c *Client) eachPool(f func(*connPool)) {
	c.pools.Range(func(_, p any) bool {
		f(p.(*connPool))
		return true
	})
}

// spawn runs f in a goroutine that Close joins.
func (c *Client) spawn(f func()) bool {
	c.sweeps.Do(func() {
		c.group.Go(func(ctx context.Context) error { return c.sweeper.run(ctx, c) })
	})
	return c.group.Go(func(context.Context) error { f(); return nil })
}

// now is the client's clock, which never jumps.
func (c *Client) now() time.Duration { return time.Since(c.start) }

// onClock returns a deadline on the client's clock; 0 means none.
func (c *Client) onClock(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return 0
	}
	return max(1, deadline.Sub(c.start))
}

// sweep sweeps every connection, and reports whether any of them must be swept again soon.
func (c *Client) sweep() bool {
	now, busy := c.now(), false
	c.eachPool(func(p *connPool) {
		for _, l := range p.standing() {
			busy = l.sweep(now) || busy
		}
	})
	return busy
}

// tidy closes unused connections to retired endpoints, and site connections to a process that is no
// longer trusted.
func (c *Client) tidy() {
	c.eachPool(func(p *connPool) {
		if p.ep.Site {
			p.verifySites()
		}
		p.closeIdlePlain()
		if !p.abandonedTwice() {
			return
		}
		p.dropped.Store(true)
		c.pools.Delete(p.ep)
		p.ep.pool.CompareAndSwap(p, nil)
		if !p.dialect.shared {
			return // a connection that still stands was just taken for a call, and closes after it
		}
		for _, l := range p.standing() {
			l.fail(errUnused)
		}
	})
}

// Standing returns the number of this client's connections to an endpoint.
func (c *Client) Standing(e *Endpoint) int { return c.pool(e).size() }
