package rpc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// copyCounts are the copies that a recorder has counted, by side and outcome.
func copyCounts(r *health.Recorder) map[string]int64 {
	counts := map[string]int64{}
	r.VisitCopies(func(row health.Row, within func(time.Duration) int64) {
		for o, n := range row.Outcomes {
			if n > 0 {
				counts[fmt.Sprint(row.Side, " ", row.Method, " ", health.Outcome(o))] += n
			}
		}
		if n := within(time.Hour); n != row.Timed() {
			counts["latencies that are missing"] += row.Timed() - n
		}
	})
	return counts
}

// judgedCalls are the calls that a recorder holds against versions, and those of them that failed.
func judgedCalls(r *health.Recorder) (calls, failed, timed int64) {
	r.Visit(func(row health.Row, within func(time.Duration) int64) {
		for o, n := range row.Outcomes {
			if health.Outcome(o).Judges(row.Side) {
				calls += n
				if health.Outcome(o).Failed() {
					failed += n
				}
			}
		}
		timed += within(time.Hour)
	})
	return calls, failed, timed
}

// calling is a handler that makes a call of another service.
type calling struct {
	handler
	next  *echo.EchoClient
	fails atomic.Bool
}

func (c *calling) Who(ctx context.Context) (string, error) {
	if c.fails.Load() {
		return "", errors.New("a fault of the version")
	}
	ctx = WithBaggage(ctx, CallInfoFrom(ctx).Baggage+",a=b") // a handler may add members
	_, err := c.next.Echo(ctx, &echo.Message{})
	return "calling", err
}

// TestCopiesAreCountedApart: what copies do, and what they call in turn, is held against no version on either side,
// well or not: no call, failure or latency of them is among the others. It stands apart with what it would have been. A
// copy that ended as a call of it was refused is no failure of the version, on the way back through all callers.
func TestCopiesAreCountedApart(t *testing.T) {
	recorder := func() *health.Recorder { return health.NewRecorder(health.Config{}) }
	agent := func(name string) *participant.Agent {
		a, err := participant.New(participant.Config{Process: name})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	behind, middle, front := recorder(), recorder(), recorder()
	last := serve(t, ServerConfig{Health: behind}, &handler{name: "last"})
	inner, err := client(t, ClientConfig{Health: middle, Rollout: agent("host/2/a")}, last.endpoint()).Service("echo",
		ServiceOptions{Idempotent: []string{"who"}})
	if err != nil {
		t.Fatal(err)
	}
	site := &sitePolicy{}
	h := &calling{next: echo.NewEchoClient(inner)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serveAny(t, ServerConfig{Health: middle, Rollout: agent("host/3/a")}, h, l)
	outer, err := client(t, ClientConfig{Policy: site.table.Load, Health: front, Rollout: agent("host/1/a")},
		s.endpoint()).Service("echo", ServiceOptions{Idempotent: []string{"who"}})
	if err != nil {
		t.Fatal(err)
	}
	who := func() error { _, err := echo.NewEchoClient(outer).Who(t.Context()); return err }
	counts := func(what string, r *health.Recorder, want map[string]int64) {
		t.Helper()
		if !within(5*time.Second, func() bool { return maps.Equal(copyCounts(r), want) }) {
			t.Fatalf("%s: %v, want %v", what, copyCounts(r), want)
		}
	}

	site.of(policy.Service{Items: []policy.Item{{Kind: "mirror", To: policy.Target{Mark: "shadow"}}}})
	if err := who(); err != nil {
		t.Fatal(err)
	}
	counts("the copy ended at a call that it may not make", front, map[string]int64{"client who denied": 1})
	counts("so at its callee", middle, map[string]int64{"client echo denied": 1, "server who denied": 1})
	h.fails.Store(true)
	if err := who(); err == nil {
		t.Fatal("the handler does not fail")
	}
	counts("the copy has failed", front, map[string]int64{"client who denied": 1, "client who internal": 1})
	counts("and at its callee", middle,
		map[string]int64{"client echo denied": 1, "server who denied": 1, "server who internal": 1})
	if c := copyCounts(behind); len(c) > 0 {
		t.Errorf("behind the callee: %v", c)
	}
	for name, r := range map[string]*health.Recorder{"caller": front, "callee": middle, "behind": behind} {
		calls, failed, timed := judgedCalls(r)
		want := map[string][2]int64{"caller": {2, 1}, "callee": {3, 1}, "behind": {1, 0}}[name]
		if calls != want[0] || failed != want[1] || timed != calls {
			t.Errorf("%s holds %d calls (%d with a latency) against versions, %d failed, want %v", name, calls, timed,
				failed, want)
		}
	}
}

// TestCopiesThatNeverWereSentAreCounted: a copy that finds no instance is a copy that failed.
func TestCopiesThatNeverWereSentAreCounted(t *testing.T) {
	agent, err := participant.New(participant.Config{Process: "host/1/a"})
	if err != nil {
		t.Fatal(err)
	}
	r := health.NewRecorder(health.Config{})
	tc, err := client(t, ClientConfig{Health: r, Rollout: agent, Policy: (&sitePolicy{}).table.Load}).Service("echo",
		ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tc.(*serviceClient).sendCopy("who", &Raw{}, 1, "shadow", "")
	if got := copyCounts(r); got["client who rejected"] != 1 || len(got) != 1 {
		t.Errorf("counted as %v", got)
	}
}
