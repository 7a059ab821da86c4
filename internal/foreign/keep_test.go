package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
)

// list is a Site in memory; down makes it unreachable.
type list struct {
	listed   map[registry.ID]bool
	down     bool
	answered func() int64 // nil: no process has called

	// forgets adds a second process with a much higher count, which reports
	// only every other time.
	forgets bool
	asked   int
}

func (l *list) Keeps(in registry.Instance) bool { return l.listed[in.ID()] || l.down }

func (l *list) Answered(context.Context, registry.Instance) map[string]int64 {
	all := map[string]int64{"a/1/x": 0}
	if l.answered != nil {
		all["a/1/x"] = l.answered()
	}
	if l.asked++; l.forgets && l.asked%2 == 1 {
		all["b/2/y"] = 1_000_000
	}
	return all
}

func (l *list) Register(ctx context.Context, instances ...registry.Instance) error {
	if l.down {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", registry.ErrPending, ctx.Err())
	}
	for _, in := range instances {
		if err := in.Check(); err != nil {
			return err
		}
		l.listed[in.ID()] = true
	}
	return nil
}

func (l *list) Deregister(_ context.Context, ids ...registry.ID) error {
	for _, id := range ids {
		delete(l.listed, id)
	}
	return nil
}

func provider(check Check) Provider {
	return Provider{Instance: registry.Instance{Service: "billing", Host: "127.0.0.1", Port: 9090}, Check: check}
}

// TestKeep has a provider start late, fail once, fail for good, come back
// and be stopped.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		// one answer for each check, 5 s apart while the provider is listed
		answers := strings.Split("no no yes no yes no no no no yes yes", " ")
		checks := 0
		check := func(context.Context, registry.Instance) error {
			defer func() { checks++ }()
			if checks == len(answers)-1 {
				cancel()
			}
			if answers[checks] == "no" {
				return errors.New("refused")
			}
			return nil
		}
		to := &list{listed: map[registry.ID]bool{}}
		var seen []string
		start := time.Now()
		err := Keep(ctx, to, provider(check), func(e Event) {
			seen = append(seen, fmt.Sprintf("%s/%d", e.State, len(to.listed)))
		})
		want := []string{"waiting/0", "listed/1", "failing/1", "listed/1", "failing/1", "failing/1", "withdrawn/0",
			"listed/1", "stopped/0"}
		if err != nil || !slices.Equal(seen, want) {
			t.Errorf("%v\nhave %v\nwant %v", err, seen, want)
		}
		// six waits of 5 s, and four of 0.5 s while the provider is unlisted
		if d := time.Since(start); d < 28*time.Second || d > 36*time.Second {
			t.Errorf("all took %v", d)
		}
	})
}

func TestKeepWhileTheRegistryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		to := &list{listed: map[registry.ID]bool{}, down: true}
		checks := 0
		check := func(context.Context, registry.Instance) error {
			checks++
			to.down = checks < 4
			if checks == 6 {
				cancel()
			}
			return nil
		}
		var seen []State
		var started []time.Time
		if err := Keep(ctx, to, provider(check), func(e Event) {
			seen, started = append(seen, e.State), append(started, e.Instance.Started)
		}); err != nil {
			t.Fatal(err)
		}
		if want := []State{Pending, Listed, Stopped}; !slices.Equal(seen, want) {
			t.Errorf("have %v, want %v", seen, want)
		}
		if !started[0].Equal(started[1]) {
			t.Errorf("the start moved from %v to %v while the registry was away", started[0], started[1])
		}
	})
}

func TestKeepRefusesWhatNoRegistryTakes(t *testing.T) {
	p := provider(func(context.Context, registry.Instance) error { return nil })
	p.Instance.Port = 0
	err := Keep(t.Context(), &list{listed: map[registry.ID]bool{}}, p, func(Event) {})
	if !errors.Is(err, registry.ErrInvalid) {
		t.Errorf("have %v", err)
	}
}

// A check that hangs counts as failed after its timeout.
func TestCheckTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		var events []Event
		Keep(ctx, &list{listed: map[registry.ID]bool{}}, provider(func(ctx context.Context, _ registry.Instance) error {
			<-ctx.Done()
			return ctx.Err()
		}), func(e Event) { events = append(events, e) })
		if len(events) != 1 || events[0].State != Waiting || !errors.Is(events[0].Err, context.DeadlineExceeded) {
			t.Errorf("events: %+v", events)
		}
	})
}

// A provider that starts after announce is listed soon after its start.
func TestProviderThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		const late = 33 * time.Second
		check := func(context.Context, registry.Instance) error {
			if time.Since(start) < late {
				return errors.New("refused")
			}
			return nil
		}
		var found time.Duration
		err := Keep(ctx, &list{listed: map[registry.ID]bool{}}, provider(check), func(e Event) {
			if e.State == Listed {
				found = time.Since(start) - late
				cancel()
			}
		})
		if err != nil || found <= 0 || found > 600*time.Millisecond {
			t.Errorf("found %v after its start: %v", found, err)
		}
	})
}

// A provider that leaves checks unanswered stays listed while it answers calls. It
// is withdrawn when it answers no calls.
func TestProviderWithoutAThreadForTheCheck(t *testing.T) {
	for name, c := range map[string]struct {
		answered func() int64
		failure  error
		want     []State
		forgets  bool
	}{
		"busy": {func() int64 { return time.Now().UnixMilli() }, context.DeadlineExceeded,
			[]State{Listed, Busy, Listed, Stopped}, false},
		"frozen": {func() int64 { return 7 }, context.DeadlineExceeded, []State{Listed, Failing, Failing, Withdrawn},
			false},
		"dead": {func() int64 { return time.Now().UnixMilli() }, errors.New("refused"),
			[]State{Listed, Failing, Failing, Withdrawn}, false},
		"busy, and a caller does not always tell": {
			func() int64 { return time.Now().UnixMilli() }, context.DeadlineExceeded,
			[]State{Listed, Busy, Listed, Stopped}, true,
		},
		"no calls": {nil, context.DeadlineExceeded, []State{Listed, Failing, Failing, Withdrawn}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 65*time.Second)
				defer cancel()
				start := time.Now()
				check := func(context.Context, registry.Instance) error {
					if d := time.Since(start); d > 10*time.Second && d < 60*time.Second {
						return c.failure
					}
					return nil
				}
				var seen []State
				to := &list{listed: map[registry.ID]bool{}, answered: c.answered, forgets: c.forgets}
				if err := Keep(ctx, to, provider(check), func(e Event) { seen = append(seen, e.State) }); err != nil {
					t.Fatal(err)
				}
				if len(seen) > len(c.want) && c.want[len(c.want)-1] == Withdrawn {
					seen = seen[:len(c.want)]
				}
				if !slices.Equal(seen, c.want) {
					t.Errorf("have %v, want %v", seen, c.want)
				}
			})
		})
	}
}

// A provider that a release has retired stays off the lists until it has ended. The
// next provider at its address is listed.
func TestRetiredProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		to := &list{listed: map[registry.ID]bool{}}
		start := time.Now()
		check := func(context.Context, registry.Instance) error {
			switch d := time.Since(start); {
			case d > 20*time.Second && d < 25*time.Second:
				clear(to.listed) // as an operator's release does
			case d > time.Minute && d < 2*time.Minute:
				return errors.New("refused")
			}
			return nil
		}
		var seen []State
		if err := Keep(ctx, to, provider(check), func(e Event) { seen = append(seen, e.State) }); err != nil {
			t.Fatal(err)
		}
		if want := []State{Listed, Retired, Waiting, Listed, Stopped}; !slices.Equal(seen, want) {
			t.Errorf("have %v, want %v", seen, want)
		}
	})
}

func TestEntriesOfPlainServers(t *testing.T) {
	read := func(e Entry) (Provider, error) {
		e.Service, e.Addr = "auth", "10.0.0.5:9090"
		return e.Provider(func() (string, error) { return "10.0.0.5", nil }, nil)
	}
	p, err := read(Entry{Prefix: "Auth", Concurrency: 10, Tags: map[string]string{"rack": "b"}})
	if err != nil || p.Instance.Prefix() != "Auth" || p.Instance.Concurrency() != 10 || len(p.Instance.Tags) != 3 {
		t.Errorf("%+v, %v", p.Instance, err)
	}
	for _, e := range []Entry{
		{Prefix: "Auth:"}, {Prefix: "a b"}, {Concurrency: -1}, {Prefix: "Auth", Protocol: "http"},
		{Concurrency: 8, Protocol: "skerry"},
	} {
		if p, err := read(e); err == nil {
			t.Errorf("%+v is taken: %+v", e, p.Instance)
		}
	}
}

// TestCrew changes the list while it runs: a provider that stays is not registered
// again.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		to := &list{listed: map[registry.ID]bool{}}
		events := make(chan string, 16)
		crew := NewCrew(ctx, to, func(e Event) { events <- e.Instance.Service + " " + string(e.State) })
		up := func(context.Context, registry.Instance) error { return nil }
		own, other := provider(up), provider(up)
		other.Instance.Service = "billing-old"
		want := func(all ...string) {
			t.Helper()
			synctest.Wait()
			for _, w := range all {
				if have := <-events; have != w {
					t.Errorf("have %s, want %s", have, w)
				}
			}
			if len(events) > 0 {
				t.Errorf("too much: %s", <-events)
			}
		}
		crew.Set(map[string]Provider{"own": own})
		want("billing listed")
		crew.Set(map[string]Provider{"own": own, "other": other})
		want("billing-old listed")
		crew.Set(map[string]Provider{"other": other})
		want("billing stopped")
		cancel()
		if err := crew.Wait(); err != nil || len(to.listed) != 0 {
			t.Errorf("%v, listed %v", err, to.listed)
		}
		want("billing-old stopped")
	})
}

func TestEntriesUnderSeveralNames(t *testing.T) {
	e := Entry{Service: "auth", Version: "v2", Addr: ":9091", Also: []string{"auth-legacy", "/v1", "login/v7"}}
	list, err := Entries([]Entry{e})
	var have []string
	for _, x := range list {
		have = append(have, x.Service+"/"+x.Version)
	}
	if want := []string{"auth/v2", "auth-legacy/", "auth/v1", "login/v7"}; err != nil || !slices.Equal(have, want) {
		t.Errorf("have %v, want %v; %v", have, want, err)
	}
	e.Also = []string{"/v2"}
	if _, err := Entries([]Entry{e}); err == nil {
		t.Error("the same registration twice was taken")
	}
}
