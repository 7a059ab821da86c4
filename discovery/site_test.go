package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/chance"
	"github.com/skerry/skerry/internal/memtest"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
	"github.com/skerry/skerry/rpc"
)

// provider is a process that registers auth in a hub.
type provider struct {
	*registrytest.Memory
	kill func()
	stop func()
}

func startProvider(t *testing.T, hub *registrytest.MemoryStore, n int) *provider {
	t.Helper()
	in := instance(n)
	p := &provider{Memory: registrytest.NewMemory(hub, in.Owner)}
	g := run.NewGroup(t.Context())
	g.Go(p.Run)
	p.stop = func() { _ = g.Stop() }
	p.kill = func() { p.Fail(errors.New("killed")); p.stop() }
	t.Cleanup(p.stop)
	if err := p.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return p
}

// The consumer's view of a whole site in a registry that works like a database: start, polite stop,
// kill -9, outage, restored backup.
func TestSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := &registrytest.MemoryStore{}
		one, two := startProvider(t, hub, 1), startProvider(t, hub, 2)
		startProvider(t, hub, 3)
		own := registrytest.NewMemory(hub, registry.Owner{Host: "consumer", PID: 1, Epoch: 1})
		g := run.NewGroup(t.Context())
		g.Go(own.Run)
		t.Cleanup(func() { _ = g.Stop() })
		w := newWorld(t, func(c *Config) { c.Sources = []Source{{"memory", own}} })
		w.after(time.Second).expect("start", 1, 2, 3)

		startProvider(t, hub, 4)
		w.after(time.Second).expect("a new instance", 1, 2, 3, 4)
		one.stop()
		w.after(300*time.Millisecond).expect("a polite stop", 2, 3, 4)

		w.kill(errRefused, 2)
		two.kill()
		w.Down(w.endpoint(2), false, errors.New("reset"))
		w.expect("kill -9: callers know at once", 3, 4)
		w.after(2 * time.Minute)
		if e := w.entry(2); e.State != "not listed" {
			t.Errorf("two minutes after kill -9: %+v", e)
		}

		hub.Fail(errors.New("database is down"))
		w.after(time.Hour).expect("an outage", 3, 4)
		hub.Fail(nil)
		w.after(time.Millisecond).expect("its end", 3, 4)
		w.after(5*time.Minute).expect("long after it", 3, 4)
		hub.Forget()
		w.after(time.Millisecond).expect("a restored backup", 3, 4)
		w.after(5 * time.Minute)
		if w.entry(3).Protected || w.entry(4).Protected {
			t.Error("still protected though registered again")
		}
	})
}

// Calls, lists, connections and rules change at once; run with -race.
func TestConcurrentUse(t *testing.T) {
	db, lan, rand := &script{}, &script{partial: true}, chance.Rand(t, 5)
	d, err := New(Config{
		Sources: []Source{{"database", db}, {"lan", lan}}, Logger: slog.New(slog.DiscardHandler),
		Probe: func(context.Context, *rpc.Endpoint) error {
			if rand.IntN(2) == 0 {
				return errRefused
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	g := run.NewGroup(ctx)
	g.Go(d.Run)
	d.Resolve("auth")
	db.lists(0)
	loop := func(f func()) {
		g.Go(func(ctx context.Context) error {
			for ctx.Err() == nil {
				f()
			}
			return nil
		})
	}
	for range 2 {
		loop(func() {
			call := &rpc.Call{HashKey: fmt.Sprint(rand.IntN(100))}
			p := d.Resolve("auth")
			e, err := p.Pick(ctx, call)
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("instance 0 is always listed: %v", err)
				}
				return
			}
			p.Report(e, health.Outcome(rand.IntN(len(health.Row{}.Outcomes))), time.Millisecond)
			switch rand.IntN(20) {
			case 0:
				d.Down(e, rand.IntN(2) == 0, errRefused)
			case 1:
				d.Up(e)
			case 2:
				d.Leaving(e)
			}
		})
	}
	random := func() (ns []int) {
		for n := range 20 {
			if n == 0 || rand.IntN(2) == 0 {
				ns = append(ns, n)
			}
		}
		return ns
	}
	loop(func() { db.lists(random()...) })
	loop(func() { lan.parts(registry.DepartureKind(1+rand.IntN(3)), 1+rand.IntN(19), random()...) })
	loop(func() {
		d.Explain("auth")
		d.Sources("auth")
		time.Sleep(time.Millisecond)
	})
	_ = g.Wait()
}

func manyInstances(n int) registry.Snapshot {
	list := make([]registry.Instance, n)
	for i := range list {
		list[i] = instance(i)
	}
	slices.SortFunc(list, registry.Compare)
	return registry.Snapshot{Service: "auth", Instances: list}
}

func TestMemoryOfAnInstance(t *testing.T) {
	const n = 10_000
	for _, b := range balancers() {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Options = always(Options{Balancer: b}) })
			snap := manyInstances(n)
			before := memtest.Held()
			w.db.say(snap)
			synctest.Wait()
			used := int(memtest.Held()-before) / n
			t.Logf("%s: %d bytes for each of %d instances", b, used, n)
			limit := 1024
			if used > limit {
				t.Errorf("%s: %d bytes for an instance, want at most %d", b, used, limit)
			}
			if len(w.Explain("auth")) != n {
				t.Errorf("%d of %d listed", len(w.Explain("auth")), n)
			}
			runtime.KeepAlive(snap)
		})
	}
}

// BenchmarkChange measures one new list of 10,000 that differs in one instance, until the view is
// published.
func BenchmarkChange(b *testing.B) {
	for _, balancer := range balancers() {
		b.Run(string(balancer), func(b *testing.B) {
			d, err := New(Config{Sources: []Source{{"database", &script{}}}, Logger: slog.New(slog.DiscardHandler),
				Options: always(Options{Balancer: balancer})})
			if err != nil {
				b.Fatal(err)
			}
			s := d.service("auth")
			full := manyInstances(10_000)
			less := full
			less.Instances = append(append([]registry.Instance{}, full.Instances[:500]...), full.Instances[501:]...)
			for i := 0; b.Loop(); i++ {
				snap := full
				if i%2 == 1 {
					snap = less
				}
				s.heardFrom(0, snap)
				s.tick(time.Now())
			}
		})
	}
}

// BenchmarkReport measures the report of a call's outcome.
func BenchmarkReport(b *testing.B) {
	d, err := New(Config{Sources: []Source{{"database", &script{}}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s := d.service("auth")
	s.heardFrom(0, manyInstances(10_000))
	s.tick(time.Now())
	e := s.u.order[77].ep
	b.ReportAllocs()
	for b.Loop() {
		d.Resolve("auth").Report(e, health.OK, time.Millisecond)
	}
}
