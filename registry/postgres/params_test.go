//go:build linux

package postgres_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry/postgres"
)

// schemaOf returns the schema with the tables of a database.
func schemaOf(t *testing.T, server *pgtest.Server, db string) string {
	t.Helper()
	return one[string](
		t,
		server.SocketURL(db),
		`SELECT coalesce(string_agg(DISTINCT nspname, ','), 'none') FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname = 'skerry_lease'`,
	)
}

// TestSearchPathHolds: the registry uses the search_path of the URL, or says why it can't and
// touches no table, with any other parameters in the URL and any pooler between.
func TestSearchPathHolds(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for _, c := range []struct {
		name, query string
		by          func(*pgtest.Server, testing.TB, string) string
		admin       string // SQL that an administrator runs before; %s is the database
		schema, why string
	}{
		{name: "direct", query: "search_path=skerry", schema: "skerry"},
		{name: "two schemas", query: "search_path=skerry,%20public", schema: "skerry"},
		{name: "as an option", query: "options=-c%20search_path%3Dskerry", schema: "skerry"},
		{name: "beside what only libpq knows",
			query: "search_path=skerry&gssencmode=disable&channel_binding=disable&keepalives=1", schema: "skerry"},
		{name: "beside a slip of the pen", query: "search_path=skerry&aplication_name=x", schema: "none",
			why: "aplication_name"},
		{name: "a bad value", query: "search_path=skerry&statement_timeout=soon", schema: "none",
			why: "statement_timeout"},
		{name: "a pool of sessions", query: "search_path=skerry", by: (*pgtest.Server).SessionPooler, schema: "none",
			why: "ALTER ROLE"},
		{name: "a pool of transactions", query: "search_path=skerry", by: (*pgtest.Server).Pooler, schema: "none",
			why: "ALTER ROLE"},
		{name: "a pool, as an option", query: "options=-c%20search_path%3Dskerry", by: (*pgtest.Server).SessionPooler,
			schema: "none", why: "ALTER ROLE"},
		{name: "a pool, set in the server", query: "search_path=skerry&work_mem=8MB", by: (*pgtest.Server).Pooler,
			admin: "ALTER DATABASE %s SET search_path = skerry", schema: "skerry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := server.CreateDB(t)
			server.Exec(t, db, "CREATE SCHEMA skerry")
			if c.admin != "" {
				server.Exec(t, db, strings.ReplaceAll(c.admin, "%s", db))
			}
			url := server.URL(db)
			if c.by != nil {
				url = c.by(server, t, db)
			}
			cfg := quick(t, url+"&"+c.query, newOwner())
			if c.why == "" {
				n := start(t, cfg)
				n.offer()
				if p := probe(t, cfg.URL); p.Schema != c.schema {
					t.Errorf("the probe finds schema %q, want %q", p.Schema, c.schema)
				}
			} else {
				_, err := open(t, cfg).Probe(t.Context())
				if !errors.Is(err, postgres.ErrParameter) || !strings.Contains(err.Error(), c.why) {
					t.Errorf("the probe says %v; want an error of a parameter that names %q", err, c.why)
				}
				n := start(t, cfg)
				last := n.until(10*time.Second, "the reason", lost)
				if !errors.Is(last.Lost, postgres.ErrParameter) {
					t.Errorf("%v; want an error of a parameter", last.Lost)
				}
			}
			if got := schemaOf(t, server, db); got != c.schema {
				t.Errorf("the tables are in schema %s, want %s", got, c.schema)
			}
		})
	}
}

// TestParametersThatAreRefusedAtOnce need no server.
func TestParametersThatAreRefusedAtOnce(t *testing.T) {
	for query, want := range map[string]string{
		"pool_max_conns=4":   "pool_max_conns",
		"sslcrl=x":           "sslcrl",
		"gssencmode=require": "gssencmode",
	} {
		_, err := postgres.New(quick(t, "postgres://app@db/site?"+query, newOwner()))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want an error that names %s", query, err, want)
		}
	}
	if _, err := postgres.New(quick(t, "jdbc:postgresql://db:5432/site?user=app", newOwner())); err == nil ||
		!strings.Contains(err.Error(), "JDBC") {
		t.Errorf("%v; want an error that names JDBC", err)
	}
}

// TestMissingSchema: the probe names the missing schema and the SQL that makes it.
func TestMissingSchema(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	p := probe(t, server.URL(db)+"&search_path=nowhere")
	found := p.Problems()
	if len(found) != 1 || !strings.Contains(found[0].What, "schema nowhere does not exist") ||
		found[0].Do != `CREATE SCHEMA "nowhere"` {
		t.Errorf("%v; want the schema and how to make it", found)
	}
	server.Exec(t, db, "CREATE SCHEMA closed")
	user := server.CreateUser(t, db)
	found = func() []postgres.Problem {
		p := probe(t, server.UserURL(db, user)+"&search_path=closed")
		return p.Problems()
	}()
	if len(found) != 1 || !strings.Contains(found[0].What, "may use no schema") ||
		!strings.Contains(found[0].Do, "GRANT USAGE") {
		t.Errorf("%v; want that the schema may not be used", found)
	}
}

// TestEncodings: databases in other encodings hold the text that they can encode. They refuse other
// text, with a reason in the log.
func TestEncodings(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	for _, encoding := range []string{"EUC_CN", "LATIN1", "SQL_ASCII"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			db := "db_" + strings.ToLower(encoding)
			server.Exec(t, "postgres", "CREATE DATABASE "+db+" ENCODING '"+encoding+"' LOCALE 'C' TEMPLATE template0")
			log := &logged{}
			cfg := quick(t, server.URL(db), newOwner())
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			a, b := start(t, cfg), start(t, quick(t, server.URL(db), newOwner()))
			fits := map[string]string{"EUC_CN": "三号", "LATIN1": "Müller", "SQL_ASCII": "三号 Müller"}[encoding]
			in := a.instance()
			in.Tags = map[string]string{"rack": fits}
			if err := a.Register(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			b.sees(2*time.Second, in)
			if encoding == "SQL_ASCII" {
				return
			}
			in.Tags = map[string]string{"rack": "€🚢"}
			_ = a.Register(expired(t), in)
			await(t, 10*time.Second, "the reason in the log", func() bool {
				return strings.Contains(log.String(), "refuses a registration") &&
					strings.Contains(log.String(), "has no equivalent in encoding")
			})
			in.Tags = nil
			if err := a.Register(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			b.sees(2*time.Second, in)
			await(t, 5*time.Second, "the end in the log",
				func() bool { return strings.Contains(log.String(), "takes registrations again") })
		})
	}
}
