//go:build linux

package consistency

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
)

// instances returns how many instances of a service the database lists.
func (d *database) instances(service string) (n int) {
	d.site.t.Helper()
	ctx, cancel := context.WithTimeout(d.site.t.Context(), 40*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.SocketURL(d.name))
	must(d.site.t, err)
	defer conn.Close(ctx)
	must(d.site.t, conn.QueryRow(ctx, "SELECT count(*) FROM skerry_service_registry WHERE service = $1",
		service).Scan(&n))
	return n
}

// TestFrozenProvider: a provider freezes in database mode for longer than its lease. It leaves the
// lists. Its callers lose the calls under way, but none of an idempotent method. After it thaws it
// is listed and called again, or, when it was asked to leave meanwhile, it leaves.
func TestFrozenProvider(t *testing.T) {
	t.Parallel()
	const workers = 4
	s, d := onDatabase(t, 4, "database", pgtest.Options{})
	hangs := s.serve(1, "auth-1", "auth", "v1")
	s.serve(2, "auth-2", "auth", "v1")
	load := part{Workers: workers, Pause: 10 * time.Millisecond, Plans: []plan{call("", call("auth"))}}
	s.job(0, "once", load)
	s.job(3, "again", load, how{lines: strings.Replace(s.lines, everywhere, repeating, 1)})
	served := func(by string) int { return s.book.count(began, func(n note) bool { return n.by(by) }) }
	requests := func(of string, ok bool) int {
		return s.book.count(asked, func(n note) bool {
			return strings.HasPrefix(n.Trace, of+"/") && (n.Code == "") == ok
		})
	}
	called := func(what string) { // by both callers, some more times
		t.Helper()
		before := served("auth-1")
		s.await("auth-1 is called "+what, func() bool { return served("auth-1") > before+50 })
	}
	goOn := func() {
		t.Helper()
		for _, of := range []string{"once", "again"} {
			before := requests(of, true)
			s.await("calls go on", func() bool { return requests(of, true) > before+100 })
		}
	}
	called("at first")

	freezes := 0
	freeze := func() {
		t.Helper()
		freezes++
		hangs.freeze()
		s.await("its lease has ended", func() bool { return d.instances("auth") == 1 })
		goOn()
	}
	for range 2 {
		freeze()
		hangs.thaw()
		s.await("it is listed again", func() bool { return d.instances("auth") == 2 })
		called("when it goes on")
	}
	freeze()
	must(t, hangs.Signal(syscall.SIGTERM))
	before := served("auth-1")
	hangs.thaw()
	hangs.gone()
	goOn()
	if n := served("auth-1") - before; n > 2*workers {
		t.Errorf("%d calls were executed by a process that leaves and is on no list; the callers had at most %d "+
			"with it", n, 2*workers)
	}
	if n := d.instances("auth"); n != 1 {
		t.Errorf("%d are listed in the end", n)
	}
	if s.book.count(left, named("auth-1")) != 1 {
		t.Error("it has not left in peace")
	}
	once, again := requests("once", false), requests("again", false)
	t.Logf("%d freezes: of %d calls %d failed, of %d idempotent ones %d", freezes, requests("once", true)+once, once,
		requests("again", true)+again, again)
	if once > workers*freezes || again > 0 {
		t.Errorf("%d calls and %d idempotent calls failed, with %d callers and %d freezes", once, again, workers,
			freezes)
	}
}
