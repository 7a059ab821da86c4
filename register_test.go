package skerry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
)

// TestRegister lists a foreign instance while one of two registries is away.
func TestRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up, down registrytest.MemoryStore
		down.Fail(errors.New("no route"))
		n := open(t, Config{StateDir: "none"}, func(o *options) {
			o.sources = func(owner registry.Owner) []discovery.Source {
				return []discovery.Source{
					{Name: "database", Registry: registrytest.NewMemory(&down, owner)},
					{Name: "lan", Registry: registrytest.NewMemory(&up, owner)},
				}
			}
		}, AsObserver())
		in := registry.Instance{Service: "billing", Host: "10.0.0.5", Port: 9090,
			Protocol: registry.ProtocolFramedBinary}
		listed := func(want int) {
			t.Helper()
			time.Sleep(time.Second)
			if got := n.Explain("billing"); len(got) != want {
				t.Fatalf("listed: %+v, want %d", got, want)
			}
		}
		if err := n.Register(t.Context(), in); err != nil {
			t.Fatalf("with one registry there: %v", err)
		}
		listed(0) // makes the node look the service up
		listed(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Deregister(ctx, in.ID()); !errors.Is(err, registry.ErrPending) {
			t.Errorf("withdraw while a registry is away: %v", err)
		}
		listed(0)
		over, end := context.WithCancel(t.Context())
		end()
		if err := n.Register(over, in); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		in.Port = 0
		if err := n.Register(t.Context(), in); !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("an instance without port: %v", err)
		}
	})
}

// TestCloseAfterRegister: Close first removes the registrations of Register, and returns when
// callers have learnt of it. A site without a grace has no wait.
func TestCloseAfterRegister(t *testing.T) {
	for _, c := range []struct{ grace, takes time.Duration }{
		{0, registerGrace}, {300 * time.Millisecond, 300 * time.Millisecond}, {-1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var hub registrytest.MemoryStore
			consumer := open(t, Config{StateDir: "none"}, memorySite(&hub), AsObserver())
			n := open(t, Config{StateDir: "none", Stop: config.Stop{Grace: c.grace}}, memorySite(&hub), AsObserver())
			must(t, "register", n.Register(t.Context(), registry.Instance{Service: "billing", Host: "10.0.0.5",
				Port:     9090,
				Protocol: registry.ProtocolHTTP}))
			consumer.Explain("billing")
			time.Sleep(time.Second)
			if got := consumer.Explain("billing"); len(got) != 1 {
				t.Fatalf("listed: %+v", got)
			}
			begun, closed := time.Now(), make(chan time.Duration, 1)
			go func() {
				must(t, "close", n.Close())
				closed <- time.Since(begun)
			}()
			time.Sleep(c.takes / 2)
			synctest.Wait()
			if got := consumer.Explain("billing"); len(got) != 0 {
				t.Errorf("grace %v: half of it later: %+v", c.grace, got)
			}
			if took := <-closed; took != c.takes {
				t.Errorf("grace %v: closed after %v, want %v", c.grace, took, c.takes)
			}
		})
	}
}
