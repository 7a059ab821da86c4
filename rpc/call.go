package rpc

import (
	"slices"

	"github.com/apache/thrift/lib/go/thrift"
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
	// trace reads; "" = any. With Wait a picker that has no instance of it
	// waits for one until its context ends.
	Version string
	Wait    bool

	// TryAgain allows an endpoint that was tried before: set when every
	// endpoint has been tried.
	TryAgain bool

	// Args and Result are the generated structs; Result is nil for a one-way
	// call. An interceptor must not keep them.
	Args, Result thrift.TStruct

	tried     []*Endpoint
	elsewhere bool // the next attempt is of no use at an endpoint that was tried
	chain     int  // attempt number of the call that this one is made for; 1 without one
	meta      thrift.ResponseMeta
	passage   passage
}

// Tried reports whether an earlier attempt of this call went to e.
func (c *Call) Tried(e *Endpoint) bool { return slices.Contains(c.tried, e) }

// Endpoint is where the latest attempt went, nil before the first. To an
// interceptor whose next has returned it is who answered.
func (c *Call) Endpoint() *Endpoint {
	if len(c.tried) == 0 {
		return nil
	}
	return c.tried[len(c.tried)-1]
}
