package policylogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/rollout"
)

// Memory is the reference: a store in memory.
type Memory struct {
	mu  sync.Mutex
	all []policylog.Stored // with their ages at the start of the clock
	now time.Duration
}

// Later implements Clocked.
func (m *Memory) Later(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += d
}

// Entries implements policylog.Store.
func (m *Memory) Entries(context.Context) ([]policylog.Stored, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.newest()
	for i := range all {
		all[i].Age = max(all[i].Age+m.now, 0)
	}
	return all, nil
}

func (m *Memory) newest() []policylog.Stored {
	slices.SortFunc(m.all, func(a, b policylog.Stored) int {
		if a.Number != b.Number {
			return int(b.Number) - int(a.Number)
		}
		return strings.Compare(b.Hash(), a.Hash())
	})
	return slices.Clone(m.all[:min(len(m.all), policylog.MaxEntries)])
}

// Append implements policylog.Store.
func (m *Memory) Append(_ context.Context, e policylog.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var newest policylog.Entry
	if all := m.newest(); len(all) > 0 {
		newest = all[0].Entry
	}
	if newest.Number > 0 && newest.Hash() == e.Hash() {
		return nil
	}
	if err := e.Follows(newest); err != nil {
		return err
	}
	m.all = append(m.all, policylog.Stored{Entry: e, Age: -m.now})
	return nil
}

// Merge implements policylog.Store.
func (m *Memory) Merge(_ context.Context, entries ...policylog.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if !slices.ContainsFunc(m.all, func(k policylog.Stored) bool { return k.Hash() == e.Hash() }) {
			m.all = append(m.all, policylog.Stored{Entry: e, Age: -m.now})
		}
	}
	return nil
}

// Clocked is a store whose clock a test can move on.
type Clocked interface {
	policylog.Store
	Later(d time.Duration)
}

// Store runs the suite. open returns an empty store of the cluster "test".
func Store(t *testing.T, open func(*testing.T) Clocked) {
	t.Run("bytes and proofs are kept", func(t *testing.T) { verbatim(t, open(t)) })
	t.Run("a stale change is refused", func(t *testing.T) { stale(t, open(t)) })
	t.Run("of two writers one is told", func(t *testing.T) { race(t, open(t)) })
	t.Run("what was written elsewhere comes in", func(t *testing.T) { merged(t, open(t)) })
	t.Run("the newest are given", func(t *testing.T) { newest(t, open(t)) })
	t.Run("ages are by the store's clock", func(t *testing.T) { ages(t, open(t)) })
}

// entry makes an entry on another one; the zero Entry stands for the empty log.
func entry(t *testing.T, on policylog.Entry, by string) policylog.Entry {
	t.Helper()
	log := policylog.NewLog("test")
	if on.Number > 0 {
		var err error
		if log, err = log.Merge(nil, nil, on); err != nil {
			t.Fatal(err)
		}
	}
	e := log.Next("policy: 1 # of " + by + "\n")
	e.By = by
	e.Why = "because <of> & \"that\""
	e.Origin = "cli"
	e.At = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	e.On, e.Confirm, e.Although = []policylog.On{{Name: "storm", For: time.Hour, Since: 3}}, time.Minute,
		[]string{"h/1"}
	e, err := e.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return e.WithProof(rollout.Proof{Kind: 9, Signature: []byte("\x00\xff" + by)})
}

func add(t *testing.T, s policylog.Store, e policylog.Entry) policylog.Entry {
	t.Helper()
	if err := s.Append(t.Context(), e); err != nil {
		t.Fatalf("append %v: %v", e, err)
	}
	return e
}

// same compares what the store has byte for byte, the newest first.
func same(t *testing.T, s policylog.Store, want ...policylog.Entry) {
	t.Helper()
	got, err := s.Entries(t.Context())
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d entries, %v; want %d", len(got), err, len(want))
	}
	for i := range want {
		if string(got[i].Record().Marshal()) != string(want[i].Record().Marshal()) || got[i].Hash() != want[i].Hash() {
			t.Errorf("entry %d came back as %q, want %q", i, got[i].Record().Marshal(), want[i].Record().Marshal())
		}
	}
}

func verbatim(t *testing.T, s policylog.Store) {
	same(t, s)
	e, err := policylog.Record{Body: "skerry-policy 1\n{ \"era\":[2.50,\"<\u2028ß\"], " +
		"\"cluster\":\"test\",\"number\":1,\"previous\":\"\"}\n" +
		"policy: 1\r\n# end\n\n",
		Proofs: []rollout.Proof{{Kind: 9, Signature: []byte("\x00sig\xff"), Key: []byte("k")},
			{Kind: 1, Signature: []byte{1}}}}.Open()
	if err != nil {
		t.Fatal(err)
	}
	add(t, s, e)
	same(t, s, e)
	next := add(t, s, entry(t, e, "li"))
	same(t, s, next, e)
}

func stale(t *testing.T, s policylog.Store) {
	one := add(t, s, entry(t, policylog.Entry{}, "li"))
	two := add(t, s, entry(t, one, "li"))
	add(t, s, two) // again, as if the answer was lost
	far := entry(t, two, "wang")
	far.Number += 5
	far, err := far.Seal()
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]policylog.Entry{"made on the one before": entry(t, one, "wang"),
		"a first one":       entry(t, policylog.Entry{}, "wang"),
		"a number left out": far} {
		if err := s.Append(t.Context(), e); !errors.Is(err, policylog.ErrStale) {
			t.Errorf("%s: %v, want ErrStale", name, err)
		}
	}
	same(t, s, two, one)
}

func race(t *testing.T, s policylog.Store) {
	one := add(t, s, entry(t, policylog.Entry{}, "li"))
	var mu sync.Mutex
	var won []policylog.Entry
	var wg sync.WaitGroup
	for n := range 4 {
		e := entry(t, one, fmt.Sprint("w", n))
		wg.Go(func() {
			if err := s.Append(t.Context(), e); err == nil {
				mu.Lock()
				won = append(won, e)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	switch len(won) {
	case 0: // all writers blocked each other: now one runs alone
		same(t, s, add(t, s, entry(t, one, "w9")), one)
	case 1:
		same(t, s, won[0], one)
	default:
		t.Errorf("%d writers won", len(won))
	}
}

// merged has two entries of one number: the one with the higher hash is the newest, whatever came first.
func merged(t *testing.T, s policylog.Store) {
	one := entry(t, policylog.Entry{}, "li")
	a, b := entry(t, one, "li"), entry(t, one, "wang")
	if a.Hash() < b.Hash() {
		a, b = b, a
	}
	for range 2 {
		if err := s.Merge(t.Context(), b, a, one); err != nil {
			t.Fatal(err)
		}
		same(t, s, a, b, one)
	}
	if err := s.Append(t.Context(), entry(t, b, "li")); !errors.Is(err, policylog.ErrStale) {
		t.Errorf("a change on the loser: %v, want ErrStale", err)
	}
	c := add(t, s, entry(t, a, "li"))
	same(t, s, c, a, b, one)
}

// ages begin when an entry is written, whatever it says of itself, and do not begin anew when it is written again.
func ages(t *testing.T, s Clocked) {
	begun := time.Now()
	one := entry(t, policylog.Entry{}, "li")
	two := entry(t, one, "li")
	add(t, s, one)
	s.Later(2 * time.Hour)
	add(t, s, two)
	s.Later(time.Hour)
	add(t, s, two)
	if err := s.Merge(t.Context(), one, two); err != nil {
		t.Fatal(err)
	}
	got, err := s.Entries(t.Context())
	if err != nil || len(got) != 2 {
		t.Fatalf("%d entries, %v; want 2", len(got), err)
	}
	for i, want := range []time.Duration{time.Hour, 3 * time.Hour} {
		if age := got[i].Age; age < want || age > want+time.Since(begun)+time.Minute {
			t.Errorf("entry %d is %v old, want %v", got[i].Number, age, want)
		}
	}
	s.Later(-24 * time.Hour)
	if got, err = s.Entries(t.Context()); err != nil || got[0].Age != 0 || got[1].Age != 0 {
		t.Errorf("by a clock that was set back the ages are %v, %v; want 0", got, err)
	}
}

func newest(t *testing.T, s policylog.Store) {
	var last policylog.Entry
	for range policylog.MaxEntries + 3 {
		last = add(t, s, entry(t, last, "li"))
	}
	got, err := s.Entries(t.Context())
	if err != nil || len(got) != policylog.MaxEntries || got[0].Hash() != last.Hash() {
		t.Errorf("%d entries, the first %v, %v; want %d, the first %v",
			len(got), got[0], err, policylog.MaxEntries, last)
	}
}
