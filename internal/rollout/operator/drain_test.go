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
	"github.com/skerry/skerry/internal/rollout/participant"
)

// cell is a site of auth (v1, v2), a portal that calls proc, proc that calls
// auth, and a cron that calls only db. proc and db are one process each.
func cell() (*world, *Controller) {
	w := newWorld(6)
	for i, p := range []struct {
		service, version string
		calls            []string
	}{
		{"auth", "v1", nil}, {"auth", "v2", nil}, {"portal", "v1", []string{"proc"}}, {"proc", "v1", []string{"auth"}},
		{"cron", "v1", []string{"db"}}, {"db", "v1", nil},
	} {
		w.instances = append(w.instances, Instance{
			Process: w.members[i].Process, Service: p.service, Version: p.version, Addr: p.service + p.version,
		})
		w.proc(i).Origin(p.service+".get", p.service+"/"+p.version)
		w.proc(i).MayCall(p.calls...)
	}
	return w, New(Config{Site: w, Store: &Memory{}, By: "ann"})
}

// committed is cell with a release of auth v2, committed while some processes
// have work.
func committed(t *testing.T, work ...int) (*world, *Controller, []*participant.Trace) {
	t.Helper()
	w, c := cell()
	must(t, "start", c.Start(t.Context(), "spring", "why", ""))
	must(t, "ship", c.Ship(t.Context(), rollout.Module{Service: "auth", Old: "v1", New: "v2"}))
	var old []*participant.Trace
	for _, i := range work {
		old = append(old, w.proc(i).Begin("job", 1, ""))
	}
	must(t, "commit", c.Commit(t.Context(), rollout.Whole))
	return w, c, old
}

const portal, cron = 2, 4

// TestCleanCutsStreams: clean waits for a stream that does not move, and ends it when it is told to.
func TestCleanCutsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, old := committed(t, portal)
		w.proc(0).streams = map[string][]func(){"auth/v1": {old[0].End}, "auth/v2": {func() { t.Error("v2 is cut") }}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := c.Clean(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("without --cut-streams: %v", err)
		}
		c.cfg.CutStreams = true
		must(t, "clean", c.Clean(t.Context()))
	})
}

func TestWhoCannotReachTheVersionDoesNotHoldIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, old := committed(t, cron)
		begun := time.Now()
		must(t, "clean", c.Clean(t.Context()))
		if took := time.Since(begun); took > c.cfg.Pause { // until the old version left the lists
			t.Errorf("clean took %v, with nobody to wait for", took)
		}
		old[0].End()
	})
}

func TestADrainEndsWithItsLastHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, old := committed(t, portal, cron)
		held, err := c.Blockers(t.Context())
		if err != nil || len(held["auth"]) != 1 || held["auth"][0].Process != w.members[portal].Process ||
			!slices.Equal(held["auth"][0].Path, []string{"job", "proc", "auth"}) ||
			held["auth"][0].Inflight.What != "job" {
			t.Errorf("holders: %+v, %v", held, err)
		}
		begun, life := time.Now(), 7*time.Second+3*time.Millisecond
		time.AfterFunc(life, old[0].End)
		must(t, "clean", c.Clean(t.Context()))
		if took := time.Since(begun) - c.cfg.Pause; took != life {
			t.Errorf("drained after %v, the last holder ended after %v", took, life)
		}
		old[1].End()
	})
}

// A service that processes without reports serve as well may call any service.
func TestForeignInstancesAreNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, old := committed(t, cron)
		w.instances = append(w.instances, Instance{
			Process: "elsewhere/1/e", Service: "db", Version: "v1", Addr: "plain",
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := c.Clean(ctx); !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), w.members[cron].Process) {
			t.Errorf("clean beside a db that nobody vouches for: %v", err)
		}
		old[0].End()
		must(t, "clean", c.Clean(t.Context()))
	})
}

func TestWhoHasForswornDoesNotHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, old := committed(t, portal)
		old[0].RestrictCalls()
		if _, _, err := old[0].Send("proc"); !errors.Is(err, participant.ErrCallRestricted) {
			t.Errorf("a call that was forsworn: %v", err)
		}
		old[0].Returned(false)
		must(t, "clean", c.Clean(t.Context()))
		old[0].End()
	})
}

func TestWhatHasExpiredDoesNotHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, old := committed(t, portal)
		log := w.proc(portal).Log()
		time.AfterFunc(3*time.Second, func() { w.proc(portal).Expire(log.Last()) })
		begun := time.Now()
		must(t, "clean", c.Clean(t.Context()))
		if took := time.Since(begun) - c.cfg.Pause; took != 3*time.Second {
			t.Errorf("clean took %v, the trace expired after 3 s", took)
		}
		if _, _, err := w.proc(portal).Log().Resolve("auth", old[0].Token()); !errors.Is(err, rollout.ErrExpired) {
			t.Errorf("a call of the expired trace: %v", err)
		}
		old[0].End()
	})
}
