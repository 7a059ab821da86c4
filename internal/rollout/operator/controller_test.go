package operator

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// site is a world of three processes that serve auth v1 and v2.
func site(store func(*world) Store) (*world, *Controller) {
	w := newWorld(3)
	for i, v := range []string{"v1", "v1", "v2"} {
		w.instances = append(w.instances, Instance{Process: w.members[i].Process, Service: "auth", Version: v, Addr: v})
	}
	for i := range w.members {
		w.proc(i).MayCall("auth")
	}
	return w, New(Config{Site: w, Store: store(w), By: "ann"})
}

func ballot(w *world) Store { return &Ballot{Site: w} }

func must(t *testing.T, step string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
}

// shipped is a site with an open release of auth v2.
func shipped(t *testing.T, store func(*world) Store) (*world, *Controller) {
	t.Helper()
	w, c := site(store)
	must(t, "start", c.Start(t.Context(), "spring", "why", ""))
	must(t, "ship", c.Ship(t.Context(), rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
	return w, c
}

func TestAnOldTraceHoldsTheDrainBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w, c := shipped(t, ballot)
		old := w.proc(1).Begin("job", 1, "")
		must(t, "commit", c.Commit(ctx, rollout.Whole))
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		err := c.Clean(short)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "host/2/e is holding") {
			t.Fatalf("clean with an old trace: %v", err)
		}
		other := New(Config{Site: w, Store: c.cfg.Store, By: "bob"})
		held, err := other.Blockers(ctx)
		if err != nil || len(held["auth"]) != 1 || held["auth"][0].Process != "host/2/e" {
			t.Errorf("holders: %v, %v", held, err)
		}
		old.End()
		must(t, "another operator goes on", other.Clean(ctx))
		s := other.Status(ctx)
		if s.Session.State != rollout.Stopped || s.Trail[len(s.Trail)-1].By != "bob" || len(w.instances) != 1 {
			t.Errorf("%+v, listed: %v", s, w.instances)
		}
	})
}

// Two operators clean a release at once. The one whose steps the other has taken
// succeeds as well.
func TestTwoCleanAtOnce(t *testing.T) {
	for _, at := range []string{"drain", "stop"} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			w, c := shipped(t, ballot)
			must(t, "commit", c.Commit(ctx, rollout.Whole))
			other := New(Config{Site: w, Store: c.cfg.Store, By: "bob"})
			overtake := sync.OnceFunc(func() { must(t, "bob's clean", other.Clean(ctx)) })
			c.cfg.Progress = func(p Progress) {
				if p.Step == at {
					overtake()
				}
			}
			must(t, "ann's clean", c.Clean(ctx))
			s := c.Status(ctx)
			if s.Session.State != rollout.Stopped || s.Trail[len(s.Trail)-1].By != "bob" {
				t.Errorf("%s: %+v", at, s)
			}
		})
	}
}

// Silence is not death. A silent process blocks and is named, until it answers,
// its death is certified, or the operator vouches for it, which is recorded.
func TestASilentProcessBlocks(t *testing.T) {
	for name, end := range map[string]func(*world, *Controller){
		"an answer": func(w *world, _ *Controller) { w.proc(1).silent.Store(false) },
		"a certificate": func(w *world, _ *Controller) {
			w.ended["host/2/e"] = true
			w.instances = w.instances[1:]
		},
		"the operator's word": func(_ *world, c *Controller) { c.cfg.Without = []string{"host/2"} },
	} {
		for kind, store := range map[string]func(*world) Store{
			"ballot": ballot, "database": func(*world) Store { return &Memory{} },
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := t.Context()
					w, c := shipped(t, store)
					must(t, "commit", c.Commit(ctx, rollout.Whole))
					w.proc(1).silent.Store(true)
					short, cancel := context.WithTimeout(ctx, 10*time.Second)
					defer cancel()
					if err := c.Clean(short); err == nil || !strings.Contains(err.Error(), "host/2/e") {
						t.Fatalf("clean without an answer of host/2/e: %v", err)
					}
					end(w, c)
					if b, ok := c.cfg.Store.(*Ballot); ok {
						b.Without = c.cfg.Without
					}
					w.instances = w.instances[len(w.instances)-1:] // the silent processes have lost their leases
					must(t, "clean", c.Clean(ctx))
					last := c.Status(ctx).Trail
					words := last[len(last)-1].Step
					if strings.Contains(words, "without host/2") != (len(c.cfg.Without) > 0) {
						t.Errorf("the trail says %q", words)
					}
				})
			})
		}
	}
}

// A killed process stays listed for a while. Its death certificate is enough.
func TestTheDeadNeedNotLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w, c := shipped(t, ballot)
		must(t, "commit", c.Commit(ctx, rollout.Whole))
		w.proc(1).silent.Store(true)
		w.ended["host/2/e"] = true
		must(t, "clean", c.Clean(ctx))
		if len(w.instances) != 2 {
			t.Errorf("listed: %v, want the new version and the dead", w.instances)
		}
	})
}

// An operator's command ends between the promises and the commit. The next
// operator gets an error, and completes the entry.
func TestHalfAChange(t *testing.T) {
	ctx := t.Context()
	w, c := shipped(t, ballot)
	for i := range w.members {
		w.proc(i).deafTo = "learn" // no process receives the commit
	}
	if err := c.Commit(ctx, 1000); err == nil {
		t.Fatal("a commit that nobody heard is no error")
	}
	for i := range w.members {
		w.proc(i).deafTo = ""
	}
	other := New(Config{Site: w, Store: ballot(w), By: "bob"})
	if err := other.Rollback(ctx); !errors.Is(err, rollout.ErrPromised) {
		t.Errorf("another change over a promised one: %v", err)
	}
	if s := other.Status(ctx); len(s.Pending) != 1 || s.Pending[0].By != "ann" {
		t.Errorf("pending: %+v", s.Pending)
	}
	must(t, "refresh", other.Refresh(ctx, false))
	if r := other.Status(ctx).Session; r.State != rollout.Ramping || r.Share != 1000 {
		t.Errorf("after the refresh: %+v", r)
	}
	must(t, "rollback", other.Rollback(ctx))
}

// After a refused promise, all promises are taken back.
func TestARefusalLeavesNothing(t *testing.T) {
	ctx := t.Context()
	w, c := shipped(t, ballot)
	w.proc(2).deafTo = "promise"
	if err := c.Commit(ctx, 1000); !errors.Is(err, ErrSilent) || !strings.Contains(err.Error(), "host/3/e") {
		t.Errorf("commit with a silent member: %v", err)
	}
	if s := c.Status(ctx); len(s.Pending) != 0 || s.Session.State != rollout.Prepared {
		t.Errorf("%+v", s)
	}
	w.proc(2).deafTo = ""
	must(t, "commit", c.Commit(ctx, 1000))
}

func TestAForkIsRefused(t *testing.T) {
	ctx := t.Context()
	w, c := shipped(t, ballot)
	log := w.proc(0).Log()
	must(t, "learn", w.proc(0).Learn(ctx, log.Next("mine", nil)))
	other := log.Next("theirs", nil)
	must(t, "learn", w.proc(1).Learn(ctx, other))
	if err := c.Commit(ctx, 1000); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("commit on a fork: %v", err)
	}
	if s := c.Status(ctx); !strings.Contains(s.Frozen, "forked") {
		t.Errorf("status: %q", s.Frozen)
	}
}

// lost is a store that can't be reached.
type lost struct{ Memory }

func (*lost) Since(context.Context, rollout.Generation) ([]rollout.Entry, error) {
	return nil, errNoAnswer
}

func TestWithoutItsStoreTheLogIsFrozen(t *testing.T) {
	ctx := t.Context()
	w, c := shipped(t, func(*world) Store { return &Memory{} })
	before := w.proc(0).Log().Last()
	c.cfg.Store = &lost{}
	c = New(c.cfg) // a controller that has never read the database
	for step, err := range map[string]error{
		"start": c.Start(ctx, "x", "y", ""), "commit": c.Commit(ctx, 1000), "rollback": c.Rollback(ctx),
		"clean": c.Clean(ctx), "refresh": c.Refresh(ctx, false),
	} {
		if !errors.Is(err, ErrFrozen) {
			t.Errorf("%s: %v", step, err)
		}
	}
	if s := c.Status(ctx); s.Frozen == "" || len(s.Members) != 3 || w.proc(0).Log().Last() != before {
		t.Errorf("%+v", s)
	}
}

// A database restored from an older copy is detected. Adopt continues it on a
// new timeline.
func TestRestoredFromABackup(t *testing.T) {
	ctx := t.Context()
	w, c := shipped(t, func(*world) Store { return &Memory{} })
	backup := &Memory{}
	entries, _ := c.cfg.Store.Since(ctx, rollout.Generation{})
	must(t, "back up", backup.Append(ctx, entries[0]))
	must(t, "commit", c.Commit(ctx, 1000))
	c.cfg.Store = backup
	if err := c.Commit(ctx, 2000); !errors.Is(err, ErrRestored) {
		t.Errorf("commit on an older log: %v", err)
	}
	if s := c.Status(ctx); !strings.Contains(s.Frozen, "adopt") {
		t.Errorf("status: %q", s.Frozen)
	}
	must(t, "adopt", c.Adopt(ctx, ""))
	must(t, "commit", c.Commit(ctx, 2000))
	want := rollout.Generation{Timeline: 1, N: 5}
	for i := range w.members {
		if got := w.proc(i).Log().Last(); got != want {
			t.Errorf("process %d has applied %v, want %v", i, got, want)
		}
	}
}

// Start fixes a service that runs in one version only. It leaves services with
// rules alone. Notes stand behind the reason in the step.
func TestStartFixesWhatServes(t *testing.T) {
	_, c := site(ballot)
	must(t, "start", c.Open(t.Context(), "spring", "why", "", map[string]string{"auth": "v1", "db": "v7"}, "policy 18"))
	log, entries, err := c.Log(t.Context())
	must(t, "log", err)
	auth, _ := log.Rule("auth")
	db, _ := log.Rule("db")
	if len(entries) != 1 || auth.Version != "v1" || db.Version != "v7" || entries[0].Step != "start: why; policy 18" ||
		entries[0].Session.Reason != "why" {
		t.Errorf("after the start: %+v", entries)
	}
}

// A process that knows no instance of the new version delays the switch until
// it knows one.
func TestCommitWaitsForThoseWhoKnowNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := shipped(t, ballot)
		blind := w.proc(0)
		blind.sees.Store(&map[string][]string{"auth": {"v1"}})
		err := c.Commit(t.Context(), rollout.Whole)
		if !errors.Is(err, ErrUnseen) || !strings.Contains(err.Error(), "host/1/e knows no instance of auth v2") {
			t.Errorf("commit: %v", err)
		}
		later := run.NewGroup(t.Context())
		later.Go(func(context.Context) error {
			time.Sleep(3 * time.Second)
			blind.sees.Store(&map[string][]string{"auth": {"v1", "v2"}})
			return nil
		})
		must(t, "commit", c.Commit(t.Context(), rollout.Whole))
		must(t, "later", later.Wait())
	})
}

// A process of a new version has made no calls yet. It will call the callees of
// the version before it, and must know them before it gets requests.
func TestCommitWaitsForANewVersionThatKnowsNobody(t *testing.T) {
	w, c := site(ballot)
	for i, runs := range []string{"auth/v1", "auth/v1", "auth/v2"} {
		w.proc(i).Origin("auth.check", runs)
		_, err := w.proc(i).AwaitTurn(t.Context(), "auth", runs[len("auth/"):], nil)
		must(t, "turn", err)
	}
	w.proc(0).MayCall("db", "gone") // gone has no instance
	w.instances = append(w.instances, Instance{Process: "host/9/e", Service: "db", Version: "v1", Addr: "db"})
	must(t, "start", c.Start(t.Context(), "spring", "why", ""))
	must(t, "ship", c.Ship(t.Context(), rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
	synctest.Test(t, func(t *testing.T) {
		w.proc(2).sees.Store(&map[string][]string{"auth": {"v1", "v2"}})
		err := c.Commit(t.Context(), rollout.Whole)
		if !errors.Is(err, ErrUnseen) || !strings.Contains(err.Error(), ": host/3/e knows no instance of db;") {
			t.Errorf("commit: %v", err)
		}
		w.proc(2).sees.Store(nil)
		must(t, "commit", c.Commit(t.Context(), rollout.Whole))
	})
}
