package discovery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// script is a registry that a test scripts.
type script struct {
	partial bool

	mu       sync.Mutex
	watchers map[string][]func(registry.Snapshot)
	suspects []string
}

func (s *script) Run(ctx context.Context) error                        { <-ctx.Done(); return nil }
func (s *script) Register(context.Context, ...registry.Instance) error { return nil }
func (s *script) Deregister(context.Context, ...registry.ID) error     { return nil }
func (s *script) Watch(service string, f func(registry.Snapshot)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers == nil {
		s.watchers = map[string][]func(registry.Snapshot){}
	}
	s.watchers[service] = append(s.watchers[service], f)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, service)
	}
}

func (s *script) Suspect(id registry.ID, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspects = append(s.suspects, id.Addr)
}

func (s *script) say(snap registry.Snapshot) {
	s.mu.Lock()
	fs := slices.Concat(s.watchers[snap.Service], s.watchers[registry.AllServices])
	s.mu.Unlock()
	snap.Partial, snap.Read = s.partial, time.Now()
	slices.SortFunc(snap.Instances, registry.Compare)
	for _, f := range fs {
		f(snap)
	}
}

// lists gives the list of auth.
func (s *script) lists(ns ...int) {
	s.say(registry.Snapshot{Service: "auth", Instances: instances(ns...)})
}

// parts says that an instance left, and in which way.
func (s *script) parts(kind registry.DepartureKind, who int, stay ...int) {
	s.say(registry.Snapshot{Service: "auth", Instances: instances(stay...),
		Gone: []registry.Departure{{ID: instance(who).ID(), Kind: kind, When: time.Now()}}})
}

func (s *script) lost() {
	s.say(registry.Snapshot{Service: "auth", Lost: errors.New("connection refused")})
}

func instances(ns ...int) (out []registry.Instance) {
	for _, n := range ns {
		out = append(out, instance(n))
	}
	return out
}

// always are the same rules for every service.
func always(o Options) func(string) Options { return func(string) Options { return o } }

// world is one Discovery with two scripted sources and a network for probes.
type world struct {
	*Discovery
	t    *testing.T
	db   *script
	lan  *script
	stop func()

	mu    sync.Mutex
	dead  map[string]error // by address; errCut: probes get no answer
	asked map[string]int
}

var (
	errRefused = errors.New("connection refused")
	errCut     = errors.New("no route")
)

// newWorld starts a Discovery in the test's bubble; edit may be nil.
func newWorld(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{t: t, db: &script{}, lan: &script{partial: true}, dead: map[string]error{}, asked: map[string]int{}}
	cfg := Config{
		Cluster: "test",
		Sources: []Source{{"database", w.db}, {"lan", w.lan}},
		Probe:   w.probe,
		Logger:  slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&cfg)
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Discovery = d
	g := run.NewGroup(t.Context())
	g.Go(d.Run)
	w.stop = sync.OnceFunc(func() { _ = g.Stop() })
	t.Cleanup(w.stop)
	d.Resolve("auth")
	synctest.Wait()
	return w
}

func (w *world) probe(ctx context.Context, e *rpc.Endpoint) error {
	w.mu.Lock()
	err := w.dead[e.Addr]
	w.asked[e.Addr]++
	w.mu.Unlock()
	if errors.Is(err, errCut) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (w *world) kill(err error, ns ...int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range ns {
		w.dead[instance(n).Addr()] = err
	}
}

func (w *world) revive(ns ...int) { w.kill(nil, ns...) }

// picks are the instances that get calls now.
func (w *world) picks() []int {
	w.t.Helper()
	synctest.Wait()
	seen := map[string]bool{}
	for range 300 {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Nanosecond)
		e, err := w.Resolve("auth").Pick(ctx, &rpc.Call{Service: "auth", Attempt: 1})
		cancel()
		if err != nil {
			break
		}
		seen[e.Addr] = true
	}
	ns := []int{}
	for n := range 20 {
		if seen[instance(n).Addr()] {
			ns = append(ns, n)
		}
	}
	return ns
}

func (w *world) expect(what string, want ...int) {
	w.t.Helper()
	if want == nil {
		want = []int{}
	}
	if got := w.picks(); !slices.Equal(got, want) {
		w.t.Fatalf("%s: calls go to %v, want %v\n%+v", what, got, want, w.Explain("auth"))
	}
}

func (w *world) after(d time.Duration) *world {
	time.Sleep(d)
	synctest.Wait()
	return w
}

// entry is the entry of an instance in Explain.
func (w *world) entry(n int) Entry {
	w.t.Helper()
	synctest.Wait()
	for _, e := range w.Explain("auth") {
		if e.Addr == instance(n).Addr() {
			return e
		}
	}
	return Entry{State: "not listed"}
}

func (w *world) expectEntry(n int, state State, why string) {
	w.t.Helper()
	if e := w.entry(n); e.State != state || !strings.Contains(e.Why, why) {
		w.t.Fatalf("entry %d is %s (%s), want %s (…%s…)", n, e.State, e.Why, state, why)
	}
}

// endpoint is the endpoint of an instance for calls.
func (w *world) endpoint(n int) *rpc.Endpoint {
	s := w.service("auth")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.u.order {
		if m.ep.Addr == instance(n).Addr() {
			return m.ep
		}
	}
	w.t.Fatalf("no member %d", n)
	return nil
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
