package skerry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
)

// TestRegister lists a foreign instance while one of two registries is away.
func TestRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up, down registry.Hub
		down.Fail(errors.New("no route"))
		n := open(t, Config{StateDir: "none"}, func(o *options) {
			o.sources = func(owner registry.Owner) []discovery.Source {
				return []discovery.Source{
					{Name: "database", Registry: registry.NewMemory(&down, owner)},
					{Name: "lan", Registry: registry.NewMemory(&up, owner)},
				}
			}
		}, AsGuest())
		in := registry.Instance{Service: "billing", Host: "10.0.0.5", Port: 9090, Protocol: registry.ProtocolFramedBinary}
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
		listed(0) // asked for now
		listed(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.Withdraw(ctx, in.ID()); !errors.Is(err, registry.ErrPending) {
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
