//go:build linux

package postgres

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
)

// TestSettled: after an outage no lease expires for a pause. This also holds for a statement that
// began before the one that ended the outage and sees its outcome. A clock that was set back
// settles in the end.
func TestSettled(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	conn, err := pgx.Connect(t.Context(), server.URL(server.CreateDB(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const pause = 50 * time.Millisecond
	time.Sleep(2 * pause) // the server itself needs that
	sql := statement("SELECT {settled} FROM (SELECT now() + @ahead::bigint * interval '1 microsecond' AS resumed) c")
	for resumed, want := range map[time.Duration]bool{
		-2 * pause: true, -pause / 2: false, 0: false, 2 * time.Millisecond: false, pause / 2: false, 2 * pause: true,
	} {
		var settled bool
		args := pgx.NamedArgs{"pause": pause.Milliseconds(), "ahead": resumed.Microseconds()}
		if err := conn.QueryRow(t.Context(), sql, args).Scan(&settled); err != nil {
			t.Fatal(err)
		}
		if settled != want {
			t.Errorf("resumed %v from now: settled %v, want %v", resumed, settled, want)
		}
	}
}
