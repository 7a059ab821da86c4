package control

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/policytry"
	"github.com/skerry/skerry/rpc"
)

// Tried is what a policy would have done with the calls of the last minutes.
type Tried struct {
	policytry.Total
	Silent map[string]string // by process: why it has said nothing
}

// ErrTooOld: the process is of a release that remembers no calls.
var ErrTooOld = errors.New("its release of skerry is too old to try policies")

// Try asks all processes what a policy, with these plans on, would have done with their calls of the last minutes. They
// apply nothing of it.
func (p *Policies) Try(ctx context.Context, text string, plans []string) (Tried, error) {
	t := Tried{Silent: map[string]string{}}
	others, err := p.others(ctx)
	if err != nil {
		return t, err
	}
	for _, k := range others {
		t.Silent[k.Owner.String()] = "no answer"
	}
	var mu sync.Mutex
	var reports []policytry.Report
	p.s.m.Each(ctx, others, func(ctx context.Context, peer *membership.Peer) {
		r, err := peer.TryPolicy(ctx, text, plans, policytry.Window)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Silent[peer.Owner.String()] = silence(err)
			return
		}
		delete(t.Silent, peer.Owner.String())
		reports = append(reports, r)
	})
	t.Total = policytry.Sum(reports)
	return t, nil
}

// silence says why a process has not answered.
func silence(err error) string {
	if rpc.CodeOf(err) == rpc.UnknownMethod {
		err = ErrTooOld
	}
	return Cause(err).Error()
}

// Cause is the part of an error of a call that an operator can look for: what the network says, or else what the other
// side does.
func Cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	if e, ok := errors.AsType[*rpc.Error](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}
