//go:build linux

package postgres_test

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// TestEvict: the rows of a dead process are removed at once, and every process sees that. A process
// whose lease was renewed lately stays, and one that was taken off by mistake lists itself again.
func TestEvict(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	dead := newOwner()
	live := a.offer()
	b.sees(20*time.Second, live)
	server.Exec(t, db, `
		INSERT INTO skerry_lease
			VALUES ('site', '`+dead.String()+`', now() - interval '59 seconds', interval '90 seconds');
		UPDATE skerry_revision SET rev = rev + 1;
		INSERT INTO skerry_instance
			SELECT 'site', 'auth', 'v1', '192.0.2.1', 7099, '`+dead.String()+`', 'skerry', '', 0, false, '{}',
					now() - interval '2 hours', rev, 0, now() - interval '2 hours' FROM skerry_revision`)
	if n, ago, err := b.Evict(t.Context(), dead, false); n != 0 || ago < 59*time.Second || err != nil {
		t.Errorf("renewed a minute ago: %d instances are removed, renewed %v ago, %v", n, ago, err)
	}
	if n := one[int](t, server.URL(db), "SELECT count(*) FROM skerry_instance WHERE gone = 0 AND port = 7099"); n != 1 {
		t.Errorf("%d rows of the process, which was to stay", n)
	}
	server.Exec(t, db,
		"UPDATE skerry_lease SET heartbeat = now() - interval '61 seconds' WHERE owner = '"+dead.String()+"'")
	for _, want := range []int{1, 0} {
		if n, ago, err := b.Evict(t.Context(), dead, false); n != want || ago != 0 || err != nil {
			t.Errorf("%d instances are removed, want %d; renewed %v ago, %v", n, want, ago, err)
		}
	}
	if n := one[int](t, server.URL(db), `SELECT (SELECT count(*) FROM skerry_instance WHERE gone = 0 AND port = 7099)
		+ (SELECT count(*) FROM skerry_lease WHERE heartbeat < now() - interval '50 seconds')`); n != 0 {
		t.Errorf("%d rows of the process are left", n)
	}
	b.sees(20*time.Second, live)

	if n, ago, err := b.Evict(t.Context(), live.Owner, false); n != 0 || ago == 0 || err != nil {
		t.Errorf("a living process: %d instances are removed, renewed %v ago, %v", n, ago, err)
	}
	if n, _, err := b.Evict(t.Context(), live.Owner, true); n != 1 || err != nil {
		t.Errorf("by mistake: %d instances, %v", n, err)
	}
	b.sees(20*time.Second, live)
}
