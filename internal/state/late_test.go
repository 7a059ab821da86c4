package state

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// TestLateDisk: a disk that is late at the start, as on a busy machine, still keeps the state. A
// disk that hangs is given up, and a slot that it finds later is free for another process.
func TestLateDisk(t *testing.T) {
	for _, c := range []struct {
		takes time.Duration
		kept  bool
	}{{0, true}, {2500 * time.Millisecond, true}, {6 * time.Second, true}, {8 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			var log strings.Builder
			f := &Files{log: slog.New(slog.NewTextHandler(&log, nil)), begun: time.Now()}
			lock := &lock{file: nil}
			f.open(Config{Dir: "/state"}, func() (found, error) {
				time.Sleep(c.takes)
				return found{slot: slot{base: "/state/auth", lock: lock}}, nil
			})
			took := time.Since(f.begun)
			if kept := f.Path(Rules) == "/state/auth.rules.json"; kept != c.kept || took > OpenLimit {
				t.Errorf("takes %v: kept %v after %v: %s", c.takes, kept, took, log.String())
			}
			if hung := errors.Is(f.Hung(), run.ErrDiskHangs); hung == c.kept ||
				hung != strings.Contains(log.String(), "ERROR") {
				t.Errorf("takes %v: %v, log %s", c.takes, f.Hung(), log.String())
			}
			time.Sleep(c.takes) // the late job ends
		})
	}
}

// TestLimitAfterTheStart: after Started a job has Limit, so that a promise that can't be kept is
// refused in time.
func TestLimitAfterTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Files{log: slog.New(slog.DiscardHandler), begun: time.Now()}
		slow := func() (int, error) { time.Sleep(3 * time.Second); return 1, nil }
		if got, err := Do(f, slow); got != 1 || err != nil {
			t.Errorf("at the start: %d, %v", got, err)
		}
		f.Started()
		begun := time.Now()
		if _, err := Do(f, slow); !errors.Is(err, run.ErrDiskHangs) || time.Since(begun) != Limit {
			t.Errorf("later: %v after %v", err, time.Since(begun))
		}
		time.Sleep(3 * time.Second)
	})
}
