package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/health"
)

// Endpoint is an instance as package rpc uses it: its address, its protocol and its load. Package
// discovery makes one for each instance and keeps it while the instance is listed, so that
// connections and counts survive every new list. It is safe for concurrent use.
type Endpoint struct {
	ID       string // unique for good; registry.ID.String()
	Service  string
	Version  string
	Addr     string // host:port
	Protocol string // spelling of registry.Protocol; "" = skerry
	TLS      bool

	// Owner is the intended process (host/pid/epoch); "" = any. When another process answers, or
	// the service has another version there, nothing is called and the Watcher gets ErrOther.
	Owner string
	// Announcer is set for an endpoint that can't say which process answers there, such as a plain
	// Thrift server. It is the process that lists the endpoint, and ClientConfig.Vouch asks it. "":
	// the client connects without asking.
	Announcer string
	Site      bool // by a site connection (ClientConfig.Site), whatever TLS says

	// For a plain Thrift server. Prefix stands in front of its methods' names, as in Thrift's
	// multiplexed protocol ("Auth:getToken"); "" = as in ServiceOptions. Concurrency is the number
	// of connections that it serves at a time, of which this client takes at most half; 0 =
	// unknown.
	Prefix      string
	Concurrency int
	Pool        Pool // how its connections are kept; zero: the server also has other clients

	pending atomic.Int64
	failed  atomic.Pointer[time.Time]
	gone    atomic.Bool
	pool    atomic.Pointer[connPool] // the pool of the client that used the endpoint last
}

// Pool bounds a client's connections to a plain Thrift server of which it is
// the only client.
type Pool struct {
	Most int           // at a time, one for each call; more calls fail as Overloaded; 0: a shared server
	Idle time.Duration // how long a connection is kept without a call
}

// Pending is the number of calls that this process has in flight to the
// endpoint, for balancers.
func (e *Endpoint) Pending() int64 { return e.pending.Load() }

// Failed records a sign that the endpoint may have gone: a connection that could not be made or that
// broke, or a call without an answer. Pickers call it for failures that are reported to them.
func (e *Endpoint) Failed() {
	now := time.Now()
	e.failed.Store(&now)
}

// FailedSince reports whether Failed was called after t.
func (e *Endpoint) FailedSince(t time.Time) bool {
	at := e.failed.Load()
	return at != nil && at.After(t)
}

// Retire says that the endpoint is no longer listed and will not be picked again. Connections to a
// plain server are closed at once, or with the call that runs on them. Others are closed at most two
// seconds after the last call.
func (e *Endpoint) Retire() {
	e.gone.Store(true)
	if p := e.pool.Load(); p != nil {
		p.closeIdlePlain() // the threads of a plain server are needed elsewhere
	}
}

// Resolver gives the picker of a service. Resolve is on the call path: it must be cheap and must
// not block. A service may be unknown at its first use. Its picker then waits in Pick for the first
// list, or until ctx ends.
type Resolver interface {
	Resolve(service string) Picker
}

// Picker chooses instances of one service from a list that may change at any
// time. Its methods are called for every call, from many goroutines.
type Picker interface {
	// Pick returns the endpoint for an attempt, never one that call.Tried
	// names unless call.TryAgain is set, or an error: ErrNoInstance (wrapped,
	// with the reason) when there is none.
	Pick(ctx context.Context, call *Call) (*Endpoint, error)

	// Report passes on the outcome of an attempt. It must not block.
	Report(e *Endpoint, o health.Outcome, latency time.Duration)
}

// Watcher receives the state of connections, before any registry notices a failure. Its methods
// must not block.
type Watcher interface {
	// Down: a standing connection has broken, or none could be made. dial is true when nothing
	// listens or answers there, or when another process answers (ErrOther).
	Down(e *Endpoint, dial bool, err error)
	// Up: a connection stands.
	Up(e *Endpoint)
	// Leaving: the server is stopping and wants no new calls.
	Leaving(e *Endpoint)
}
