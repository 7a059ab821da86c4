package skerry

import (
	"context"
	"errors"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry/registrytest"
	"github.com/skerry/skerry/rpc"
)

// traced is a greeter that records the traces of its calls.
type traced struct {
	greeter
	met     rollout.Token
	info    *rpc.CallInfo
	handled func(ctx context.Context)
}

func (g *traced) WhoAmI(ctx context.Context) (*wire.Identity, error) {
	g.met, g.info = participant.TraceFrom(ctx).Token(), rpc.CallInfoFrom(ctx)
	if g.handled != nil {
		g.handled(ctx)
	}
	return g.greeter.WhoAmI(ctx)
}

// strictPair is a provider with one entry method, and a consumer.
func strictPair(t *testing.T, g *traced) (provider, consumer *Node) {
	site := memorySite(&registrytest.MemoryStore{})
	strict := Config{StateDir: "none", Rollout: config.Rollout{Orphans: config.OrphansStrict}}
	consumer = open(t, strict, site)
	strict.Service = config.Service{Name: "greeter", Version: "v1", Listen: "127.0.0.1:0", Advertise: "127.0.0.1",
		Entry: []string{"whoAmI"}}
	provider = open(t, strict, site)
	if err := provider.Handle(t.Context(), "greeter", wire.NewInternalProcessor(g)); err != nil {
		t.Fatal(err)
	}
	return provider, consumer
}

func TestCallsBelongToTraces(t *testing.T) {
	g := &traced{}
	_, consumer := strictPair(t, g)
	if _, err := greet(t.Context(), consumer); rpc.CodeOf(err) != rpc.Orphan {
		t.Fatalf("a call outside any trace: %v", err)
	}
	ctx, end := consumer.Begin(t.Context(), "nightly")
	defer end()
	if _, err := greet(ctx, consumer); err != nil {
		t.Fatal(err)
	}
	w3c := g.info.Trace
	if _, err := greet(ctx, consumer); err != nil {
		t.Fatal(err)
	}
	if g.met != participant.TraceFrom(ctx).Token() || g.info.Trace[:35] != w3c[:35] {
		t.Errorf("the callee met %v of %s, want %v of %s", g.met, g.info.Trace, participant.TraceFrom(ctx).Token(), w3c)
	}
}

func TestPlainClientsBeginTracesAtEntries(t *testing.T) {
	g := &traced{}
	provider, _ := strictPair(t, g)
	client, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{ID: "p",
		Addr: provider.offers.addr().String(), Protocol: "framed-binary"})})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tc, err := client.Service("greeter", rpc.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.NewInternalClient(tc).WhoAmI(t.Context()); err != nil || g.met.Seed == 0 {
		t.Errorf("an entry: %v, token %v", err, g.met)
	}
	if err := wire.NewInternalClient(tc).Ping(t.Context()); err == nil {
		t.Error("a method that is no entry took a call without a token")
	}
}

func TestDetachedWorkHasATraceOfItsOwn(t *testing.T) {
	g := &traced{}
	provider, consumer := strictPair(t, g)
	var detached context.Context
	var done func()
	g.handled = func(ctx context.Context) { detached, done = Detach(ctx) }
	ctx, end := consumer.Begin(t.Context(), "nightly")
	if _, err := greet(ctx, consumer); err != nil {
		t.Fatal(err)
	}
	end()
	entry := rollout.Entry{Cluster: consumer.cfg.Cluster, Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"greeter": {Version: "v1"}}}
	if err := provider.Rollout().Learn(entry); err != nil {
		t.Fatal(err)
	}
	g.handled = nil
	if _, err := greet(detached, provider); err != nil || detached.Err() != nil {
		t.Errorf("work that outlives its request: %v, %v", err, detached.Err())
	}
	if live := provider.Rollout().Live(); live[participant.TraceFrom(detached).Token().Generation] == 0 {
		t.Errorf("%v are counted", live)
	}
	done()
	if plain, nothing := Detach(t.Context()); plain.Done() != nil {
		nothing()
		t.Error("a detached context ends")
	}
}

// TestFormatsToCome: an entry of an unknown, later format does not keep a process from the entries
// before it, from any source.
func TestFormatsToCome(t *testing.T) {
	n := open(t, Config{StateDir: "none"}, memorySite(&registrytest.MemoryStore{}))
	e, err := rollout.Entry{Cluster: n.Rollout().Cluster(), Generation: rollout.Generation{N: 1},
		Rules: map[string]rollout.Rule{"auth": {Version: "v1"}}}.Seal()
	if err != nil {
		t.Fatal(err)
	}
	page := [][]byte{e.Record().Marshal(), rollout.Record{Body: "skerry-entry 2\n?"}.Marshal()}
	_, err = n.internal.Bring(t.Context(), page)
	refused, ok := errors.AsType[*wire.RulesRefused](err)
	if !ok || refused.Code != "needs" || n.Rollout().Log().Hash() != e.Hash() {
		t.Errorf("brought: %v; it has applied %v", err, n.Rollout().Log().Last())
	}
}
