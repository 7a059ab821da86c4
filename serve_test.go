package skerry

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry/registrytest"
)

// TestPoliteStop ends one of two providers under load: no call fails, and soon none reaches the
// stopped one.
func TestPoliteStop(t *testing.T) {
	site := lanSite(t)
	anna, bert := &greeter{name: "anna"}, &greeter{name: "bert"}
	offering(t, site, anna)

	site.Service = config.Service{Name: "greeter", Version: "v1"}
	leaver := open(t, site)
	serving, stop := context.WithCancel(t.Context())
	served := run.NewGroup(t.Context())
	served.Go(func(context.Context) error {
		return leaver.Serve(serving, "greeter", wire.NewInternalProcessor(bert))
	})

	consumer := open(t, lanOf(site))
	load := startLoad(t, consumer, 4)
	eventually(t, "both are called", func() bool { return anna.calls.Load() > 20 && bert.calls.Load() > 20 })

	began := time.Now()
	stop()
	time.Sleep(200 * time.Millisecond)
	late := bert.calls.Load()
	if err := served.Wait(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(began); took < site.Stop.Grace {
		t.Errorf("left after %v, before the grace of %v was over", took, site.Stop.Grace)
	}
	if n := bert.calls.Load() - late; n > 0 {
		t.Errorf("%d calls reached the provider later than 200 ms after it began to leave", n)
	}
	if err := leaver.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	calls, failed := load.end()
	if failed != nil {
		t.Errorf("of %d calls some failed: %v", calls, failed)
	}
}

// TestDrain leaves while a call runs: the call is finished. With too short a drain the call is cut
// off, and the error of Serve says so.
func TestDrain(t *testing.T) {
	for _, c := range []struct {
		name  string
		drain time.Duration
		want  string
	}{{"long", 5 * time.Second, ""}, {"short", 50 * time.Millisecond,
		"1 calls were cut off: they ran for longer than stop.drain (50ms)"}} {
		t.Run(c.name, func(t *testing.T) {
			hub := memorySite(&registrytest.MemoryStore{})
			config := Config{StateDir: "none", Stop: config.Stop{Grace: -1, Drain: c.drain},
				Service:   config.Service{Name: "greeter", Advertise: "127.0.0.1"},
				Consumers: map[string]config.Consumer{"*": {Timeout: 5 * time.Second}}}
			provider, consumer := open(t, config, hub), open(t, config, hub)
			entered := make(chan struct{})
			g := &greeter{ping: func(ctx context.Context) error {
				close(entered)
				return run.Sleep(ctx, 500*time.Millisecond)
			}}
			serving, stop := context.WithCancel(t.Context())
			work := run.NewGroup(t.Context())
			work.Go(func(ctx context.Context) error {
				defer stop()
				for len(consumer.Explain("greeter")) == 0 && run.Sleep(ctx, time.Millisecond) == nil {
				}
				err := wire.NewInternalClient(consumer.Client("greeter")).Ping(ctx)
				if (err == nil) != (c.want == "") {
					t.Errorf("the running call ended with %v", err)
				}
				return nil
			})
			work.Go(func(context.Context) error {
				select {
				case <-entered:
					stop()
				case <-serving.Done():
				}
				return nil
			})
			err := provider.Serve(serving, "greeter", wire.NewInternalProcessor(g))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("Serve: got %v, want %q", err, c.want)
			}
			_ = work.Wait()
			if err := provider.Handle(t.Context(), "more", wire.NewInternalProcessor(g)); !errors.Is(err, errLeft) {
				t.Errorf("Handle after that: %v", err)
			}
		})
	}
}

// TestDrainOfOneService ends one of two services while a call of it runs: Serve returns when the
// call is answered. With too short a drain its error says how many calls go on.
func TestDrainOfOneService(t *testing.T) {
	for _, c := range []struct {
		name  string
		drain time.Duration
		want  string
	}{{"long", 5 * time.Second, ""}, {"short", 50 * time.Millisecond,
		"drain of greeter: 1 calls still run: they ran for longer than stop.drain (50ms)"}} {
		t.Run(c.name, func(t *testing.T) {
			hub := memorySite(&registrytest.MemoryStore{})
			config := Config{StateDir: "none", Stop: config.Stop{Grace: -1, Drain: c.drain},
				Services: []config.Service{{Name: "greeter", Advertise: "127.0.0.1"},
					{Name: "other", Advertise: "127.0.0.1"}},
				Consumers: map[string]config.Consumer{"*": {Timeout: 5 * time.Second}}}
			provider, consumer := open(t, config, hub), open(t, config, hub)
			must(t, "offer the other", provider.Handle(t.Context(), "other",
				wire.NewInternalProcessor(&greeter{name: "bert"})))
			others := run.NewGroup(t.Context())
			others.Go(func(ctx context.Context) error {
				return provider.Serve(ctx, "third", wire.NewInternalProcessor(&greeter{}))
			})
			entered, leave := make(chan struct{}), make(chan struct{})
			g := &greeter{ping: func(ctx context.Context) error {
				close(entered)
				<-leave
				return nil
			}}
			serving, stop := context.WithCancel(t.Context())
			served := run.NewGroup(t.Context())
			served.Go(func(context.Context) error {
				return provider.Serve(serving, "greeter",
					wire.NewInternalProcessor(g))
			})
			eventually(t, "it is listed", func() bool { return len(consumer.Explain("greeter")) == 1 })
			called := run.NewGroup(t.Context())
			called.Go(func(ctx context.Context) error {
				return wire.NewInternalClient(consumer.Client("greeter")).Ping(ctx)
			})
			<-entered
			stop()
			if c.want == "" {
				time.AfterFunc(300*time.Millisecond, func() { close(leave) })
			}
			err := served.Wait()
			select {
			case <-leave:
			default:
				if c.want == "" {
					t.Error("Serve has returned before the running call was answered")
				}
				close(leave)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("Serve: got %v, want %q", err, c.want)
			}
			if err := called.Wait(); err != nil {
				t.Errorf("the running call ended with %v", err)
			}
		})
	}
}

// TestServicesShareAPort serves two services, one of which leaves alone.
func TestServicesShareAPort(t *testing.T) {
	hub := memorySite(&registrytest.MemoryStore{})
	config := Config{StateDir: "none", Stop: config.Stop{Grace: 50 * time.Millisecond}, Services: []config.Service{
		{Name: "greeter", Version: "v1", Advertise: "127.0.0.1"}, {Name: "other", Version: "v7",
			Advertise: "127.0.0.1"}}}
	provider, consumer := open(t, config, hub), open(t, config, hub)
	first, stopFirst := context.WithCancel(t.Context())
	both := run.NewGroup(t.Context())
	both.Go(func(context.Context) error {
		return provider.Serve(first, "greeter", wire.NewInternalProcessor(&greeter{name: "anna"}))
	})
	both.Go(func(ctx context.Context) error {
		return provider.Serve(ctx, "other", wire.NewInternalProcessor(&greeter{name: "bert"}))
	})
	eventually(t, "both are listed", func() bool {
		return len(consumer.Explain("greeter")) == 1 &&
			len(consumer.Explain("other")) == 1
	})
	a, b := consumer.Explain("greeter")[0], consumer.Explain("other")[0]
	if a.Addr != b.Addr || a.Version != "v1" || b.Version != "v7" {
		t.Errorf("listed %s %s and %s %s; want one address and the versions v1 and v7",
			a.Addr, a.Version, b.Addr, b.Version)
	}
	if got, err := greet(t.Context(), consumer); got != "anna" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	stopFirst()
	eventually(t, "the first has left", func() bool { _, err := greet(t.Context(), consumer); return err != nil })
	id, err := wire.NewInternalClient(consumer.Client("other")).WhoAmI(t.Context())
	if err != nil || id.Release != "bert" {
		t.Errorf("the other service: %v, %v", id, err)
	}
	if err := provider.Close(); err != nil {
		t.Error(err)
	}
	if err := both.Wait(); err != nil { // the second Serve ends with the node
		t.Error(err)
	}
}

// TestNamesComeAndGo serves one processor under a second name for a while. Callers of the first
// name, which know of no version, have no failure, and callers of the second find it.
func TestNamesComeAndGo(t *testing.T) {
	site := lanSite(t)
	site.Services = []config.Service{{Name: "greeter", Version: "v2", Listen: "127.0.0.1:0"}, {Name: "greeter-legacy"}}
	provider := open(t, site)
	anna := wire.NewInternalProcessor(&greeter{name: "anna"})
	main, stopMain := context.WithCancel(t.Context())
	also, stopAlso := context.WithCancel(t.Context())
	served, extra := run.NewGroup(main), run.NewGroup(also)
	served.Go(func(ctx context.Context) error { return provider.Serve(ctx, "greeter", anna) })
	t.Cleanup(func() { stopMain(); _ = served.Wait() })

	consumer := open(t, lanOf(site))
	load := startLoad(t, consumer, 2)
	old := wire.NewInternalClient(consumer.Client("greeter-legacy"))
	extra.Go(func(ctx context.Context) error { return provider.Serve(ctx, "greeter-legacy", anna) })
	eventually(t, "the second name is called", func() bool { return old.Ping(t.Context()) == nil })
	stopAlso()
	if err := extra.Wait(); err != nil {
		t.Errorf("the second name leaves: %v", err)
	}
	eventually(t, "the second name is gone", func() bool { return old.Ping(t.Context()) != nil })
	if calls, failed := load.end(); failed != nil || calls == 0 {
		t.Errorf("of %d calls by the first name some failed: %v", calls, failed)
	}
}

// TestHandleMistakes: mistakes are errors at once.
func TestHandleMistakes(t *testing.T) {
	hub := memorySite(&registrytest.MemoryStore{})
	config := Config{StateDir: "none", Stop: config.Stop{Grace: -1},
		Service: config.Service{Name: "greeter", Advertise: "127.0.0.1"}}
	n := offering(t, config, &greeter{}, hub)
	p := wire.NewInternalProcessor(&greeter{})
	taken := config
	taken.Service.Listen = n.offers.addr().String()
	other := open(t, taken, hub)
	for _, c := range []struct {
		node    *Node
		service string
		want    string
	}{
		{n, "greeter", "served already"},
		{n, "bad name", "character ' '"},
		{n, "", "empty"},
		{other, "greeter", "address already in use"},
	} {
		if err := c.node.Handle(t.Context(), c.service, p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.service, err, c.want)
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Handle(canceled, "third", p); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// lanOf is the site without the services of its configuration.
func lanOf(c Config) Config {
	c.Service, c.Services = config.Service{}, nil
	return c
}

// load calls greeter until end.
type load struct {
	group *run.Group
	stop  atomic.Bool
	calls atomic.Int64
}

func startLoad(t *testing.T, n *Node, workers int) *load {
	l := &load{group: run.NewGroup(t.Context())}
	for range workers {
		l.group.Go(func(ctx context.Context) error {
			for !l.stop.Load() {
				if _, err := greet(ctx, n); err != nil {
					return err
				}
				l.calls.Add(1)
				_ = run.Sleep(ctx, time.Millisecond)
			}
			return nil
		})
	}
	return l
}

func (l *load) end() (calls int64, failed error) {
	l.stop.Store(true)
	failed = l.group.Wait()
	return l.calls.Load(), failed
}

// eventually waits for a change in another goroutine or process, at most a minute: a busy machine
// may need that long.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
