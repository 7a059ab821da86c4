package operator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// trial is a ramp of auth v2 during which an event happens after 3 s.
type trial struct {
	guard  Guard
	happen func(w *world)
	want   error
	says   []string
	after  rollout.State
}

func bounds(failures float64, p99 time.Duration) Guard {
	return Guard{Bounds: Bounds{Failures: failures, P99: p99}}
}

// counted sets what a process reports from now on.
func (p *proc) counted(list ...Served) { p.served.Store(&list) }

func served(c Count) Served { return Served{Service: "auth", Version: "v2", Count: c} }

func made(c Count) Served {
	return Served{Service: "auth", Version: "v2", Made: true, Peer: "10.0.0.3:7000", Count: c}
}

// well simulates a healthy version that is called all the time.
func well(w *world) {
	var more func(n int64)
	more = func(n int64) {
		w.proc(2).counted(served(Count{Calls: 1000 * n, Failures: n, Slow: 9 * n}))
		if n < 10 {
			time.AfterFunc(4*time.Second, func() { more(n + 1) })
		}
	}
	more(1)
}

var trials = map[string]trial{
	"all is well": {guard: bounds(0.05, time.Second), happen: well, after: rollout.Switched},
	"the old version fails": {guard: bounds(0.05, 0), after: rollout.Switched, happen: func(w *world) {
		well(w)
		w.proc(0).counted(Served{Service: "auth", Version: "v1", Count: Count{Calls: 100, Failures: 100}})
	}},
	"its processes count failures": {guard: bounds(0.05, 0), want: ErrGuard, after: rollout.RollingBack,
		says: []string{"auth/v2 fails", "the processes that serve it counted 100 failures (10 %) in 1000 calls",
			"the bound is 5 %", "host/3/e: 100 of 1000"},
		happen: func(w *world) { w.proc(2).counted(served(Count{Calls: 1000, Failures: 100})) }},
	"its callers count failures that it can't": {guard: bounds(0.05, 0), want: ErrGuard, after: rollout.RollingBack,
		says: []string{"its callers counted 30 failures (30 %: connect 20, timeout 10) in 100 calls",
			"host/1/e calling 10.0.0.3:7000: 30 of 100"},
		happen: func(w *world) {
			w.proc(2).counted(served(Count{Calls: 70}))
			w.proc(0).counted(made(Count{
				Calls: 100, Failures: 30, Kinds: map[string]int64{"connect": 20, "timeout": 10},
			}))
		}},
	"it answers late": {guard: bounds(0, 200*time.Millisecond), want: ErrGuard, after: rollout.RollingBack,
		says:   []string{"auth/v2 is slow", "20 (2 %) took longer than 200ms"},
		happen: func(w *world) { w.proc(2).counted(served(Count{Calls: 1000, Slow: 20})) }},
	"few calls, nearly all of which fail": {guard: bounds(0.05, 0), want: ErrGuard, after: rollout.RollingBack,
		happen: func(w *world) { w.proc(2).counted(served(Count{Calls: 10, Failures: 9})) }},
	"a single failure is within a bound of 1 %": {guard: bounds(0.01, 0), want: ErrUnjudged, after: rollout.Ramping,
		says:   []string{"auth/v2 had 20 of the 100 calls that it takes", "stays at 10 %"},
		happen: func(w *world) { w.proc(2).counted(served(Count{Calls: 20, Failures: 1})) }},
	"nobody calls it": {guard: bounds(0.05, 0), want: ErrUnjudged, after: rollout.Ramping,
		says: []string{"auth/v2 had 0 of the 50 calls"}, happen: func(*world) {}},
	"a service with bounds of its own": {after: rollout.RollingBack, want: ErrGuard,
		guard:  Guard{Bounds: Bounds{Failures: 0.5}, Services: map[string]Bounds{"auth": {Failures: 0.05}}},
		happen: func(w *world) { w.proc(2).counted(served(Count{Calls: 100, Failures: 10})) }},
	"a service that is not watched": {after: rollout.Switched,
		guard:  Guard{Bounds: Bounds{Failures: 0.05}, Services: map[string]Bounds{"auth": {Off: true}}},
		happen: func(w *world) { w.proc(2).counted(served(Count{Calls: 100, Failures: 100})) }},
}

func TestTheGuard(t *testing.T) {
	for name, trial := range trials {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				w, c := shipped(t, ballot)
				var last Progress
				c.cfg.Progress = func(p Progress) { last = p }
				w.proc(2).counted(served(Count{Calls: 5000, Failures: 5000, Slow: 5000})) // verifiers' calls, before
				time.AfterFunc(500*time.Millisecond, func() { w.proc(2).counted() })      // then the process restarted
				time.AfterFunc(3*time.Second, func() { trial.happen(w) })
				err := c.Ramp(ctx, []int{1000, 5000, rollout.Whole}, 10*time.Second, trial.guard)
				if !errors.Is(err, trial.want) || trial.want == nil && err != nil {
					t.Fatalf("ramp: %v, want %v", err, trial.want)
				}
				for _, want := range trial.says {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("%v\nwant %q", err, want)
					}
				}
				s := c.Status(ctx)
				if s.Session.State != trial.after {
					t.Errorf("the release is %s, want %s", s.Session.State, trial.after)
				}
				if step := s.Trail[len(s.Trail)-1].Step; trial.want == ErrGuard &&
					!strings.Contains(step, "by the guard: auth/v2") {
					t.Errorf("the trail says %q", step)
				}
				if trial.want == nil && !last.Over {
					t.Errorf("the last that was shown: %+v", last)
				}
			})
		})
	}
}

// Counters of processes that restart, vanish or reset never count backwards.
// Calls counted before the trial are not held against the new version.
func TestTallies(t *testing.T) {
	ctx := t.Context()
	w, c := shipped(t, ballot)
	log, _, err := c.Log(ctx)
	must(t, "log", err)
	r, _ := log.Session()
	w.proc(0).counted(made(Count{Calls: 100, Failures: 100, Kinds: map[string]int64{"connect": 100}}))
	w.proc(1).silent.Store(true)
	tl := c.newTallies(ctx, r, bounds(0.1, 0))
	look := func(what string, callees, callers Count) {
		t.Helper()
		tl.poll(ctx)
		got := tl.watched(r)[0]
		for _, x := range [][2]Count{{got.Callees.Count, callees}, {got.Callers.Count, callers}} {
			if x[0].Calls != x[1].Calls || x[0].Failures != x[1].Failures {
				t.Errorf("%s: %+v, want %+v", what, x[0], x[1])
			}
		}
	}
	look("nothing new", Count{}, Count{})
	w.proc(0).counted(made(Count{Calls: 130, Failures: 101, Kinds: map[string]int64{"connect": 101}}))
	w.proc(1).silent.Store(false)
	w.proc(1).counted(served(Count{Calls: 70, Failures: 70}))
	look("a process that is heard late counts from then on", Count{}, Count{Calls: 30, Failures: 1})
	w.proc(1).counted(served(Count{Calls: 80, Failures: 72}))
	look("it has counted on", Count{Calls: 10, Failures: 2}, Count{Calls: 30, Failures: 1})
	w.proc(1).counted(served(Count{Calls: 5}))
	look("a counter that shrank", Count{Calls: 10, Failures: 2}, Count{Calls: 30, Failures: 1})
	w.proc(0).silent.Store(true)
	if silent := tl.poll(ctx); silent != 1 {
		t.Errorf("%d processes were silent, want 1", silent)
	}
	look("a process that has vanished", Count{Calls: 10, Failures: 2}, Count{Calls: 30, Failures: 1})
	w.proc(2).counted(served(Count{Calls: 40}),
		Served{Service: "auth", Version: "v1", Count: Count{Calls: 9}},
		Served{Service: "proc", Version: "v2", Count: Count{Calls: 9}})
	look("others are not on trial", Count{Calls: 50, Failures: 2}, Count{Calls: 30, Failures: 1})
	if kinds := tl.watched(r)[0].Callers.Kinds; kinds["connect"] != 1 {
		t.Errorf("kinds of failures: %v", kinds)
	}
}

// Another operator continues an interrupted ramp. It watches the present share
// again before the next one.
func TestARampGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := shipped(t, ballot)
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		err := c.Ramp(ctx, []int{1000, 5000, rollout.Whole}, 10*time.Second, Guard{})
		if !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "stays at 50 %, and no command watches it") {
			t.Fatalf("cut off: %v", err)
		}
		other, began := New(Config{Site: w, Store: ballot(w), By: "bob"}), time.Now()
		must(t, "ramp", other.Ramp(t.Context(), []int{1000, 5000, rollout.Whole}, 10*time.Second, Guard{}))
		s := other.Status(t.Context())
		if took := time.Since(began); s.Session.State != rollout.Switched || took != 10*time.Second {
			t.Errorf("%s after %v, want SWITCHED after 10 s at 50 %%", s.Session.State, took)
		}
	})
}

// TestALaterShareWaitsForASilentProcess: a process that ends during a ramp is on the lists for some
// seconds more. The next share waits for it, at most 10 s. The first share says at once which process
// does not answer, because an operator reads it.
func TestALaterShareWaitsForASilentProcess(t *testing.T) {
	for name, tc := range map[string]struct {
		ends, leaves time.Duration // after the start of the ramp
		want         error
		took         time.Duration
	}{
		"which leaves the lists":    {9 * time.Second, 17 * time.Second, nil, 27 * time.Second},
		"which stays on the lists":  {9 * time.Second, time.Hour, ErrSilent, 20 * time.Second},
		"before the first share":    {0, 5 * time.Second, ErrSilent, 0},
		"that has left before that": {time.Second, 9 * time.Second, nil, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := shipped(t, ballot)
				var waits []Progress
				c.cfg.Progress = func(p Progress) {
					if p.Step == "wait" {
						waits = append(waits, p)
					}
				}
				p := w.proc(1)
				end := func() { p.silent.Store(true) }
				if tc.ends == 0 {
					end()
				}
				time.AfterFunc(tc.ends, end)
				time.AfterFunc(tc.leaves, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.members = slices.Delete(slices.Clone(w.members), 1, 2)
				})
				begun := time.Now()
				err := c.Ramp(t.Context(), []int{1000, 5000, rollout.Whole}, 10*time.Second, Guard{})
				if took := time.Since(begun); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) ||
					took < tc.took || took > tc.took+2*time.Second {
					t.Errorf("after %v, want %v: %v", took, tc.took, err)
				}
				if waited := len(waits) > 0; waited != (tc.took > 20*time.Second || tc.want != nil && tc.ends > 0) {
					t.Errorf("the operator reads %+v", waits)
				}
			})
		})
	}
}

// A bad version that does not answer can't be rolled back until the operator
// vouches for it. The operator sees the progress.
func TestTheGuardAgainstASilentProcess(t *testing.T) {
	for name, recovers := range map[string]bool{"which answers again": true, "which stays silent": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, c := shipped(t, ballot)
				time.AfterFunc(3*time.Second, func() {
					w.proc(2).silent.Store(true)
					w.proc(0).counted(made(Count{Calls: 100, Failures: 100, Kinds: map[string]int64{"timeout": 100}}))
				})
				if recovers {
					time.AfterFunc(13*time.Second, func() { w.proc(2).silent.Store(false) })
				}
				err := c.Ramp(t.Context(), []int{1000, rollout.Whole}, 10*time.Second, bounds(0.05, 0))
				if !errors.Is(err, ErrGuard) || strings.Contains(err.Error(), "THE ROLLBACK FAILED") == recovers ||
					errors.Is(err, ErrSilent) == recovers {
					t.Errorf("%v", err)
				}
				log, _, err := c.Log(t.Context())
				must(t, "log", err)
				if r, _ := log.Session(); r.Back != recovers {
					t.Errorf("the release is %s", r.State)
				}
			})
		})
	}
}

// The guard acts although the operator's key is not usable any more: the
// rollback of each share is signed before the share starts.
func TestTheGuardActsWithoutTheAgent(t *testing.T) {
	eachKind(t, func(t *testing.T, database bool) {
		for name, beyond := range map[string]int{
			"at the first share": 0, "at a later share": 1, "a ramp that goes on": 2,
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, s, ann := t.Context(), newSignedSite(database, "ann"), byHand("ann")
					c := s.controller(ann)
					must(t, "start", c.Start(ctx, "spring", "why", ""))
					must(t, "ship", c.Ship(ctx, rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
					if beyond == 2 {
						must(t, "commit", c.Commit(ctx, 1000))
					}
					after := time.Second
					if beyond == 1 {
						after = 11 * time.Second
					}
					s.proc(2).counted(served(Count{Calls: 1000}))
					time.AfterFunc(after, func() {
						ann.mu.Lock()
						ann.left = 0
						ann.mu.Unlock()
						s.proc(2).counted(served(Count{Calls: 3000, Failures: 1000}))
					})
					time.AfterFunc(after/2, func() { s.proc(2).counted(served(Count{Calls: 2000})) })
					err := c.Ramp(ctx, []int{1000, 5000, rollout.Whole}, 10*time.Second, bounds(0.05, 0))
					if !errors.Is(err, ErrGuard) || !strings.Contains(err.Error(), "the release is rolled back") {
						t.Fatalf("ramp: %v", err)
					}
					log, entries, err := c.Log(ctx)
					must(t, "log", err)
					last := entries[len(entries)-1]
					want := "signed before the share of 10 % began"
					if beyond == 1 {
						want = "signed before the share of 50 % began"
					}
					who, err := last.SignedBy(s.ring)
					if r, _ := log.Session(); who != "ann" || err != nil || !r.Back ||
						!strings.Contains(last.Step, want) {
						t.Errorf("the last step, signed by %q (%v): %q; back: %v", who, err, last.Step, r.Back)
					}
					s.at(t, log.Hash())
				})
			})
		}
	})
}

// A share does not start if its rollback can't be signed.
func TestNoShareBeginsWithoutItsRollback(t *testing.T) {
	eachKind(t, func(t *testing.T, database bool) {
		synctest.Test(t, func(t *testing.T) {
			ctx, s, ann := t.Context(), newSignedSite(database, "ann"), byHand("ann")
			c := s.controller(ann)
			must(t, "start", c.Start(ctx, "spring", "why", ""))
			must(t, "ship", c.Ship(ctx, rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
			log, _, err := c.Log(ctx)
			must(t, "log", err)
			ann.left = 1 // enough for the share only
			err = c.Ramp(ctx, []int{1000, rollout.Whole}, 10*time.Second, bounds(0.05, 0))
			if !errors.Is(err, errAgentGone) {
				t.Errorf("ramp: %v", err)
			}
			s.at(t, log.Hash())
		})
	})
}

// absent is a store that is away for a while, as a database during failover.
type absent struct {
	Memory
	from, until time.Time
	goes        bool // the next write loses its answer, then it is away for a minute
}

var errAway = errors.New("the database is away")

func (a *absent) away() bool { now := time.Now(); return now.After(a.from) && now.Before(a.until) }

func (a *absent) Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error) {
	if a.away() {
		return nil, errAway
	}
	return a.Memory.Since(ctx, after)
}

func (a *absent) Append(ctx context.Context, e rollout.Entry) error {
	if a.away() {
		return errAway
	}
	err := a.Memory.Append(ctx, e)
	if a.goes && err == nil {
		now := time.Now()
		a.goes, a.from, a.until = false, now.Add(-1), now.Add(time.Minute)
		return errAway
	}
	return err
}

// A ramp continues after its database was away for a minute, at any moment, and
// the guard rolls back when it is available again.
func TestARampOutlastsAFailOver(t *testing.T) {
	for name, c := range map[string]struct {
		at, away time.Duration
		bad      bool
		want     error
		after    rollout.State
	}{
		"before the first share": {at: -time.Second, away: time.Minute, after: rollout.Switched},
		"while a share is watched": {at: 2 * time.Second, away: 5 * time.Second,
			after: rollout.Switched},
		"when the next is due": {at: 5 * time.Second, away: time.Minute, after: rollout.Switched},
		"for too long": {at: 5 * time.Second, away: time.Hour, want: ErrFrozen,
			after: rollout.Ramping},
		"while a bad version is to be rolled back": {at: 5 * time.Second, away: time.Minute, bad: true, want: ErrGuard,
			after: rollout.RollingBack},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &absent{}
				w, ctl := shipped(t, func(*world) Store { return store })
				store.from = time.Now().Add(c.at)
				store.until = store.from.Add(c.away)
				well := func(n int64) {
					w.proc(2).counted(served(Count{Calls: 1000 * n}))
				}
				for n := range int64(100) {
					time.AfterFunc(time.Duration(n)*2*time.Second, func() {
						if c.bad && n > 3 {
							w.proc(2).counted(served(Count{Calls: 1000 * n, Failures: 500 * n}))
							return
						}
						well(n + 1)
					})
				}
				err := ctl.Ramp(t.Context(), []int{1000, rollout.Whole}, 10*time.Second, bounds(0.05, 0))
				if !errors.Is(err, c.want) || c.want == nil && err != nil ||
					err != nil && strings.Contains(err.Error(), "FAILED") {
					t.Errorf("ramp: %v, want %v", err, c.want)
				}
				store.until = time.Time{}
				log, _, err := ctl.Log(t.Context())
				must(t, "log", err)
				if r, _ := log.Session(); r.State != c.after {
					t.Errorf("the release is %s, want %s", r.State, c.after)
				}
			})
		})
	}
}

// A share is not committed twice when its answer was lost with the primary.
func TestAShareWhoseAnswerWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &absent{}
		_, c := shipped(t, func(*world) Store { return store })
		c.cfg.Progress = func(p Progress) { store.goes = store.goes || p.Over && p.Share == 1000 }
		must(t, "ramp", c.Ramp(t.Context(), []int{1000, rollout.Whole}, 10*time.Second, Guard{}))
		_, entries, err := c.Log(t.Context())
		must(t, "log", err)
		if n := len(entries); n != 4 || store.until.IsZero() { // start, ship, both shares
			t.Errorf("%d entries, want 4; away until %v", n, store.until)
		}
	})
}
