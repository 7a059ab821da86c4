package operatortest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// Log is operator.Store.
type Log interface {
	Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error)
	Append(ctx context.Context, e rollout.Entry) error
	Adopt(ctx context.Context, whole []rollout.Entry) error
}

// Store runs the suite. open returns an empty log.
func Store(t *testing.T, open func(*testing.T) Log) {
	t.Run("entries follow one another", func(t *testing.T) { dense(t, open(t)) })
	t.Run("of two writers one is told", func(t *testing.T) { race(t, open(t)) })
	t.Run("a new timeline", func(t *testing.T) { timeline(t, open(t)) })
	t.Run("bytes and proofs are kept", func(t *testing.T) { verbatim(t, open(t)) })
	t.Run("lost entries are written back", func(t *testing.T) { writtenBack(t, open(t)) })
	t.Run("a log that has forked is replaced", func(t *testing.T) { replaced(t, open(t)) })
	t.Run("a log that ends nothing is refused", func(t *testing.T) { stranger(t, open(t)) })
	t.Run("of adopt and append one is told", func(t *testing.T) { adoptRace(t, open) })
}

// entry fills every field, so a store that loses one changes the hash.
func entry(log *rollout.Log, version string) rollout.Entry {
	e := log.Next("spring", map[string]rollout.Rule{"auth": {Version: version, Marks: map[string]string{"m": "v9"},
		Split: []rollout.Share{{Version: "v8", Release: "spring", PerMyr: 250}}}},
		rollout.Retirement{Service: "auth", Version: "v0", Floor: log.Last()})
	e.By = "ann"
	e.Step = "ship <auth> & go"
	e.At = time.Date(2026, 5, 4, 3, 2, 1, 987654000, time.UTC)
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
		"the same number again": {entry(one, "v3"), rollout.ErrFork},
		"a number left out": {rollout.Entry{Generation: rollout.Generation{N: 4}, Previous: log.Hash()},
			rollout.ErrGap},
		"another's hash": {rollout.Entry{Generation: rollout.Generation{N: 3}, Previous: one.Hash()},
			rollout.ErrFork},
		"an earlier one": {entry(&rollout.Log{}, "v7"), rollout.ErrFork},
		"a timeline out of place": {rollout.Entry{Generation: rollout.Generation{Timeline: 1, N: 9},
			Previous: one.Hash()}, rollout.ErrFork},
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
	if len(won) == 0 { // all writers blocked each other: now one runs alone
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

// verbatim writes fields that no version of skerry knows.
func verbatim(t *testing.T, s Log) {
	e, err := rollout.Record{Body: "skerry-entry 1\n{ \"era\":{\"of\":[\"<\u2028ß\",2.50]},\n" +
		"\"generation\":{\"Timeline\":0,\"N\":1},\"rules\":{\"auth\":{\"version\":\"v1\",\"weight\":null}}}",
		Proofs: []rollout.Proof{{Kind: 9, Signature: []byte("\x00sig\xff"), Key: []byte("k")},
			{Kind: 1, Signature: []byte{1}}}}.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	same(t, s, []rollout.Entry{e})
}

// same compares the stored entries byte for byte.
func same(t *testing.T, s Log, want []rollout.Entry) {
	t.Helper()
	got, err := s.Since(t.Context(), rollout.Generation{})
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d entries, %v; want %d", len(got), err, len(want))
	}
	for i := range want {
		if got[i].Body() != want[i].Body() || got[i].Hash() != want[i].Hash() ||
			fmt.Sprint(got[i].Proofs()) != fmt.Sprint(want[i].Proofs()) {
			t.Errorf("entry %d came back as %q with %v, want %q with %v",
				i, got[i].Body(), got[i].Proofs(), want[i].Body(), want[i].Proofs())
		}
	}
}

// chained returns entries that follow others, one for each version.
func chained(t *testing.T, after []rollout.Entry, versions ...string) []rollout.Entry {
	t.Helper()
	log, err := rollout.Replay(after)
	if err != nil {
		t.Fatal(err)
	}
	out := after[:len(after):len(after)]
	for _, v := range versions {
		e := entry(log, v).WithProof(rollout.Proof{Kind: 9, Signature: []byte(v)})
		if log, err = log.Apply(e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// ended returns a log with one more entry, which ends entries of other logs.
func ended(t *testing.T, kept []rollout.Entry, ends ...rollout.Entry) []rollout.Entry {
	t.Helper()
	log, err := rollout.Replay(kept)
	if err != nil {
		t.Fatal(err)
	}
	e := entry(log, "v5")
	e.Generation.Timeline++
	e.Generation.N += uint64(len(ends))
	for _, x := range ends {
		e.Ends = append(e.Ends, x.Position())
	}
	return append(kept[:len(kept):len(kept)], e.WithProof(rollout.Proof{Kind: 9, Signature: []byte("end")}))
}

func appended(t *testing.T, s Log, entries []rollout.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := s.Append(t.Context(), e); err != nil {
			t.Fatalf("append %v: %v", e.Generation, err)
		}
	}
}

func adopted(t *testing.T, s Log, whole []rollout.Entry) {
	t.Helper()
	if err := s.Adopt(t.Context(), whole); err != nil {
		t.Fatalf("adopt: %v", err)
	}
	same(t, s, whole)
}

func writtenBack(t *testing.T, s Log) {
	all := chained(t, nil, "v1", "v2", "v3")
	appended(t, s, all[:1])
	whole := ended(t, all)
	adopted(t, s, whole)
	adopted(t, s, whole) // again, as if the answer was lost
	next := chained(t, whole, "v6")
	appended(t, s, next[len(whole):])
	if err := s.Append(t.Context(), chained(t, all, "v4")[3]); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("the old timeline went on: %v", err)
	}
	same(t, s, next)
}

func replaced(t *testing.T, s Log) {
	common := chained(t, nil, "v1")
	kept, lost := chained(t, common, "k2"), chained(t, common, "l2", "l3", "l4")
	appended(t, s, lost)
	whole := ended(t, kept, lost[1:]...)
	adopted(t, s, whole)
	appended(t, s, chained(t, whole, "v6")[len(whole):])
	if err := s.Append(t.Context(), chained(t, lost, "l5")[4]); !errors.Is(err, rollout.ErrFork) {
		t.Errorf("the log that has ended goes on: %v", err)
	}
}

func stranger(t *testing.T, s Log) {
	common := chained(t, nil, "v1")
	kept, lost := chained(t, common, "k2", "k3"), chained(t, common, "l2", "l3")
	appended(t, s, lost)
	for name, whole := range map[string][]rollout.Entry{
		"it ends nothing":       ended(t, kept),
		"it ends a part only":   ended(t, kept, lost[1]),
		"it ends another's":     ended(t, kept, kept[2]),
		"it is shorter":         common,
		"it is another":         kept,
		"it is empty":           nil,
		"it has another origin": ended(t, chained(t, nil, "x1", "x2", "x3", "x4")),
	} {
		if err := s.Adopt(t.Context(), whole); !errors.Is(err, rollout.ErrFork) {
			t.Errorf("%s: %v, want ErrFork", name, err)
		}
		same(t, s, lost)
	}
	appended(t, s, chained(t, lost, "l4")[3:]) // a refused entry leaves no trace
}

// adoptRace lets an operator adopt while another one appends.
func adoptRace(t *testing.T, open func(*testing.T) Log) {
	for range 8 {
		s, all := open(t), chained(t, nil, "v1", "v2")
		appended(t, s, all)
		whole, next := ended(t, all), chained(t, all, "v3")
		var adopt, appends error
		var wg sync.WaitGroup
		wg.Go(func() { adopt = s.Adopt(t.Context(), whole) })
		wg.Go(func() { appends = s.Append(t.Context(), next[2]) })
		wg.Wait()
		switch {
		case adopt == nil && appends == nil:
			t.Fatal("both were committed")
		case adopt == nil:
			same(t, s, whole)
		case appends == nil:
			same(t, s, next)
		default: // they blocked each other: now one runs alone
			same(t, s, all)
			adopted(t, s, whole)
		}
	}
}
