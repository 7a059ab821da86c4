//go:build linux

package guarantees

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
)

// The scenes of processes that start without a source.

// TestStartWithoutDatabase: provider and consumer start without LAN while the database is down, and
// find each other when it returns.
func TestStartWithoutDatabase(t *testing.T) {
	t.Parallel()
	pg := pgtest.Own(t, pgtest.Options{})
	url := pg.URL(pg.CreateDB(t))
	must(t, pg.Stop())
	s := newSite(t, fmt.Sprintf("mode: database\nlan: {interfaces: [lo]}\ndatabase: {url: %q}", url))
	s.provider("patient", how{})
	s.consumer("caller", how{pause: 50 * time.Millisecond})
	time.Sleep(10 * time.Second)
	must(t, pg.Start())
	returned := time.Now()
	eventually(t, 35*time.Second, "a call is answered", func() bool {
		return !s.journal.firstAnswer("patient").IsZero()
	})
	t.Logf("first answer %v after the return",
		s.journal.firstAnswer("patient").Sub(returned).Round(100*time.Millisecond))
	for _, r := range s.journal.failures(time.Time{}, time.Now()) {
		// The instance may come in the last moment of a call.
		if r.code != "no_instance" && r.code != "deadline_exceeded" || r.executed != "1" {
			t.Fatalf("a call before failed as %s (executed %s), want no_instance and not executed: %s", r.code,
				r.executed, r.text)
		}
	}
	time.Sleep(2 * time.Second)
	noFailures(t, s.journal, s.journal.firstAnswer("patient"), time.Now())
}

// TestColdStartFromDisk: a consumer starts while every source is down, and calls the instances that
// it knew before.
func TestColdStartFromDisk(t *testing.T) {
	t.Parallel()
	pg := pgtest.Own(t, pgtest.Options{})
	s := newSite(t, fmt.Sprintf("mode: database\nlan: {interfaces: [lo]}\ndatabase: {url: %q}", pg.URL(pg.CreateDB(t))))
	s.provider("one", how{})
	s.provider("two", how{})
	before := s.consumer("before", how{})
	s.warm("one", "two")
	before.stop()
	before.wait(10 * time.Second)
	must(t, pg.Stop())

	begin := time.Now()
	s.consumer("after", how{state: "before"})
	for _, name := range []string{"one", "two"} {
		eventually(t, 5*time.Second, name+" is called from the disk's list", func() bool {
			return !s.journal.firstAnswerTo("after", name).IsZero()
		})
		took := s.journal.firstAnswerTo("after", name).Sub(s.journal.at("after", "ready"))
		t.Logf("%s answered %v after the start", name, took.Round(time.Millisecond))
		if took > time.Second {
			t.Errorf("%s was called after %v, want at most 1 s", name, took)
		}
	}
	if !s.journal.shows("after", "one*", "two*") {
		t.Errorf("listed: %v, want both marked as stale", s.journal.listings("after"))
	}
	must(t, pg.Start())
	eventually(t, 35*time.Second, "the list is confirmed", func() bool {
		return s.journal.shows("after", "one", "two")
	})
	noFailures(t, s.journal, begin, time.Now())
}

// TestMixedModes: the nodes of a site have different modes, and one of them can't reach the
// database. Those in mode auto see all, and the others see all that share a registry with them.
func TestMixedModes(t *testing.T) {
	t.Parallel()
	pg := pgtest.Shared(t)
	url := pg.URL(pg.CreateDB(t))
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, unused.Close())
	lines := func(mode, url string) how { return how{site: quick.lines(mode, "lo", url)} }
	modes := map[string]how{
		"auto":     lines("auto", url),
		"cut-off":  lines("auto", "postgres://postgres@"+unused.Addr().String()+"/none"),
		"database": lines("database", url),
		"lan":      {site: onLoopback},
	}
	s := newSite(t, "")
	for name, h := range modes {
		s.provider("p-"+name, h)
	}
	for caller, sees := range map[string][]string{
		"auto":     {"p-auto", "p-cut-off", "p-database", "p-lan"},
		"cut-off":  {"p-auto", "p-cut-off", "p-lan"},
		"database": {"p-auto", "p-database"},
		"lan":      {"p-auto", "p-cut-off", "p-lan"},
	} {
		s.consumer("c-"+caller, modes[caller])
		eventually(t, setUp, fmt.Sprintf("%s lists %v", caller, sees), func() bool {
			return s.journal.shows("c-"+caller, slices.Clone(sees)...)
		})
		for _, name := range sees {
			eventually(t, setUp, name+" answers "+caller, func() bool {
				return !s.journal.firstAnswerTo("c-"+caller, name).IsZero()
			})
		}
	}
	begin := time.Now()
	time.Sleep(time.Second)
	noFailures(t, s.journal, begin, time.Now())
}
