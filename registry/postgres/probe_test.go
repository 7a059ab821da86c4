//go:build linux

package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

func probe(t *testing.T, url string) postgres.Report {
	t.Helper()
	p, err := open(t, quick(t, url, newOwner())).Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProbe(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	p := probe(t, server.URL(db))
	if len(p.Missing) == 0 || !p.CanCreate || p.SchemaVersion != 0 || !p.Notifies || p.Standby || p.ReadOnly {
		t.Errorf("empty database, administrator: %+v", p)
	}
	if len(p.Problems()) != 0 {
		t.Errorf("problems of a database that is ready: %v", p.Problems())
	}
	a := start(t, quick(t, server.URL(db), newOwner()))
	a.offer()
	p = probe(t, server.URL(db))
	if len(p.Missing) != 0 || p.SchemaVersion != postgres.SchemaVersion || !p.CanRead || !p.CanWrite ||
		len(p.Clusters) != 1 ||
		p.Clusters[0] != "site" {
		t.Errorf("database in use: %+v", p)
	}
	if p.ClockOffset.Abs() > time.Second || p.Latency <= 0 || p.Connections < 1 || p.MaxConnections < 100 ||
		!strings.HasPrefix(p.Version, "1") {
		t.Errorf("measures: %+v", p)
	}
}

func TestProbeFindsProblems(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	nobody := server.UserURL(db, server.CreateUser(t, db))
	expect := func(p postgres.Report, what string) {
		t.Helper()
		for _, problem := range p.Problems() {
			if strings.Contains(problem.What, what) && problem.Do != "" {
				return
			}
		}
		t.Errorf("no problem that says %q in %v", what, p.Problems())
	}
	expect(probe(t, nobody), "may not make them")
	start(t, quick(t, server.URL(db), newOwner())).offer()
	expect(probe(t, nobody), "may not read")
	expect(
		probe(t, server.UserURL(db, server.CreateUser(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s"))),
		"may not write")

	conn, err := pgx.Connect(t.Context(), server.URL(db)+"&application_name=forgotten")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(),
		"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM skerry_lease"); err != nil {
		t.Fatal(err)
	}
	p := probe(t, server.URL(db))
	if p.Oldest == nil || p.Oldest.Application != "forgotten" {
		t.Fatalf("oldest snapshot: %+v, want that of the forgotten transaction", p.Oldest)
	}
	p.Oldest.Age = time.Hour
	expect(p, "transaction open for 1h")
}

func TestProbeUnreachable(t *testing.T) {
	t.Parallel()
	p, err := open(t, quick(t, "postgres://app:x@127.0.0.1:1/site", newOwner())).Probe(t.Context())
	if !errors.Is(err, registry.ErrUnavailable) || p.Address != "app@127.0.0.1:1/site" {
		t.Errorf("%v, %+v; want ErrUnavailable and the address", err, p)
	}
}
