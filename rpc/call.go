package rpc

import (
	"slices"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc/internal/flat"
)

// Call is one call as pickers and interceptors see it. It is valid until the
// call ends.
type Call struct {
	Service string
	Method  string
	Attempt int    // 1 for the first
	HashKey string // key for consistent hashing, from WithHashKey; "" = none
	OneWay  bool

	// Version is the only one that may be picked, by the rules that the call's
	// trace reads; "" = any.
	Version string

	// Route says among which instances of the version the site's policy lets the call choose; nil: all.
	Route *policy.Item

	// With Wait, a picker that has no instance waits for one until the call's context ends. It may
	// then pick an instance that was tried before and is well. The call makes a pause before it tries that one again.
	Wait bool

	// Copy says that the site's policy made this call as a copy of another one (mirror). A round-robin
	// picker counts copies apart from calls. Otherwise, with two instances and one copy of each call,
	// all calls would go to one instance and all copies to the other.
	Copy bool

	// Others is set by the picker: the call could go to another instance.
	Others bool

	// TryAgain allows an endpoint that was tried before: set when every
	// endpoint has been tried.
	TryAgain bool

	// Args and Result are the generated structs; Result is nil for a one-way
	// call. An interceptor must not keep them.
	Args, Result thrift.TStruct

	tried     []*Endpoint
	elsewhere bool // the next attempt needs an endpoint that was not tried
	gone      bool // the instance of the latest attempt may have gone
	cut       bool // the latest attempt ended at its own limit, before the call's deadline
	chain     int  // attempt number of the incoming call that led to this one; 1 without one
	meta      thrift.ResponseMeta
	routing   versionRouting
	rules     *callRules     // read once for the call
	facts     policy.Request // for the conditions of the site's policy, when it has items for the call
	delayed   bool           // by a fault of the site's policy
	injected  bool           // its error is a fault of the site's policy
	mirrored  bool           // it is made by a copy of another call
	replaced  bool           // the site's policy has answered it
	fault     *policy.Item   // of the site's policy, that has delayed it or let it fail
	traceAt   int            // place of the traceparent in head; 0: the latest attempt has sent none
	ownTrace  string         // traceparent of an earlier attempt, of a call that began its trace
	waited    time.Duration  // of the latest attempt, for an instance
	kind      *recent.Kind   // remembers the call; nil: no attempt was made, or nothing is remembered

	// State of the attempts.
	began           time.Time // when the call began
	ended           time.Time // when its latest attempt ended
	ctx             callContext
	binary, compact flat.Writer  // the arguments, written once for all attempts; nil = not yet
	prefixed        prefixed     // the same, for a server that wants a prefix in front of the method
	head            []byte       // of the latest attempt's frame
	memory          account      // of the latest reply
	first           [2]*Endpoint // memory of tried, enough for most calls
}

// calls holds Calls for reuse. A Call that an interceptor has seen does not come back, because the
// interceptor may have kept it.
var calls = sync.Pool{New: func() any { return new(Call) }}

// unshared reports whether nothing refers to the call any more once it has returned.
func (c *Call) unshared() bool {
	return !c.opensStream() && c.Attempt <= 1 && c.routing.exchanges == 0 && !c.ctx.watched.Load()
}

// recycle returns a successful call that no interceptor has seen to the pool.
func (c *Call) recycle() {
	head := c.head[:0]
	*c = Call{}
	if cap(head) <= 1<<10 {
		c.head = head
	}
	calls.Put(c)
}

// free returns the writers with the arguments to their pool.
func (c *Call) free() {
	if c.binary != nil {
		c.binary.Free()
		c.binary = nil
	}
	if c.compact != nil {
		c.compact.Free()
		c.compact = nil
	}
	if c.prefixed.args != nil {
		c.prefixed.args.Free()
		c.prefixed = prefixed{}
	}
}

// prefixed holds arguments under a method name with a prefix.
type prefixed struct {
	name     string
	encoding flat.Protocol
	args     flat.Writer
}

// argsFor returns the writer for the arguments in an encoding, under the name that the server
// wants.
func (c *Call) argsFor(encoding flat.Protocol, name string) *flat.Writer {
	switch p := &c.prefixed; {
	case name == c.Method && encoding == flat.Compact:
		return &c.compact
	case name == c.Method:
		return &c.binary
	case p.name != name || p.encoding != encoding:
		if p.args != nil {
			p.args.Free()
		}
		*p = prefixed{name: name, encoding: encoding}
	}
	return &c.prefixed.args
}

// Tried reports whether an earlier attempt of this call went to e.
func (c *Call) Tried(e *Endpoint) bool { return slices.Contains(c.tried, e) }

// times is how many attempts of this call went to e.
func (c *Call) times(e *Endpoint) (n int) {
	for _, tried := range c.tried {
		if tried == e {
			n++
		}
	}
	return n
}

// Endpoint is the endpoint of the latest attempt, nil before the first. After next has returned to
// an interceptor, it is the endpoint that answered.
func (c *Call) Endpoint() *Endpoint {
	if len(c.tried) == 0 {
		return nil
	}
	return c.tried[len(c.tried)-1]
}
