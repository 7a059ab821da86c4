package discovery

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

func TestFirstListIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		start := time.Now()
		go func() {
			time.Sleep(700 * time.Millisecond)
			w.lan.lists(1)
		}()
		e, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{})
		if err != nil || e.Addr != instance(1).Addr() || time.Since(start) != 700*time.Millisecond {
			t.Errorf("%v, %v after %v", e, err, time.Since(start))
		}
		synctest.Wait()
	})
}

func TestEmptyIsExplained(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.Resolve("portal")
		synctest.Wait()
		in := instance(1)
		in.Service = "portal"
		w.lan.say(registry.Snapshot{Service: "portal", Instances: []registry.Instance{in}})
		w.db.lists()
		w.lan.lists()
		start := time.Now()
		_, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{})
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the LAN was given %v to settle, want 3 s", took)
		}
		want := "no process has registered auth (database lists 0, lan lists 0); known services: portal"
		if !errors.Is(err, rpc.ErrNoInstance) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant …%s", err, want)
		}
		start = time.Now()
		if _, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{}); err == nil || time.Since(start) != 0 {
			t.Errorf("a list known to be empty was waited for: %v, %v", err, time.Since(start))
		}
	})
}

func TestSilentSourcesAreNotWaitedForLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lost()
		start := time.Now()
		_, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{})
		if err == nil || time.Since(start) != answerLimit ||
			!strings.Contains(err.Error(), "database lost: connection refused, lan no answer yet") {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestUnion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2, 3)
		w.lan.lists(3, 4)
		w.expect("both sources", 1, 2, 3, 4)

		w.lan.lists(4)
		w.expect("one source drops what the other lists", 1, 2, 3, 4)

		w.lan.parts(registry.Deregistered, 2, 4)
		w.expect("goodbye on the LAN", 1, 3, 4)
		w.expectEntry(2, Gone, "withdrawn by lan")
		w.db.lists(1, 2, 3)
		w.expect("a database that lags brings nobody back", 1, 3, 4)
		w.db.lists(1, 3)
		w.db.lists(1, 2, 3)
		w.expect("registered anew", 1, 2, 3, 4)

		w.db.lost()
		w.expect("a lost source", 1, 2, 3, 4)
		if e := w.entry(1); !e.Stale || e.Sources[0].Lost == "" {
			t.Errorf("entry of a lost source: %+v", e)
		}
		w.db.parts(registry.Deregistered, 1, 2, 3)
		w.expect("back with a goodbye", 2, 3, 4)

		w.db.lists(3)
		w.expect("one of three vanished", 3, 4)
	})
}

func TestGoodbyeIsHeardOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		gone := []registry.Departure{{ID: instance(1).ID(), Kind: registry.Deregistered, When: time.Now()}}
		say := func(list ...int) {
			w.lan.say(registry.Snapshot{Service: "auth", Instances: instances(list...), Gone: gone})
		}
		w.lan.lists(1, 2)
		say(2)
		w.expect("goodbye", 2)
		w.db.lists(2)
		w.db.lists(1, 2)
		w.expect("registered anew in the database", 1, 2)
		say(2)
		w.expect("the same goodbye again", 1, 2)
	})
}

func TestSilentIsAskedWhenAnotherListsIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.db.lists(1, 2)
		w.lan.lists(1, 2)
		w.kill(errRefused, 1)
		w.lan.parts(registry.Silent, 1, 2)
		w.expect("silent and dead", 2)
		w.after(20 * time.Second)
		w.expect("still dead", 2)
		w.revive(1)
		w.after(6 * time.Second)
		w.expect("it answers", 1, 2)
		w.lan.parts(registry.Silent, 2)
		w.expect("silent on the LAN only", 1, 2)
	})
}

func TestDescriptionByTheFirstSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		db, lan := instance(1), instance(1)
		db.Weight, lan.Weight = 50, 70
		w.lan.say(registry.Snapshot{Service: "auth", Instances: []registry.Instance{lan}})
		if e := w.entry(1); e.Weight != 70 {
			t.Errorf("weight %d, want the LAN's 70", e.Weight)
		}
		before := w.endpoint(1)
		w.db.say(registry.Snapshot{Service: "auth", Instances: []registry.Instance{db}})
		if e := w.entry(1); e.Weight != 50 || len(e.Sources) != 2 {
			t.Errorf("entry %+v, want the database's weight 50", e)
		}
		if w.endpoint(1) != before {
			t.Error("a new description made a new endpoint")
		}
	})
}

func TestRules(t *testing.T) {
	list := instances(1, 2, 3)
	list[0].Zone, list[1].Zone = "east", "west"
	list[2].Zone, list[2].Tags = "west", map[string]string{"disk": "fast"}
	for _, c := range []struct {
		o    Options
		want []int
		why  string
	}{
		{Options{}, []int{1, 2, 3}, ""},
		{Options{Zone: "west"}, []int{2, 3}, ""},
		{Options{Tags: map[string]string{"disk": "fast"}, Version: "v1"}, []int{3}, ""},
		{Options{Version: "v2"}, nil, "3 of auth listed, none with version v2"},
		{Options{ZoneFirst: true}, []int{1}, ""},
		{Options{ZoneFirst: true, Balancer: balanceRoundRobin}, []int{1}, ""},
	} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, func(cfg *Config) { cfg.Zone, cfg.Options = "east", always(c.o) })
			w.db.say(registry.Snapshot{Service: "auth", Instances: slices.Clone(list)})
			w.after(10 * time.Second) // settled
			w.expect(c.o.String(), c.want...)
			if _, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{}); c.why != "" &&
				(err == nil || !strings.Contains(err.Error(), c.why)) {
				t.Errorf("%v, want …%s", err, c.why)
			}
			if !c.o.ZoneFirst {
				return
			}
			w.kill(errRefused, 1)
			w.Down(w.endpoint(1), false, errors.New("EOF"))
			w.expect("nobody well in the own zone", 2, 3)
		})
	}
}

func TestWeightNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		list := instances(1, 2, 3)
		list[0].Weight, list[1].Weight, list[2].Weight = -1, -1, -1
		w.db.say(registry.Snapshot{Service: "auth", Instances: list})
		w.expect("weight none")
		w.expectEntry(2, Excluded, "its weight is none")
	})
}

// TestOptionsAreAskedOnce: the rules of a service are read when it is first resolved. An unknown
// balancer is p2c, and the log says so.
func TestOptionsAreAskedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var asked []string
		var log strings.Builder
		w := newWorld(t, func(c *Config) {
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			c.Options = func(service string) Options {
				asked = append(asked, service)
				return Options{Balancer: "best", Version: "v1"}
			}
		})
		w.db.lists(1, 2)
		w.after(10 * time.Second)
		w.expect("an unknown balancer", 1, 2)
		w.Resolve("auth")
		w.Resolve("other")
		if !slices.Equal(asked, []string{"auth", "other"}) {
			t.Errorf("asked for %q", asked)
		}
		if n := strings.Count(log.String(), "p2c is used in its place"); n != 2 {
			t.Errorf("the log says it %d times, want twice:\n%s", n, log.String())
		}
	})
}

func TestQuickRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		old, other := instance(1), instance(2)
		old.Started = time.Now().Add(-time.Hour)
		next := old
		next.Owner.PID, next.Owner.Epoch, next.Started = 77, old.Owner.Epoch+5, time.Now()
		for _, list := range [][]registry.Instance{{old, other}, {old, next, other}} {
			w.db.say(registry.Snapshot{Service: "auth", Instances: list})
			w.expect("one at each address", 1, 2)
		}
		entries := w.Explain("auth")
		if len(entries) != 3 || entries[0].State != Gone || entries[1].State != Warming ||
			entries[0].Why != "its address belongs to a later process, h/77/7" {
			t.Errorf("after a quick restart: %+v", entries)
		}
		w.db.say(registry.Snapshot{Service: "auth", Instances: []registry.Instance{next, other}})
		if entries := w.Explain("auth"); len(entries) != 2 {
			t.Errorf("after the old lease has run out: %+v", entries)
		}
	})
}

func TestWatchAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.WatchAll = true })
		in := instance(1)
		in.Service = "portal"
		w.db.say(registry.Snapshot{Service: "portal", Instances: []registry.Instance{in}})
		synctest.Wait()
		if got := w.Services(); len(got) != 2 || got[1] != "portal" || len(w.Explain("portal")) != 1 {
			t.Errorf("services %v, portal %+v", got, w.Explain("portal"))
		}
	})
}

// TestSiteSources: the mark that everything was read is an answer for services that a source does
// not list.
func TestSiteSources(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.WatchAll = true })
		database := func(service string) SourceStatus { return w.Sources(service)[0] }
		in := instance(1)
		in.Service = "portal"
		w.lan.say(registry.Snapshot{Service: "portal", Instances: []registry.Instance{in}, Partial: true})
		synctest.Wait()
		if s := w.Sources(registry.AllServices); s[0].Answered || !s[1].Answered || s[1].Listed != 1 {
			t.Errorf("before the database has answered: %+v", s)
		}
		w.db.say(registry.Snapshot{Service: registry.AllServices})
		synctest.Wait()
		if !database(registry.AllServices).Answered || !database("portal").Answered {
			t.Errorf("after its mark: %+v, portal %+v", w.Sources(registry.AllServices), w.Sources("portal"))
		}
		w.db.say(registry.Snapshot{Service: registry.AllServices, Lost: errors.New("gone")})
		synctest.Wait()
		if database(registry.AllServices).Lost != "gone" || database("portal").Lost != "gone" {
			t.Errorf("lost: %+v", w.Sources(registry.AllServices))
		}
	})
}

func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		events, stop := w.Subscribe(2)
		w.db.lists(1, 2, 3, 4)
		synctest.Wait()
		first := <-events
		if first.Kind != Listed || first.Entry.Addr != instance(1).Addr() || first.Why != "listed by database" {
			t.Errorf("first event: %+v", first)
		}
		<-events
		w.db.parts(registry.Deregistered, 1, 2, 3, 4)
		synctest.Wait()
		if e := <-events; e.Kind != Dropped || e.Missed != 2 {
			t.Errorf("event after a pause: %+v, want a drop and 2 missed", e)
		}
		stop()
		w.db.lists(1, 2, 3, 4)
		synctest.Wait()
		select {
		case e := <-events:
			t.Errorf("event after the end: %+v", e)
		default:
		}
	})
}

// TestElsewhereIsNotCalled: an instance with an address that is valid on another host only is shown
// with the reason. It is not called or probed, and never becomes the heir of an address.
func TestElsewhereIsNotCalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		away := instance(2).Addr()
		w := newWorld(t, func(c *Config) {
			c.Elsewhere = func(in registry.Instance) string {
				if in.Addr() == away || in.Owner.Host == "away" {
					return "a loopback address"
				}
				return ""
			}
		})
		w.db.lists(1, 2)
		w.expect("one of two is elsewhere", 1)
		w.expectEntry(2, Elsewhere, "loopback")
		later := instance(1)
		later.Owner.Host, later.Owner.Epoch, later.Started = "away", 99, time.Now()
		w.db.say(registry.Snapshot{Service: "auth", Instances: append(instances(1, 2), later)})
		w.expect("the same address on another host", 1)
		w.lan.parts(registry.Silent, 2)
		w.expect("silent", 1)
		time.Sleep(time.Minute)
		if n := w.asked[away]; n != 0 {
			t.Errorf("asked %d times at an address of this host", n)
		}
		w.db.say(registry.Snapshot{Service: "auth", Instances: instances(2), Gone: []registry.Departure{
			{
				ID:   instance(1).ID(),
				Kind: registry.Deregistered,
				When: time.Now(),
			}, {ID: later.ID(), Kind: registry.Deregistered, When: time.Now()}}})
		synctest.Wait()
		_, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{})
		if !errors.Is(err, rpc.ErrNoInstance) || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("only one that is elsewhere: %v", err)
		}
	})
}

// TestHeirOfAnotherVersion: a later process at the address ends the entry of an earlier one, with
// any version. Versions of one process share their address.
func TestHeirOfAnotherVersion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, nil)
		old, next := instance(1), instance(1)
		old.Version, old.Started = "v1", time.Now().Add(-time.Hour)
		next.Version, next.Started, next.Owner.PID, next.Owner.Epoch = "v2", time.Now(), 99, old.Owner.Epoch+1
		w.db.say(registry.Snapshot{Service: "auth", Instances: []registry.Instance{old, next}})
		synctest.Wait()
		for _, e := range w.Explain("auth") {
			if (e.State == Gone) != (e.Version == "v1") {
				t.Errorf("%s is %s (%s)", e.Version, e.State, e.Why)
			}
		}
		both := old
		both.Version = "v2"
		w.db.say(registry.Snapshot{Service: "auth", Instances: []registry.Instance{old, both}})
		synctest.Wait()
		for _, e := range w.Explain("auth") {
			if e.State == Gone {
				t.Errorf("one process under two versions: %s is %s (%s)", e.Version, e.State, e.Why)
			}
		}
	})
}

// TestRecoveryIsLogged: a recovery is logged at the level of the failure, so that the log does not
// end with the failure.
func TestRecoveryIsLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log strings.Builder // written by the loop, read while it waits
		w := newWorld(t, func(c *Config) {
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		w.db.lists(1, 2)
		synctest.Wait()
		w.kill(errRefused, 1)
		w.Down(w.endpoint(1), false, errors.New("reset by peer"))
		time.Sleep(time.Second)
		synctest.Wait()
		w.revive(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if text := log.String(); !strings.Contains(text, "is suspect") ||
			!strings.Contains(text, "was suspect, is ok") {
			t.Errorf("the log at level WARN:\n%s", text)
		}
	})
}

// TestWrongVersionIsSaidSoon: if instances are listed and the consumer's rules admit none, the wait
// for the LAN is cut short.
func TestWrongVersionIsSaidSoon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Options = always(Options{Version: "v9"}) })
		w.db.lists(1)
		w.lan.lists(1)
		start := time.Now()
		_, err := w.Resolve("auth").Pick(t.Context(), &rpc.Call{})
		if took := time.Since(start); took != 500*time.Millisecond || !errors.Is(err, rpc.ErrNoInstance) ||
			!strings.Contains(err.Error(), "version v9") {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
