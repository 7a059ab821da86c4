//go:build linux

package postgres_test

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

// A reader that starts learns the age of every last heartbeat.
func TestAgeOfTheHeartbeat(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cfg := quick(t, server.URL(db), newOwner())
	cfg.Heartbeat, cfg.Expiry, cfg.Poll = 30*time.Second, 90*time.Second, 30*time.Second
	provider := start(t, cfg)
	provider.sees(5*time.Second, provider.offer()) // and the provider has sent its first heartbeat
	server.Exec(t, db, "UPDATE skerry_lease SET heartbeat = now() - interval '20 seconds'")
	cfg.Owner = newOwner()
	reader := start(t, cfg)
	shown := reader.until(5*time.Second, "the provider",
		func(s registry.Snapshot) bool { return len(s.Instances) == 1 })
	if age := time.Since(time.Unix(int64(shown.Instances[0].Heard), 0)); age < 20*time.Second || age > 30*time.Second {
		t.Errorf("its last heartbeat was %v ago, want 20 s", age)
	}
}
