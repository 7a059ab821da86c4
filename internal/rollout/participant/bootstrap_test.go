package participant

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// Requests with a generation that no process knows share one round of questions
// per 250 ms, whatever their number. They are refused when it ends.
func TestOneRoundForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestAgent(t)
		const took = 40 * time.Millisecond
		var rounds atomic.Int64
		a.OnMissingRules(func(to rollout.Generation, over func()) {
			rounds.Add(1)
			time.AfterFunc(took, over)
		})
		begun := time.Now()
		var waiting sync.WaitGroup
		for i := range 3000 {
			waiting.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				arrived := time.Now()
				if a.CatchUp(t.Context(), rollout.Generation{N: 1e12}) {
					t.Error("a generation that no process has")
				}
				if waited := time.Since(arrived); waited > askAgain+took {
					t.Errorf("a request that came after %v waited for %v", arrived.Sub(begun), waited)
				}
			})
		}
		waiting.Wait()
		if n := rounds.Load(); n > 13 {
			t.Errorf("%d rounds in %v, want one in %v", n, time.Since(begun), askAgain)
		}
	})
}

// Tokens with false numbers delay no request that waits for rules that exist,
// even if a process that is asked hangs.
func TestRulesComeBesideStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestAgent(t)
		var next rollout.Log
		entry := next.Next("r1", map[string]rollout.Rule{"web": {Version: "v1"}})
		var known atomic.Bool
		a.OnMissingRules(func(to rollout.Generation, over func()) {
			if known.Load() {
				time.AfterFunc(10*time.Millisecond, func() { _ = a.Learn(entry) })
			}
			time.AfterFunc(3*time.Second, over) // another process hangs
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var strangers sync.WaitGroup
		strangers.Go(func() { a.CatchUp(ctx, rollout.Generation{N: 1e12}) })
		time.Sleep(100 * time.Millisecond)
		known.Store(true)
		begun := time.Now()
		if !a.CatchUp(ctx, entry.Generation) || time.Since(begun) > askAgain {
			t.Errorf("the rules came after %v, with generation %v", time.Since(begun), a.Log().Last())
		}
		cancel()
		strangers.Wait()
	})
}

func newTestAgent(t *testing.T) *Agent {
	t.Helper()
	a, err := New(Config{Process: "host/1/a"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}
