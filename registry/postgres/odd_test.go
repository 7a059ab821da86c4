//go:build linux

package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// oddInstances are columns of skerry_instance that no skerry writes.
var oddInstances = []string{
	`{"tags": {"rack": 7}}`, `{"tags": [1]}`, `{"tags": "x"}`, `{"tags": null}`, `{"tags": {"a": {"b": []}}}`,
	`{"tags": {"é": "x"}}`,
	`{"started": "infinity"}`, `{"started": "-infinity"}`, `{"started": "4000-01-01 BC"}`, `{"started": null}`,
	`{"changed": "infinity"}`, `{"changed": null}`, `{"gone": 1, "changed": "-infinity"}`,
	`{"gone": 1, "changed": "4000-01-01 BC"}`,
	`{"rev": 9223372036854775807}`, `{"rev": -9223372036854775808}`, `{"rev": 0}`, `{"rev": null}`,
	`{"port": -1}`, `{"port": 0}`, `{"port": 2147483647}`, `{"weight": -2147483648}`, `{"weight": 2147483647}`,
	`{"gone": 3000}`, `{"gone": -1}`, `{"gone": 4}`, `{"gone": null}`,
	`{"owner": ""}`, `{"owner": "odd"}`, `{"owner": "odd/x/y"}`, `{"owner": "odd/01/1"}`,
	`{"owner": "odd\u001b[2J/1/1"}`, `{"owner": "//"}`,
	`{"version": "v 1"}`, `{"version": "\u001b[2J"}`, `{"zone": "a\nb"}`, `{"protocol": "carrier pigeon"}`,
	`{"host": ""}`, `{"host": "a b"}`, `{"host": "0.0.0.0"}`, `{"host": "x\ny"}`,
}

// insertOdd copies the one sane row with odd columns.
func insertOdd(t *testing.T, server *pgtest.Server, db string) {
	t.Helper()
	sql := "BEGIN; CREATE TEMP TABLE sane AS SELECT * FROM skerry_instance LIMIT 1;"
	for _, column := range []string{"tags", "started", "changed", "rev", "gone"} {
		sql += "ALTER TABLE skerry_instance ALTER COLUMN " + column + " DROP NOT NULL;"
	}
	for i, columns := range oddInstances {
		sql += fmt.Sprintf(
			`INSERT INTO skerry_instance SELECT (jsonb_populate_record(s, jsonb_build_object(
			'host', 'odd%[1]d', 'owner', 'odd/1/%[1]d', 'rev', s.rev) || '%[2]s')).* FROM sane s;`,
			i, strings.ReplaceAll(columns, "'", "''"))
	}
	// A megabyte in each column that has room for it.
	for i, column := range []string{"zone", "protocol"} {
		sql += fmt.Sprintf(
			`INSERT INTO skerry_instance SELECT (jsonb_populate_record(s, jsonb_build_object(
			'host', 'long%d', 'owner', 'odd/1/l', '%s', repeat('x', 1000000)))).* FROM sane s;`, i, column)
	}
	sql += `INSERT INTO skerry_instance SELECT (jsonb_populate_record(s, jsonb_build_object(
		'host', 'long', 'owner', 'odd/1/l', 'tags', jsonb_build_object('t', repeat('x', 1000000))))).* FROM sane s;
		INSERT INTO skerry_lease SELECT DISTINCT cluster, owner, now(), interval '1 hour' FROM skerry_instance
		ON CONFLICT DO NOTHING;
		COMMIT`
	server.Exec(t, db, sql)
}

// TestOddInstances: odd rows are skipped, logged once and counted; everything else continues.
func TestOddInstances(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a := start(t, quick(t, server.URL(db), newOwner()))
	list := []registry.Instance{a.offer()}
	early := start(t, quick(t, server.URL(db), newOwner()))
	early.sees(2*time.Second, list...)
	insertOdd(t, server, db)

	log := &logged{}
	cfg := quick(t, server.URL(db), newOwner())
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	b := start(t, cfg)
	b.sees(2*time.Second, list...)
	rows, count := b.Odd()
	if want := len(oddInstances) + 3; count != want || len(rows) != want {
		t.Errorf("%d odd rows are counted and %d named, want %d: %v", count, len(rows), want, rows)
	}
	for _, row := range rows {
		if text := row.Row + row.Why; row.Table != "skerry_instance" || len(text) > 1000 ||
			strings.ContainsAny(text, "\x1b\n\x00") {
			t.Errorf("named as %.2000q", fmt.Sprint(row))
		}
	}

	// Changes continue, by notification and by reading, also for new processes.
	c := start(t, quick(t, server.URL(db), newOwner()))
	list = append(list, c.offer())
	b.sees(time.Second, list...)
	early.sees(time.Second, list...)
	start(t, quick(t, server.URL(db), newOwner())).sees(2*time.Second, list...)
	b.holds(5*time.Second, list...)
	b.sees(time.Second, list...)
	said := log.String()
	if n := strings.Count(said, "makes no sense and is skipped"); n > 20 || n < 10 {
		t.Errorf("%d odd rows are named in the log, want some and 20 at most", n)
	}
	if strings.Contains(said, "\x1b") || len(said) > 20_000 {
		t.Errorf("the log has %d bytes:\n%.2000q", len(said), said)
	}
	if p := probe(t, server.URL(db)); p.OddCount != count || len(p.Problems()) < 10 {
		t.Errorf("the probe counts %d odd rows, want %d: %v", p.OddCount, count, p.Problems())
	}
}

// TestOwnOddRow: a process writes its row again after it was altered by hand.
func TestOwnOddRow(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	b.sees(2*time.Second, in)
	for _, set := range []string{`tags = '{"rack": 7}'`, "started = 'infinity'", "rev = 9223372036854775807", "rev = 0",
		"weight = -5", "gone = 9"} {
		server.Exec(t, db, "UPDATE skerry_instance SET "+set)
		for deadline := time.Now().Add(10 * time.Second); ; {
			sane := one[bool](t, server.URL(db),
				`SELECT tags = '{}' AND isfinite(started) AND rev BETWEEN 1 AND 1::bigint << 60 AND weight = 0
				AND gone = 0 FROM skerry_instance`)
			if sane {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("SET %s: the row was not written again", set)
			}
			b.holds(100*time.Millisecond, in)
		}
	}
	start(t, quick(t, server.URL(db), newOwner())).sees(2*time.Second, in)
}

// TestOddRowsOfTheCluster: the rows that every statement reads hold nonsense. Lists and changes
// continue, and writers correct the rows.
func TestOddRowsOfTheCluster(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for _, set := range []string{
		"skerry_revision SET rev = 9223372036854775807",
		"skerry_revision SET rev = 4611686018427387903",
		"skerry_revision SET rev = -9223372036854775808",
		"skerry_revision SET rev = NULL",
		"skerry_revision SET rev = 9223372036854775807, kept = 9223372036854775807",
		"skerry_revision SET kept = 9223372036854775807",
		"skerry_revision SET kept = NULL",
		"skerry_told SET rev = 9223372036854775807",
		"skerry_told SET rev = -9223372036854775808",
		"skerry_told SET rev = NULL",
		"skerry_told SET pause = '178000000 years'",
		"skerry_told SET pause = '-178000000 years'",
		"skerry_told SET pause = NULL",
		"skerry_told SET at = 'infinity'",
		"skerry_told SET at = '-infinity', pause = '1 month'",
		"skerry_told SET at = '294276-12-31 23:59:59', pause = '9 seconds'",
		"skerry_told SET at = NULL",
		"skerry_cluster SET pulse = 'infinity', resumed = 'infinity', cleaned = 'infinity'",
		"skerry_cluster SET pulse = '-infinity', resumed = '-infinity', cleaned = '-infinity'",
		"skerry_cluster SET pulse = '294276-12-31 23:59:59', resumed = '294276-12-31 23:59:59', cleaned = " +
			"'4713-01-01 BC'",
		"skerry_cluster SET pulse = NULL, resumed = NULL, cleaned = NULL",
		"skerry_lease SET heartbeat = 'infinity'",
		"skerry_lease SET valid = '178000000 years'",
		"skerry_lease SET valid = '-178000000 years'",
		"skerry_lease SET valid = NULL",
		"skerry_lease SET heartbeat = NULL, valid = NULL",
		"skerry_lease SET heartbeat = '294276-12-31 23:59:59', valid = '90 days'",
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			db := server.CreateDB(t)
			a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
			in := a.offer()
			b.sees(2*time.Second, in)
			b.holds(2500*time.Millisecond, in)  // a beat of each, after which the cluster has settled
			for _, statement := range []string{ // each alone: together their locks could block a process
				"ALTER TABLE skerry_revision ALTER rev DROP NOT NULL, ALTER kept DROP NOT NULL",
				"ALTER TABLE skerry_told ALTER rev DROP NOT NULL, ALTER pause DROP NOT NULL, ALTER at DROP NOT NULL",
				"ALTER TABLE skerry_cluster ALTER pulse DROP NOT NULL, ALTER resumed DROP NOT NULL, ALTER cleaned " +
					"DROP NOT NULL",
				"ALTER TABLE skerry_lease ALTER heartbeat DROP NOT NULL, ALTER valid DROP NOT NULL",
				"UPDATE " + set,
			} {
				server.Exec(t, db, statement)
			}
			b.holds(2500*time.Millisecond, in)
			if err := b.last.Lost; err != nil {
				t.Errorf("lost: %v", err)
			}
			c := start(t, quick(t, server.URL(db), newOwner()))
			c.sees(3*time.Second, in)
			two := c.offer()
			b.sees(5*time.Second, in, two)
			a.sees(5*time.Second, in, two)
			in.Weight = 7
			if err := a.Register(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			b.sees(5*time.Second, in, two)
			in.Weight = 8
			if err := a.Register(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			b.sees(2*time.Second, in, two)
			start(t, quick(t, server.URL(db), newOwner())).sees(2*time.Second, in, two)
			if n := one[int](t, server.URL(db),
				"SELECT count(*)::int FROM skerry_service_registry WHERE alive"); n != 2 {
				t.Errorf("the view shows %d living registrations, want 2", n)
			}
			sane := one[bool](t, server.URL(db), "SELECT rev BETWEEN 1 AND 1::bigint << 62 FROM skerry_revision")
			if !sane {
				t.Error("the revision was not put right")
			}
		})
	}
}

// TestOddLeasesEnd: odd leases of dead processes delay neither their own end nor that of others.
func TestOddLeasesEnd(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a := start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	odd := []string{
		"heartbeat = 'infinity'",
		"heartbeat = '-infinity'",
		"heartbeat = '294276-12-31', valid = '6 seconds'",
		"heartbeat = now() - interval '2 minutes', valid = '178000000 years'",
		"heartbeat = now() - interval '2 minutes', valid = '-1 day'",
		"owner = repeat('x', 500)",
		"owner = E'a\\x1b[2J'",
	}
	sql := ""
	for _, set := range odd {
		cable := server.Proxy(t)
		b := start(t, quick(t, cable.URL(server.URL(db)), newOwner()))
		b.offer()
		cable.Cut()
		sql += "UPDATE skerry_lease SET " + set + " WHERE owner = '" + b.owner.String() + "';"
	}
	a.until(2*time.Second, "all", func(s registry.Snapshot) bool { return len(s.Instances) == 1+len(odd) })
	// A lease with a changed owner is missing, and is first put back as one that has run out.
	// Recently written instances also count as a sign of life.
	server.Exec(t, db, sql+"UPDATE skerry_instance SET changed = changed - interval '5 minutes';"+
		"UPDATE skerry_cluster SET cleaned = now() - interval '11 minutes'")
	a.until(40*time.Second, "the end of the dead", func(s registry.Snapshot) bool { return len(s.Instances) == 1 })
	a.sees(time.Second, in)
	await(t, 20*time.Second, "one lease",
		func() bool { return one[int](t, server.URL(db), "SELECT count(*)::int FROM skerry_lease") == 1 })
}

// TestOddRules: a row of the rule log that is not an entry ends the log before it, for readers and
// writers, and changes no list.
func TestOddRules(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for name, c := range map[string]struct {
		sql   string
		stops bool // the log ends before it
	}{
		"bad bytes": {`UPDATE skerry_rule SET record = '\x00ff' WHERE n = 2`, true},
		"no bytes":  {`UPDATE skerry_rule SET record = '' WHERE n = 2`, true},
		"too long": {`UPDATE skerry_rule SET record = convert_to(repeat(' ', 2000000), 'UTF8') WHERE n = 2`,
			true},
		"NULL": {`ALTER TABLE skerry_rule ALTER record DROP NOT NULL;
			UPDATE skerry_rule SET record = NULL WHERE n = 2`, true},
		"another's place": {`UPDATE skerry_rule r SET record = o.record, hash = o.hash FROM skerry_rule o
			WHERE r.n = 2 AND o.n = 1`, true},
		"another hash": {`UPDATE skerry_rule SET hash = '\x01' WHERE n = 2`, true},
		"a number negative": {`INSERT INTO skerry_rule SELECT cluster, 0, -5, hash, record
			FROM skerry_rule WHERE n = 1`, false},
		"a number too high": {`INSERT INTO skerry_rule SELECT cluster, 0, 9223372036854775807, hash, record
			FROM skerry_rule WHERE n = 1`, false},
		"timeline too high": {`INSERT INTO skerry_rule SELECT cluster, 9223372036854775807, 1, hash, record
			FROM skerry_rule WHERE n = 1`, false},
		"head is lost": {`DELETE FROM skerry_head`, false},
		"head is odd":  {`UPDATE skerry_head SET timeline = 9223372036854775807, n = -1, hash = ''`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := server.CreateDB(t)
			a := start(t, quick(t, server.URL(db), newOwner()))
			in := a.offer()
			log := &rollout.Log{}
			add := func() error {
				e := log.Next("spring", map[string]rollout.Rule{"auth": {Version: "v1"}})
				err := a.Rules().Append(t.Context(), e)
				if err == nil {
					log, err = log.Apply(e)
				}
				return err
			}
			for range 2 {
				if err := add(); err != nil {
					t.Fatal(err)
				}
			}
			server.Exec(t, db, c.sql)
			entries, err := a.Rules().Since(t.Context(), rollout.Generation{})
			want := 2
			if c.stops {
				want = 1
			}
			if err != nil || len(entries) != want {
				t.Errorf("%d entries, %v; want %d", len(entries), err, want)
			}
			switch err := add(); {
			case c.stops && (err == nil || !strings.Contains(err.Error(), "skerry_rule") ||
				!strings.Contains(err.Error(), "n 2")):
				t.Errorf("an entry behind it: %v; want an error that names the row", err)
			case !c.stops && err != nil:
				t.Errorf("the next entry: %v", err)
			}
			if rows, _ := a.Odd(); c.stops &&
				(len(rows) != 1 || rows[0].Table != "skerry_rule" || rows[0].Row != "0 2") {
				t.Errorf("odd rows: %v; want entry 2", rows)
			}
			b := start(t, quick(t, server.URL(db), newOwner()))
			two := b.offer()
			a.sees(2*time.Second, in, two)
		})
	}
}

// TestOddStats: rows of statistics with impossible numbers are left out of the sums and counted.
func TestOddStats(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a := start(t, quick(t, server.URL(db), newOwner()))
	a.offer()
	if err := a.Write(t.Context(), []health.Row{row(health.Server, "login", "portal", 10, 0,
		time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	odd := []string{
		"calls = 9223372036854775807",
		"calls = -1",
		"failures = 9223372036854775807",
		"sum_ms = 'NaN'",
		"p50_ms = 'infinity'",
		"max_ms = '-infinity'",
		"to_at = 'infinity'",
		"from_at = '-infinity'",
		"from_at = '4000-01-01 BC'",
		"method = repeat('x', 100000)",
	}
	sql := "CREATE TABLE sane AS TABLE skerry_call_stat;"
	for _, set := range odd {
		sql += "UPDATE skerry_call_stat SET " + set +
			"; CREATE TABLE IF NOT EXISTS kept AS TABLE skerry_call_stat WITH NO DATA; INSERT INTO kept TABLE " +
			"skerry_call_stat; TRUNCATE skerry_call_stat; INSERT INTO skerry_call_stat TABLE sane;"
	}
	server.Exec(t, db, sql+"INSERT INTO skerry_call_stat TABLE kept")
	stats, err := a.Stats(t.Context(), postgres.StatQuery{})
	if err != nil || len(stats) != 1 || stats[0].Calls != 10 {
		t.Fatalf("%v, %+v; want the one sane row", err, stats)
	}
	rows, count := a.Odd()
	if count != 1 || len(rows) != 1 || !strings.Contains(rows[0].Why, fmt.Sprint(len(odd))) {
		t.Errorf("odd rows: %v; want one line that counts %d", rows, len(odd))
	}
}

// logged is a log that a test reads while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await polls until met returns true.
func await(t *testing.T, within time.Duration, what string, met func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
