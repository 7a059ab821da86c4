//go:build linux

package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// TestFreshTablesHaveNoDeadlock: dozens of processes make the tables, the site's key and their
// registrations at the same moment, without a deadlock.
func TestFreshTablesHaveNoDeadlock(t *testing.T) {
	server := pgtest.Own(t, pgtest.Options{Config: "deadlock_timeout = '50ms'"})
	for range 3 {
		url := server.URL(server.CreateDB(t))
		nodes := make([]*node, 48)
		all := make([]registry.Instance, len(nodes))
		for i := range nodes {
			cfg, _ := keyed(t, url, "sk1-first")
			nodes[i] = start(t, cfg)
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

// TestSecondSchemaWaitsForNoWriter: a process that makes existing tables again takes no lock that a
// writer of registrations or statistics delays, so the two can't wait for each other.
func TestSecondSchemaWaitsForNoWriter(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema())
	writer, err := pgx.Connect(t.Context(), server.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(context.Background())
	const locks = "BEGIN; LOCK TABLE skerry_lease, skerry_revision, skerry_told, skerry_instance, skerry_call_stat " +
		"IN ROW EXCLUSIVE MODE"
	if _, err := writer.Exec(t.Context(), locks); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, db, "SET lock_timeout = '1s';"+postgres.Schema())
}

// TestSerializableDatabase: a database that makes each transaction serializable by default refuses no
// heartbeat and no registration of processes that write at the same moment.
func TestSerializableDatabase(t *testing.T) {
	server := pgtest.Own(t, pgtest.Options{Config: "default_transaction_isolation = 'serializable'"})
	url := server.URL(server.CreateDB(t))
	nodes := make([]*node, 24)
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
	if at := strings.Index(server.Log(t), "could not serialize"); at >= 0 {
		t.Errorf("the server refused a statement: %.2000s", server.Log(t)[at:])
	}
}

// TestSerializableDatabaseBehindAPooler: a pooler of transactions passes no isolation on, so that such a database
// refuses statements of processes that write at the same moment. They are repeated: no heartbeat is given up, no
// session ends, and nothing is lost.
func TestSerializableDatabaseBehindAPooler(t *testing.T) {
	server := pgtest.Own(t, pgtest.Options{Config: "default_transaction_isolation = 'serializable'"})
	db := server.CreateDB(t)
	url := server.Pooler(t, db)
	said := &messages{}
	nodes := make([]*node, 8)
	all := make([]registry.Instance, len(nodes))
	for i := range nodes {
		cfg := quick(t, url, newOwner())
		cfg.Logger = slog.New(slog.NewTextHandler(said, nil))
		nodes[i] = start(t, cfg)
		nodes[i].promise()
		all[i] = nodes[i].instance()
	}
	for _, n := range nodes {
		n.sees(20*time.Second, all...)
	}
	log := policylog.NewLog("test")
	failed := make(chan error)
	for i, n := range nodes {
		go func() {
			failed <- errors.Join(n.Policies().Merge(t.Context(), sealed(t, log, fmt.Sprintf("policy: 1 # %d\n", i))),
				n.Deregister(t.Context(), n.instance().ID()), n.Register(t.Context(), n.instance()))
		}()
	}
	for range nodes {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for _, n := range nodes {
		n.sees(20*time.Second, all...)
	}
	if entries, err := nodes[0].Policies().Entries(t.Context()); err != nil || len(entries) != len(nodes) {
		t.Errorf("%d policies are kept, %v; want %d", len(entries), err, len(nodes))
	}
	if !strings.Contains(server.Log(t), "could not serialize") {
		t.Error("the server refused nothing, so this shows nothing")
	}
	if text := said.String(); strings.Contains(text, "could not serialize") {
		t.Errorf("a refused statement was not repeated:\n%.3000s", text)
	}
}

// messages is what processes log.
type messages struct {
	mu sync.Mutex
	bytes.Buffer
}

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Buffer.Write(p)
}

func (m *messages) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Buffer.String()
}
