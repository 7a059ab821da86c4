package postgres

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// TestPauses: a small site reconnects at once. The processes of a large one spread their
// connections, and all are back before a lease may end.
func TestPauses(t *testing.T) {
	settles := (&Config{Heartbeat: defaultHeartbeat}).pause()
	if _, last := reconnectPauses(20, 2700*time.Millisecond); last != 1350*time.Millisecond {
		t.Errorf("with intervals of two seconds up to %v, want half of what leases take to settle", last)
	}
	for processes, want := range map[int64][2]time.Duration{
		0: {100 * time.Millisecond, 5 * time.Second}, 20: {100 * time.Millisecond, 5 * time.Second},
		300:  {1500 * time.Millisecond, 5 * time.Second},
		1000: {5 * time.Second, 15 * time.Second}, 100_000: {5 * time.Second, 15 * time.Second},
	} {
		first, last := reconnectPauses(processes, settles)
		if first != want[0] || last != want[1] {
			t.Errorf("%d processes: %v to %v, want %v", processes, first, last, want)
		}
		if attempt := limitMost; last+attempt+stmtTime > settles {
			t.Errorf("%d processes: who has just failed may be away for %v; leases end after %v", processes,
				last+attempt, settles)
		}
	}
}

// TestLimitGrows: the limit grows for a server that does not answer in time, and returns when it is
// quick again.
func TestLimitGrows(t *testing.T) {
	r, err := New(
		Config{URL: "postgres://db/site", Cluster: "site", Owner: registry.Owner{Host: "h", PID: 1, Epoch: 1}},
	)
	if err != nil {
		t.Fatal(err)
	}
	timeouts := func() [2]string {
		c := r.config()
		return [2]string{c.ConnectTimeout.String(), c.RuntimeParams["statement_timeout"]}
	}
	for i, want := range []struct {
		limit time.Duration
		conn  [2]string
	}{
		{stmtTime, [2]string{"3s", "2800"}}, {2 * stmtTime, [2]string{"6s", "5800"}},
		{4 * stmtTime, [2]string{"12s", "11800"}}, {4 * stmtTime, [2]string{"12s", "11800"}},
	} {
		if r.limit() != want.limit || timeouts() != want.conn {
			t.Errorf("after %d: %v and %v, want %v", i, r.limit(), timeouts(), want)
		}
		r.raiseLimit()
	}
	r.resetLimit(2 * time.Second)
	if r.limit() != limitMost {
		t.Errorf("a slow answer makes the limit %v, want %v", r.limit(), limitMost)
	}
	r.resetLimit(time.Second)
	if r.limit() != stmtTime {
		t.Errorf("a quick answer leaves the limit at %v, want %v", r.limit(), stmtTime)
	}
}

// TestReturnOfALargeSite: a server comes back to a thousand processes, or all of them start at once
// without knowing their number. A connection costs the server 10 ms of its one processor, also
// after its process has given up. All are connected before a lease may end, with few wasted
// attempts.
func TestReturnOfALargeSite(t *testing.T) {
	for what, known := range map[string]int64{"return": 1000, "cold start": 0} {
		synctest.Test(t, func(t *testing.T) {
			const processes, work = 1000, 10 * time.Millisecond
			var mu sync.Mutex
			var free time.Time // when the server has finished its work
			served := 0
			connect := func() time.Duration { // returns the time until it is done
				mu.Lock()
				defer mu.Unlock()
				if served++; free.Before(time.Now()) {
					free = time.Now()
				}
				free = free.Add(work)
				return time.Until(free)
			}
			begun, settles := time.Now(), (&Config{Heartbeat: defaultHeartbeat}).pause()
			g := run.NewGroup(t.Context())
			for range processes {
				r := &Registry{}
				r.size.Store(known)
				g.Go(func(context.Context) error {
					var pause run.Backoff
					for time.Since(begun) < time.Hour {
						pause.Min, pause.Max = reconnectPauses(r.size.Load(), settles)
						time.Sleep(pause.Next())
						took := connect()
						if took <= r.limit() {
							time.Sleep(took)
							return nil
						}
						time.Sleep(r.limit())
						r.raiseLimit()
					}
					return nil
				})
			}
			_ = g.Wait() // they return nil
			took := time.Since(begun)
			t.Logf("%s: all are there after %v, by %d connections", what, took.Round(time.Second), served)
			if took > settles || served > 3*processes {
				t.Errorf("%s: %d processes are there after %v, by %d connections; want %v and %d at most", what,
					processes, took, served, settles, 3*processes)
			}
		})
	}
}
