package registrytest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/registrytest"
)

func TestMemory(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) *registrytest.Harness {
		var here, there registrytest.MemoryStore
		open := func(hub *registrytest.MemoryStore) func(*testing.T, registry.Owner) registry.Registry {
			return func(_ *testing.T, owner registry.Owner) registry.Registry {
				return registrytest.NewMemory(hub, owner)
			}
		}
		return &registrytest.Harness{
			Open:      open(&here),
			OpenOther: open(&there),
			Kill:      func(_ *testing.T, r registry.Registry) { r.(*registrytest.Memory).Fail(errors.New("killed")) },
			Cut:       func(*testing.T) { here.Fail(errors.New("unplugged")) },
			Heal:      func(*testing.T) { here.Fail(nil) },
			Forget:    func(*testing.T) { here.Forget() },
			Seen:      time.Second,
			Dead:      2 * time.Minute,
			Lost:      time.Second,
			Back:      35 * time.Second,
			Bubble:    true,
		}
	})
}
