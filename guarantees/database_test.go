package guarantees

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
)

// The scenes of a database that goes away, in mode auto on one machine. The
// outage lasts longer than the expiry of every lease.

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

// The intervals of these scenes are a third of the default ones, the outage a
// good two minutes of default time.
const (
	heartbeat = 10 * time.Second
	expiry    = 30 * time.Second
	outageFor = 45 * time.Second
	backIn    = heartbeat + 5*time.Second // 35 s at the default heartbeat
)

// autoMode is what every process of these scenes is told besides the database.
const autoMode = "mode: auto\nlan: {interfaces: [lo], key: guarantee-of-the-site}\ndatabase: {url: %q, heartbeat: %v, expiry: %v, poll: %v}"

func TestDatabaseOutageFailsNoCall(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			pg := pgtest.Own(t, pgtest.Options{})
			db := pg.CreateDB(t)
			s := newSite(t, fmt.Sprintf(autoMode, pg.URL(db), heartbeat, expiry, heartbeat))
			s.list = func() []string { return s.listed(pg.SocketURL(db)) }
			s.provider("one", how{})
			s.provider("two", how{})
			caller := s.consumer("caller", how{})
			s.warm("one", "two")
			eventually(t, 10*time.Second, "two rows in the registry", func() bool { return len(s.list()) == 2 })

			begin := time.Now()
			must(t, o.away(pg))
			s.outage(caller, begin)
			returned := time.Now()
			must(t, o.back(pg))
			s.recovery(returned)
			noFailures(t, s.journal, begin, time.Now())
		})
	}
}

// outage is what must hold while the database is away.
func (s *site) outage(caller *process, begin time.Time) {
	s.t.Helper()
	noticed := eventually(s.t, 12*time.Second, "the caller's log says that the database is lost", func() bool { return caller.said("database lost") })
	s.t.Logf("loss noticed after %v", noticed.Sub(begin).Round(100*time.Millisecond))
	if noticed.Sub(begin) > 10*time.Second {
		s.t.Errorf("loss noticed after %v, want at most 10 s", noticed.Sub(begin))
	}
	s.provider("meanwhile", how{})
	s.warm("meanwhile")
	time.Sleep(time.Until(begin.Add(outageFor)))
}

// recovery is what must hold once it is back.
func (s *site) recovery(returned time.Time) {
	s.t.Helper()
	all := eventually(s.t, backIn+time.Second, "three fresh rows in the registry", func() bool { return len(s.list()) == 3 })
	s.t.Logf("all rows back %v after the database", all.Sub(returned).Round(100*time.Millisecond))
	for end := time.Now().Add(expiry + heartbeat); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if n := len(s.list()); n != 3 {
			s.t.Fatalf("%v after the return %d instances are listed, want 3: somebody was expired", time.Since(returned), n)
		}
	}
	recent := time.Now().Add(-5 * time.Second)
	for _, name := range []string{"one", "two", "meanwhile"} {
		if s.journal.lastAnswer(name).Before(recent) {
			s.t.Errorf("%s is not called any more", name)
		}
	}
}

const listedSQL = "SELECT host || ':' || port FROM skerry_service_registry WHERE cluster = $1 AND service = 'echo' AND alive"

// listed are the addresses of echo whose lease is alive by the database's
// clock; none when the database can't be asked.
func (s *site) listed(url string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(ctx, listedSQL, s.cluster)
	if err != nil {
		return nil
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil
	}
	return out
}

// said reports whether a process has logged a phrase.
func (p *process) said(phrase string) bool { return strings.Contains(p.logged(), phrase) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
