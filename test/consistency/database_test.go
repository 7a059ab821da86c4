//go:build linux

package consistency

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// database is the PostgreSQL of a site, on a host of its own.
type database struct {
	*pgtest.Server
	site *site
	name string
}

// onDatabase makes a site with PostgreSQL on its last host, in the given mode.
func onDatabase(t *testing.T, hosts int, mode string, o pgtest.Options) (*site, *database) {
	t.Helper()
	s := newSite(t, hosts+1, "")
	host := s.lan.Host(hosts)
	o.Host, o.Port, o.Netns = host.IP(0), 5432, host.Namespace
	d := &database{pgtest.Own(t, o), s, ""}
	d.name = d.CreateDB(t)
	s.lines = by(mode, d.URL(d.name))
	return s, d
}

// by returns the lines of a configuration with a database. Leases are shorter than by default, so
// that they end within a scene.
func by(mode, url string) string {
	return fmt.Sprintf("mode: %s\nlan: {key: %s}\ndatabase: {url: %q, heartbeat: 2s, expiry: 6s, poll: 2s}\n%s", mode,
		lab.SiteKey, url, everywhere)
}

// await waits until a version of a service is registered.
func (d *database) await(service, version string) {
	d.site.t.Helper()
	ctx, cancel := context.WithTimeout(d.site.t.Context(), 40*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.SocketURL(d.name))
	must(d.site.t, err)
	defer conn.Close(ctx)
	d.site.await(service+" "+version+" is registered", func() (is bool) {
		err := conn.QueryRow(ctx,
			"SELECT count(*) > 0 FROM skerry_service_registry WHERE service = $1 AND version = $2", service,
			version).Scan(&is)
		return err == nil && is
	})
}

// outage is a way to lose a database and to get it back.
type outage struct {
	name       string
	away, back func(*pgtest.Server) error
}

var outages = []outage{
	{"stopped", (*pgtest.Server).Stop, (*pgtest.Server).Start},
	{"killed", (*pgtest.Server).Kill, (*pgtest.Server).Start},
	{"frozen", (*pgtest.Server).Freeze, (*pgtest.Server).Thaw},
}

// without takes the database away while f runs.
func (d *database) without(o outage, f func()) {
	d.site.t.Helper()
	must(d.site.t, o.away(d.Server))
	f()
	must(d.site.t, o.back(d.Server))
}

// frozen tries a step while the database is away, which must do nothing.
func (s *site) frozen(args ...string) {
	s.t.Helper()
	said, err := s.operator(0, append([]string{"--timeout", "500ms"}, args...)...).done()
	if err == nil || !strings.Contains(said, "frozen") {
		s.t.Errorf("skerry release %s without a database: %v\n%s", strings.Join(args, " "), err, said)
	}
}

// more waits for so many requests that began after now.
func (s *site) more(requests int) {
	s.t.Helper()
	begin := time.Now()
	s.await(fmt.Sprint(requests, " more requests"), func() bool {
		return s.book.count(asked, func(n note) bool { return n.At.After(begin) }) >= requests
	})
}

// rows returns the newest stored generation and the number of rows.
func (d *database) rows() (n int, newest int) {
	d.site.t.Helper()
	ctx, cancel := context.WithTimeout(d.site.t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.SocketURL(d.name))
	must(d.site.t, err)
	defer conn.Close(ctx)
	must(d.site.t, conn.QueryRow(ctx, "SELECT count(*), coalesce(max(n), 0) FROM skerry_rule").Scan(&n, &newest))
	return n, newest
}
