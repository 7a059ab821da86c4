//go:build linux

package guarantees

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// The scenes of a database that goes away and comes back.

// pace are the intervals of a scene. The outage lasts longer than the expiry
// of every lease.
type pace struct{ heartbeat, expiry, outage time.Duration }

var (
	quick    = pace{10 * time.Second, 30 * time.Second, 40 * time.Second}
	defaults = pace{30 * time.Second, 90 * time.Second, 95 * time.Second}
)

// back is the bound for all rows after the return: 35 s at the default pace.
func (p pace) back() time.Duration { return p.heartbeat + 5*time.Second }

// verdict is when leases that look old have been judged after the return: the database has settled,
// and a process has read since.
func (p pace) verdict() time.Duration { return p.heartbeat*4/3 + p.heartbeat + 5*time.Second }

// lines are the configuration of a process in a mode.
func (p pace) lines(mode, iface, url string) string {
	return fmt.Sprintf("mode: %s\nlan: {interfaces: [%s], key: %s}\ndatabase: {url: %q, heartbeat: %v, expiry: %v, "+
		"poll: %v}",
		mode, iface, lab.SiteKey, url, p.heartbeat, p.expiry, p.heartbeat)
}

// outage is one way to lose a database and to get it back.
type outage struct {
	name       string
	away, back func(*pgtest.Server) error
}

var outages = []outage{
	{"stopped", (*pgtest.Server).Stop, (*pgtest.Server).Start},
	{"killed", (*pgtest.Server).Kill, (*pgtest.Server).Start},
	{"frozen", (*pgtest.Server).Freeze, (*pgtest.Server).Thaw},
}

func TestDatabaseOutageFailsNoCall(t *testing.T) {
	t.Parallel()
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			pg := pgtest.Own(t, pgtest.Options{})
			newOutageScene(t, pg, quick, "lo").play(func() error { return o.away(pg) },
				func() error { return o.back(pg) })
		})
	}
	t.Run("cut off", func(t *testing.T) {
		t.Parallel()
		l := lab.New(t, 4)
		host := l.Host(3)
		sc := newOutageScene(t, pgtest.Own(t, pgtest.Options{Host: host.IP(0), Port: 5432, Netns: host.Namespace}),
			quick, "eth0")
		sc.command = func(host int, name string, args ...string) *exec.Cmd {
			return l.Host(host).Command(name, args...)
		}
		sc.play(func() error { host.Cut(); return nil }, func() error { host.Heal(); return nil })
	})
}

// TestDatabaseOutageAtDefaultIntervals is the same without a configured
// interval.
func TestDatabaseOutageAtDefaultIntervals(t *testing.T) {
	t.Parallel()
	pg := pgtest.Own(t, pgtest.Options{})
	newOutageScene(t, pg, defaults, "lo").play(pg.Kill, pg.Start)
}

// outageScene is a site in mode auto with one caller and one watcher that use only the database.
type outageScene struct {
	*site
	pace
	noLAN string // lines of a process that knows the database only
}

func newOutageScene(t *testing.T, pg *pgtest.Server, p pace, iface string) *outageScene {
	db := pg.CreateDB(t)
	sc := &outageScene{newSite(t, p.lines("auto", iface, pg.URL(db))), p, p.lines("database", iface, pg.URL(db))}
	sc.list = func() ([]string, error) { return sc.listed(pg.SocketURL(db)) }
	return sc
}

func (sc *outageScene) play(away, back func() error) {
	t, j := sc.t, sc.journal
	slow := how{pause: 50 * time.Millisecond}
	sc.provider("one", how{host: 0})
	sc.provider("two", how{host: 1})
	slow.host = 2
	caller := sc.consumer("caller", slow)
	slow.site = sc.noLAN
	sc.consumer("without-lan", slow)
	sc.warm("one", "two")
	eventually(t, setUp, "two rows in the registry", func() bool { return sc.lists(2) })
	eventually(t, setUp, "they are listed", func() bool { return j.shows("without-lan", "one", "two") })
	time.Sleep(2 * time.Second) // the caller, which has the LAN, has then read the database as well

	begin := time.Now()
	must(t, away())
	sc.duringOutage(caller, time.Now()) // freezing a server takes time on a busy machine
	returned := time.Now()
	must(t, back())
	sc.afterReturn(returned)
	noFailures(t, j, begin, time.Now())
}

// duringOutage checks the bounds while the database is away.
func (sc *outageScene) duringOutage(caller *process, gone time.Time) {
	t := sc.t
	t.Helper()
	noticed := eventually(t, 12*time.Second, "the caller's log says that the database is lost", func() bool {
		return caller.said("database lost") || caller.said("database can't be")
	}).Sub(gone)
	t.Logf("loss noticed after %v", noticed.Round(100*time.Millisecond))
	if noticed > 10*time.Second {
		t.Errorf("loss noticed after %v, want at most 10 s", noticed)
	}
	sc.provider("meanwhile", how{host: 2})
	sc.warm("meanwhile")
	t.Logf("a process started meanwhile was called after %v",
		sc.journal.firstAnswer("meanwhile").Sub(sc.journal.at("meanwhile", "serve")).Round(time.Millisecond))
	time.Sleep(time.Until(gone.Add(sc.outage)))
}

// afterReturn checks the bounds after its return.
func (sc *outageScene) afterReturn(returned time.Time) {
	t := sc.t
	t.Helper()
	all := eventually(t, sc.back(), "three fresh rows in the registry", func() bool { return sc.lists(3) })
	t.Logf("all rows back %v after the database", all.Sub(returned).Round(100*time.Millisecond))
	for end := returned.Add(sc.verdict()); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if list, err := sc.list(); err == nil && len(list) != 3 {
			t.Fatalf("%v after the return the database lists %v, want 3: an instance was expired",
				time.Since(returned), list)
		}
	}
	recent := time.Now().Add(-5 * time.Second)
	for _, name := range []string{"one", "two", "meanwhile"} {
		if sc.journal.lastAnswer(name).Before(recent) {
			t.Errorf("%s is not called any more", name)
		}
		for _, consumer := range []string{"caller", "without-lan"} {
			if at := sc.journal.unlisted(consumer, name); !at.IsZero() {
				t.Errorf("%s dropped %s %v after the return", consumer, name, at.Sub(returned))
			}
			if all := sc.journal.listings(consumer); !all[len(all)-1].has(name) {
				t.Errorf("%s does not list %s in the end: %v", consumer, name, all[len(all)-1].names)
			}
		}
	}
}

// TestDatabaseRestartFailsNoCall restarts the database three times, in mode
// database: no instance leaves a list, and one that starts afterwards is found.
func TestDatabaseRestartFailsNoCall(t *testing.T) {
	t.Parallel()
	pg := pgtest.Own(t, pgtest.Options{})
	db := pg.CreateDB(t)
	s := newSite(t, fmt.Sprintf("mode: database\nlan: {interfaces: [lo]}\ndatabase: {url: %q}", pg.URL(db)))
	s.provider("one", how{})
	s.provider("two", how{})
	s.consumer("caller", how{})
	s.warm("one", "two")
	eventually(t, setUp, "both are listed", func() bool { return s.journal.shows("caller", "one", "two") })
	begin := time.Now()
	for range 3 {
		must(t, pg.Restart())
		time.Sleep(2 * time.Second)
	}
	s.provider("three", how{})
	s.warm("three")
	t.Logf("an instance started after that was called after %v",
		s.journal.firstAnswer("three").Sub(s.journal.at("three", "serve")).Round(time.Millisecond))
	for _, name := range []string{"one", "two"} {
		if at := s.journal.unlisted("caller", name); !at.IsZero() {
			t.Errorf("%s left the list %v after the first restart", name, at.Sub(begin))
		}
	}
	noFailures(t, s.journal, begin, time.Now())
}

const listedSQL = "SELECT host || ':' || port FROM skerry_service_registry WHERE cluster = $1 AND service = 'echo' " +
	"AND alive"

// listed returns the addresses of echo with a lease that is alive by the database's clock.
func (s *site) listed(url string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(ctx, listedSQL, s.cluster)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// lists reports whether the database answers and lists n instances.
func (s *site) lists(n int) bool {
	list, err := s.list()
	return err == nil && len(list) == n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
