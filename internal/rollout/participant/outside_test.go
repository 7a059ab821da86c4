package participant

import (
	"errors"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// A caller from outside holds an old version for a limited time, with its
// address. After that its tokens are refused, and its running work holds
// nothing.
func TestCallersFromOutsideHoldForAWhile(t *testing.T) {
	a := mustAgent(t, Saved{}, nil)
	one, two := twoSteps(t)
	if err := a.Learn(one); err != nil {
		t.Fatal(err)
	}
	var stranger, member Trace
	old := a.Log().Token(1, "")
	o := a.Origin("auth.check", "auth/v1")
	o.Join(&stranger, old, "", "192.0.2.9:4711")
	o.Join(&member, old, "", "")
	if err := a.Learn(two); err != nil {
		t.Fatal(err)
	}
	round := uint64(0)
	held := func() (all, outside int) {
		round += 2
		a.Report(rollout.Question{Round: round - 1, Until: two.Generation})
		for _, h := range a.Report(rollout.Question{Round: round, Until: two.Generation}).Inflight {
			if all++; h.Outside && h.From == "192.0.2.9:4711" {
				outside++
			}
		}
		return all, outside
	}
	if all, outside := held(); all != 2 || outside != 1 {
		t.Errorf("%d spans are held, %d of them from outside, want 2 and 1", all, outside)
	}
	if err := a.Log().AdmitOutside(old); err != nil {
		t.Errorf("before its time is over: %v", err)
	}
	a.ExpireOutside(two.Generation)
	if all, outside := held(); all != 1 || outside != 0 {
		t.Errorf("afterwards %d spans are held, %d of them from outside, want 1 and 0", all, outside)
	}
	if err := a.Log().AdmitOutside(old); !errors.Is(err, rollout.ErrExpired) {
		t.Errorf("afterwards a call from outside: %v, want ErrExpired", err)
	}
	if err := a.Log().Admit("auth", "v1", old); err != nil {
		t.Errorf("afterwards a member's call: %v", err)
	}
	member.End()
	if idle, _ := a.ledger.idle(rollout.Generation{}, two.Generation, two.Generation); !idle {
		t.Error("a stranger's span is waited for")
	}
	stranger.End()
}
