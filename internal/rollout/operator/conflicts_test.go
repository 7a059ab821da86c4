package operator

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// rivals is a site where two operators' commands ended between promise and
// commit. Processes 1 and 2 have promised a commit, process 3 a rollback.
func rivals(t *testing.T) (*world, *Controller, [2]rollout.Entry) {
	t.Helper()
	w, c := shipped(t, ballot)
	log, _, err := c.Log(t.Context())
	must(t, "log", err)
	r, _ := log.Session()
	var entries [2]rollout.Entry
	for i, step := range []string{"commit 10 %", "roll back"} {
		e := log.Next(r.Name, nil)
		session, rules, err := r.Commit(log, 1000, e.Generation)
		if i == 1 {
			session, rules, err = r.Rollback(log, e.Generation)
		}
		must(t, step, err)
		e.Step, e.By, e.Session, e.Rules = step, []string{"ann", "bob"}[i], &session, rules
		entries[i] = e
	}
	must(t, "promise", errors.Join(w.proc(0).Agent.Promise(entries[0], rollout.Undertaking{Command: "a"}),
		w.proc(1).Agent.Promise(entries[0], rollout.Undertaking{Command: "a"}),
		w.proc(2).Agent.Promise(entries[1], rollout.Undertaking{Command: "b"})))
	return w, c, entries
}

func TestRivalsAreSettled(t *testing.T) {
	ctx := t.Context()
	w, c, entries := rivals(t)
	if err := c.Commit(ctx, 5000); !errors.Is(err, rollout.ErrPromised) ||
		!strings.Contains(err.Error(), "refresh completes it") {
		t.Errorf("a step over two half ones: %v", err)
	}
	if pending := c.Status(ctx).Pending; len(pending) != 2 || pending[0].By != "ann" {
		t.Errorf("pending: %+v", pending)
	}
	must(t, "refresh", c.Refresh(ctx, false))
	for i := range w.members {
		if w.proc(i).Log().Hash() != entries[0].Hash() || w.proc(i).Agent.Promised() != nil {
			t.Errorf("process %d is at %v, promised %v", i, w.proc(i).Log().Last(), w.proc(i).Agent.Promised())
		}
	}
	b := &Ballot{Site: w}
	if err := b.Append(ctx, entries[1]); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("bob's command goes on after all: %v", err)
	}
}

// While one process bars an entry, the command that proposed it can't commit
// it, even if that entry is the only one left.
func TestWhatWasGivenUpIsNeverCommitted(t *testing.T) {
	ctx := t.Context()
	w, c, entries := rivals(t)
	must(t, "discard", c.Refresh(ctx, true))
	if s := c.Status(ctx); len(s.Pending) != 0 || s.Session.State != rollout.Prepared {
		t.Errorf("%+v", s)
	}
	for i, e := range entries {
		if err := (&Ballot{Site: w}).Append(ctx, e); !errors.Is(err, rollout.ErrPromised) {
			t.Errorf("entry %d is committed although it was given up: %v", i, err)
		}
	}
	must(t, "commit", c.Commit(ctx, 5000))
}

func TestWhatMayBeCommittedIsNotGivenUp(t *testing.T) {
	ctx := t.Context()
	w, c := shipped(t, ballot)
	for i := range w.members {
		w.proc(i).deafTo = "learn"
	}
	if err := c.Commit(ctx, 1000); err == nil {
		t.Fatal("a commit that nobody heard is no error")
	}
	for i := range w.members {
		w.proc(i).deafTo = ""
	}
	if err := c.Refresh(ctx, true); !errors.Is(err, errCertain) {
		t.Errorf("discard of what all have promised: %v", err)
	}
	must(t, "refresh", c.Refresh(ctx, false))
	if r := c.Status(ctx).Session; r.Share != 1000 {
		t.Errorf("%+v", r)
	}
}

// One operator completes an entry while another takes it back. The promise
// stands for the first.
func TestTakingBackDoesNotHarmWhoGoesOn(t *testing.T) {
	ctx := t.Context()
	w, c, entries := rivals(t)
	must(t, "give up bob's", (&Ballot{Site: w}).giveUp(ctx, promised{entries[1], []Member{w.members[2]}}, w.members))
	for i := range w.members {
		must(t, "promise", w.proc(i).Promise(ctx, entries[0], rollout.Undertaking{Command: "cleo"}))
		must(t, "abandon", w.proc(i).Abandon(ctx, entries[0], rollout.Undertaking{Command: "a"}))
		if w.proc(i).Agent.Promised() == nil {
			t.Errorf("process %d has taken back what cleo counts on", i)
		}
	}
	must(t, "commit", (&Ballot{Site: w}).commit(ctx, w.members, nil, entries[0]))
	must(t, "ramp on", c.Commit(ctx, 5000))
}

// An operator vouched for the death of a live process that had promised another
// change. The committed entry holds, and the other can't be committed.
func TestACommitAgainstAnOwnPromise(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	w, c, entries := rivals(t)
	b := &Ballot{Site: w, Without: []string{"host/3"}}
	must(t, "commit without host/3", b.Append(ctx, entries[0]))
	if got := w.proc(2).Agent.Promised(); got == nil || got.By != "bob" {
		t.Fatalf("host/3 has promised %v", got)
	}
	must(t, "refresh", c.Refresh(ctx, false))
	if p := w.proc(2); p.Log().Hash() != entries[0].Hash() || p.Agent.Promised() != nil {
		t.Errorf("host/3 is at %v and has promised %v", p.Log().Last(), p.Agent.Promised())
	}
	must(t, "ramp on", c.Commit(ctx, 5000))
}

// Two operators wrongly vouched for the death of each other's processes. The
// second commit fails with an error.
func TestTwoCommitsWithoutEachOther(t *testing.T) {
	ctx := t.Context()
	w, _, entries := rivals(t)
	must(t, "ann's", (&Ballot{Site: w, Without: []string{"host/3"}}).Append(ctx, entries[0]))
	err := (&Ballot{Site: w, Without: []string{"host/1", "host/2"}}).Append(ctx, entries[1])
	must(t, "bob's, as nobody whom he asks knows better", err)
	if _, err := (&Ballot{Site: w}).Since(ctx, rollout.Generation{}); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("a site with two logs: %v", err)
	}
}
