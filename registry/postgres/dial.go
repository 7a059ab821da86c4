package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// dialer opens connections with keep-alives: those of connect, and those over which pgx asks the
// server to cancel a statement. A process that leaves cancels none, because it would end before the
// request does. PgBouncer 1.18 and some later versions can crash then, and cut off all their
// clients. The statement ends by its own limit or, behind a pooler without it, with the session
// that the pooler drops.
type dialer struct{ leaving atomic.Bool }

var errLeaving = errors.New("the process leaves: statements end by themselves")

// connecting marks the context of a connection that connect opens.
type connecting struct{}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.leaving.Load() && ctx.Value(connecting{}) == nil {
		return nil, errLeaving
	}
	nd := net.Dialer{
		Timeout:         connectTime, // a server may be slow, its kernel answers at once
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         limitUnacked,
	}
	return nd.DialContext(ctx, network, addr)
}
