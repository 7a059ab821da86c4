//go:build linux

package guarantees

import (
	"fmt"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// oldRows adds instances of echo with processes that died long ago: copies of a
// living one at other addresses. %d is their number, %s the age of their leases.
const oldRows = `BEGIN;
INSERT INTO skerry_lease SELECT cluster, 'old' || n || '/1/1', now() - interval '%[2]s', interval '30 seconds'
	FROM (SELECT cluster FROM skerry_instance WHERE service = 'echo' LIMIT 1) l, generate_series(1, %[1]d) n;
INSERT INTO skerry_instance SELECT cluster, service, version, '127.0.0.' || 2 + n / 60000, 1 + n %% 60000,
	'old' || n || '/1/1', protocol, zone, weight, tls, tags, now() - interval '2 hours', rev, 0,
	now() - interval '%[2]s'
	FROM (SELECT * FROM skerry_instance WHERE service = 'echo' AND gone = 0 LIMIT 1) l, generate_series(1, %[1]d) n;
COMMIT`

// TestOldRowsFailNoCall: two providers stand beside rows of dead processes: a hundred thousand with
// leases that ended an hour ago, and ten of twelve in a restored backup. Earlier and new callers
// call only the living ones.
func TestOldRowsFailNoCall(t *testing.T) {
	t.Parallel()
	for name, bring := range map[string]func(t *testing.T, pg *pgtest.Server, db string){
		"a hundred thousand": func(t *testing.T, pg *pgtest.Server, db string) {
			pg.Exec(t, db, fmt.Sprintf(oldRows, 100_000, "1 hour"))
		},
		"ten of twelve in a backup": func(t *testing.T, pg *pgtest.Server, db string) {
			pg.Exec(t, db, fmt.Sprintf(oldRows, 10, "20 seconds")) // alive when the backup is made
			backup := pg.Dump(t, db)
			pg.Exec(t, db,
				"DELETE FROM skerry_instance WHERE owner LIKE 'old%'; DELETE FROM skerry_lease WHERE owner LIKE 'old%'")
			time.Sleep(quick.expiry)
			pg.Restore(t, db, backup)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pg := pgtest.Own(t, pgtest.Options{})
			db := pg.CreateDB(t)
			s := newSite(t, quick.lines("database", "lo", pg.URL(db)))
			s.provider("first", how{})
			s.provider("second", how{})
			early := s.consumer("early", how{pause: 20 * time.Millisecond})
			s.warm("first", "second")
			memory := early.held()
			begin := time.Now()
			bring(t, pg, db)
			s.list = func() ([]string, error) { return s.listed(pg.SocketURL(db)) }
			eventually(t, setUp, "the living are back", func() bool { return s.lists(2) })
			late := s.consumer("late", how{pause: 20 * time.Millisecond})
			time.Sleep(quick.verdict() + quick.expiry) // the site settles, and the old ones expire
			first := s.journal.firstAnswerTo("late", "first")
			if other := s.journal.firstAnswerTo("late", "second"); other.Before(first) {
				first = other
			}
			for _, r := range s.journal.failures(begin, time.Now()) {
				if r.caller != "late" || r.start.After(first) { // before that it may wait too long for its first list
					t.Errorf("failed call of %s %v after the start: %s %s", r.caller, r.start.Sub(begin),
						r.code, r.text)
				}
			}
			calls := s.journal.calls(func(r record) bool { return r.start.After(begin) })
			if len(calls) < 100 || s.journal.firstAnswerTo("late", "first").IsZero() ||
				s.journal.firstAnswerTo("late", "second").IsZero() {
				t.Errorf("%d calls, want hundreds, of both callers to both providers", len(calls))
			}
			t.Logf("%d calls; %d KiB before, %d and %d KiB after", len(calls), memory, early.held(), late.held())
			if most := max(early.held(), late.held()); most > memory+128<<10 {
				t.Errorf("%d KiB at most, %d KiB before the old rows came: want 128 MiB more at most", most, memory)
			}
		})
	}
}
