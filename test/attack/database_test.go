//go:build linux

package attack

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
)

// withDatabase starts a site of processes that find each other by a database on host 3.
func withDatabase(t *testing.T, u setUp) (*site, *pgtest.Server, string) {
	t.Helper()
	s := prepare(t, u, "")
	pg := pgtest.Own(t, pgtest.Options{Netns: s.lan.Host(3).Namespace, Host: s.lan.Host(3).IP(0)})
	db := pg.CreateDB(t)
	s.extra = fmt.Sprintf("mode: database\ndatabase: {url: %q}\n", pg.URL(db))
	s.provider = s.start("provider", "provider", s.hostOf("provider"))
	s.consumer = s.start("consumer", "consumer", s.hostOf("consumer"))
	s.warm()
	return s, pg, db
}

// as opens a connection of a user of the database.
func as(t *testing.T, pg *pgtest.Server, db, user string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), strings.Replace(pg.SocketURL(db), "user=postgres", "user="+user, 1))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// TestDatabase: users of the site's database that are not members, and a role with more rights than
// it should have. When the site has no key files, the key is the database's own.
func TestDatabase(t *testing.T) {
	t.Parallel()
	for _, u := range setUps {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			s, pg, db := withDatabase(t, u)
			s.unharmed(t, func(t *testing.T) { notifies(t, s, pg, db) })
			s.unharmed(t, func(t *testing.T) { writesRules(t, s, pg, db) })
		})
	}
}

// notifies is a user that may only connect.
func notifies(t *testing.T, s *site, pg *pgtest.Server, db string) {
	conn, ctx := as(t, pg, db, pg.CreateUser(t, db)), t.Context()
	for _, sql := range []string{
		"SELECT channel FROM skerry_secret", "SELECT * FROM skerry_instance",
		"INSERT INTO skerry_rule VALUES ('x', 0, 1, '', '')",
		"UPDATE skerry_head SET n = 9", "SELECT 1 FROM skerry_head FOR UPDATE", "TRUNCATE skerry_lease",
		"DO $$ BEGIN LOCK TABLE skerry_rule IN SHARE MODE; END $$",
	} {
		if _, err := conn.Exec(ctx, sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	var seen int
	must(t,
		conn.QueryRow(ctx,
			"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%skerry:%' AND pid <> pg_backend_pid()").Scan(
			&seen))
	if seen > 0 {
		t.Errorf("the channel is seen in %d sessions of others", seen)
	}
	owner := s.provider.owner()
	for _, channel := range []string{"skerry", "skerry_" + s.cluster, "skerry:" + s.cluster, "skerry:",
		"skerry:" + strings.Repeat("0", 40)} {
		for _, payload := range []string{
			fmt.Sprintf(`{"c":%q,"rev":9223372036854775807,"gone":[%q]}`, s.cluster, owner),
			fmt.Sprintf(`{"c":%q,"k":true}`, s.cluster), "x",
		} {
			_, err := conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, payload)
			must(t, err)
		}
	}
	// Earlier versions took this lock around each write of rules.
	_, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", "skerry rules "+s.cluster)
	must(t, err)
	for range 400 {
		_, err := conn.Exec(ctx, "SELECT pg_notify('skerry', 'x')")
		must(t, err)
	}
}

// writesRules is a user that by mistake may write the rule log, and one with the role of a service,
// which may not.
func writesRules(t *testing.T, s *site, pg *pgtest.Server, db string) {
	ctx, before := t.Context(), rollout.Position{}
	grants := strings.Split(strings.TrimSuffix(strings.TrimSpace(grant(t, "service")), ";"), ";\n")
	for i, g := range grants {
		grants[i] = strings.Replace(g, `"app"`, `%s`, 1)
	}
	service := as(t, pg, db, pg.CreateUser(t, db, grants...))
	for _, sql := range []string{
		"INSERT INTO skerry_rule VALUES ('x', 0, 1, '', '')", "DELETE FROM skerry_rule", "UPDATE skerry_head SET n = 9",
		"INSERT INTO skerry_head VALUES ('x')",
		"UPDATE skerry_secret SET keys = '{}'", "DELETE FROM skerry_secret", "SELECT 1 FROM skerry_head FOR UPDATE",
	} {
		if _, err := service.Exec(ctx, sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s by a service: %v", sql, err)
		}
	}
	var channel string
	must(t, service.QueryRow(ctx, "SELECT channel FROM skerry_secret WHERE cluster = $1", s.cluster).Scan(&channel))
	e := s.entry(t, before, "v9")
	hash, err := hex.DecodeString(e.Hash())
	must(t, err)
	mistaken := as(t, pg, db, pg.CreateUser(t, db, "GRANT INSERT ON skerry_rule TO %s",
		"GRANT INSERT, UPDATE, SELECT ON skerry_head TO %s"))
	_, err = mistaken.Exec(ctx,
		"INSERT INTO skerry_rule (cluster, timeline, n, hash, record) VALUES ($1, 0, 1, $2, $3)", s.cluster, hash,
		e.Record().Marshal())
	must(t, err)
	_, err = mistaken.Exec(ctx,
		"INSERT INTO skerry_head (cluster, timeline, n, hash) VALUES ($1, 0, 1, $2) ON CONFLICT (cluster) DO UPDATE "+
			"SET n = 1, hash = $2", s.cluster, hash)
	must(t, err)
	for range 200 { // a member of the site may send any number of hints
		_, err = service.Exec(ctx, "SELECT pg_notify($1, $2)", channel, fmt.Sprintf(`{"c":%q,"g":"1"}`, s.cluster))
		must(t, err)
	}
	p := s.provider
	lab.Eventually(t, 45*time.Second, func() bool {
		return p.saying("no operator that is trusted here has signed it") > 0
	},
		func() string { return "the provider says that the rules of the database are not signed" })
	if n := p.saying("no operator that is trusted here has signed it"); n > 5 {
		t.Errorf("the provider says it %d times", n)
	}
	s.unmovedBy(t)
}

// unmovedBy fails the test when a process has applied an entry: the calls of the consumer would
// fail, because no version v9 exists.
func (s *site) unmovedBy(t *testing.T) {
	t.Helper()
	for _, p := range []*process{s.provider, s.consumer} {
		if p.saying("rules applied") > 0 {
			t.Errorf("%s has applied rules", p.name)
		}
	}
}
