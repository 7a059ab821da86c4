//go:build linux

package postgres_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/policylog/policylogtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

func TestPoliciesConformance(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	policylogtest.Store(t, func(t *testing.T) policylogtest.Clocked {
		db := server.CreateDB(t)
		return clocked{start(t, quick(t, server.URL(db), newOwner())).Policies(), func(d time.Duration) {
			server.Exec(t, db, fmt.Sprintf("UPDATE skerry_policy SET written = written - interval '%d s'",
				int(d.Seconds())))
		}}
	})
}

// clocked is a database whose clock seems to go on.
type clocked struct {
	policylog.Store
	later func(time.Duration)
}

func (c clocked) Later(d time.Duration) { c.later(d) }

func sealed(t *testing.T, log *policylog.Log, text string) policylog.Entry {
	t.Helper()
	e, err := log.Next(text).Seal()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A process that follows the policy has it within a second of the commit, also with only the right to read. It is not
// told of a policy that loses to the one that it has.
func TestPolicyIsFollowed(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	writer := start(t, quick(t, server.URL(db), newOwner()))
	writer.offer()
	reader := server.CreateUser(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s")
	empty := policylog.NewLog("test")
	one := sealed(t, empty, "policy: 1\n")
	heard := make(chan policylog.Entry, 10)
	ahead := make(chan policylog.Entry, 10)
	for _, follower := range []struct {
		url    string
		number uint64
		to     chan policylog.Entry
	}{{server.URL(db), 0, heard}, {server.UserURL(db, reader), 0, heard}, {server.URL(db), 5, ahead}} {
		cfg := quick(t, follower.url, newOwner())
		cfg.Heartbeat, cfg.Expiry, cfg.Poll = 30*time.Second, 90*time.Second, 30*time.Second
		cfg.NewestPolicy = func() (uint64, string) { return follower.number, "00" }
		cfg.Policies = func(entries []policylog.Stored) {
			for _, e := range entries {
				follower.to <- e.Entry
			}
		}
		start(t, cfg).until(5*time.Second, "auth is listed", func(s registry.Snapshot) bool {
			return len(s.Instances) == 1
		})
	}
	if err := writer.Policies().Append(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for range 2 {
		select {
		case got := <-heard:
			if got.Hash() != one.Hash() {
				t.Errorf("followed %v, want %v", got, one)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the policy did not come")
		}
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the policy came after %v, want a second at most", took)
	}
	if len(ahead) > 0 {
		t.Errorf("a process with number 5 was told of %v", <-ahead)
	}
}

// Rows that are no entries are left out and named; the others count.
func TestOddPolicies(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cfg := quick(t, server.URL(db), newOwner())
	writer := start(t, cfg)
	one := sealed(t, policylog.NewLog(cfg.Cluster), "policy: 1\n")
	if err := writer.Policies().Append(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	server.Exec(t, db,
		`UPDATE skerry_policy SET written = 'infinity';
		INSERT INTO skerry_policy (cluster, n, hash, record)
			SELECT cluster, 7, 'x', 'rubbish' FROM skerry_policy;
		INSERT INTO skerry_policy (cluster, n, hash, record)
			SELECT cluster, 9223372036854775807, hash, record FROM skerry_policy;
		INSERT INTO skerry_policy (cluster, n, hash, record)
			SELECT cluster, -1, hash, record FROM skerry_policy WHERE n = 1;
		INSERT INTO skerry_policy (cluster, n, hash, record)
			SELECT cluster, 8, hash, record FROM skerry_policy WHERE n = 1;
		INSERT INTO skerry_policy (cluster, n, hash, record)
			SELECT cluster, 1, 'y', record FROM skerry_policy WHERE n = 8;
		INSERT INTO skerry_policy (cluster, n, hash, record)
			SELECT cluster, 6, 'z', decode(repeat('00', 2000000), 'hex') FROM skerry_policy WHERE n = 8`)
	got, err := writer.Policies().Entries(t.Context())
	if err != nil || len(got) != 1 || got[0].Hash() != one.Hash() || got[0].Age != 0 {
		t.Errorf("entries %v, %v; want the one that skerry wrote", got, err)
	}
	odd := 0
	rows, _ := writer.Odd()
	for _, row := range rows {
		if row.Table == "skerry_policy" {
			odd++
		}
	}
	if odd != 3 {
		t.Errorf("%d odd rows are named, want 3: %v", odd, rows)
	}
}

// The tables of version 5, which had no policy, get it; what is in them stays.
func TestPolicyComesToOlderTables(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema()+
		`DROP TABLE skerry_policy; DELETE FROM skerry_schema; INSERT INTO skerry_schema VALUES (5, 4);
		INSERT INTO skerry_rule (cluster, timeline, n, hash, record) VALUES ('other', 0, 1, 'x', 'kept')`)
	cfg := quick(t, server.URL(db), newOwner())
	n := start(t, cfg)
	if err := n.Policies().Append(t.Context(), sealed(t, policylog.NewLog(cfg.Cluster), "policy: 1\n")); err != nil {
		t.Fatal(err)
	}
	got := one[string](t, server.URL(db),
		`SELECT max(version) || ' ' || (SELECT convert_from(record, 'UTF8') FROM skerry_rule) FROM skerry_schema`)
	if got != "6 kept" {
		t.Errorf("version and rule: %s", got)
	}
}

// TestLostPoliciesComeBack: a copy of the policy log comes back that lacks what the processes obey. One of them writes
// it again, with the ages that it knows, and one that starts then obeys it. One without the right says what to do.
func TestLostPoliciesComeBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	cfg := quick(t, server.URL(db), newOwner())
	writer := start(t, cfg)
	writer.offer()
	log := policylog.NewLog(cfg.Cluster)
	var held []policylog.Stored
	for i := range 3 {
		e := sealed(t, log, fmt.Sprintf("policy: %d\n", i))
		next, err := log.Merge(nil, nil, e)
		if err != nil {
			t.Fatal(err)
		}
		log, held = next, append(held, policylog.Stored{Entry: e, Age: time.Hour})
		if err := writer.Policies().Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	newest := held[2].Entry
	obeying := func(url string) (*node, *told) {
		out := &told{}
		cfg := quick(t, url, newOwner())
		cfg.NewestPolicy = func() (uint64, string) { return newest.Number, newest.Hash() }
		cfg.Policies = func([]policylog.Stored) {}
		cfg.HeldPolicies = func() []policylog.Stored { return held }
		cfg.Logger = slog.New(slog.NewTextHandler(out, nil))
		return start(t, cfg), out
	}
	server.Exec(t, db, "DELETE FROM skerry_policy WHERE n > 1")
	user := server.CreateUser(t, db, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %s",
		"REVOKE INSERT ON skerry_policy FROM %s")
	writer.stop() // the next one takes the pulse
	_, refused := obeying(server.UserURL(db, user))
	await(t, 30*time.Second, "what to do is said", func() bool {
		return refused.count("skerry policy show | skerry policy apply -") == 1
	})
	obeying(server.URL(db))
	await(t, 30*time.Second, "the entries are back", func() bool {
		return one[int](t, server.SocketURL(db), "SELECT count(*)::int FROM skerry_policy WHERE n > 1 "+
			"AND written BETWEEN now() - interval '62 minutes' AND now() - interval '1 hour'") == 2
	})
	heard := make(chan policylog.Entry, 10)
	cfg = quick(t, server.URL(db), newOwner())
	cfg.NewestPolicy = func() (uint64, string) { return 0, "" }
	cfg.Policies = func(entries []policylog.Stored) { heard <- entries[0].Entry }
	start(t, cfg)
	select {
	case e := <-heard:
		if e.Hash() != newest.Hash() {
			t.Errorf("a process that starts obeys %v, want %v", e, newest)
		}
	case <-time.After(20 * time.Second):
		t.Error("a process that starts hears no policy")
	}
	if n := refused.count("skerry policy apply"); n != 1 {
		t.Errorf("said %d times what to do, want once", n)
	}
}

// A process whose user may read everything but the policy goes on with all else.
func TestPolicyWithoutTheRight(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	writer := start(t, quick(t, server.URL(db), newOwner()))
	writer.offer()
	entry := sealed(t, policylog.NewLog("test"), "policy: 1\n")
	if err := writer.Policies().Append(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	reader := server.CreateUser(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s",
		"REVOKE SELECT ON skerry_policy FROM %s")
	cfg := quick(t, server.UserURL(db, reader), newOwner())
	cfg.NewestPolicy = func() (uint64, string) { return 0, "" }
	cfg.Policies = func([]policylog.Stored) { t.Error("a policy was read without the right") }
	started := time.Now()
	follower := start(t, cfg)
	follower.until(5*time.Second, "auth is listed", func(s registry.Snapshot) bool { return len(s.Instances) == 1 })
	second := registry.Instance{Service: "auth", Version: "v9", Host: writer.owner.Host, Port: 9, Owner: writer.owner}
	// A session that had ended for the lack of the right would not see it at once.
	if err := writer.Register(t.Context(), writer.instance(), second); err != nil {
		t.Fatal(err)
	}
	follower.until(5*time.Second, "both are listed", func(s registry.Snapshot) bool { return len(s.Instances) == 2 })
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestPolicyIsPolled: without notifications a process has a policy with its next poll, and loses nothing when the right
// to read policies is taken from it.
func TestPolicyIsPolled(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	writer := start(t, quick(t, server.URL(db), newOwner()))
	writer.offer()
	reader := server.CreateUser(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s")
	cfg := quick(t, server.UserURL(db, reader), newOwner())
	cfg.PollOnly = true
	heard := make(chan policylog.Entry, 10)
	var newest atomic.Pointer[policylog.Entry]
	cfg.NewestPolicy = func() (uint64, string) {
		if e := newest.Load(); e != nil {
			return e.Number, e.Hash()
		}
		return 0, ""
	}
	cfg.Policies = func(entries []policylog.Stored) {
		newest.Store(&entries[0].Entry)
		heard <- entries[0].Entry
	}
	follower := start(t, cfg)
	follower.until(5*time.Second, "auth is listed", func(s registry.Snapshot) bool { return len(s.Instances) == 1 })
	log := policylog.NewLog("test")
	for range 2 {
		e := sealed(t, log, "policy: 1\n")
		if err := writer.Policies().Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-heard:
			if got.Hash() != e.Hash() {
				t.Errorf("polled %v, want %v", got, e)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the policy did not come")
		}
		log, _ = log.Merge(nil, nil, e)
	}
	server.Exec(t, db, "REVOKE SELECT ON skerry_policy FROM "+reader)
	second := registry.Instance{Service: "auth", Version: "v9", Host: writer.owner.Host, Port: 9, Owner: writer.owner}
	if err := writer.Register(t.Context(), writer.instance(), second); err != nil {
		t.Fatal(err)
	}
	follower.until(20*time.Second, "both are listed", func(s registry.Snapshot) bool { return len(s.Instances) == 2 })
	if len(heard) != 0 {
		t.Errorf("told once more of %v", <-heard)
	}
}
