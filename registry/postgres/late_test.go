//go:build linux

package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// A service that is watched while a session begins, and while other processes notify, is read at
// once and not with the next poll.
func TestWatchedWhileTheSessionBegins(t *testing.T) {
	server := pgtest.Shared(t)
	cfg := quick(t, server.URL(server.CreateDB(t)), newOwner())
	cfg.Heartbeat, cfg.Expiry, cfg.Poll = 30*time.Second, 90*time.Second, 30*time.Second
	provider := start(t, cfg)
	provider.offer()

	shown := make(chan registry.Snapshot, 100)
	var once sync.Once
	var reader registry.Registry
	ignore := func(registry.Snapshot) {}
	cfg.Owner = newOwner()
	cfg.Applied = func() rollout.Generation { return rollout.Generation{} }
	cfg.Rules = func([]rollout.Entry) {
		once.Do(func() {
			other := registry.Instance{Service: "other", Host: "h", Port: 1}
			if err := provider.Register(t.Context(), other); err != nil {
				t.Error(err)
			}
			t.Cleanup(reader.Watch("auth", func(s registry.Snapshot) { shown <- s }))
		})
	}
	reader = open(t, cfg)
	t.Cleanup(reader.Watch("other", ignore)) // so that it listens
	ctx, cancel := context.WithCancel(context.Background())
	g := run.NewGroup(ctx)
	g.Go(reader.Run)
	defer g.Wait()
	defer cancel()
	for limit := time.After(10 * time.Second); ; {
		select {
		case s := <-shown:
			if len(s.Instances) == 1 {
				return
			}
		case <-limit:
			t.Fatal("auth was not read")
		}
	}
}
