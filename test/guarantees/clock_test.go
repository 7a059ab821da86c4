//go:build linux

package guarantees

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
)

// The scenes of a database at its default intervals: expiry by its own clock,
// and life without notifications.

// leaseEnds is 90 s after the last heartbeat. Every process knows it one read later, with a second
// for the machine.
const (
	leaseEnds = 90 * time.Second
	oneRead   = 30 * time.Second
	slack     = time.Second
)

// TestKilledProviderLeavesEveryList: no process has a connection to it, so only the lease shows its
// end. The clocks of database and nodes are an hour apart.
func TestKilledProviderLeavesEveryList(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"nodes an hour late": time.Hour,
		"nodes an hour early": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pg := pgtest.Own(t, pgtest.Options{Ahead: ahead})
			db := pg.CreateDB(t)
			s := newSite(t, fmt.Sprintf("mode: database\nlan: {interfaces: [lo]}\ndatabase: {url: %q}", pg.URL(db)))
			s.list = func() ([]string, error) { return s.listed(pg.SocketURL(db)) }
			s.provider("stays", how{})
			s.provider("stays-too", how{})
			victim := s.provider("dies", how{})
			watchers := []string{"early", "late"}
			for _, w := range watchers {
				s.consumer(w, how{callers: watcher})
				eventually(t, setUp, w+" lists all", func() bool {
					return s.journal.shows(w, "dies", "stays", "stays-too")
				})
				time.Sleep(3 * time.Second) // their reads come at different times
			}
			died := victim.kill()
			clock, age := leaseOf(t, s, pg.SocketURL(db))
			if off := time.Until(clock) - ahead; off.Abs() > time.Minute {
				t.Fatalf("the database's clock is %v ahead, want %v: the scene proves nothing",
					time.Until(clock), ahead)
			}
			s.expire(watchers, died, leaseEnds-age)
		})
	}
}

// expire waits until every process has dropped the dead provider, with a lease that lives for so
// much longer.
func (s *site) expire(watchers []string, died time.Time, lives time.Duration) {
	t := s.t
	t.Helper()
	end := died.Add(lives)
	row := eventually(t, time.Until(end.Add(slack)), "the view says that the lease has run out",
		func() bool { return s.lists(2) })
	t.Logf("the lease ran out %v after the kill", row.Sub(died).Round(100*time.Millisecond))
	if row.Before(end.Add(-slack)) {
		t.Errorf("the lease ran out %v too early", end.Sub(row))
	}
	for _, w := range watchers {
		eventually(t, time.Until(end.Add(oneRead+slack)), w+" drops it", func() bool {
			return !s.journal.unlisted(w, "dies").IsZero()
		})
		at := s.journal.unlisted(w, "dies")
		t.Logf("%s dropped it %v after the kill, %v after the end of its lease", w,
			at.Sub(died).Round(100*time.Millisecond), at.Sub(end).Round(100*time.Millisecond))
		if at.Before(end.Add(-slack)) || at.After(died.Add(leaseEnds+oneRead+slack)) {
			t.Errorf("%s dropped it %v after the kill; its lease lived for %v", w, at.Sub(died), lives)
		}
		if !s.journal.shows(w, "stays", "stays-too") {
			t.Errorf("%s does not list the others any more", w)
		}
	}
}

// leaseOf returns the database's time, and by it the age of the lease of "dies".
func leaseOf(t *testing.T, s *site, url string) (clock time.Time, age time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	must(t, err)
	defer conn.Close(ctx)
	var seconds float64
	must(t, conn.QueryRow(ctx, `SELECT now(), extract(epoch FROM now() - l.heartbeat)
		FROM skerry_lease l JOIN skerry_instance i USING (cluster, owner)
		WHERE cluster = $1 AND i.tags->>'who' = 'dies'`, s.cluster).Scan(&clock, &seconds))
	return clock, time.Duration(seconds * float64(time.Second))
}

// TestNewInstanceWithoutNotifications: behind a pooler that shares sessions notifications are lost,
// and polling remains.
func TestNewInstanceWithoutNotifications(t *testing.T) {
	t.Parallel()
	pg := pgtest.Own(t, pgtest.Options{})
	url := pg.Pooler(t, pg.CreateDB(t))
	s := newSite(t, fmt.Sprintf("mode: database\nlan: {interfaces: [lo]}\ndatabase: {url: %q}", url))
	callers := []string{"caller0", "caller1", "caller2"}
	s.provider("first", how{})
	for _, c := range callers {
		s.consumer(c, how{pause: 20 * time.Millisecond})
		eventually(t, oneRead+slack, c+" is answered by the first provider", func() bool {
			return !s.journal.firstAnswerTo(c, "first").IsZero()
		})
		time.Sleep(time.Second) // their reads come at different times
	}
	begin := time.Now()
	s.provider("second", how{})
	serving := s.journal.at("second", "serve")
	var waits []time.Duration
	for _, c := range callers {
		eventually(t, time.Until(serving.Add(32*time.Second)), c+" is answered by the second provider", func() bool {
			return !s.journal.firstAnswerTo(c, "second").IsZero()
		})
		took := s.journal.firstAnswerTo(c, "second").Sub(serving)
		waits = append(waits, took)
		t.Logf("%s called it after %v", c, took.Round(time.Millisecond))
		if took > 31*time.Second {
			t.Errorf("%s called the new instance after %v, want at most 31 s", c, took)
		}
	}
	if slices.Max(waits) < 2*time.Second {
		t.Errorf("every process knew within 2 s: notifications arrive, the scene proves nothing")
	}
	noFailures(t, s.journal, begin, time.Now())
}
