package operator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/skerry/skerry/internal/rollout"
)

// teller is a process of which only the log is asked.
type teller struct {
	Peer
	entries []rollout.Entry
	err     error
	silent  bool
	asked   int
}

func (p *teller) Since(ctx context.Context, _ rollout.Generation) ([]rollout.Entry, error) {
	p.asked++
	if p.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return p.entries, p.err
}

// TestLeavingProcessesAreNoEnd: many processes leave at once and refuse; the log is read of one that stays.
func TestLeavingProcessesAreNoEnd(t *testing.T) {
	e := (&rollout.Log{}).Next("r1", map[string]rollout.Rule{"auth": {Version: "v1"}})
	var with []Member
	for n := range 10 {
		with = append(with, Member{Process: fmt.Sprint("leaving/", n), Peer: &teller{err: errors.New("draining")}})
	}
	with = append(with, Member{Process: "stays/1", Peer: &teller{entries: []rollout.Entry{e}}})
	got, err := read(t.Context(), e.Position(), with)
	if err != nil || len(got) != 1 {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

// TestFewSilentProcessesAreAsked: processes that let their time pass are asked up to a bound.
func TestFewSilentProcessesAreAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var with []Member
		for n := range 10 {
			with = append(with, Member{Process: fmt.Sprint("silent/", n), Peer: &teller{silent: true}})
		}
		if _, err := read(t.Context(), rollout.Position{Hash: "x"}, with); err == nil {
			t.Error("a log is read of silent processes")
		}
		asked := 0
		for _, m := range with {
			asked += m.Peer.(*teller).asked
		}
		if asked != mostSilent {
			t.Errorf("%d processes were asked, want %d", asked, mostSilent)
		}
	})
}
