package registrytest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/skerry/skerry/registry"
)

// testCase is one promise of the Registry interface.
type testCase struct {
	name  string
	needs func(*Harness) bool // nil: every registry can run the case
	run   func(*site)
}

func (c testCase) possible(h *Harness) bool { return c.needs == nil || c.needs(h) }

func canKill(h *Harness) bool   { return h.Kill != nil }
func canCut(h *Harness) bool    { return h.Cut != nil && h.Heal != nil }
func canForget(h *Harness) bool { return h.Forget != nil }

var cases = []testCase{
	{"Register", nil, register},
	{"RegisterBeforeRun", nil, registerBeforeRun},
	{"RegisterInvalid", nil, registerInvalid},
	{"RegisterReplaces", nil, registerReplaces},
	{"RegisterPending", nil, registerPending},
	{"Fields", nil, fields},
	{"Started", nil, started},
	{"Withdraw", nil, withdraw},
	{"Leaving", nil, leaving},
	{"EndOfRun", nil, endOfRun},
	{"WatchUnknown", nil, watchUnknown},
	{"WatchLate", nil, watchLate},
	{"WatchAll", nil, watchAll},
	{"WatchOnlyIts", nil, watchOnlyIts},
	{"WatchStop", nil, watchStop},
	{"QuickRestart", nil, quickRestart},
	{"ManyServices", nil, manyServices},
	{"OtherCluster", func(h *Harness) bool { return h.OpenOther != nil }, otherCluster},
	{"Kill", canKill, kill},
	{"CutEmptiesNothing", canCut, cutEmptiesNothing},
	{"StartedWhileCut", canCut, startedWhileCut},
	{"Forgotten", canForget, forgotten},
}

func register(s *site) {
	a, b := s.start(), s.start()
	v := b.watch("auth")
	in := a.instance("auth", "v1")
	a.register(in)
	got := v.lists(s.h.Seen, "auth", in)
	if got.Lost != nil || got.Read.IsZero() {
		s.Errorf("lost %v, read %v; want a fresh list", got.Lost, got.Read)
	}
	b.register(b.instance("auth", "v2"))
	v.lists(s.h.Seen, "auth", in, b.instance("auth", "v2"))
	own := a.watch("auth")
	own.lists(s.h.Seen, "auth", in, b.instance("auth", "v2"))
}

func registerBeforeRun(s *site) {
	a := s.open(s.h.Open, s.owner())
	in := a.instance("auth", "v1")
	v := a.watch("auth")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Register(ctx, in); !errors.Is(err, registry.ErrPending) {
		s.Fatalf("Register before Run: %v; want ErrPending", err)
	}
	a.begin()
	v.lists(s.h.Seen+s.h.Back, "auth", in)
}

func registerInvalid(s *site) {
	a := s.start()
	v := a.watch("auth")
	good, bad := a.instance("auth", "v1"), a.instance("auth", "v2")
	bad.Port = 0
	if err := a.Register(context.Background(), good, bad); !errors.Is(err, registry.ErrInvalid) {
		s.Fatalf("Register with port 0: %v; want ErrInvalid", err)
	}
	other := a.instance("auth", "v3")
	a.register(other)
	v.lists(s.h.Seen, "auth", other) // the refused call has listed nothing
}

func registerReplaces(s *site) {
	a := s.start()
	v := a.watch("auth")
	in := a.instance("auth", "v1")
	a.register(in)
	v.lists(s.h.Seen, "auth", in)
	in.Weight, in.Zone, in.Tags = 7, "east", map[string]string{"k": "w"}
	a.register(in)
	v.lists(s.h.Seen, "auth", in)
}

// registerPending: a registry that is not running lists nothing, and the error of Register says
// why.
func registerPending(s *site) {
	a := s.open(s.h.Open, s.owner())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := a.Register(ctx, a.instance("auth", ""))
	if !errors.Is(err, registry.ErrPending) || !errors.Is(err, context.DeadlineExceeded) {
		s.Fatalf("Register without Run: %v; want ErrPending and the context's error", err)
	}
}

func fields(s *site) {
	a, b := s.start(), s.start()
	v := b.watch("all.fields")
	full := registry.Instance{Service: "all.fields", Version: "2.0-rc1", Host: "2001:db8::7", Port: 65535,
		Protocol: registry.ProtocolFramedCompact, Zone: "hall-3", Weight: -1, TLS: true,
		Tags: map[string]string{"kind": "x \"quoted\" \\ ü 三", "empty": ""}, Owner: a.owner}
	bare := registry.Instance{Service: "all.fields", Host: "node-9.site", Port: 1, Owner: a.owner}
	a.register(full, bare)
	v.lists(s.h.Seen, "all.fields", full, bare)
}

func started(s *site) {
	a, b := s.start(), s.start()
	in := a.instance("auth", "v1")
	in.Started = time.Now().Add(-time.Hour)
	a.register(in)
	got := b.watch("auth").lists(s.h.Seen, "auth", in).Instances[0].Started
	if d := got.Sub(in.Started).Abs(); d > s.h.Seen+5*time.Second {
		s.Errorf("started %v ago, want an hour", time.Since(got))
	}
}

func withdraw(s *site) {
	a, b := s.start(), s.start()
	v := b.watch("auth")
	one, two := a.instance("auth", "v1"), a.instance("auth", "v2")
	a.register(one, two)
	v.lists(s.h.Seen, "auth", one, two)
	unknown := a.instance("nothing", "v1")
	if err := a.Deregister(context.Background(), one.ID(), unknown.ID()); err != nil {
		s.Fatal(err)
	}
	got := v.lists(s.h.Seen, "auth", two)
	if k := departed(got, one.ID()); k != registry.Deregistered {
		s.Errorf("departure of %v: %v, want withdrawn", one.ID(), k)
	}
	a.register(one)
	v.lists(s.h.Seen, "auth", one, two)
}

// leaving: an instance that is stopping is listed until it is withdrawn.
func leaving(s *site) {
	a, b := s.start(), s.start()
	v := b.watch("auth")
	in := a.instance("auth", "v1")
	a.register(in)
	v.lists(s.h.Seen, "auth", in)
	in.Leaving = true
	a.register(in)
	v.lists(s.h.Seen, "auth", in)
	v.quiet(s.h.Seen, "what is leaving has left, or stays", func(s registry.Snapshot) bool {
		return len(s.Instances) != 1 || !s.Instances[0].Leaving
	})
	late := s.start().watch("auth")
	late.lists(s.h.Seen+s.h.Back, "auth", in)
	if err := a.Deregister(context.Background(), in.ID()); err != nil {
		s.Fatal(err)
	}
	if k := departed(v.lists(s.h.Seen, "auth"), in.ID()); k != registry.Deregistered {
		s.Errorf("departure of %v: %v, want withdrawn", in.ID(), k)
	}
}

func endOfRun(s *site) {
	a, b := s.start(), s.start()
	v := b.watch("auth")
	in := a.instance("auth", "v1")
	a.register(in)
	v.lists(s.h.Seen, "auth", in)
	begun := time.Now()
	a.stop()
	if took := time.Since(begun); took > 3*time.Second {
		s.Errorf("the end of Run took %v, want at most two seconds and a little", took)
	}
	if k := departed(v.lists(s.h.Seen, "auth"), in.ID()); k != registry.Deregistered {
		s.Errorf("departure of %v: %v, want withdrawn", in.ID(), k)
	}
}

func watchUnknown(s *site) {
	v := s.start().watch("nobody")
	got := v.until(s.h.Seen+s.h.Back, "an empty list", "nobody",
		func(s registry.Snapshot) bool { return s.Lost == nil })
	if len(got.Instances) != 0 || len(got.Gone) != 0 {
		s.Errorf("list of an unknown service: %s", show(got))
	}
}

func watchLate(s *site) {
	a := s.start()
	in := a.instance("auth", "v1")
	a.register(in)
	b := s.start()
	b.watch("auth").lists(s.h.Seen+s.h.Back, "auth", in)
	b.watch("auth").lists(s.h.Seen, "auth", in) // a second watcher of a known list
}

func watchAll(s *site) {
	a, b := s.start(), s.start()
	v := b.watch(registry.AllServices)
	x, y := a.instance("x", "v1"), a.instance("y", "v1")
	a.register(x)
	v.lists(s.h.Seen, "x", x)
	a.register(y)
	v.lists(s.h.Seen, "y", y)
	v.lists(s.h.Seen, "x", x)
	if err := a.Deregister(context.Background(), y.ID()); err != nil {
		s.Fatal(err)
	}
	v.lists(s.h.Seen, "y")
}

func watchOnlyIts(s *site) {
	a, b := s.start(), s.start()
	v := b.watch("auth")
	a.register(a.instance("proc", "v1"))
	a.register(a.instance("auth", "v1"))
	v.lists(s.h.Seen, "auth", a.instance("auth", "v1"))
	if len(v.last) != 1 {
		s.Errorf("a watcher of auth was shown %d services", len(v.last))
	}
}

func watchStop(s *site) {
	a := s.start()
	v, other := a.watch("auth"), a.watch("auth")
	in := a.instance("auth", "v1")
	a.register(in)
	v.lists(s.h.Seen, "auth", in)
	v.stop()
	for len(v.shown) > 0 {
		<-v.shown
	}
	a.register(a.instance("auth", "v2"))
	other.lists(s.h.Seen, "auth", in, a.instance("auth", "v2"))
	if len(v.shown) != 0 {
		s.Error("f was called after stop had returned")
	}
}

// quickRestart: the same address, a new epoch. Neither instance replaces the other, and the late
// goodbye of the old one does not remove the new one.
func quickRestart(s *site) {
	owner := s.owner()
	old := s.startWith(s.h.Open, owner)
	owner.Epoch += 1_000_000
	fresh := s.startWith(s.h.Open, owner)
	v := s.start().watch("auth")
	was, is := old.instance("auth", "v1"), fresh.instance("auth", "v1")
	old.register(was)
	fresh.register(is)
	v.lists(s.h.Seen, "auth", was, is)
	old.stop()
	got := v.lists(s.h.Seen, "auth", is)
	if departed(got, was.ID()) != registry.Deregistered || departed(got, is.ID()) != 0 {
		s.Errorf("after the restart: %s", show(got))
	}
}

func manyServices(s *site) {
	a, b := s.start(), s.start()
	v := b.watch(registry.AllServices)
	var all []registry.Instance
	for i := range 60 {
		in := a.instance("service-"+string(rune('a'+i%26))+string(rune('a'+i/26)), "v1")
		in.Tags = map[string]string{"description": "a tag that takes some room on the way to the watchers"}
		all = append(all, in)
	}
	a.register(all...)
	for _, in := range all {
		v.lists(s.h.Seen, in.Service, in)
	}
}

func otherCluster(s *site) {
	a, stranger := s.start(), s.startWith(s.h.OpenOther, s.owner())
	mine, theirs := a.watch(registry.AllServices), stranger.watch(registry.AllServices)
	x, y := a.instance("auth", "v1"), stranger.instance("auth", "v1")
	a.register(x)
	stranger.register(y)
	mine.lists(s.h.Seen, "auth", x)
	theirs.lists(s.h.Seen, "auth", y)
	foreign := func(id registry.ID) func(registry.Snapshot) bool {
		return func(s registry.Snapshot) bool {
			return slices.ContainsFunc(s.Instances, func(in registry.Instance) bool { return in.ID() == id })
		}
	}
	mine.quiet(s.h.Seen, "an instance of the other cluster", foreign(y.ID()))
	theirs.quiet(s.h.Seen, "an instance of the other cluster", foreign(x.ID()))
}

func kill(s *site) {
	a, b, c := s.start(), s.start(), s.start()
	v := c.watch("auth")
	x, y := a.instance("auth", "v1"), b.instance("auth", "v1")
	a.register(x)
	b.register(y)
	v.lists(s.h.Seen, "auth", x, y)
	s.h.Kill(s.T, a.Registry)
	a.stop()
	got := v.lists(s.h.Dead, "auth", y)
	if k := departed(got, x.ID()); k != registry.Expired && k != registry.Silent {
		s.Errorf("departure of the killed %v: %v, want expired or silent", x.ID(), k)
	}
	late := s.start().watch("auth")
	late.lists(s.h.Seen+s.h.Back, "auth", y)
	v.quiet(s.h.Seen, "the survivor is gone", func(s registry.Snapshot) bool { return len(s.Instances) == 0 })
}

// cutEmptiesNothing: an outage longer than every expiry. The lists stay and say that they are old.
// After the outage no instance is dropped, and a registration from the time of the outage is
// listed.
func cutEmptiesNothing(s *site) {
	a, b := s.start(), s.start()
	v := b.watch("auth")
	in, more := a.instance("auth", "v1"), a.instance("auth", "v2")
	a.register(in)
	v.lists(s.h.Seen, "auth", in)
	s.h.Cut(s.T)
	v.until(s.h.Lost, "the loss of the registry", "auth", func(s registry.Snapshot) bool { return s.Lost != nil })
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := a.Register(ctx, more); !errors.Is(err, registry.ErrPending) {
		s.Errorf("Register while cut: %v; want ErrPending", err)
	}
	dropped := func(s registry.Snapshot) bool {
		return !slices.ContainsFunc(s.Instances, func(i registry.Instance) bool { return i.ID() == in.ID() })
	}
	v.quiet(s.h.Dead+s.h.Seen, "dropped by the outage", dropped)
	s.h.Heal(s.T)
	v.until(s.h.Back, "the end of the outage, with the new instance", "auth", func(s registry.Snapshot) bool {
		return s.Lost == nil && slices.EqualFunc(s.Instances, []registry.Instance{in, more}, registry.Instance.Equal)
	})
	v.quiet(s.h.Dead+s.h.Seen, "dropped after the outage", dropped)
}

func startedWhileCut(s *site) {
	b := s.start()
	v := b.watch("auth")
	v.lists(s.h.Seen+s.h.Back, "auth")
	s.h.Cut(s.T)
	v.until(s.h.Lost, "the loss of the registry", "auth", func(s registry.Snapshot) bool { return s.Lost != nil })
	a := s.start()
	w := a.watch("auth")
	got := w.until(s.h.Lost, "a list marked as lost", "auth", func(s registry.Snapshot) bool { return s.Lost != nil })
	if len(got.Instances) != 0 {
		s.Errorf("listed without a registry: %s", show(got))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	in := a.instance("auth", "v1")
	if err := a.Register(ctx, in); !errors.Is(err, registry.ErrPending) {
		s.Errorf("Register while cut: %v; want ErrPending", err)
	}
	s.h.Heal(s.T)
	v.lists(s.h.Back, "auth", in)
	w.lists(s.h.Back, "auth", in)
}

func forgotten(s *site) {
	a, b, c := s.start(), s.start(), s.start()
	v := c.watch("auth")
	x, y := a.instance("auth", "v1"), b.instance("auth", "v1")
	a.register(x)
	b.register(y)
	v.lists(s.h.Seen, "auth", x, y)
	s.h.Forget(s.T)
	late := s.start().watch("auth")
	late.lists(s.h.Back, "auth", x, y)
	v.lists(s.h.Back, "auth", x, y)
}
