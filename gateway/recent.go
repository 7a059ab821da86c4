package gateway

import (
	"time"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/rpc"
)

// rememberer is a Node that remembers the calls of the last minutes. *skerry.Node is one.
type rememberer interface{ Recent() *recent.Recorder }

// remember remembers a request to the HTTP service that has an answer, or has none in the end.
func (u *upstream) remember(begun time.Time, method, version string, outcome uint8) {
	if r, ok := u.g.node.(rememberer); ok {
		kind := r.Recent().Kind(recent.Key{Side: recent.Caller, Service: u.route.Service, Method: method,
			Version: version, HTTP: true})
		kind.Record(begun, time.Since(begun), outcome)
	}
}

// remembered is the outcome of a request that has failed with a code.
func remembered(code rpc.Code) uint8 { return recent.FirstCode + uint8(code) }
