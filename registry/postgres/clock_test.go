//go:build linux

package postgres_test

import (
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
)

// TestClockSetBack: the database's clock is set back while the server runs, so that the server's
// own start lies ahead of it. No living process leaves a list, and dead ones expire in time.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{Moving: true, Ahead: 400 * time.Second})
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	cable := server.Proxy(t)
	dying := start(t, quick(t, cable.URL(server.URL(db)), newOwner()))
	b.sees(2*time.Second, in, dying.offer())
	if err := server.MoveClock(0); err != nil {
		t.Fatal(err)
	}
	await(t, 5*time.Second, "the clock", func() bool {
		return one[bool](t, server.SocketURL(db),
			"SELECT pg_postmaster_start_time() > clock_timestamp() + interval '5 minutes'")
	})
	b.holds(5*time.Second, in, dying.instance())
	cable.Cut()
	b.until(30*time.Second, "the end of the dead", func(s registry.Snapshot) bool { return len(s.Instances) == 1 },
		keeps(in))
	b.holds(5*time.Second, in)
}

// TestClockSetBackALittle: a clock that goes back by less than a heartbeat makes no lease look
// lapsed.
func TestClockSetBackALittle(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{Moving: true, Ahead: time.Minute})
	db := server.CreateDB(t)
	var nodes []*node
	var want []registry.Instance
	for range 6 {
		cfg := quick(t, server.URL(db), newOwner())
		cfg.Heartbeat, cfg.Poll, cfg.Expiry = 12*time.Second, 12*time.Second, 36*time.Second
		n := start(t, cfg)
		nodes, want = append(nodes, n), append(want, n.offer())
	}
	for _, n := range nodes {
		n.sees(5*time.Second, want...)
	}
	await(t, time.Minute, "a settled site", func() bool {
		return one[bool](t, server.SocketURL(db),
			"SELECT min(resumed) < now() - interval '17 seconds' FROM skerry_cluster")
	})
	if err := server.MoveClock(time.Minute - 14*time.Second); err != nil {
		t.Fatal(err)
	}
	nodes[0].holds(30*time.Second, want...)
	for _, n := range nodes {
		n.holds(0, want...)
	}
}
