package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// torn is a site with a log that has forked. Processes 1 and 2 have log A, 3
// and 4 have log B; process 4 lags on it. A database holds A. Process 5 joined
// last and has the common part. Only B has rules for "mail", which was found in
// v1 and switched to v2.
func torn(t *testing.T, store func(*world) Store) (*world, *Controller, [2][]rollout.Entry) {
	t.Helper()
	w := newWorld(5)
	c := New(Config{Site: w, Store: store(w), By: "ann"})
	next := func(entries []rollout.Entry, service, version string) []rollout.Entry {
		log, err := rollout.Replay(entries)
		must(t, "replay", err)
		e, err := log.Next("r", map[string]rollout.Rule{service: {Version: version}}).Seal()
		must(t, "seal", err)
		return append(entries[:len(entries):len(entries)], e)
	}
	common := next(nil, "auth", "v1")
	a := next(common, "auth", "v2")
	b := next(next(next(common, "mail", "v1"), "auth", "v3"), "mail", "v2")
	for i, has := range [][]rollout.Entry{a, a, b, b[:3], common} {
		must(t, "learn", w.proc(i).Learn(t.Context(), has...))
	}
	if m, ok := c.cfg.Store.(*Memory); ok {
		for _, e := range a {
			must(t, "append", m.Append(t.Context(), e))
		}
	}
	return w, c, [2][]rollout.Entry{a, b}
}

var stores = map[string]func(*world) Store{"ballot": ballot, "database": func(*world) Store { return &Memory{} }}

func eachStore(t *testing.T, f func(*testing.T, func(*world) Store)) {
	for name, store := range stores {
		t.Run(name, func(t *testing.T) { f(t, store) })
	}
}

func tip(entries []rollout.Entry) rollout.Position { return entries[len(entries)-1].Position() }

func TestAPartedLogIsShownAndNotWorkedOn(t *testing.T) {
	eachStore(t, func(t *testing.T, store func(*world) Store) {
		ctx := t.Context()
		w, c, logs := torn(t, store)
		s := c.Status(ctx)
		if len(s.Branches) != 2 || !errors.Is(s.Err, ErrForked) ||
			!strings.Contains(s.Frozen, "skerry release adopt --keep") {
			t.Fatalf("%d lines, %v", len(s.Branches), s.Err)
		}
		for _, l := range s.Branches {
			want := []string{"host/1/e", "host/2/e"}
			if l.Tip == tip(logs[1]) {
				want = []string{"host/3/e", "host/4/e"}
			} else if l.Tip != tip(logs[0]) {
				t.Errorf("a line %v", l.Tip)
			}
			if !strings.Contains(strings.Join(l.Members, " "), strings.Join(want, " ")) {
				t.Errorf("%v has %q", l.Tip, l.Members)
			}
			if !strings.Contains(s.Frozen, l.Tip.String()) {
				t.Errorf("the status does not name %v: %s", l.Tip, s.Frozen)
			}
		}
		for step, err := range map[string]error{
			"start":  c.Start(ctx, "spring", "why", ""),
			"commit": c.Commit(ctx, rollout.Whole), "rollback": c.Rollback(ctx), "clean": c.Clean(ctx),
			"vouch": c.Vouch(ctx),
		} {
			if err == nil {
				t.Errorf("%s: done on a log that has forked", step)
			}
		}
		for keep, want := range map[string]error{"": ErrForked, "feed": ErrForked, "1": ErrForked} {
			if err := c.Adopt(ctx, keep); !errors.Is(err, want) ||
				!strings.Contains(err.Error(), logs[1][3].Hash()[:8]) {
				t.Errorf("adopt %q: %v", keep, err)
			}
		}
		for i := range w.members {
			if w.proc(i).Agent.Promised() != nil {
				t.Errorf("process %d has promised something", i)
			}
		}
	})
}

func TestAdoptEndsTheOtherLog(t *testing.T) {
	for keep := range 2 {
		eachStore(t, func(t *testing.T, store func(*world) Store) {
			ctx := t.Context()
			w, c, logs := torn(t, store)
			deaf := []int{3, 1}[keep] // on the log that ends; it receives nothing for a while
			w.proc(deaf).deafTo = "learn"
			must(t, "adopt", c.Adopt(ctx, tip(logs[keep]).Hash[:8]))
			log, entries, err := c.Log(ctx)
			must(t, "log", err)
			for i := range w.members {
				if i != deaf && w.proc(i).Log().Hash() != log.Hash() {
					t.Errorf("process %d is at %v, the log at %v", i, w.proc(i).Log().Last(), log.Last())
				}
			}
			e := entries[len(entries)-1]
			if n := len(logs[keep]); len(entries) != n+1 || entries[n-1].Hash() != tip(logs[keep]).Hash ||
				e.Generation != (rollout.Generation{Timeline: 1, N: 5}) || len(e.Ends) != len(logs[1-keep])-1 {
				t.Errorf("%d entries, the last is %v and ends %v", len(entries), e.Generation, e.Ends)
			}
			if mail, ok := log.Rule("mail"); !ok || mail.Version != []string{"v1", "v2"}[keep] {
				t.Errorf("mail is %+v; where only the log that ends speaks of it, it keeps the version found first",
					mail)
			}
			if auth, _ := log.Rule("auth"); auth.Version != []string{"v2", "v3"}[keep] {
				t.Errorf("auth is %+v", auth)
			}
			if s := c.Status(ctx); s.Err != nil || len(s.Branches) > 0 {
				t.Errorf("after adopt: %v", s.Err)
			}
			for _, again := range []string{"", tip(entries).Hash} {
				if err := c.Adopt(ctx, again); !errors.Is(err, rollout.ErrStep) {
					t.Errorf("adopt %q again, not needed: %v", again, err)
				}
			}
			w.proc(deaf).deafTo = ""
			must(t, "refresh", c.Refresh(ctx, false))
			if w.proc(deaf).Log().Hash() != log.Hash() {
				t.Errorf("the one that lagged is at %v", w.proc(deaf).Log().Last())
			}
			must(t, "go on", c.Start(ctx, "spring", "why", ""))
		})
	}
}

// A process that lags on a log that has ended blocks no step: the step sends it
// the log.
func TestWhoLagsOnAnEndedLogIsTaught(t *testing.T) {
	eachStore(t, func(t *testing.T, store func(*world) Store) {
		w, c, logs := torn(t, store)
		w.proc(3).deafTo = "learn"
		must(t, "adopt", c.Adopt(t.Context(), tip(logs[0]).Hash))
		w.proc(3).deafTo = ""
		must(t, "start", c.Start(t.Context(), "spring", "why", ""))
		if w.proc(3).Log().Hash() != w.proc(0).Log().Hash() {
			t.Errorf("it is at %v, the others at %v", w.proc(3).Log().Last(), w.proc(0).Log().Last())
		}
	})
}

// The database has the ended log, after a second primary came back.
func TestADatabaseWithTheEndedLog(t *testing.T) {
	for keep := range 2 {
		ctx := t.Context()
		w, c, logs := torn(t, stores["database"])
		must(t, "adopt", c.Adopt(ctx, tip(logs[keep]).Hash))
		old := &Memory{}
		must(t, "the old primary", old.Adopt(ctx, logs[1-keep]))
		c.cfg.Store = old
		if err := c.Start(ctx, "spring", "why", ""); !errors.Is(err, ErrRestored) {
			t.Errorf("a step on the log that has ended: %v", err)
		}
		must(t, "adopt again", c.Adopt(ctx, ""))
		must(t, "start", c.Start(ctx, "spring", "why", ""))
		for i := range w.members {
			if got := w.proc(i).Log().Last(); got != (rollout.Generation{Timeline: 2, N: 7}) {
				t.Errorf("process %d is at %v", i, got)
			}
		}
	}
}

// An interrupted change on one of the logs does not block Adopt.
func TestAdoptOverAPromise(t *testing.T) {
	ctx := t.Context()
	w, c, logs := torn(t, ballot)
	for i, log := range []int{0: 0, 2: 1} {
		if i == 1 {
			continue
		}
		whole, err := rollout.Replay(logs[log])
		must(t, "replay", err)
		must(t, "promise", w.proc(i).Promise(ctx, whole.Next("half", nil), rollout.Undertaking{Command: "bob"}))
	}
	must(t, "adopt", c.Adopt(ctx, tip(logs[0]).Hash))
	for i := range w.members {
		if p := w.proc(i).Agent.Promised(); p != nil {
			t.Errorf("process %d has still promised %v", i, p.Generation)
		}
	}
}

// The log that Adopt would end gets a further entry before its processes
// promise.
func TestAdoptOfALogThatGoesOnIsRefused(t *testing.T) {
	ctx := t.Context()
	w, c, logs := torn(t, ballot)
	lines, err := c.Branches(ctx)
	must(t, "lines", err)
	e, err := c.ending(lines[0], lines[1:])
	must(t, "end", err)
	ended, err := rollout.Replay(logs[1])
	if lines[0].Tip == tip(logs[1]) {
		ended, err = rollout.Replay(logs[0])
	}
	must(t, "replay", err)
	for i := range w.members {
		if w.proc(i).Log().Hash() == ended.Hash() {
			must(t, "goes on", w.proc(i).Learn(ctx, ended.Next("more", nil)))
		}
	}
	if err := c.cfg.Store.Adopt(ctx, append(lines[0].Entries, e)); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("adopt of what has changed: %v", err)
	}
	for i := range w.members {
		if w.proc(i).Agent.Promised() != nil || w.proc(i).Log().Hash() == e.Hash() {
			t.Errorf("process %d: half done", i)
		}
	}
}

// The bounds of rounds of package rollout.
const (
	roundJump = 1 << 20
	maxRound  = 1 << 50
)

// A process that reports a false round number delays a drain while it does so,
// and moves the other numbers by a bounded step only.
func TestALyingProcessDoesNotUseTheRoundsUp(t *testing.T) {
	for _, lie := range []uint64{roundJump * 3, maxRound - 1, maxRound, 1<<64 - 1} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			w, c := shipped(t, ballot)
			must(t, "commit", c.Commit(ctx, rollout.Whole))
			w.proc(0).lies.Store(lie)
			short, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			if err := c.Clean(short); err == nil {
				t.Fatalf("lie %d: the drain is over without an answer", lie)
			}
			for i := 1; i < 3; i++ {
				if r := w.proc(i).Round(); r > 200*roundJump {
					t.Errorf("lie %d: process %d is at round %d", lie, i, r)
				}
			}
			time.AfterFunc(10*time.Second, func() { w.proc(0).lies.Store(0) })
			long, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			must(t, fmt.Sprintf("clean, and the lie %d ends meanwhile", lie), c.Clean(long))
		})
	}
}

// A site has counted many rounds, and new processes start at 0.
func TestRoundsOfAnOldSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w, c := shipped(t, ballot)
		for range 5 {
			w.proc(1).Agent.Report(rollout.Question{Round: maxRound})
		}
		must(t, "commit", c.Commit(ctx, rollout.Whole))
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		must(t, "clean", c.Clean(ctx))
	})
	rounds := func(all ...uint64) (members []MemberStatus) {
		for _, r := range all {
			members = append(members, MemberStatus{Round: r})
		}
		return members
	}
	const jump = uint64(roundJump)
	for i, tc := range []struct {
		of   []MemberStatus
		want uint64
	}{
		{nil, 0}, {rounds(0), 0}, {rounds(7, 5, 9), 9}, {rounds(0, 0, maxRound), jump}, {rounds(5, 1<<64-1), 5 + jump},
		{rounds(0, jump*2, jump*2+3), 2 * jump}, {rounds(1<<64 - 1), maxRound},
		{append(rounds(3), MemberStatus{Round: 90, Silent: "x"}), 3},
	} {
		if got := lastRound(tc.of); got != tc.want {
			t.Errorf("%d: %d, want %d", i, got, tc.want)
		}
	}
}
