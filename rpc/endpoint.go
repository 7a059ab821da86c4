package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/health"
)

// Endpoint is an instance as the data plane sees it: where to connect, how to
// speak, and how busy it is. Package discovery makes one for each instance
// and keeps it for as long as the instance is listed, so that its connections
// and counts survive every new list. It is safe for concurrent use.
type Endpoint struct {
	ID       string // unique for good; registry.ID.String()
	Service  string
	Version  string
	Addr     string // host:port
	Protocol string // spelling of registry.Protocol; "" = skerry
	TLS      bool

	// Owner is the process that is meant (host/pid/epoch); "" = any. Where
	// another one answers, or the service has another version there, nothing is
	// called and the Watcher is told of ErrOther.
	Owner string
	// Announcer is the process that lists an endpoint which cannot say itself
	// which process it is; "": no process vouches for it. See ClientConfig.Vouch.
	Announcer string
	Site      bool // by a site connection (ClientConfig.Site), whatever TLS says

	// Of a plain Thrift server: Prefix stands in front of its methods' names, as
	// Thrift's multiplexed protocol has it ("Auth:getToken"); "" = the
	// ServiceOptions say. Concurrency is how many connections it serves at a
	// time, of which this client takes half at most; 0 = not known.
	Prefix      string
	Concurrency int
	Pool        Pool // how its connections are kept; zero: so that other clients find a thread, too

	pending atomic.Int64
	failed  atomic.Pointer[time.Time]
	gone    atomic.Bool
	pool    atomic.Pointer[connPool] // of the client that has called it last
}

// Pool is how a client keeps its connections to a plain Thrift server that it
// has for itself.
type Pool struct {
	Most int           // at a time, one for each call; more calls fail as Overloaded; 0: a shared server
	Idle time.Duration // how long a connection is kept without a call
}

// Pending is the number of calls that this process has in flight to the
// endpoint, for balancers.
func (e *Endpoint) Pending() int64 { return e.pending.Load() }

// Failed notes that a connection could not be made or broke, or that a call got no
// answer: what shows, too, when the host is gone. Pickers say it of what they are
// told.
func (e *Endpoint) Failed() {
	now := time.Now()
	e.failed.Store(&now)
}

// FailedSince reports whether Failed was said after a time.
func (e *Endpoint) FailedSince(t time.Time) bool {
	at := e.failed.Load()
	return at != nil && at.After(t)
}

// Retire says that the endpoint is listed no more and will not be picked
// again. Its connections are closed when its last call has ended, a second
// later at most.
func (e *Endpoint) Retire() { e.gone.Store(true) }

// Resolver gives the picker of a service. Resolve is on the call path: it
// must be cheap and must not block. A service that is asked for the first time may
// still be unknown; its picker then waits in Pick until the first list is
// there or ctx ends.
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

	// Report tells how an attempt ended. It must not block.
	Report(e *Endpoint, o health.Outcome, latency time.Duration)
}

// Watcher is told what happens to connections. It must not block. A Picker's
// list learns from it sooner than from any registry.
type Watcher interface {
	// Down: a connection that stood has broken, or none could be made. When
	// dial is true nothing listens there or nothing answered, or another
	// process did (ErrOther).
	Down(e *Endpoint, dial bool, err error)
	// Up: a connection stands.
	Up(e *Endpoint)
	// Leaving: the server has said that it is stopping: no new calls.
	Leaving(e *Endpoint)
}
