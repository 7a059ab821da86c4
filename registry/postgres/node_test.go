//go:build linux

package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// node is a running registry with the snapshots of a watcher of "auth".
type node struct {
	*postgres.Registry
	t     *testing.T
	owner registry.Owner
	shown chan registry.Snapshot
	last  registry.Snapshot
	stop  func()
}

var epochs atomic.Int64

func newOwner() registry.Owner {
	n := epochs.Add(1)
	return registry.Owner{Host: fmt.Sprintf("node%d", n), PID: 1, Epoch: 1_000_000 + n}
}

func start(t *testing.T, cfg postgres.Config) *node {
	t.Helper()
	n := &node{Registry: open(t, cfg), t: t, owner: cfg.Owner, shown: make(chan registry.Snapshot, 10_000)}
	ctx, cancel := context.WithCancel(context.Background())
	g := run.NewGroup(ctx)
	g.Go(n.Run)
	leave := n.Watch("auth", func(s registry.Snapshot) { n.shown <- s })
	n.stop = func() {
		leave()
		cancel()
		if err := g.Wait(); err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(n.stop)
	return n
}

func (n *node) instance() registry.Instance {
	return registry.Instance{Service: "auth", Version: "v1", Host: n.owner.Host, Port: 7000, Owner: n.owner}
}

// offer registers auth. Its time limit is for a busy machine.
func (n *node) offer() registry.Instance {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := n.Register(ctx, n.instance()); err != nil {
		n.t.Fatal(err)
	}
	return n.instance()
}

// firstList is the time in which a busy machine connects and makes the tables. Limits count from
// the first list on.
const firstList = 30 * time.Second

// until waits for a list that meets the condition. Each list before it must meet always, if that is
// given.
func (n *node) until(within time.Duration, what string, met func(registry.Snapshot) bool,
	always ...func(registry.Snapshot) error) registry.Snapshot {
	n.t.Helper()
	limit := within
	if n.last.Service == "" {
		limit += firstList
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		if n.last.Service != "" && met(n.last) {
			return n.last
		}
		select {
		case list := <-n.shown:
			if n.last.Service == "" {
				end.Reset(within)
			}
			n.last = list
			for _, check := range always {
				if err := check(n.last); err != nil {
					n.t.Fatalf("on the way to %q: %v", what, err)
				}
			}
		case <-end.C:
			n.t.Fatalf("not within %v: %s; last: %v, lost: %v", within, what, n.last.Instances, n.last.Lost)
		}
	}
}

// sees waits until exactly these instances are listed and the database is not lost.
func (n *node) sees(within time.Duration, want ...registry.Instance) registry.Snapshot {
	n.t.Helper()
	slices.SortFunc(want, registry.Compare)
	return n.until(within, fmt.Sprint("list ", want), func(s registry.Snapshot) bool {
		return s.Lost == nil && slices.EqualFunc(s.Instances, want, registry.Instance.Equal)
	})
}

// holds fails when one of these instances leaves the list during the time.
func (n *node) holds(during time.Duration, want ...registry.Instance) {
	n.t.Helper()
	end := time.NewTimer(during)
	defer end.Stop()
	for {
		if err := keeps(want...)(n.last); err != nil {
			n.t.Fatal(err)
		}
		select {
		case n.last = <-n.shown:
		case <-end.C:
			return
		}
	}
}

func keeps(want ...registry.Instance) func(registry.Snapshot) error {
	return func(s registry.Snapshot) error {
		for _, in := range want {
			if !slices.ContainsFunc(s.Instances, in.Equal) {
				return fmt.Errorf("%v is not listed: %v", in.ID(), s.Instances)
			}
		}
		return nil
	}
}

func lost(s registry.Snapshot) bool { return s.Lost != nil }
func live(s registry.Snapshot) bool { return s.Lost == nil }

// one reads a single value as the superuser.
func one[T any](t *testing.T, url, sql string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var out T
	if err := conn.QueryRow(ctx, sql).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// promise registers auth without waiting for it.
func (n *node) promise() {
	n.t.Helper()
	if err := n.Register(expired(n.t), n.instance()); err == nil {
		n.t.Fatal("registered though the database can't be written")
	}
}

// expired is a context that has ended.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
