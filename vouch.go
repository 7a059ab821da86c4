package skerry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// A plain Thrift or HTTP server can't say which process it is. What it can show
// is that the process which lists it still runs: that one is asked before each
// connection. Connections that are made at once share a question.
const (
	vouchLimit = 300 * time.Millisecond // of a question; connecting has 500 ms for both
	vouchTries = 3
)

// vouchers are the last answers, by announcer.
type vouchers struct {
	mu  sync.Mutex
	all map[string]*voucher
}

type voucher struct {
	mu  sync.Mutex // held while the announcer is asked
	at  time.Time  // of the answer
	err error

	answered bool // the announcer has answered this process before
}

// vouch is rpc.ClientConfig.Vouch. Only what is certain counts against an
// endpoint: that nothing listens at its announcer's address, or another process
// does, or that it answers no more after it has. An announcer that is not known, or
// could never be reached, is no sign.
func (n *Node) vouch(ctx context.Context, e *rpc.Endpoint) error {
	if e.Announcer == n.owner.String() {
		return nil
	}
	v, came := n.vouchers.of(e.Announcer), time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.at.After(came) {
		answered, err := n.announces(ctx, e.Announcer, v.err)
		if v.answered = v.answered || answered; err == nil && !answered && v.answered {
			err = fmt.Errorf("%w: %s, which has listed it, has answered before and does not now", rpc.ErrOther, e.Announcer)
		}
		if ctx.Err() != nil {
			return err // the caller had no time for an answer
		}
		v.err, v.at = err, time.Now()
	}
	return v.err
}

func (v *vouchers) of(announcer string) *voucher {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil {
		v.all = map[string]*voucher{}
	}
	if v.all[announcer] == nil {
		if len(v.all) >= vouchersMost { // those of processes that are gone
			v.all = map[string]*voucher{}
		}
		v.all[announcer] = &voucher{}
	}
	return v.all[announcer]
}

const vouchersMost = 1024

// dead are the errors by which an announcer is dead for certain: its port is
// closed, or another process has it.
var dead = []error{syscall.ECONNREFUSED, syscall.ECONNRESET, rpc.ErrOther, sitetls.ErrOwner}

// announces asks the process whether it is there. Its error means that it is
// dead for certain.
func (n *Node) announces(ctx context.Context, announcer string, before error) (answered bool, err error) {
	owner, err := registry.ParseOwner(announcer)
	if err != nil {
		return false, nil
	}
	m, known := n.members.find(owner)
	if !known {
		return false, nil
	}
	p, err := n.peer(m)
	if err != nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, vouchLimit)
	defer cancel()
	for range vouchTries { // a connection that stood may break by the question
		err = p.client().Ping(ctx)
		if slices.ContainsFunc(dead, func(sign error) bool { return errors.Is(err, sign) }) {
			return false, fmt.Errorf("%w: %s, which has listed it, runs no more (%w)", rpc.ErrOther, announcer, err)
		}
		if rpc.CodeOf(err) == rpc.BreakerOpen {
			return false, before // too many questions in vain: the last answer stands
		}
		if err == nil || ctx.Err() != nil {
			return err == nil, nil
		}
	}
	return false, nil
}
