//go:build linux

package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

// TestFreshTablesHaveNoDeadlock: dozens of processes make the tables and list
// themselves at the same moment, and the server never ends a deadlock.
func TestFreshTablesHaveNoDeadlock(t *testing.T) {
	server := pgtest.Own(t, pgtest.Options{Config: "deadlock_timeout = '50ms'"})
	for range 5 {
		url := server.URL(server.CreateDB(t))
		nodes := make([]*node, 48)
		all := make([]registry.Instance, len(nodes))
		for i := range nodes {
			nodes[i] = start(t, quick(t, url, newOwner()))
			nodes[i].promise()
			all[i] = nodes[i].instance()
		}
		for _, n := range nodes {
			n.sees(20*time.Second, all...)
		}
		for _, n := range nodes {
			n.stop()
		}
	}
	if at := strings.Index(server.Log(t), "deadlock"); at >= 0 {
		t.Errorf("the server ended a deadlock: %.2000s", server.Log(t)[at:])
	}
}
