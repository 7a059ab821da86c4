package broadcast

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
)

// loopback is the name of this machine's loopback interface.
func loopback(t *testing.T) string {
	nics, err := hostNICs()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nics {
		if n.loopback() && n.up() {
			return n.name
		}
	}
	t.Fatal("this machine has no loopback interface that is up")
	return ""
}

// vanish stops a registry's packets both ways, as kill -9 does.
func vanish(_ *testing.T, r registry.Registry) {
	lan := r.(*Registry)
	lan.mu.Lock()
	defer lan.mu.Unlock()
	lan.core.codec = newCodec("vanished", nil)
}

// TestConformance holds the registry against the suite, on real sockets of
// the loopback interface.
func TestConformance(t *testing.T) {
	t.Parallel()
	lo := loopback(t)
	registrytest.Run(t, func(t *testing.T) *registrytest.Harness {
		port := lab.Port(t)
		open := func(cluster string) func(*testing.T, registry.Owner) registry.Registry {
			return func(t *testing.T, owner registry.Owner) registry.Registry {
				r, err := New(Config{Cluster: cluster, Owner: owner, Keys: keysOf("key of the test"), Port: port,
					Interfaces: []string{lo}, Announce: 2 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
		}
		return &registrytest.Harness{
			Open: open("here"), OpenOther: open("there"),
			Kill: vanish,
			Seen: 3 * time.Second, Dead: 8 * time.Second, Lost: 5 * time.Second, Back: 5 * time.Second,
			Partial: true,
		}
	})
}

// TestSelfTest: beside one process of the host and in an empty cluster.
func TestSelfTest(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Cluster:    "here",
		Owner:      sender,
		Keys:       keysOf("k"),
		Port:       lab.Port(t),
		Interfaces: []string{loopback(t)},
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := run.NewGroup(t.Context())
	g.Go(r.Run)
	defer g.Stop()
	if err := r.Register(t.Context(), registry.Instance{Service: "auth", Host: "127.0.0.1", Port: 7000}); err != nil {
		t.Fatal(err)
	}
	rep, err := SelfTest(t.Context(), cfg)
	if err != nil || rep.OnlySelf || len(rep.Peers) != 1 || len(rep.Findings) != 0 {
		t.Errorf("beside a process: %+v, %v", rep, err)
	}
	cfg.Cluster = "empty"
	rep, err = SelfTest(t.Context(), cfg)
	if err != nil || !rep.OnlySelf || len(rep.Interfaces) != 1 || rep.Interfaces[0].HeardOwn == 0 {
		t.Errorf("alone: %+v, %v", rep, err)
	}
}

// TestRunAgain: a registry can run again after its Run has ended.
func TestRunAgain(t *testing.T) {
	t.Parallel()
	cfg := Config{
		Cluster:    "here",
		Owner:      registry.NewOwner(),
		Keys:       keysOf("k"),
		Port:       lab.Port(t),
		Interfaces: []string{loopback(t)},
	}
	watcher, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Owner.PID++
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan int, 100)
	stop := watcher.Watch("auth", func(s registry.Snapshot) { seen <- len(s.Instances) })
	defer stop()
	g := run.NewGroup(t.Context())
	defer g.Stop()
	g.Go(watcher.Run)
	for range 2 {
		again := run.NewGroup(t.Context())
		again.Go(r.Run)
		if err := r.Register(t.Context(),
			registry.Instance{Service: "auth", Host: "127.0.0.1", Port: 7000}); err != nil {
			t.Fatal(err)
		}
		await(t, seen, 1)
		if err := again.Stop(); err != nil {
			t.Fatal(err)
		}
		await(t, seen, 0)
	}
}

func await(t *testing.T, seen <-chan int, want int) {
	t.Helper()
	for late := time.After(5 * time.Second); ; {
		select {
		case n := <-seen:
			if n == want {
				return
			}
		case <-late:
			t.Fatalf("no list of %d within 5s", want)
		}
	}
}
