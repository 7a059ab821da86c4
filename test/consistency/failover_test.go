//go:build linux

package consistency

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/rollout"
)

// The scenes of a database on three hosts under Patroni: its primary changes while requests and
// releases continue. scripts/test plays them apart from the schedules, because each mostly waits
// for its cluster.

// reconnects is the longest time from a new primary until every process has a session with it: a
// pause of 5 s, 3 s for a dead host of the URL, and more than as much again for a machine that runs
// all of it.
// dead, and more than as much again for a machine that does all of it at once.
const reconnects = 20 * time.Second

// failover is a site in database mode at the default intervals. Its last three hosts are a cluster
// under Patroni.
type failover struct {
	*site
	db    *pgtest.Cluster
	name  string             // of the database
	first int                // host of the first node
	steps []rollout.Position // that were committed
	draw  *rand.Rand
}

func onPatroni(t *testing.T, hosts int, synchronous bool) *failover {
	t.Helper()
	s := newSite(t, hosts+3, "")
	f := &failover{site: s, first: hosts}
	var nodes []pgtest.Options
	for _, h := range s.lan.Hosts()[hosts:] {
		nodes = append(nodes, pgtest.Options{Host: h.IP(0), Netns: h.Namespace})
	}
	f.db = pgtest.OwnCluster(t, synchronous, nodes...)
	primary, _ := f.db.Primary()
	f.name = f.db.Nodes[primary].CreateDB(t)
	s.lines = fmt.Sprintf("mode: database\nlan: {key: %s}\ndatabase: {url: %q}\n%s",
		lab.SiteKey, f.db.URL(f.name), everywhere)
	f.begin(&database{f.db.Nodes[primary].Server, s, f.name})
	return f
}

// begin starts two services in their first version, two entries, users and jobs. The load is below
// that of a schedule, because these scenes take minutes.
func (f *failover) begin(first *database) {
	f.t.Helper()
	f.portals(0, 1)
	f.serve(2, "auth-1", "auth", "v1")
	f.serve(3, "proc-1", "proc", "v1")
	first.await("auth", "v1")
	first.await("proc", "v1")
	f.users(3, "users", part{Plans: []plan{
		call("portal", call("auth"), call("proc", call("auth"))),
		atOnce("portal", call("auth"), call("proc", call("auth"))),
	}}, 0, 1)
	f.job(1, "job", part{Workers: 2, Plans: []plan{
		call("", call("auth"), call("proc", call("auth")).held(2*time.Second), call("auth")),
	}})
}

// host is the host of a node.
func (f *failover) host(node int) *lab.Host { return f.lan.Host(f.first + node) }

// connected waits until every process has a session with a node, and returns
// how long that took.
func (f *failover) connected(node int) time.Duration {
	f.t.Helper()
	begun, missing := time.Now(), []string{}
	lab.Eventually(f.t, reconnects, func() bool {
		sessions, err := f.sessions(node)
		missing = missing[:0]
		for _, p := range f.members {
			runs := (p.Role == "hop" || p.Role == "job") && f.book.over(p.Name).IsZero()
			if runs && !strings.Contains(sessions, fmt.Sprintf("/%d/", p.pid)) {
				missing = append(missing, p.Name)
			}
		}
		return err == nil && len(missing) == 0
	}, func() string { return fmt.Sprintf("sessions of %v with the new primary", missing) })
	return time.Since(begun)
}

// sessions returns the names of the site's processes with a session at a node.
func (f *failover) sessions(node int) (names string, err error) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, f.db.Nodes[node].SocketURL(f.name))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT coalesce(string_agg(application_name, ' '), '') FROM pg_stat_activity "+
		"WHERE application_name LIKE $1", "skerry "+f.cluster+" %").Scan(&names)
	return names, err
}

// change is a way in which the primary changes. It returns the new primary, the time until there
// was one, and a function that brings the old one back.
type change struct {
	name string
	make func(*failover) (primary int, took time.Duration, back func())
}

var changes = []change{
	{"by hand", func(f *failover) (int, time.Duration, func()) {
		begun := time.Now()
		return f.db.Switchover(f.t), time.Since(begun), func() {}
	}},
	{"its host dies", func(f *failover) (int, time.Duration, func()) {
		old := f.primary()
		f.host(old).Cut() // a dead host sends nothing more, not even the end of its connections
		f.db.Kill(f.t, old)
		primary, took := f.db.AwaitPrimary(f.t, old)
		return primary, took, func() { f.host(old).Heal(); f.db.Return(f.t, old) }
	}},
	{"its cable is cut", func(f *failover) (int, time.Duration, func()) {
		old := f.primary()
		f.host(old).Cut()
		primary, took := f.db.AwaitPrimary(f.t, old)
		return primary, took, f.host(old).Heal
	}},
}

func (f *failover) primary() int {
	f.t.Helper()
	node, ok := f.db.Primary()
	if !ok {
		f.t.Fatal("no primary, or two")
	}
	return node
}

// did records the newest step as committed.
func (f *failover) did() {
	f.t.Helper()
	entries := f.log()
	f.steps = append(f.steps, entries[len(entries)-1].Position())
}

// stored are the steps that a node holds.
func (f *failover) stored(node int) map[rollout.Position]bool {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, f.db.Nodes[node].SocketURL(f.name))
	must(f.t, err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT timeline, n, encode(hash, 'hex') FROM skerry_rule")
	must(f.t, err)
	out := map[rollout.Position]bool{}
	var p rollout.Position
	_, err = pgx.ForEachRow(rows, []any{&p.Generation.Timeline, &p.Generation.N, &p.Hash}, func() error {
		out[p] = true
		return nil
	})
	must(f.t, err)
	return out
}

// holds checks that a node lacks no step that was committed.
func (f *failover) holds(node int) {
	f.t.Helper()
	stored := f.stored(node)
	for _, step := range f.steps {
		if !stored[step] {
			f.t.Errorf("%s has lost generation %v, which was committed", f.host(node).Namespace, step)
		}
	}
}

// TestFailOver: the primary hands over, its host dies, or its cable is cut, each under load. Then
// the old one returns and follows. No call fails. Every process finds the new primary, also one
// with a URL that does not ask for it. A new instance is called through it.
func TestFailOver(t *testing.T) {
	t.Parallel()
	f := onPatroni(t, 4, true)
	plain := strings.Replace(f.lines, "&target_session_attrs=read-write", "", 1)
	f.job(0, "any-host", part{Workers: 1, Plans: []plan{call("", call("auth"))}}, how{lines: plain})
	f.open("ann")
	f.did()
	for i, c := range changes {
		primary, took, back := c.make(f)
		f.holds(primary)
		sessions := f.connected(primary)
		begun, name := time.Now(), fmt.Sprint("auth-more-", i)
		f.serve(2, name, "auth", "v1")
		f.await("a call of "+name, func() bool {
			return f.book.count(began, func(n note) bool { return strings.HasPrefix(n.ID, name+"#") }) > 0
		})
		called := time.Since(begun)
		if called > reconnects {
			t.Errorf("%s was called %v after its start", name, called)
		}
		f.release("config", "put", "auth", fmt.Sprint("note=", i))
		f.did()
		back()
		begun = time.Now()
		f.db.AwaitWhole(t)
		t.Logf("%s: a new primary after %.1f s, all sessions %.1f s later; a new instance called %.2f s after its "+
			"start; "+
			"the old primary follows %.1f s after its return", c.name, took.Seconds(), sessions.Seconds(),
			called.Seconds(), time.Since(begun).Seconds())
	}
	f.judge(1000)
	f.holds(f.primary())
}
