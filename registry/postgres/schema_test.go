//go:build linux

package postgres_test

import (
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// oldTables are those of commit 09c6cb7 (scripts/record-before), with an entry of the rule log.
//
//go:embed testdata/schema-before-0.2.sql
var oldTables string

const oldRule = `INSERT INTO skerry_cluster (cluster) VALUES ('site');
	INSERT INTO skerry_rule (cluster, timeline, n, previous, hash, entry) VALUES ('site', 0, 1, '', 'x', '{}');`

// TestOldTables: old tables are left alone, and one log line gives the steps that work.
func TestOldTables(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, oldTables)
	server.Exec(t, db, oldRule)
	const state = `SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE 'skerry_%' AND relkind = 'r') || ' ' ||
		(SELECT max(version) FROM skerry_schema) || ' ' || (SELECT entry::text FROM skerry_rule)`
	before := one[string](t, server.URL(db), state)
	log := &logged{}
	cfg := quick(t, server.URL(db), newOwner())
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	a := start(t, cfg)
	a.promise()
	s := a.until(3*time.Second, "the loss", lost)
	if !errors.Is(s.Lost, postgres.ErrOldTables) || !strings.Contains(s.Lost.Error(), "skerry schema --replace") {
		t.Errorf("lost: %v; want ErrOldTables, with what to do", s.Lost)
	}
	a.holds(3 * time.Second) // it tries again without a further line
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d lines of errors, want 1:\n%s", n, log)
	}
	if got := one[string](t, server.URL(db), state); got != before || !strings.HasSuffix(got, " 3 {}") {
		t.Errorf("the old tables were touched: %s, before %s", got, before)
	}
	if p := probe(t, server.URL(db)); !p.Old || len(p.Problems()) != 1 ||
		!strings.Contains(p.Problems()[0].Do, "--replace") {
		t.Errorf("the probe says %v", p.Problems())
	}
	server.Exec(t, db, postgres.Replace())
	a.sees(back, a.instance())
	server.Exec(t, db, postgres.Replace()) // Replace drops its own tables as well
	a.sees(2*back, a.instance())
}

// future makes tables of a later version: each has one column more, and there is one table more.
func future(version, needs int) string {
	sql := fmt.Sprintf(
		"INSERT INTO skerry_schema (version, needs) VALUES (%d, %d); CREATE TABLE skerry_moon (phase text);", version,
		needs)
	for _, table := range []string{"schema", "cluster", "revision", "told", "lease", "instance", "call_stat", "rule",
		"head", "secret"} {
		sql += "ALTER TABLE skerry_" + table + " ADD COLUMN future text NOT NULL DEFAULT 'later';"
	}
	return sql
}

// each runs statements one by one: in one transaction they would hold locks that a process waits for, and wait for its.
func each(t *testing.T, server *pgtest.Server, db, statements string) {
	t.Helper()
	for _, statement := range strings.Split(statements, ";") {
		server.Exec(t, db, statement)
	}
}

// TestTablesOfALaterVersion: readers, writers and cleaning leave columns alone that this program
// does not know.
func TestTablesOfALaterVersion(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	before := start(t, quick(t, server.URL(db), newOwner()))
	list := []registry.Instance{before.offer()}
	before.sees(2*time.Second, list...)
	each(t, server, db, future(postgres.SchemaVersion+1, postgres.SchemaVersion)+
		`UPDATE skerry_cluster SET future = 'kept';
		UPDATE skerry_lease SET future = 'kept'; UPDATE skerry_told SET future = 'kept'`)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	list = append(list, a.offer())
	b.sees(2*time.Second, list...)
	before.sees(2*time.Second, list...)
	extra := a.instance()
	extra.Port = 7009
	if err := a.Register(t.Context(), extra); err != nil {
		t.Fatal(err)
	}
	if err := a.Deregister(t.Context(), extra.ID()); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(t.Context(), []health.Row{row(health.Client, "m", "p", 1, 0, 1)}); err != nil {
		t.Error(err)
	}
	if sum, err := b.Stats(t.Context(), postgres.StatQuery{}); err != nil || len(sum) != 1 {
		t.Errorf("statistics: %v, %v", sum, err)
	}
	if err := a.Rules().Append(t.Context(), (&rollout.Log{}).Next("spring", nil)); err != nil {
		t.Error(err)
	}
	if entries, err := b.Rules().Since(t.Context(), rollout.Generation{}); err != nil || len(entries) != 1 {
		t.Errorf("rules: %v, %v", entries, err)
	}
	if err := a.SetKeys(t.Context(), nil, []string{"sk1-a"}); err != nil {
		t.Error(err)
	}
	// Cleaning removes old rows, and rewrites a table that has grown.
	server.Exec(
		t,
		db,
		"UPDATE skerry_instance SET changed = now() - interval '1 hour'; UPDATE skerry_cluster SET cleaned = now() - "+
			"interval '11 minutes'; "+
			"INSERT INTO skerry_lease (cluster, owner, heartbeat, valid) SELECT 'other', i || repeat('x', 1000), "+
			"now(), '1 hour' FROM generate_series(1, 1000) i; DELETE FROM skerry_lease WHERE cluster = 'other'",
	)
	await(t, 10*time.Second, "the space is given back and the old row has gone", func() bool {
		return one[bool](t, server.URL(db),
			"SELECT pg_relation_size('skerry_lease') < 100000 AND (SELECT count(*) FROM skerry_instance) = 2")
	})
	b.sees(time.Second, list...)
	const kept = "SELECT (SELECT future FROM skerry_cluster) || ' ' || (SELECT future FROM skerry_lease WHERE owner " +
		"LIKE '%s') || ' ' || (SELECT future FROM skerry_told) || ' ' || (SELECT max(version) FROM skerry_schema)"
	if got, want := one[string](t, server.URL(db), fmt.Sprintf(kept, before.owner.String())),
		fmt.Sprintf("kept kept kept %d", postgres.SchemaVersion+1); got != want {
		t.Errorf("columns of the later version: %q, want %q", got, want)
	}
	if p := probe(t, server.URL(db)); len(p.Problems()) != 0 || p.SchemaVersion != postgres.SchemaVersion+1 {
		t.Errorf("problems: %v", p.Problems())
	}
}

// TestTablesThatNeedALaterProgram: such tables are left alone.
func TestTablesThatNeedALaterProgram(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema()+future(postgres.SchemaVersion+2, postgres.SchemaVersion+1))
	a := start(t, quick(t, server.URL(db), newOwner()))
	a.promise()
	s := a.until(3*time.Second, "the loss", lost)
	if !errors.Is(s.Lost, postgres.ErrNewTables) ||
		!strings.Contains(s.Lost.Error(),
			fmt.Sprintf("need a program that knows version %d", postgres.SchemaVersion+1)) {
		t.Errorf("lost: %v; want ErrNewTables with the versions", s.Lost)
	}
	if n := one[int](t, server.URL(db), "SELECT count(*)::int FROM skerry_cluster"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
	if p := probe(t, server.URL(db)); len(p.Problems()) != 1 || !strings.Contains(p.Problems()[0].Do, "update") {
		t.Errorf("the probe says %v", p.Problems())
	}
}

// TestSchemaTwice: running the schema again changes nothing, and tables that came back without
// their version get it.
func TestSchemaTwice(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a := start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	server.Exec(t, db, postgres.Schema())
	server.Exec(t, db, "TRUNCATE skerry_schema")
	start(t, quick(t, server.URL(db), newOwner())).sees(3*time.Second, in)
	if n := one[int](t, server.URL(db), "SELECT max(version) FROM skerry_schema"); n != postgres.SchemaVersion {
		t.Errorf("version %d", n)
	}
}

// TestTablesOfVersion4: the first process with the right updates them in place; an earlier program
// continues with them.
func TestTablesOfVersion4(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	server.Exec(t, db, postgres.Schema()+`
		ALTER TABLE skerry_instance DROP COLUMN leaving;
		UPDATE skerry_schema SET version = 4, needs = 4`)
	a := start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	start(t, quick(t, server.URL(db), newOwner())).sees(3*time.Second, in)
	const sql = "SELECT max(version) || ' ' || max(needs) FROM skerry_schema"
	if got, want := one[string](t, server.URL(db), sql), fmt.Sprint(postgres.SchemaVersion, " 4"); got != want {
		t.Errorf("version and needs are %s, want %s", got, want)
	}
}

// TestLink: Link describes the protection of the connection that carries the site's key.
func TestLink(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{TLS: true})
	db := server.CreateDB(t)
	plain := strings.TrimSuffix(server.URL(db), "sslmode=disable")
	for name, c := range map[string]struct {
		url  string
		want postgres.Link
	}{
		"socket":  {server.SocketURL(db), postgres.Link{Socket: true}},
		"TCP":     {plain + "sslmode=disable", postgres.Link{Loopback: true}},
		"prefer":  {plain + "sslmode=prefer", postgres.Link{Loopback: true, Encrypted: true}},
		"require": {plain + "sslmode=require", postgres.Link{Loopback: true, Encrypted: true}},
		"verified": {plain + "sslmode=verify-full&sslrootcert=" + server.Certificate(),
			postgres.Link{Loopback: true, Encrypted: true, Verified: true}},
		"by a CA": {plain + "sslmode=verify-ca&sslrootcert=" + server.Certificate(),
			postgres.Link{Loopback: true, Encrypted: true, Verified: true}},
	} {
		a := start(t, quick(t, c.url, newOwner()))
		a.until(3*time.Second, name, live)
		got, known := a.Link()
		if version, _, _ := strings.Cut(got.TLS, " TLS_"); !known || (version == "TLS 1.3") != c.want.Encrypted {
			t.Errorf("%s: %v %q", name, known, got.TLS)
		}
		got.TLS = ""
		if got != c.want || !got.Private() {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if p := probe(t, c.url); p.Link.Encrypted != c.want.Encrypted || p.Link.Socket != c.want.Socket {
			t.Errorf("%s: the probe says %+v", name, p.Link)
		}
	}
	if (postgres.Link{}).Private() {
		t.Error("a plain connection to another host is private")
	}
}
