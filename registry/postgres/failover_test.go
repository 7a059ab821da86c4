//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// first returns the first entry of a log.
func first() rollout.Entry {
	return (&rollout.Log{}).Next("spring", map[string]rollout.Rule{"auth": {Version: "v1"}})
}

// synchronous makes the commits of a server wait for a standby of some name, or for none.
func synchronous(t *testing.T, server *pgtest.Server, standby string) {
	t.Helper()
	server.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = '"+standby+"'")
	server.Exec(t, "postgres", "SELECT pg_reload_conf()")
	lab.Eventually(t, time.Minute, func() bool {
		return one[string](t, server.URL("postgres"), "SHOW synchronous_standby_names") == standby
	}, func() string { return "synchronous_standby_names is set" })
	if standby != "" {
		awaitSynchronous(t, server)
	}
}

// awaitSynchronous returns when commits wait for a standby. The setting alone does not show that,
// because the server's checkpointer turns it on for all sessions later.
func awaitSynchronous(t *testing.T, server *pgtest.Server) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		var done atomic.Bool
		var commit sync.WaitGroup
		commit.Go(func() {
			_, err := conn.Exec(t.Context(), "SELECT pg_logical_emit_message(true, 'test', '')") // a change to commit
			if err != nil {
				t.Error(err)
			}
			done.Store(true)
		})
		waited := false
		lab.Eventually(t, time.Minute, func() bool {
			waited = waiting(t, server) > 0
			return waited || done.Load()
		}, func() string { return "a commit ends, or waits" })
		if waited {
			server.Exec(t, "postgres", fmt.Sprintf("SELECT pg_cancel_backend(%d)", conn.PgConn().PID()))
		}
		commit.Wait()
		if waited || t.Failed() {
			return
		}
	}
	t.Fatal("no commit waits for a standby within a minute")
}

// waiting returns how many commits wait for a standby.
func waiting(t *testing.T, server *pgtest.Server) int {
	t.Helper()
	return one[int](t, server.URL("postgres"), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
}

// TestStepWaitsForTheStandby: while no synchronous standby answers, a step of the rule log fails,
// stays invisible and goes on waiting in the server. Registrations and heartbeats continue. When a
// standby has the step, it is committed, and the same step again succeeds.
func TestStepWaitsForTheStandby(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{})
	db := server.CreateDB(t)
	operator := start(t, quick(t, server.URL(db), newOwner()))
	in := operator.offer()
	synchronous(t, server, "none")
	e := first()
	if err := operator.Rules().Append(t.Context(), e); err == nil {
		t.Fatal("a step was committed without the standby")
	}
	late := start(t, quick(t, server.URL(db), newOwner()))
	late.sees(5*time.Second, in, late.offer())
	if n := waiting(t, server); n != 1 {
		t.Errorf("%d commits wait for the standby, want that of the step", n)
	}
	if entries, err := late.Rules().Since(t.Context(), rollout.Generation{}); err != nil || len(entries) > 0 {
		t.Errorf("seen before the standby has it: %v, %v", entries, err)
	}
	synchronous(t, server, "")
	lab.Eventually(t, 10*time.Second, func() bool {
		entries, err := late.Rules().Since(t.Context(), rollout.Generation{})
		return err == nil && len(entries) == 1 && entries[0].Hash() == e.Hash()
	}, func() string { return "the step is committed" })
	if err := operator.Rules().Append(t.Context(), e); err != nil {
		t.Errorf("the same step again: %v", err)
	}
}

// TestCancelledCommitIsNoSuccess: a database administrator cancels a commit that waits for its
// standby. The commit is visible then, and lost with its server, so the operator gets an error.
func TestCancelledCommitIsNoSuccess(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{})
	db := server.CreateDB(t)
	operator := start(t, quick(t, server.URL(db), newOwner()))
	operator.offer()
	synchronous(t, server, "none")
	e := first()
	var all sync.WaitGroup
	var err error
	all.Go(func() { err = operator.Rules().Append(t.Context(), e) })
	lab.Eventually(t, time.Minute, func() bool {
		return one[int](t, server.URL("postgres"), "SELECT count(*) FROM "+
			"(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep') s") > 0
	}, func() string { return "the commit waits" })
	all.Wait()
	if err == nil || !strings.Contains(err.Error(), "no synchronous standby has confirmed it") {
		t.Errorf("a cancelled commit: %v", err)
	}
	synchronous(t, server, "")
	if err := operator.Rules().Append(t.Context(), e); err != nil {
		t.Errorf("the same step again: %v", err)
	}
}

// TestAnotherHostHasTheDatabase: the first host of the URL reports an error that is final for pgx,
// like a standby that lags: the database or the user does not exist.
func TestAnotherHostHasTheDatabase(t *testing.T) {
	t.Parallel()
	lags, server := pgtest.Own(t, pgtest.Options{}), pgtest.Shared(t)
	db := server.CreateDB(t)
	for _, attrs := range []string{"", "&target_session_attrs=read-write"} {
		n := start(t, quick(t, pgtest.URL(db, lags, server)+attrs, newOwner()))
		n.offer()
	}
}

// TestHostThatDoesNotAnswer: the first host of the URL takes connections and says nothing, like one that is
// switched off or frozen. Nothing waits for it while another one serves.
func TestHostThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	server := pgtest.Shared(t)
	whole := server.URL(server.CreateDB(t))
	at := strings.LastIndex(whole, "@") + 1
	for _, attrs := range []string{"", "read-write", "any"} {
		url := whole[:at] + silent.Addr().String() + "," + whole[at:] +
			"&connect_timeout=600&target_session_attrs=" + attrs
		n := start(t, quick(t, strings.TrimSuffix(url, "&target_session_attrs="), newOwner()))
		n.offer()
	}
}

// pair is a primary and a standby that follows it.
func pair(t *testing.T) (primary, standby *pgtest.Server, db string) {
	t.Helper()
	primary = pgtest.Own(t, pgtest.Options{})
	db = primary.CreateDB(t)
	standby, err := primary.Standby(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	return primary, standby, db
}

// TestDemotedPrimaryIsLeft: the primary stops taking writes and keeps its connections, and a
// standby is promoted. A registration and the heartbeats go to the new primary, and a listening
// process hears of the registration there.
func TestDemotedPrimaryIsLeft(t *testing.T) {
	t.Parallel()
	primary, standby, db := pair(t)
	both := pgtest.URL(db, primary, standby)
	a, b := start(t,
		quick(t, both, newOwner())), start(t, quick(t, both+"&target_session_attrs=read-write", newOwner()))
	in := a.offer()
	b.sees(5*time.Second, in)

	primary.Exec(t, db, "ALTER SYSTEM SET default_transaction_read_only = on")
	primary.Exec(t, db, "SELECT pg_reload_conf()")
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	more := in
	more.Port++
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.Register(ctx, more); err != nil {
		t.Fatalf("a registration while the primary has changed: %v", err)
	}
	b.until(back, "the new primary", live, keeps(in))
	b.sees(back, in, more)
	if err := b.Rules().Append(t.Context(), first()); err != nil {
		t.Errorf("a step at the new primary: %v", err)
	}
}

// TestStandbyIsLeftSoon: a process that has found only a standby looks for the primary again after
// seconds, however long its heartbeat is.
func TestStandbyIsLeftSoon(t *testing.T) {
	t.Parallel()
	primary, standby, db := pair(t)
	old := start(t, quick(t, primary.URL(db), newOwner()))
	in := old.offer()
	lab.Eventually(t, 10*time.Second, func() bool {
		return one[bool](t, standby.URL(db), "SELECT to_regclass('skerry_secret') IS NOT NULL")
	}, func() string { return "the standby has the tables" })
	if err := primary.Stop(); err != nil {
		t.Fatal(err)
	}
	cfg := quick(t, pgtest.URL(db, primary, standby), newOwner())
	cfg.Heartbeat, cfg.Expiry, cfg.Poll = 10*time.Minute, time.Hour, 10*time.Minute
	late := start(t, cfg)
	late.until(30*time.Second, "the list of the standby", live, keeps(in))
	late.promise()
	if err := primary.Start(); err != nil {
		t.Fatal(err)
	}
	late.until(time.Minute, "its own registration", func(s registry.Snapshot) bool {
		return keeps(late.instance())(s) == nil
	})
}

// TestWriteWithoutAPrimary: a step that no host takes returns an error that says so and names no
// right.
func TestWriteWithoutAPrimary(t *testing.T) {
	t.Parallel()
	primary, standby, db := pair(t)
	start(t, quick(t, primary.URL(db), newOwner())).offer()
	if err := primary.Stop(); err != nil {
		t.Fatal(err)
	}
	n := start(t, quick(t, pgtest.URL(db, primary, standby), newOwner()))
	n.until(30*time.Second, "the list of the standby", live)
	err := n.Rules().Append(t.Context(), first())
	if !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "takes no writes now") {
		t.Errorf("a step at a standby: %v", err)
	}
}

// told collects the lines of a log.
type told struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *told) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *told) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// TestLostStepsAreTold: the rule log of the database ends before entries that a process has
// applied. That process logs it once. A process without such entries does not log it.
func TestLostStepsAreTold(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	writer := start(t, quick(t, server.URL(db), newOwner()))
	writer.offer()
	if err := writer.Rules().Append(t.Context(), first()); err != nil {
		t.Fatal(err)
	}
	follow := func(n uint64) (*told, *atomic.Int64) {
		log, answers, cfg := &told{}, &atomic.Int64{}, quick(t, server.URL(db), newOwner())
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		cfg.Applied = func() rollout.Generation { return rollout.Generation{N: n} }
		cfg.Rules = func([]rollout.Entry) { answers.Add(1) }
		start(t, cfg)
		return log, answers
	}
	lost, answers := follow(3)
	whole, others := follow(1)
	const line = "has lost steps"
	lab.Eventually(t, time.Minute, func() bool { return lost.count(line) > 0 },
		func() string { return "the loss is told" })
	before, beside := answers.Load(), others.Load()
	lab.Eventually(t, time.Minute, func() bool { return answers.Load() > before+2 && others.Load() > beside+2 },
		func() string { return "further answers" })
	if lost.count(line) != 1 || whole.count(line) != 0 {
		t.Errorf("told %d times, and %d times without a loss", lost.count(line), whole.count(line))
	}
}
