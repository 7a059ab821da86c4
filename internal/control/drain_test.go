package control_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// slow is a greeter with a method that lasts until it is released.
type slow struct {
	greeter
	begun   chan string
	release chan struct{}
}

func (s *slow) Ping(ctx context.Context) error {
	s.begun <- s.name
	select {
	case <-s.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// orders returns the orders of an operator that joins the site.
func orders(t *testing.T, site skerry.Config) *control.Orders {
	t.Helper()
	site.StateDir = "none"
	n := open(t, site, skerry.AsObserver(), skerry.WithAllServices())
	o, err := control.NewOrders(t.Context(), n, control.Operator{Name: "li"})
	must(t, "find the processes", err)
	return o
}

// stateOf is the state of a process's instance of greet, as a node sees it; "" while it is not listed.
func stateOf(n *skerry.Node, of *skerry.Node) discovery.State {
	for _, e := range n.Explain("greet") {
		if e.Owner == of.Membership().Owner().String() {
			return e.State
		}
	}
	return ""
}

// TestDrainUnderLoad drains one of two providers while it is called, in both modes. A call in flight
// is answered, later ones go to the other provider, no call fails, and the drained one is called again
// when it is put back.
func TestDrainUnderLoad(t *testing.T) {
	t.Run("broadcast", func(t *testing.T) { drainUnderLoad(t, lanSite(t)) })
	t.Run("database", func(t *testing.T) {
		server := pgtest.Shared(t)
		drainUnderLoad(t, withDatabase(lanSite(t), config.ModeDatabase, server.URL(server.CreateDB(t))))
	})
	t.Run("both", func(t *testing.T) {
		server := pgtest.Shared(t)
		drainUnderLoad(t, withDatabase(lanSite(t), config.ModeAuto, server.URL(server.CreateDB(t))))
	})
}

func drainUnderLoad(t *testing.T, site skerry.Config) {
	ctx := t.Context()
	begun, release := make(chan string, 10), make(chan struct{})
	nodes := map[string]*skerry.Node{}
	for _, name := range []string{"a", "b"} {
		c := site
		c.StateDir = t.TempDir()
		c.Service = config.Service{Name: "greet", Version: "v1"}
		nodes[name] = open(t, c)
		offered := wire.NewInternalProcessor(&slow{greeter{name: name}, begun, release})
		must(t, "offer", nodes[name].Handle(ctx, "greet", offered))
	}
	c := site
	c.StateDir = t.TempDir()
	consumer := open(t, c)
	var failed atomic.Int64
	call := func() string {
		id, err := wire.NewInternalClient(consumer.Client("greet")).WhoAmI(ctx)
		if err != nil {
			if ctx.Err() == nil {
				failed.Add(1)
				t.Errorf("a call: %v", err)
			}
			return ""
		}
		return id.Release
	}
	both := func(what string) {
		t.Helper()
		for _, name := range []string{"a", "b"} {
			eventually(t, what+": "+name, func() bool { return call() == name })
		}
	}
	both("called")
	load := run.NewGroup(ctx)
	load.Go(func(ctx context.Context) error {
		for ctx.Err() == nil {
			call()
		}
		return nil
	})
	held := make(chan error, 1)
	load.Go(func(ctx context.Context) error {
		client := consumer.Client("greet", func(o *rpc.ServiceOptions) { o.Timeout = time.Minute })
		held <- wire.NewInternalClient(client).Ping(ctx)
		return nil
	})
	taken := <-begun
	victim := nodes[taken]
	process := victim.Membership().Owner().String()
	o := orders(t, site)
	must(t, "look", o.Answers(ctx, process))
	d, err := o.Send(ctx, process, drain.Order{Verb: drain.Begin, Why: "a new disk"})
	must(t, "drain", err)
	if d.Running < 1 {
		t.Errorf("%d calls run, and one was held", d.Running)
	}
	eventually(t, "it is drained for the consumer", func() bool {
		return stateOf(consumer, victim) == discovery.Drained
	})
	for range 300 {
		if who := call(); who == taken {
			t.Fatal("a call went to the drained provider")
		}
	}
	idle := func(want bool) {
		t.Helper()
		eventually(t, "the calls that run", func() bool {
			d, err := o.Look(ctx, process)
			return err == nil && d.Drains == 1 && (d.Running == 0) == want
		})
	}
	idle(false)
	close(release)
	must(t, "the call in flight", <-held)
	idle(true)
	if _, err := o.Send(ctx, process, drain.Order{Verb: drain.Undo}); err != nil {
		t.Errorf("undo: %v", err)
	}
	both("called again")
	must(t, "load", load.Stop())
	if n := failed.Load(); n > 0 {
		t.Errorf("%d calls failed", n)
	}
}

// TestDrainAndRestart: a drain without a time ends with the process, one with a time holds for the next
// run, from its first moment on.
func TestDrainAndRestart(t *testing.T) {
	site := lanSite(t)
	consumer := open(t, site)
	c := site
	c.StateDir = t.TempDir()
	c.Service = config.Service{Name: "greet", Version: "v1"}
	start := func() *skerry.Node {
		n := open(t, c)
		must(t, "offer", n.Handle(t.Context(), "greet", wire.NewInternalProcessor(&greeter{name: "a"})))
		return n
	}
	send := func(n *skerry.Node, order drain.Order) (control.Drained, error) {
		return orders(t, site).Send(t.Context(), n.Membership().Owner().String(), order)
	}
	observer := site
	observer.StateDir = "none"
	looker := open(t, observer, skerry.AsObserver())
	sees := func(want int) { // a release waits for a version that callers see
		t.Helper()
		eventually(t, "the versions that the consumer could call", func() bool {
			k, known := looker.Membership().Find(consumer.Membership().Owner())
			if !known {
				return false
			}
			p, err := looker.Membership().Peer(k)
			must(t, "peer", err)
			versions, err := p.Sees(t.Context(), []string{"greet"})
			return err == nil && len(versions["greet"]) == want
		})
	}
	shows := func(n *skerry.Node, want discovery.State) {
		t.Helper()
		first := discovery.State("")
		eventually(t, "it is listed", func() bool { first = stateOf(consumer, n); return first != "" })
		if first != want && !(want == discovery.OK && first == discovery.Warming) {
			t.Errorf("after the restart it is %s, want %s", first, want)
		}
	}
	n := start()
	if _, err := send(n, drain.Order{Verb: drain.Begin}); err != nil {
		t.Fatal(err)
	}
	must(t, "close", n.Close())
	n = start()
	shows(n, discovery.OK)
	d, err := send(n, drain.Order{Verb: drain.Begin, ForMS: time.Hour.Milliseconds(), Why: "the host is repaired"})
	if err != nil || d.Retained != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	for range 2 {
		must(t, "close", n.Close())
		n = start()
		shows(n, discovery.Drained)
		sees(0)
	}
	if _, err := send(n, drain.Order{Verb: drain.Undo}); err != nil {
		t.Fatal(err)
	}
	must(t, "close", n.Close())
	n = start()
	shows(n, discovery.OK)
	sees(1)

	if _, err := send(n, drain.Order{Verb: drain.Begin, ForMS: 1500}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is drained", func() bool { return stateOf(consumer, n) == discovery.Drained })
	eventually(t, "its time is over", func() bool { return stateOf(consumer, n).Well() })
}

// TestDrainsOfTwoProcessesOfOneProgram: two versions of a service with free ports share a state
// directory. The drain of one instance holds for its version after both are started again, in either
// order, though the port is another one.
func TestDrainsOfTwoProcessesOfOneProgram(t *testing.T) {
	site := lanSite(t)
	consumer := open(t, site)
	c := site
	c.StateDir = t.TempDir()
	nodes := map[string]*skerry.Node{}
	start := func(versions ...string) {
		t.Helper()
		for _, v := range versions {
			c.Service = config.Service{Name: "greet", Version: v}
			nodes[v] = open(t, c)
			must(t, "offer", nodes[v].Handle(t.Context(), "greet", wire.NewInternalProcessor(&greeter{name: v})))
		}
	}
	shows := func(version string, want discovery.State) {
		t.Helper()
		got := discovery.State("")
		eventually(t, version+" is listed", func() bool {
			got = stateOf(consumer, nodes[version])
			return got != ""
		})
		if got != want && !(want == discovery.OK && got == discovery.Warming) {
			t.Errorf("%s is %s, want %s", version, got, want)
		}
	}
	start("v1", "v2")
	shows("v1", discovery.OK)
	shows("v2", discovery.OK)
	of := nodes["v1"].Membership().Owner().String()
	order := drain.Order{Verb: drain.Begin, ForMS: time.Hour.Milliseconds(), Why: "it is measured"}
	for _, e := range consumer.Explain("greet") {
		if e.Owner == of {
			order.Instances = []drain.Instance{{Service: e.Service, Version: e.Version, Addr: e.Addr}}
		}
	}
	d, err := orders(t, site).Send(t.Context(), of, order)
	if err != nil || d.Retained != 1 || len(order.Instances) != 1 {
		t.Fatalf("%+v for %v: %v", d, order.Instances, err)
	}
	for _, versions := range [][]string{{"v2", "v1"}, {"v1", "v2"}} {
		for _, n := range nodes {
			must(t, "close", n.Close())
		}
		start(versions...)
		shows("v1", discovery.Drained)
		shows("v2", discovery.OK)
	}
}

// TestDrainOfAnAnnouncedInstance: an instance of a program that knows nothing of skerry is drained by
// the process that lists it, also when that lists it anew meanwhile, and is taken off for good.
func TestDrainOfAnAnnouncedInstance(t *testing.T) {
	site := lanSite(t)
	consumer := open(t, site)
	c := site
	c.StateDir = t.TempDir()
	announcer := open(t, c)
	in := registry.Instance{Service: "greet", Host: "127.0.0.1", Port: 9, Protocol: registry.ProtocolHTTP, Weight: 7}
	other := in
	other.Port = 10
	list := func(in registry.Instance) {
		t.Helper()
		must(t, "list", announcer.Register(t.Context(), in))
	}
	list(in)
	list(other)
	state := func(in registry.Instance, want discovery.State) {
		t.Helper()
		eventually(t, "the state "+string(want), func() bool {
			all := consumer.Explain("greet")
			i := slices.IndexFunc(all, func(e discovery.Entry) bool { return e.Addr == in.Addr() })
			if i < 0 {
				return want == ""
			}
			e := all[i]
			return e.State == want || want == discovery.OK && e.State.Well() && e.Weight == 7
		})
	}
	state(in, discovery.OK)
	process := announcer.Membership().Owner().String()
	o := orders(t, site)
	one := []drain.Instance{drain.InstanceOf(in)}
	send := func(order drain.Order) error {
		_, err := o.Send(t.Context(), process, order)
		return err
	}
	unknown := []drain.Instance{{Service: "greet", Addr: "127.0.0.1:11"}}
	if err := send(drain.Order{Verb: drain.Begin, Instances: unknown}); !errors.Is(err, drain.ErrAbsent) {
		t.Errorf("an instance that is not there: %v", err)
	}
	must(t, "drain", send(drain.Order{Verb: drain.Begin, Instances: one}))
	state(in, discovery.Drained)
	state(other, discovery.OK)
	must(t, "withdraw", announcer.Deregister(t.Context(), in.ID()))
	state(in, "")
	list(in)
	state(in, discovery.Drained)
	must(t, "undo", send(drain.Order{Verb: drain.Undo, Instances: one}))
	state(in, discovery.OK)
	must(t, "deregister", send(drain.Order{Verb: drain.Leave, Instances: one}))
	state(in, "")
	state(other, discovery.OK)
	if announcer.Registered(in.ID()) {
		t.Error("the announcer still lists it")
	}
}

// TestDeregisterALivingProcess: a process, or one of its services, leaves when it is told to, with the
// calls that it executes.
func TestDeregisterALivingProcess(t *testing.T) {
	site := lanSite(t)
	consumer := open(t, site)
	c := site
	c.StateDir = t.TempDir()
	n, left := open(t, c), make(chan error, 1)
	must(t, "offer", n.Handle(t.Context(), "other", wire.NewInternalProcessor(&greeter{name: "a"})))
	g := run.NewGroup(t.Context())
	g.Go(func(ctx context.Context) error {
		left <- n.Serve(ctx, "greet", wire.NewInternalProcessor(&greeter{name: "a"}))
		return nil
	})
	listed := func(service string) int {
		return len(slices.DeleteFunc(consumer.Explain(service), func(e discovery.Entry) bool {
			return e.State == discovery.Gone
		}))
	}
	for _, service := range []string{"greet", "other"} {
		eventually(t, service+" is listed", func() bool { return listed(service) == 1 })
	}
	process := n.Membership().Owner().String()
	o := orders(t, site)
	addr := consumer.Explain("other")[0].Addr
	other := []drain.Instance{{Service: "other", Addr: addr}}
	_, err := o.Send(t.Context(), process, drain.Order{Verb: drain.Leave, Instances: other})
	must(t, "one service leaves", err)
	eventually(t, "other is off the list", func() bool { return listed("other") == 0 })
	if listed("greet") != 1 {
		t.Error("the other service left as well")
	}
	if _, err := o.Remove(t.Context(), process, true, ""); !errors.Is(err, drain.ErrAlive) {
		t.Errorf("a living process is removed: %v", err)
	}
	_, err = o.Send(t.Context(), process, drain.Order{Verb: drain.Leave})
	must(t, "the process leaves", err)
	must(t, "its Serve", <-left)
	eventually(t, "greet is off the list", func() bool { return listed("greet") == 0 })
}

// TestOrdersAreSigned: an order without a proof by the site's key, or with one for another purpose or of
// another text, is refused.
func TestOrdersAreSigned(t *testing.T) {
	site := lanSite(t)
	c := site
	c.StateDir = t.TempDir()
	n := open(t, c)
	o := orders(t, site)
	process := n.Membership().Owner().String()
	must(t, "look", o.Answers(t.Context(), process))
	for what, sign := range map[string]func(rollout.Purpose, string) (rollout.Proof, error){
		"no proof": func(rollout.Purpose, string) (rollout.Proof, error) { return rollout.Proof{}, nil },
		"for another purpose": func(_ rollout.Purpose, text string) (rollout.Proof, error) {
			return n.Membership().Trust().SiteSigner().Sign(rollout.ForRelease, text)
		},
		"of another text": func(p rollout.Purpose, text string) (rollout.Proof, error) {
			return n.Membership().Trust().SiteSigner().Sign(p, strings.Replace(text, "drain", "leave", 1))
		},
	} {
		site.StateDir = "none"
		joined := open(t, site, skerry.AsObserver())
		o, err := control.NewOrders(t.Context(), joined, control.Operator{Name: "li", Signer: signerFunc(sign)})
		must(t, "find the processes", err)
		_, err = o.Send(t.Context(), process, drain.Order{Verb: drain.Begin})
		if !errors.Is(err, rollout.ErrUnproven) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if d, err := o.Look(t.Context(), process); err != nil || d.Drains != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

type signerFunc func(rollout.Purpose, string) (rollout.Proof, error)

func (f signerFunc) Sign(p rollout.Purpose, text string) (rollout.Proof, error) { return f(p, text) }
