//go:build linux

package postgres_test

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// TestFewConnections: a server with seven connections for everybody serves
// fourteen processes. All are listed and see all, nobody expires, and others get
// a connection, too.
func TestFewConnections(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{Config: "max_connections = 10"})
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema())
	user := server.CreateUser(t, db, postgres.Service.Grant("%s"))
	url := server.UserURL(db, user)
	var nodes []*node
	var want []registry.Instance
	for range 14 {
		cfg := quick(t, url, newOwner())
		cfg.Heartbeat, cfg.Poll, cfg.Expiry = 5*time.Second, 5*time.Second, 15*time.Second
		n := start(t, cfg)
		n.promise()
		nodes, want = append(nodes, n), append(want, n.instance())
	}
	for _, n := range nodes {
		n.sees(30*time.Second, want...)
	}
	for begun := time.Now(); time.Since(begun) < 17*time.Second; { // longer than a lease
		nodes[0].holds(200*time.Millisecond, want...)
	}
	for _, n := range nodes {
		n.holds(0, want...)
		if n.last.Lost != nil {
			t.Errorf("%v has lost the database: %v", n.owner, n.last.Lost)
		}
	}
	most := one[int](t, server.SocketURL(db), "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'skerry %'")
	if most > 7 {
		t.Errorf("%d connections, want 7 at most", most)
	}
}
