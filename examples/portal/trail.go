package portal

import (
	"context"
	"time"

	"github.com/skerry/skerry/examples/portal/gen/hopapi"
	"github.com/skerry/skerry/rpc"
)

// Trail is the list of the calls that a handler makes, in order. It is not
// for concurrent use.
type Trail struct{ Hops []*hopapi.Hop }

type trailKey struct{}

// WithTrail returns a context for calls that a node with the interceptor [Note] adds to the trail.
func WithTrail(ctx context.Context) (context.Context, *Trail) {
	trail := &Trail{}
	return context.WithValue(ctx, trailKey{}, trail), trail
}

// Note is an interceptor that adds every answered call to the trail of its context.
func Note(ctx context.Context, call *rpc.Call, next func(context.Context) error) error {
	trail, _ := ctx.Value(trailKey{}).(*Trail)
	if trail == nil {
		return next(ctx)
	}
	began := time.Now()
	err := next(ctx)
	if at := call.Endpoint(); err == nil && at != nil {
		trail.Hops = append(trail.Hops, &hopapi.Hop{
			Callee:   call.Service,
			Method:   call.Method,
			Instance: at.Addr,
			Version:  at.Version,
			Attempts: int32(call.Attempt),
			Micros:   time.Since(began).Microseconds(),
		})
	}
	return err
}
