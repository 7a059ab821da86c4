//go:build linux

package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// TestFewConnections: a server with seven connections for all users serves fourteen processes. All
// are listed and see all, none expires, and other users get a connection.
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
	most := one[int](t, server.SocketURL(db),
		"SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'skerry %'")
	if most > 7 {
		t.Errorf("%d connections, want 7 at most", most)
	}
}

// TestConnectionLimits: a role or database with a low connection limit serves more processes, which
// take turns. doctor names the limit.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]string{
		"role": "ALTER ROLE %[1]s CONNECTION LIMIT 3", "database": "ALTER DATABASE %[2]s CONNECTION LIMIT 3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := pgtest.Shared(t)
			db := server.CreateDB(t)
			server.Exec(t, db, postgres.Schema())
			user := server.CreateUser(t, db, postgres.Service.Grant("%s"))
			server.Exec(t, db, fmt.Sprintf(limit+"; -- %[1]s %[2]s", user, db))
			url := server.UserURL(db, user)
			var nodes []*node
			var want []registry.Instance
			for range 7 {
				cfg := quick(t, url, newOwner())
				cfg.Heartbeat, cfg.Poll, cfg.Expiry = 5*time.Second, 5*time.Second, 15*time.Second
				n := start(t, cfg)
				n.promise()
				nodes, want = append(nodes, n), append(want, n.instance())
			}
			for _, n := range nodes {
				n.sees(40*time.Second, want...)
			}
			nodes[0].holds(17*time.Second, want...) // longer than a lease
			for _, n := range nodes {
				n.holds(0, want...)
			}
			var found []postgres.Problem
			await(t, 20*time.Second, "a connection for the probe", func() bool {
				p, err := open(t, quick(t, url, newOwner())).Probe(t.Context())
				found = p.Problems()
				return err == nil
			})
			for _, p := range found {
				if strings.Contains(p.What, "may have 3 connections (CONNECTION LIMIT)") {
					return
				}
			}
			t.Errorf("the probe finds %v, want the limit", found)
		})
	}
}
