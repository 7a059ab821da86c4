package skerry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
	"github.com/skerry/skerry/rpc"
)

// greeter is the service of these tests. It uses the interface of the framework's own service,
// because its generated code is available here.
type greeter struct {
	wire.Internal // tests don't call its other methods
	name          string
	calls         atomic.Int64
	ping          func(context.Context) error
}

func (g *greeter) WhoAmI(context.Context) (*wire.Identity, error) {
	g.calls.Add(1)
	return &wire.Identity{Release: g.name, Services: []string{}, Owner: &wire.Owner{}}, nil
}

func (g *greeter) Describe(context.Context) (*wire.Description, error) {
	return nil, errors.New("not here")
}

func (g *greeter) Ping(ctx context.Context) error {
	if g.ping != nil {
		return g.ping(ctx)
	}
	return nil
}

// lanSite is a configuration for nodes of one test that meet on the loopback
// interface, on a port of its own.
func lanSite(t *testing.T) Config {
	t.Helper()
	return Config{
		Cluster:  "test",
		Mode:     config.ModeBroadcast,
		LAN:      config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: lab.Port(t), Key: lab.SiteKey},
		StateDir: t.TempDir(),
		Stop:     config.Stop{Grace: 300 * time.Millisecond, Drain: 5 * time.Second},
	}
}

func quiet() Option { return WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))) }

func open(t *testing.T, c Config, opts ...Option) *Node {
	t.Helper()
	n, err := Open(t.Context(), c, append([]Option{quiet()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// offering opens a node that offers a greeter.
func offering(t *testing.T, c Config, g *greeter, opts ...Option) *Node {
	t.Helper()
	c.Service = config.Service{Name: "greeter", Version: "v1"}
	n := open(t, c, opts...)
	if err := n.Handle(t.Context(), "greeter", wire.NewInternalProcessor(g)); err != nil {
		t.Fatal(err)
	}
	return n
}

func greet(ctx context.Context, n *Node) (string, error) {
	id, err := wire.NewInternalClient(n.Client("greeter")).WhoAmI(ctx)
	if err != nil {
		return "", err
	}
	return id.Release, nil
}

func TestTwoNodesOnTheLAN(t *testing.T) {
	site := lanSite(t)
	offering(t, site, &greeter{name: "anna"})
	consumer := open(t, site)
	began := time.Now()
	got, err := greet(t.Context(), consumer)
	if err != nil || got != "anna" {
		t.Fatalf("got %q, %v", got, err)
	}
	t.Logf("first answer after %v", time.Since(began))
}

// An invalid service name is refused at once, without a wait.
func TestInvalidServiceName(t *testing.T) {
	n := open(t, Config{StateDir: "none"}, memorySite(&registrytest.MemoryStore{}))
	_, err := wire.NewInternalClient(n.Client("a b")).WhoAmI(t.Context())
	if !errors.Is(err, registry.ErrInvalid) || !rpc.SafeToRetry(err) ||
		!strings.Contains(err.Error(), `character ' ' in place 2`) {
		t.Errorf("got %v", err)
	}
}

// memorySite gives each node a registry of one hub.
func memorySite(hub *registrytest.MemoryStore) Option {
	return func(o *options) {
		o.sources = func(owner registry.Owner) []discovery.Source {
			return []discovery.Source{{Name: "memory", Registry: registrytest.NewMemory(hub, owner)}}
		}
	}
}

// TestNothingOutlivesClose counts goroutines before Open and after Close of a node that has served,
// called, and tried a missing database.
func TestNothingOutlivesClose(t *testing.T) {
	before := runtime.NumGoroutine()
	site := lanSite(t)
	site.Mode, site.Database.URL = config.ModeAuto, "postgres://nobody@127.0.0.1:1/none"
	n := offering(t, site, &greeter{name: "anna"})
	if _, err := greet(t.Context(), n); err != nil {
		t.Error(err)
	}
	began := time.Now()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("Close took %v", took)
	}
	if err := n.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := greet(t.Context(), n); !rpc.SafeToRetry(err) {
		t.Errorf("a call after Close: %v", err)
	}
	ended := func() bool { return runtime.NumGoroutine() <= before }
	eventually(t, "all goroutines have ended", ended)
}

func must(t *testing.T, step string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
}

// commitFirst commits a first entry to the log of the node's database.
func commitFirst(t *testing.T, n *Node) error {
	t.Helper()
	first := n.rules.Log().Next("r1", map[string]rollout.Rule{"greeter": {Version: "v1"}})
	return n.members.Database().Rules().Append(t.Context(), proven(t, n, first))
}
