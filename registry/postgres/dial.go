package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// dialer opens connections with keep-alives: those that connecting asks for,
// and those over which pgx has the server cancel a statement. A process that
// leaves cancels nothing: it would end before the request does, and PgBouncer
// (1.18, and later ones) can die of that, with everybody behind it. The
// statement ends by its own limit or, behind a pooler that takes none, with the
// session that the pooler drops.
type dialer struct{ leaving atomic.Bool }

var errLeaving = errors.New("the process leaves: statements end by themselves")

// connecting marks the context of a connection that is wanted.
type connecting struct{}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.leaving.Load() && ctx.Value(connecting{}) == nil {
		return nil, errLeaving
	}
	nd := net.Dialer{
		Timeout:         connectTime, // a server may be slow, a kernel is not
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control:         limitUnacked,
	}
	return nd.DialContext(ctx, network, addr)
}
