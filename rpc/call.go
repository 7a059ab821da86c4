package rpc

import "slices"

// Call is one call as pickers and interceptors see it. It is valid until the
// call ends.
type Call struct {
	Service string
	Method  string
	Attempt int    // 1 for the first
	HashKey string // key for consistent hashing, from WithHashKey; "" = none
	OneWay  bool

	// TryAgain allows an endpoint that was tried before: set when every
	// endpoint has been tried.
	TryAgain bool

	tried []*Endpoint
}

// Tried reports whether an earlier attempt of this call went to e.
func (c *Call) Tried(e *Endpoint) bool { return slices.Contains(c.tried, e) }
