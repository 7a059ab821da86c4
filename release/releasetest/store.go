package releasetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/rollout"
)

// Log is release.Store.
type Log interface {
	Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error)
	Append(ctx context.Context, e rollout.Entry) error
}

// Store runs the suite; open makes an empty log.
func Store(t *testing.T, open func(*testing.T) Log) {
	t.Run("entries follow one another", func(t *testing.T) { dense(t, open(t)) })
	t.Run("of two writers one is told", func(t *testing.T) { race(t, open(t)) })
	t.Run("a new timeline", func(t *testing.T) { timeline(t, open(t)) })
}

// entry is full, so that a store that loses a field changes its hash.
func entry(log *rollout.Log, version string) rollout.Entry {
	e := log.Next("spring", map[string]rollout.Rule{"auth": {Version: version, Marks: map[string]string{"m": "v9"},
		Split: []rollout.Share{{Version: "v8", Release: "spring", PerMyr: 250}}}},
		rollout.Retirement{Service: "auth", Version: "v0", Floor: log.Last()})
	e.By, e.Step, e.At = "ann", "ship <auth> & go", time.Date(2026, 5, 4, 3, 2, 1, 987654000, time.UTC)
	e.Session = &rollout.Release{Name: "spring", By: "ann", State: rollout.Prepared, Opened: e.At,
		Modules: []rollout.Module{{Service: "auth", Old: "v0", New: version}}}
	return e
}

func write(t *testing.T, s Log, log *rollout.Log, version string) *rollout.Log {
	t.Helper()
	e := entry(log, version)
	if err := s.Append(t.Context(), e); err != nil {
		t.Fatalf("append %v: %v", e.Generation, err)
	}
	next, err := log.Apply(e)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func dense(t *testing.T, s Log) {
	ctx, log := t.Context(), &rollout.Log{}
	if got, err := s.Since(ctx, rollout.Generation{}); len(got) != 0 || err != nil {
		t.Fatalf("an empty log has %v, %v", got, err)
	}
	log = write(t, s, log, "v1")
	one := log
	log = write(t, s, log, "v2")
	for name, bad := range map[string]struct {
		e    rollout.Entry
		want error
	}{
		"the same number again":   {entry(one, "v3"), rollout.ErrFork},
		"a number left out":       {rollout.Entry{Generation: rollout.Generation{N: 4}, Previous: log.Hash()}, rollout.ErrGap},
		"another's hash":          {rollout.Entry{Generation: rollout.Generation{N: 3}, Previous: one.Hash()}, rollout.ErrFork},
		"an earlier one":          {entry(&rollout.Log{}, "v7"), rollout.ErrFork},
		"a timeline out of place": {rollout.Entry{Generation: rollout.Generation{Timeline: 1, N: 9}, Previous: one.Hash()}, rollout.ErrFork},
	} {
		if err := s.Append(ctx, bad.e); !errors.Is(err, bad.want) {
			t.Errorf("%s: %v, want %v", name, err, bad.want)
		}
	}
	if err := s.Append(ctx, entry(one, "v2")); err != nil {
		t.Errorf("the newest again, as after a lost answer: %v", err)
	}
	got, err := s.Since(ctx, one.Last())
	if err != nil || len(got) != 1 || got[0].Hash() != log.Hash() {
		t.Errorf("after %v: %+v, %v; want the second", one.Last(), got, err)
	}
}

func race(t *testing.T, s Log) {
	log := write(t, s, &rollout.Log{}, "v1")
	var won []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 4 {
		e := entry(log, fmt.Sprint("w", i))
		wg.Go(func() {
			if err := s.Append(t.Context(), e); err == nil {
				mu.Lock()
				won = append(won, e.Hash())
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got, err := s.Since(t.Context(), log.Last())
	if err != nil || len(won) > 1 || len(got) != len(won) || len(won) == 1 && got[0].Hash() != won[0] {
		t.Errorf("%d writers won, the log has %d more entries, %v", len(won), len(got), err)
	}
	if len(won) == 0 { // everybody stood in everybody's way: now one goes alone
		write(t, s, log, "w9")
	}
}

func timeline(t *testing.T, s Log) {
	log := write(t, s, &rollout.Log{}, "v1")
	e := entry(log, "v2")
	e.Generation.Timeline++
	if err := s.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	next, err := log.Apply(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), entry(log, "v3")); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("the old timeline went on: %v", err)
	}
	write(t, s, next, "v4")
}
