package membership

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/skerry/skerry/internal/sitetls"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// A plain Thrift or HTTP server can't say which process it is. What it can show
// is that the process which lists it still runs: that one is asked when a
// connection stands and nothing was sent on it yet. A contrary answer refuses the
// connection. Silence proves nothing: a process may be slow, and its server well.
// So the proof that it gave last stands for a while. It does not once the server,
// too, has failed since then, as it does when their host is gone, nor once a
// connection with the process was closed from the other end, as its kernel does
// when it is killed.
const (
	vouchWait   = 300 * time.Millisecond // for an answer, unless the last proof is too old
	vouchTurns  = 6                      // into which vouchWait is divided
	vouchStands = 10 * time.Second       // that a proof stands while its process is silent
	vouchTries  = 3
)

// vouchers are what the announcers have answered.
type vouchers struct {
	ask   func(ctx context.Context, announcer string) (answered bool, contrary error)
	spawn func(func(context.Context)) bool // false: the node is closing

	mu  sync.Mutex
	all map[string]*voucher
}

// voucher is one announcer. Questions are asked one at a time, and outlast the
// connections that wait for them.
type voucher struct {
	mu       sync.Mutex
	proof    time.Time // when the question was asked that it answered last; zero: none
	broke    time.Time // when a connection with it was last closed from the other end
	contrary error     // the last answer was that it runs no more
	question *inquiry  // under way
}

// inquiry is for all connections that stood when it was asked.
type inquiry struct {
	asked time.Time
	done  chan struct{}
}

// Vouch is rpc.ClientConfig.Vouch.
func (m *Membership) Vouch(ctx context.Context, e *rpc.Endpoint) error {
	if e.Announcer == m.cfg.Owner.String() {
		return nil
	}
	return m.vouchers.vouch(ctx, e)
}

// Proven reports whether a process has shown that it runs, and the proof stands.
func (m *Membership) Proven(process string) bool {
	v := m.vouchers.of(process)
	v.mu.Lock()
	defer v.mu.Unlock()
	return !v.proof.IsZero() && !v.broke.After(v.proof)
}

// vouch waits for an answer to a question that is asked from now on, as long as
// that makes a difference.
func (vs *vouchers) vouch(ctx context.Context, e *rpc.Endpoint) error {
	v, came := vs.of(e.Announcer), time.Now()
	// In turns: where the machine lets this process wait, each turn that passes has
	// run the goroutines which take the answer, or notice the connection's end.
	turns := &turns{time.NewTicker(vouchWait / vouchTurns), vouchTurns}
	defer turns.Stop()
	for {
		q := v.ask(vs, e.Announcer)
		if q == nil {
			return errors.New("the node is closing")
		}
		if !v.await(ctx, q, turns) || !q.asked.Before(came) {
			return v.verdict(e)
		}
	}
}

// down notes that a connection with the process has ended as those of a killed one
// do.
func (vs *vouchers) down(announcer string) {
	vs.mu.Lock()
	v := vs.all[announcer]
	vs.mu.Unlock()
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.broke = time.Now()
}

func (vs *vouchers) of(announcer string) *voucher {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.all == nil {
		vs.all = map[string]*voucher{}
	}
	if vs.all[announcer] == nil {
		if len(vs.all) >= vouchersMost { // those of processes that are gone
			vs.all = map[string]*voucher{}
		}
		vs.all[announcer] = &voucher{}
	}
	return vs.all[announcer]
}

const vouchersMost = 1024

// ask returns the question under way; without one it asks.
func (v *voucher) ask(vs *vouchers, announcer string) *inquiry {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.question != nil {
		return v.question
	}
	q := &inquiry{asked: time.Now(), done: make(chan struct{})}
	asking := vs.spawn(func(ctx context.Context) {
		answered, contrary := vs.ask(ctx, announcer)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.question = nil
		switch {
		case answered:
			v.proof, v.contrary = q.asked, nil
		case contrary != nil:
			v.contrary = contrary
		}
		close(q.done)
	})
	if !asking {
		return nil
	}
	v.question = q
	return q
}

// turns are what is left of vouchWait.
type turns struct {
	*time.Ticker
	left int
}

// await reports whether the question was answered, or failed, in time. Where the
// last proof stands no longer, the connection waits for an answer to its end.
func (v *voucher) await(ctx context.Context, q *inquiry, turns *turns) bool {
	v.mu.Lock()
	open := v.contrary == nil && !v.proof.IsZero() && !v.stands()
	v.mu.Unlock()
	for open || turns.left > 0 {
		select {
		case <-q.done:
			return true
		case <-turns.C:
			turns.left--
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// stands reports whether the last proof counts while its process is silent. The
// caller holds mu.
func (v *voucher) stands() bool {
	return time.Since(v.proof) <= vouchStands && !v.broke.After(v.proof)
}

// verdict is nil unless the announcer runs no more, or has been silent for too
// long. One that never answered may be out of reach: that is no sign.
func (v *voucher) verdict(e *rpc.Endpoint) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	silent := time.Since(v.proof)
	switch {
	case v.contrary != nil:
		return v.contrary
	case v.proof.IsZero(), v.stands() && !e.FailedSince(v.proof):
		return nil
	}
	return fmt.Errorf("%w, or may: %s, which has listed it, last showed %v ago that it runs", rpc.ErrOther, e.Announcer,
		silent.Round(time.Millisecond))
}

// gone are the errors by which an announcer runs no more for certain: its port is
// closed, resets every connection, or is another process's.
var gone = []error{connRefused, connReset, rpc.ErrOther, sitetls.ErrOwner}

// closed are the errors of a connection that the other end has closed. One that is
// merely silent proves nothing.
var closed = []error{io.EOF, io.ErrUnexpectedEOF, connReset, syscall.EPIPE}

// peerWatch is told what becomes of the connections with other processes.
type peerWatch struct{ v *vouchers }

// Down is rpc.Watcher's.
func (w peerWatch) Down(e *rpc.Endpoint, dial bool, err error) {
	if !dial && e.Owner != "" && slices.ContainsFunc(closed, func(sign error) bool { return errors.Is(err, sign) }) {
		w.v.down(e.Owner)
	}
}

// Up is rpc.Watcher's.
func (peerWatch) Up(*rpc.Endpoint) {}

// Leaving is rpc.Watcher's.
func (peerWatch) Leaving(*rpc.Endpoint) {}

// announces asks the process whether it runs. contrary says that it does not, for
// certain.
func (m *Membership) announces(ctx context.Context, announcer string) (answered bool, contrary error) {
	owner, err := registry.ParseOwner(announcer)
	if err != nil {
		return false, nil
	}
	k, known := m.list.find(owner)
	if !known {
		return false, nil
	}
	p, err := m.peer(k)
	if err != nil {
		return false, nil
	}
	for range vouchTries { // a connection that stood may break by the question
		if err = p.Client().Ping(ctx); err == nil {
			return true, nil
		}
		if rpc.CodeOf(err) != rpc.ConnectionLost {
			break
		}
	}
	if slices.ContainsFunc(gone, func(sign error) bool { return errors.Is(err, sign) }) {
		return false, fmt.Errorf("%w: %s, which has listed it, runs no more (%w)", rpc.ErrOther, announcer, err)
	}
	return false, nil
}
