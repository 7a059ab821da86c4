package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/skerry/skerry/health"
)

// Static is a Resolver that sends each call to the given endpoint with the fewest calls in flight,
// for every service. It is for tools and tests.
func Static(endpoints ...*Endpoint) Resolver { return static(endpoints) }

type static []*Endpoint

func (s static) Resolve(string) Picker { return s }

func (s static) Pick(_ context.Context, call *Call) (*Endpoint, error) {
	var best *Endpoint
	for _, e := range s {
		if call.Version != "" && e.Version != call.Version {
			continue
		}
		if (call.TryAgain || !call.Tried(e)) && (best == nil || e.Pending() < best.Pending()) {
			best = e
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w of %s: the %d given addresses were tried or have another version",
			ErrNoInstance, call.Service, len(s))
	}
	return best, nil
}

func (s static) Report(*Endpoint, health.Outcome, time.Duration) {}
