package discovery

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

func TestMassExpiry(t *testing.T) {
	for _, c := range []struct {
		name               string
		before, left, dead []int
		at                 time.Duration // time of the check
		want               []int
	}{
		{"the only one, alive", []int{1}, nil, nil, 0, []int{1}},
		{"the only one, dead", []int{1}, nil, []int{1}, 5 * time.Second, nil},
		{"one of two, dead", []int{1, 2}, []int{2}, []int{1}, 0, []int{2}},
		{"one of two, alive: not sharply many", []int{1, 2}, []int{2}, nil, 0, []int{2}},
		{"both of two, alive", []int{1, 2}, nil, nil, 0, []int{1, 2}},
		{"both of two, one dead", []int{1, 2}, nil, []int{2}, 5 * time.Second, []int{1}},
		{"two of three, dead", []int{1, 2, 3}, []int{3}, []int{1, 2}, 5 * time.Second, []int{3}},
		{"two of three, alive", []int{1, 2, 3}, []int{3}, nil, time.Minute, []int{1, 2, 3}},
		{"three of three, all dead", []int{1, 2, 3}, nil, []int{1, 2, 3}, 5 * time.Second, nil},
		{"two of four", []int{1, 2, 3, 4}, []int{3, 4}, nil, 0, []int{3, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, nil)
				w.db.lists(c.before...)
				w.expect("before", c.before...)
				w.kill(errCut, c.dead...)
				for _, n := range c.dead {
					w.db.parts(registry.Expired, n, c.left...)
				}
				w.db.lists(c.left...)
				w.after(c.at).expect("after", c.want...)
			})
		})
	}
}

// Members also count as many if their leases end one after another.
func TestMassExpiryOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		for _, list := range [][]int{{1, 2, 3, 4}, {2, 3, 4}, {3, 4}, {4}, {}} {
			w.db.lists(list...)
			w.after(5 * time.Second)
		}
		w.expect("all vanished within a minute, all alive", 1, 2, 3, 4)
	})
}

func TestProtectionEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2, 3)
		w.db.lists()
		w.after(time.Second).expect("asked and answered", 1, 2, 3)
		e := w.entry(1)
		if e.Why != "3 of 3 vanished from database within a minute without a goodbye; it answers" || !e.Protected ||
			!e.Stale {
			t.Errorf("the protection explains itself badly: %+v", e)
		}
		if left := time.Until(e.Until); left < 14*time.Minute || left > 15*time.Minute {
			t.Errorf("protected for %v more, want almost 15 min", left)
		}
		w.db.lists(2)
		if w.entry(2).Protected {
			t.Error("still protected though listed again")
		}
		w.kill(errRefused, 3)
		w.after(32*time.Second).expect("one died while protected", 1, 2)
		w.lan.parts(registry.Deregistered, 1)
		w.expect("one said goodbye", 2)
	})
}

func TestProtectionEndsByTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1)
		w.db.lists()
		w.after(14*time.Minute).expect("protected", 1)
		w.after(2 * time.Minute).expect("the database went on without it")
	})
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1)
		w.db.lists()
		w.after(time.Second)
		w.db.lost()
		w.after(time.Hour).expect("nobody can vouch, and it answers", 1)
	})
}

func TestProtectionWithoutProbe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Probe = nil })
		w.db.lists(1, 2)
		w.db.lists()
		w.after(50*time.Second).expect("not dropped at once", 1, 2)
		w.after(11 * time.Second).expect("but not kept for ever")
	})
}

func TestBrokenConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2)
		w.kill(errRefused, 1)
		w.Down(w.endpoint(1), false, errors.New("EOF"))
		w.expect("suspect", 2)
		w.expectEntry(1, Suspect, "connection broke: EOF")
		if len(w.db.suspects) != 1 || len(w.lan.suspects) != 1 {
			t.Errorf("sources were told of %v and %v", w.db.suspects, w.lan.suspects)
		}
		w.after(10*time.Second).expect("still dead", 2)
		w.Down(w.endpoint(2), false, errors.New("EOF"))
		w.expect("alive: asked at once", 2)
		w.kill(errRefused, 2)
		w.Down(w.endpoint(2), false, errors.New("EOF"))
		w.expect("never the last ones", 1, 2)
		w.revive(1)
		w.after(askLast).expect("it answers", 1)
		if n := w.asked[instance(2).Addr()]; n < 3 || n > 20 {
			t.Errorf("asked %d times in 5 s", n)
		}
	})
}

func TestEjection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2, 3)
		w.kill(errRefused, 1, 2)
		for range 3 {
			w.Down(w.endpoint(1), true, errRefused)
		}
		w.expectEntry(1, Ejected, "3 connections in a row failed: connection refused")
		if left := time.Until(w.entry(1).Until); left != 10*time.Second {
			t.Errorf("ejected for %v, want 10 s", left)
		}
		w.Down(w.endpoint(2), true, errRefused)
		w.expectEntry(2, Suspect, "")
		w.expect("ejected and suspect", 3)
		w.kill(errRefused, 3)
		w.Down(w.endpoint(3), false, errors.New("EOF"))
		w.expect("suspects before the ejected one", 2, 3)
		w.after(11*time.Second).expect("ejection is over, nobody answers", 1, 2, 3)
		w.revive(1)
		w.after(askLast).expect("one answers", 1)
	})
}

// TestPolicyEjectsNone: an instance that refuses calls by the site's policy answers, and what the policy does at the
// caller says nothing about the instance.
func TestPolicyEjectsNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2)
		w.kill(errCut, 1) // no probe may hide what the reports do
		s := w.service("auth")
		for _, o := range []health.Outcome{health.Denied, health.Limited, health.Injected, health.Mirrored,
			health.Fallback} {
			for range 100 {
				s.Report(w.endpoint(1), o, time.Millisecond)
			}
			w.after(time.Second).expect(o.String(), 1, 2)
		}
	})
}

func TestConnectionStandsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2)
		w.kill(errCut, 1)
		w.Down(w.endpoint(1), false, errors.New("reset"))
		w.expect("suspect", 2)
		w.Up(w.endpoint(1))
		w.expect("connected again", 1, 2)
	})
}

// A host that is cut off: its calls time out, and so does the probe.
func TestCutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2)
		w.kill(errCut, 1)
		s := w.service("auth")
		s.Report(w.endpoint(1), health.Timeout, time.Second)
		w.after(probeTimeout).expect("one call and one question unanswered", 2)
		w.Up(w.endpoint(1))
		w.expect("a frozen process accepts connections and does not answer", 2)
		w.revive(1)
		w.after(askLast+probeTimeout).expect("it answers", 1, 2)

		for range timeoutLimit {
			s.Report(w.endpoint(2), health.Timeout, time.Second)
		}
		w.expect("three time-outs in a row, but it answers", 1, 2)
	})
}

// TestSilenceIsEndedByAQuestionOnly: a connection has died of silence, as on a path that loses
// large packets. Neither a new connection nor a reply ends the suspicion, and the pause between
// probes grows.
func TestSilenceIsEndedByAQuestionOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2)
		w.after(time.Second)
		w.kill(errRefused, 1)
		w.Down(w.endpoint(1), false, fmt.Errorf("%w for 2s", rpc.ErrSilent))
		for range 60 {
			w.after(time.Second)
			w.Up(w.endpoint(1))
			w.service("auth").Report(w.endpoint(1), health.OK, time.Millisecond)
			w.expect("small packets pass", 2)
		}
		if n := w.asked[instance(1).Addr()]; n < 10 || n > 30 {
			t.Errorf("asked %d times in a minute", n)
		}
		w.revive(1)
		w.after(askLast).expect("it answers", 1, 2)
	})
}

func TestReplyEndsSuspicion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Probe = nil })
		w.db.lists(1, 2)
		s := w.service("auth")
		w.after(time.Second)
		w.Down(w.endpoint(1), false, errors.New("EOF"))
		w.expect("suspect", 2)
		w.after(100 * time.Millisecond)
		s.Report(w.endpoint(1), health.OK, 200*time.Millisecond)
		w.expect("a reply to a call from before", 2)
		s.Report(w.endpoint(1), health.OK, 10*time.Millisecond)
		w.expect("a reply to a later call", 1, 2)
		w.Down(w.endpoint(1), false, errors.New("EOF"))
		w.after(unaskedSuspect).expect("nobody can ask: trusted again", 1, 2)
	})
}

func TestLeaving(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2)
		w.Leaving(w.endpoint(1))
		w.expect("no new calls", 2)
		w.expectEntry(1, Leaving, "said that it is stopping")
		w.kill(errRefused, 1)
		w.Down(w.endpoint(1), false, errors.New("EOF"))
		w.after(30*time.Second).expect("closed", 2)
		w.db.parts(registry.Deregistered, 2, 1)
		w.expect("better than nobody", 1)
		w.revive(1)
		w.after(30*time.Second + askLast)
		w.expectEntry(1, OK, "")
	})
}

func TestWarmUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		list := instances(1, 2)
		list[0].Started, list[1].Started = time.Now().Add(-time.Hour), time.Now()
		w.db.say(registry.Snapshot{Service: "auth", Instances: list})
		w.expectEntry(2, Warming, "")
		share := func() float64 {
			n := 0
			for range 20_000 {
				if e, _ := w.Resolve("auth").Pick(t.Context(), &rpc.Call{}); e.Addr == instance(2).Addr() {
					n++
				}
			}
			return float64(n) / 20_000
		}
		got := fmt.Sprintf("%.1f", share())
		w.after(5 * time.Second)
		got += fmt.Sprintf(" %.1f", share())
		w.after(6 * time.Second)
		got += fmt.Sprintf(" %.1f", share())
		w.expectEntry(2, OK, "")
		if got != "0.2 0.4 0.5" { // 20 of 120, 60 of 160, 100 of 200
			t.Errorf("shares while it warms up: %s", got)
		}
	})
}

// A frozen process accepts connections. Only an answer makes a plain server well again.
func TestConnectingToAPlainServerIsNoAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		list := instances(1, 2)
		for i := range list {
			list[i].Protocol = registry.ProtocolFramedBinary
		}
		w.db.say(registry.Snapshot{Service: "auth", Instances: list})
		w.kill(errCut, 1)
		w.Down(w.endpoint(1), false, errors.New("EOF"))
		w.expect("suspect", 2)
		w.Up(w.endpoint(1))
		w.expect("connected, and not answered", 2)
		w.after(100 * time.Millisecond)
		w.service("auth").Report(w.endpoint(1), health.OK, time.Millisecond)
		w.expect("answered", 1, 2)
	})
}

// The description that announce gives of a plain server reaches the calls.
func TestPlainServersAreDescribed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		in := instance(1)
		in.Protocol = registry.ProtocolFramedBinary
		in.SetPrefix("Auth")
		in.SetConcurrency(8)
		w.db.say(registry.Snapshot{Service: "auth", Instances: []registry.Instance{in}})
		if e := w.endpoint(1); e.Prefix != "Auth" || e.Concurrency != 8 {
			t.Errorf("prefix %q, concurrency %d", e.Prefix, e.Concurrency)
		}
	})
}
