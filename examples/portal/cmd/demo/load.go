package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/examples/portal"
	"github.com/skerry/skerry/examples/portal/gen/hopapi"
	"github.com/skerry/skerry/examples/portal/gen/portalapi"
	"github.com/skerry/skerry/examples/portal/gen/procapi"
)

const (
	callers = 8                     // users with a request at the same time
	pause   = 40 * time.Millisecond // of each, between two requests: 200 requests a second together
)

// load sends requests to Portal, by name, until its context ends. It is an
// ordinary consumer: a node without a service of its own.
type load struct {
	portal func() *portalapi.PortalClient
	tally  *tally
}

func newLoad(node *skerry.Node, t *tally) *load {
	return &load{portal: skerry.Stub(node, "portal", portalapi.NewPortalClient), tally: t}
}

func (l *load) run(ctx context.Context) {
	var users sync.WaitGroup
	for range callers {
		users.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for ctx.Err() == nil {
				l.tally.add(l.request(context.WithoutCancel(ctx))...)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	users.Wait()
}

// request sends one request and returns the calls that it took, its own
// included.
func (l *load) request(ctx context.Context) []call {
	ctx, trail := portal.WithTrail(ctx)
	answer, err := l.portal().Handle(ctx, &portalapi.Request{User: "alice", Secret: "open sesame", Key: "pump-1"})
	ended := time.Now()
	if err != nil {
		return failed(ended, err)
	}
	var calls []call
	hops := append(trail.Hops, answer.Hops...)
	for _, hop := range hops {
		c := answered(ended, hop)
		c.mixed = hop.Callee == "portal" && mixed(hops)
		calls = append(calls, c)
	}
	return calls
}

// mixed reports whether the calls of one request met two versions among Auth
// and Proc, which are released together.
func mixed(hops []*hopapi.Hop) bool {
	met := ""
	for _, hop := range hops {
		if hop.Callee != "auth" && hop.Callee != "proc" {
			continue
		}
		if met != "" && hop.Version != met {
			return true
		}
		met = hop.Version
	}
	return false
}

// answered returns a call from a trail. It is counted when the whole request had its answer, some
// milliseconds after the call ended.
func answered(ended time.Time, hop *hopapi.Hop) call {
	return call{
		service:  hop.Callee,
		instance: hop.Instance,
		version:  hop.Version,
		ended:    ended,
		took:     time.Duration(hop.Micros) * time.Microsecond,
		attempts: int(hop.Attempts),
	}
}

// failed returns the one call that made a request fail.
func failed(ended time.Time, err error) []call {
	var up *procapi.Upstream
	if !errors.As(portal.Upstream(err), &up) {
		return []call{{service: "portal", ended: ended, failure: err.Error()}}
	}
	return []call{{
		service:  up.Callee,
		instance: up.Instance,
		ended:    ended,
		failure:  up.Text,
		sent:     up.Executed != "not executed",
	}}
}
