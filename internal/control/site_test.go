package control_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/wire"
)

// greeter is the service of these tests. It uses the interface of skerry's internal
// service, because the generated code of that exists.
type greeter struct {
	wire.Internal // the other methods are not called
	name          string
}

func (g *greeter) WhoAmI(context.Context) (*wire.Identity, error) {
	return &wire.Identity{Release: g.name, Services: []string{}, Owner: &wire.Owner{}}, nil
}

// lanSite returns a configuration for the nodes of one test. They meet on the loopback
// interface, on a port that no other test uses.
func lanSite(t *testing.T) skerry.Config {
	t.Helper()
	return skerry.Config{
		Cluster:  "test",
		Mode:     config.ModeBroadcast,
		LAN:      config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: lab.Port(t), Key: lab.SiteKey},
		StateDir: t.TempDir(),
		Stop:     config.Stop{Grace: 300 * time.Millisecond, Drain: 5 * time.Second},
	}
}

func withDatabase(site skerry.Config, mode config.Mode, url string) skerry.Config {
	site.Mode = mode
	site.Database = config.Database{URL: url, Heartbeat: time.Second, Expiry: 20 * time.Second, Poll: time.Second}
	return site
}

func open(t *testing.T, c skerry.Config, opts ...skerry.Option) *skerry.Node {
	t.Helper()
	quiet := skerry.WithLogger(slog.New(slog.DiscardHandler))
	n, err := skerry.Open(t.Context(), c, append([]skerry.Option{quiet}, opts...)...)
	must(t, "open", err)
	t.Cleanup(func() { n.Close() })
	return n
}

// eventually waits for an event in another goroutine or process. It waits at most a
// minute, because a busy machine may need that long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func must(t *testing.T, step string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", step, err)
	}
}
