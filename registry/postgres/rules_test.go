//go:build linux

package postgres_test

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator/operatortest"
	"github.com/skerry/skerry/registry"
)

func TestRulesConformance(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	operatortest.Store(t, func(t *testing.T) operatortest.Log {
		return start(t, quick(t, server.URL(server.CreateDB(t)), newOwner())).Rules()
	})
}

// A process that follows the rules has them within a second of the commit, also with only the right
// to read.
func TestRulesAreFollowed(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	writer := start(t, quick(t, server.URL(db), newOwner()))
	writer.offer()
	reader := server.CreateUser(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s")
	heard := make(chan rollout.Entry, 10)
	for _, url := range []string{server.URL(db), server.UserURL(db, reader)} {
		cfg := quick(t, url, newOwner())
		cfg.Heartbeat, cfg.Expiry, cfg.Poll = 30*time.Second, 90*time.Second, 30*time.Second
		cfg.Applied = func() rollout.Generation { return rollout.Generation{} }
		cfg.Rules = func(entries []rollout.Entry) {
			for _, e := range entries {
				heard <- e
			}
		}
		follower := start(t, cfg)
		follower.until(5*time.Second, "auth is listed", func(s registry.Snapshot) bool { return len(s.Instances) == 1 })
	}
	log := &rollout.Log{}
	e := log.Next("spring", map[string]rollout.Rule{"auth": {Version: "v1"}})
	if err := writer.Rules().Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for range 2 {
		select {
		case got := <-heard:
			if got.Hash() != e.Hash() {
				t.Errorf("followed %+v, want %+v", got, e)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the rules did not come")
		}
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the rules came after %v, want a second at most", took)
	}
}
