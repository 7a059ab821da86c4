package operator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// flaky is a database with a primary that fails: before a write, or after it,
// so that the answer is lost.
type flaky struct {
	Memory
	step          int // it fails at the start of this command, from 1; 0: none
	before, after int // the write, from 1, at which it fails; 0: none
	writes        int
	back          time.Time
	away          time.Duration
}

func (f *flaky) Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error) {
	if time.Now().Before(f.back) {
		return nil, errAway
	}
	return f.Memory.Since(ctx, after)
}

func (f *flaky) Append(ctx context.Context, e rollout.Entry) error {
	if time.Now().Before(f.back) {
		return errAway
	}
	switch f.writes++; f.writes {
	case f.before:
		f.back = time.Now().Add(f.away)
		return errAway
	case f.after:
		f.back = time.Now().Add(f.away)
		_ = f.Memory.Append(ctx, e) // the answer is lost
		return errAway
	}
	return f.Memory.Append(ctx, e)
}

// release performs every step of a release. Each command has a controller of
// its own, as in use.
func (f *flaky) release(ctx context.Context, cfg Config) error {
	commands := 0
	command := func(step func(*Controller) error) error {
		c := New(cfg)
		if s := c.Status(ctx); s.Err != nil { // each command starts with it
			return s.Err
		}
		if commands++; commands == f.step {
			f.back = time.Now().Add(f.away)
		}
		return step(c)
	}
	module := rollout.Module{Service: "auth", Old: "v1", New: "v2"}
	for _, step := range []func(*Controller) error{
		func(c *Controller) error { return c.Start(ctx, "spring", "why", "") },
		func(c *Controller) error {
			return c.PutSettings(ctx, "auth", map[string]string{"wish": "1"})
		},
		func(c *Controller) error { return c.Ship(ctx, module) },
		func(c *Controller) error { return c.Commit(ctx, rollout.Whole) },
		func(c *Controller) error { return c.Rollback(ctx) },
		func(c *Controller) error { return c.Clean(ctx) },
	} {
		if err := command(step); err != nil {
			return err
		}
		if err := run.Sleep(ctx, 2*seeLimit); err != nil { // until the processes have registered again
			return err
		}
	}
	return nil
}

// Every step waits when the primary of its database fails, and continues. None
// ends frozen, and none is written twice.
func TestEveryStepOutlastsAFailOver(t *testing.T) {
	const (
		commands = 6 // start, put, ship, commit, roll back, clean
		steps    = 8 // clean appends three entries
	)
	play := func(t *testing.T, f *flaky) (err error) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := site(func(*world) Store { return f })
			w.blind = func() bool { return time.Now().Before(f.back.Add(5 * time.Second)) }
			f.away = max(f.away, time.Minute)
			waited := 0
			cfg := Config{Site: w, Store: f, By: "ann", Progress: func(p Progress) {
				if p.Step == "wait" {
					waited++
				}
			}}
			if err = f.release(t.Context(), cfg); err != nil {
				return
			}
			entries, failed := f.Memory.Since(t.Context(), rollout.Generation{})
			must(t, "log", failed)
			if r := entries[len(entries)-1].Session; len(entries) != steps || r.State != rollout.Stopped {
				t.Errorf("%d entries, want %d; the release is %s", len(entries), steps, r.State)
			}
			if want := min(1, f.before+f.after+f.step); waited != want {
				t.Errorf("%d times it was said that a step waits, want %d", waited, want)
			}
		})
		return err
	}
	for n := range steps + 1 {
		if err := play(t, &flaky{before: n}); err != nil {
			t.Errorf("the primary dies before write %d: %v", n, err)
		}
		if err := play(t, &flaky{after: n}); err != nil {
			t.Errorf("the primary dies after write %d: %v", n, err)
		}
	}
	for n := range commands {
		if err := play(t, &flaky{step: n + 1}); err != nil {
			t.Errorf("the primary dies as command %d begins its step: %v", n+1, err)
		}
	}
	if err := play(t, &flaky{before: 3, away: outageLimit + time.Minute}); !errors.Is(err, ErrFrozen) {
		t.Errorf("away for too long: %v", err)
	}
}

// A command that finds no database at its start ends at once.
func TestAStepWithoutADatabaseEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := site(func(*world) Store { return &flaky{back: time.Now().Add(time.Minute)} })
		begun := time.Now()
		if err := c.Start(t.Context(), "spring", "why", ""); !errors.Is(err, ErrFrozen) {
			t.Errorf("start: %v", err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
