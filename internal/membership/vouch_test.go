package membership

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
)

// announcer answers as a process would that lists a plain server.
type announcer struct {
	t *testing.T

	mu    sync.Mutex
	takes time.Duration // until it answers; negative: it never does
	says  error         // nil: it runs

	asked    atomic.Int64
	vouchers *vouchers
	server   *rpc.Endpoint
}

func newAnnouncer(t *testing.T) *announcer {
	a := &announcer{t: t, server: &rpc.Endpoint{Announcer: "host/1/1"}}
	g := run.NewGroup(t.Context())
	t.Cleanup(func() { _ = g.Stop() })
	a.vouchers = &vouchers{
		ask: func(ctx context.Context, _ string) (bool, error) {
			a.asked.Add(1)
			a.mu.Lock()
			takes, says := a.takes, a.says
			a.mu.Unlock()
			if takes < 0 || takes > peerLimit {
				_ = run.Sleep(ctx, peerLimit)
				return false, nil
			}
			_ = run.Sleep(ctx, takes)
			return says == nil, says
		},
		spawn: func(f func(context.Context)) bool {
			return g.Go(func(ctx context.Context) error { f(ctx); return nil })
		},
	}
	return a
}

// is changes how it answers from now on.
func (a *announcer) is(takes time.Duration, says error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takes, a.says = takes, says
}

// connects is one connection, for which the client has half a second; want says
// whether it is used, and within which time that is decided.
func (a *announcer) connects(what string, used bool, within time.Duration) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 500*time.Millisecond)
	defer cancel()
	begun := time.Now()
	err := a.vouchers.vouch(ctx, a.server)
	took := time.Since(begun)
	if used && err != nil || !used && !errors.Is(err, rpc.ErrOther) || took > within {
		a.t.Errorf("%s: after %v: %v; want used: %v, within %v", what, took, err, used, within)
	}
}

// A connection to a plain server waits for the answer of the process that lists
// it. A slow one costs its server nothing, a dead one lets nothing pass.
func TestVouchOfASlowAnnouncer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer(t)
		a.connects("it answers", true, 0)
		for _, slow := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 2 * time.Second} {
			a.is(slow, nil)
			for i := range 60 { // for much longer than a proof stands
				a.connects(fmt.Sprintf("it takes %v, connection %d", slow, i), true, vouchWait)
				time.Sleep(time.Second)
			}
		}
		a.is(450*time.Millisecond, nil)
		time.Sleep(time.Hour)
		a.connects("after an hour it takes 450 ms", true, 450*time.Millisecond)
		a.is(0, fmt.Errorf("%w: refused", rpc.ErrOther))
		time.Sleep(time.Second)
		a.connects("its port is closed", false, 0)
		a.is(-1, nil)
		a.connects("its host is silent since", false, vouchWait)
		time.Sleep(time.Hour)
		a.connects("and for an hour", false, vouchWait)
		a.is(0, nil)
		time.Sleep(peerLimit)
		a.connects("it answers again", true, 0)
	})
}

// Silence after a proof lets connections pass as long as the proof stands, and
// none later: by then another host may have the address.
func TestVouchOfASilentAnnouncer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer(t)
		a.connects("it answers", true, 0)
		begun := time.Now()
		a.is(-1, nil)
		used, refused := 0, 0
		for time.Since(begun) < time.Minute {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			err := a.vouchers.vouch(ctx, a.server)
			cancel()
			switch {
			case err == nil && time.Since(begun) <= vouchStands:
				used++
			case errors.Is(err, rpc.ErrOther) && time.Since(begun) > vouchStands:
				refused++
			default:
				t.Errorf("%v after its last answer: %v", time.Since(begun), err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if used == 0 || refused == 0 {
			t.Errorf("%d connections passed, %d were refused", used, refused)
		}
		a.is(0, nil)
		time.Sleep(peerLimit)
		a.connects("it goes on", true, 0)
	})
}

// When the server has failed since its announcer's last answer, both may be gone
// with their host: silence is enough, however short.
func TestVouchOfASilentHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer(t)
		a.connects("it answers", true, 0)
		time.Sleep(time.Second)
		a.is(-1, nil)
		a.connects("it is silent", true, vouchWait)
		a.server.Failed()
		a.connects("a call to the server timed out", false, vouchWait)
		a.is(0, nil)
		time.Sleep(peerLimit)
		a.connects("it answers", true, 0)
		a.is(-1, nil)
		time.Sleep(time.Second)
		a.connects("it is silent once more", true, vouchWait)
	})
}

// A killed process's connections are closed by its kernel. Then its last proof
// counts no more, however new, while the answer that it runs no more is late. A
// slow one that runs is waited for.
func TestVouchAfterTheConnectionBroke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer(t)
		a.connects("it answers", true, 0)
		time.Sleep(time.Second)
		a.is(-1, nil)
		a.connects("it is silent", true, vouchWait)
		a.vouchers.down(a.server.Announcer)
		a.connects("its connection is closed", false, 500*time.Millisecond)
		time.Sleep(peerLimit)
		a.is(450*time.Millisecond, nil)
		a.connects("it takes 450 ms", true, 450*time.Millisecond)
		a.is(400*time.Millisecond, fmt.Errorf("%w: refused", rpc.ErrOther))
		time.Sleep(time.Second)
		time.AfterFunc(100*time.Millisecond, func() { a.vouchers.down(a.server.Announcer) })
		a.connects("it is killed while it is asked", false, 500*time.Millisecond)
	})
}

// An announcer that never answered may be out of reach: its servers are called.
func TestVouchOfAnAnnouncerOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer(t)
		a.is(-1, nil)
		for range 100 {
			a.connects("it never answered", true, vouchWait)
			time.Sleep(time.Second)
		}
	})
}

// An answer counts for the connections that stood when the question was asked,
// and those share one.
func TestVouchAsksAfterTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnnouncer(t)
		a.is(100*time.Millisecond, nil)
		g := run.NewGroup(t.Context())
		for range 20 {
			g.Go(func(context.Context) error { a.connects("at once", true, 100*time.Millisecond); return nil })
		}
		synctest.Wait()
		time.Sleep(50 * time.Millisecond) // the question is under way
		a.is(100*time.Millisecond, fmt.Errorf("%w: another process has its port", rpc.ErrOther))
		for range 20 {
			g.Go(func(context.Context) error { a.connects("50 ms later", false, 150*time.Millisecond); return nil })
		}
		_ = g.Wait()
		if n := a.asked.Load(); n != 2 {
			t.Errorf("%d questions for two groups of connections", n)
		}
	})
}
