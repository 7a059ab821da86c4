//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// TestFailOverToALaggingStandby: the primary dies while its standby lacks the last changes: a process that
// came, one that moved to another port, and one that left. The standby is promoted. No list loses a living
// instance, the process that left is on no list of those that know it, and each process writes its own rows
// again.
func TestFailOverToALaggingStandby(t *testing.T) {
	t.Parallel()
	primary, standby, db := pair(t)
	both := pgtest.URL(db, primary, standby)
	open := func() *node { return start(t, quick(t, both, newOwner())) }
	mover, leaver, reader := open(), open(), open()
	in, left := mover.offer(), leaver.offer()
	reader.sees(20*time.Second, in, left)
	lab.Eventually(t, 20*time.Second, func() bool { return listed(t, standby, db) == 2 },
		func() string { return "the standby has both rows" })

	standby.Exec(t, "postgres", "ALTER SYSTEM SET primary_conninfo = ''")
	standby.Exec(t, "postgres", "SELECT pg_reload_conf()")
	lab.Eventually(t, time.Minute, func() bool {
		return one[int](t, primary.URL("postgres"), "SELECT count(*)::int FROM pg_stat_replication") == 0
	}, func() string { return "the standby gets no changes" })
	newcomer := open()
	came := newcomer.offer()
	if err := mover.Deregister(t.Context(), in.ID()); err != nil {
		t.Fatal(err)
	}
	in.Port++
	if err := mover.Register(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	leaver.stop()
	for _, n := range []*node{mover, newcomer, reader} {
		n.sees(20*time.Second, in, came)
	}
	if n := listed(t, standby, db); n != 2 {
		t.Fatalf("the standby has %d rows, want the 2 from before", n)
	}

	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	await(t, time.Minute, "the rows of the living, and no other", func() bool {
		for _, n := range []*node{mover, newcomer, reader} {
			n.always(keeps(in, came))
		}
		return listed(t, standby, db) == 2 && one[int](t, standby.SocketURL(db),
			"SELECT count(DISTINCT port)::int FROM skerry_instance WHERE gone = 0") == 2
	})
	for _, n := range []*node{mover, newcomer, reader, open()} {
		n.sees(20*time.Second, in, came)
	}
}

// TestReplicaByMistake: the URL of two processes names a replica only, and the replica stands still for
// longer than a lease lasts. The process that was there keeps its list, and one that comes finds what the
// replica has. One that offers a service hears that the server takes no writes. When the replica goes on,
// the list follows.
func TestReplicaByMistake(t *testing.T) {
	t.Parallel()
	primary, standby, db := pair(t)
	in := start(t, quick(t, primary.URL(db), newOwner())).offer()
	lab.Eventually(t, 20*time.Second, func() bool {
		return one[bool](t, standby.URL(db), "SELECT to_regclass('skerry_instance') IS NOT NULL") &&
			listed(t, standby, db) == 1
	}, func() string { return "the replica has the row" })
	reader := start(t, quick(t, standby.URL(db), newOwner()))
	reader.sees(20*time.Second, in)

	standby.Exec(t, "postgres", "SELECT pg_wal_replay_pause()")
	other := start(t, quick(t, primary.URL(db), newOwner())).offer()
	reader.holds(10*time.Second, in) // a lease lasts 6 s
	late := start(t, quick(t, standby.URL(db), newOwner()))
	late.until(20*time.Second, "the list of the replica", live, keeps(in))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := late.Register(ctx, late.instance())
	if !errors.Is(err, registry.ErrPending) || !strings.Contains(err.Error(), "takes no writes now") {
		t.Errorf("a registration at a replica: %v", err)
	}
	reader.holds(0, in)

	standby.Exec(t, "postgres", "SELECT pg_wal_replay_resume()")
	reader.sees(20*time.Second, in, other)
	late.sees(20*time.Second, in, other)
}

// TestRulesTakenAway: a running process loses the right to read the rule log. Its heartbeats, its
// registrations and its list go on, and its log says once where the rules come from now. When the right is
// back, it follows the log.
func TestRulesTakenAway(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema())
	user := server.CreateUser(t, db, postgres.Service.Grant("%s"))
	operator := start(t, quick(t, server.URL(db), newOwner()))
	log, heard, cfg := &told{}, make(chan rollout.Entry, 1000), quick(t, server.UserURL(db, user), newOwner())
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	cfg.Applied = func() rollout.Generation { return rollout.Generation{} }
	cfg.Rules = func(entries []rollout.Entry) {
		for _, e := range entries {
			select {
			case heard <- e:
			default:
			}
		}
	}
	service := start(t, cfg)
	in := service.offer()
	operator.sees(10*time.Second, in)
	service.sees(10*time.Second, in)
	if err := operator.Rules().Append(t.Context(), first()); err != nil {
		t.Fatal(err)
	}
	await(t, 20*time.Second, "the first step", func() bool { return len(heard) > 0 })

	server.Exec(t, db, "REVOKE SELECT ON skerry_rule FROM "+user)
	const line = "may not read the rule log in the database"
	await(t, 20*time.Second, "the loss is told", func() bool { return log.count(line) > 0 })
	operator.holds(8*time.Second, in) // a lease lasts 6 s
	service.holds(0, in)
	two := in
	two.Port++
	if err := service.Register(t.Context(), two); err != nil {
		t.Errorf("a registration meanwhile: %v", err)
	}
	operator.sees(10*time.Second, in, two)
	service.sees(10*time.Second, in, two)
	if log.count(line) != 1 || log.count("heartbeat is refused") != 0 || log.count("no database session") != 0 {
		t.Errorf("its log:\n%s", log.text.String())
	}

	for len(heard) > 0 {
		<-heard
	}
	server.Exec(t, db, "GRANT SELECT ON skerry_rule TO "+user)
	await(t, 20*time.Second, "the log of rules again", func() bool { return len(heard) > 0 })
	server.Exec(t, db, "REVOKE SELECT ON skerry_rule FROM "+user)
	await(t, 20*time.Second, "a second loss is told", func() bool { return log.count(line) == 2 })
}
