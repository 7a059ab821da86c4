//go:build linux

package postgres_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

func row(side health.Side, method, peer string, ok, timeouts int64, p50 time.Duration) health.Row {
	now := time.Now().Add(time.Hour) // the node's clock is an hour off
	r := health.Row{Key: health.Key{Side: side, Service: "auth", Method: method, Peer: peer},
		From: now.Add(-30 * time.Second), To: now,
		Sum: time.Duration(ok+timeouts) * p50, P50: p50, P99: 2 * p50, Max: 3 * p50}
	r.Outcomes[health.OK], r.Outcomes[health.Timeout] = ok, timeouts
	return r
}

func TestStats(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a, b := start(t, quick(t, server.URL(db), newOwner())), start(t, quick(t, server.URL(db), newOwner()))
	a.offer()
	b.until(2*time.Second, "tables", live)
	write := func(n *node, rows ...health.Row) {
		t.Helper()
		if err := n.Write(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	write(a, row(health.Server, "login", "portal", 10, 0, time.Millisecond))
	write(b, row(health.Client, "login", "10.0.0.1:7000", 6, 2, 2*time.Millisecond),
		row(health.Client, "login", "10.0.0.2:7000", 2, 0, 7*time.Millisecond))
	write(b, row(health.Client, "logout", "10.0.0.1:7000", 0, 1, time.Second))

	stats, err := a.Stats(t.Context(), postgres.StatQuery{Method: "login"})
	if err != nil || len(stats) != 2 {
		t.Fatalf("%v, %+v; want the two sides of login", err, stats)
	}
	c := stats[0]
	if c.Side != "client" || c.Calls != 10 || c.Failures != 2 || c.Outcomes[health.OK] != 8 ||
		c.Outcomes[health.Timeout] != 2 ||
		c.Mean != 3*time.Millisecond || c.P50 != 3*time.Millisecond || c.P99 != 14*time.Millisecond ||
		c.Max != 21*time.Millisecond ||
		c.Processes != 1 {
		t.Errorf("client side of login: %+v", c)
	}
	if d := time.Since(c.Last).Abs(); d > 5*time.Second || c.Last.Sub(c.First) < 30*time.Second {
		t.Errorf("counted from %v to %v; want the last 30 s by the database's clock", c.First, c.Last)
	}
	if stats, err = b.Stats(t.Context(), postgres.StatQuery{Service: "auth", ByPeer: true}); err != nil ||
		len(stats) != 4 ||
		stats[0].Peer != "10.0.0.1:7000" {
		t.Errorf("by peer: %v, %+v", err, stats)
	}
	for until, want := range map[time.Duration]int{0: 4, 20 * time.Second: 4, 5 * time.Minute: 0} {
		q := postgres.StatQuery{Until: until, ByPeer: true}
		if stats, err = b.Stats(t.Context(), q); err != nil || len(stats) != want {
			t.Errorf("until %v: %v, %+v; want %d", until, err, stats, want)
		}
	}
	who := one[string](
		t,
		server.URL(db),
		"SELECT string_agg(DISTINCT side || ' ' || host || ':' || port, ', ' ORDER BY side || ' ' || host || ':' || "+
			"port) FROM skerry_call_stat",
	)
	if want := "client " + b.owner.Host + ":0, server " + a.owner.Host + ":7000"; who != want {
		t.Errorf("counted by %q, want %q", who, want)
	}
}

// A name that is no text stops no statistics, in a database of any encoding. It is written quoted,
// and logged once.
func TestStatsOfOddNames(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	euc := server.CreateDB(t) + "_euc"
	server.Exec(t, "postgres",
		"CREATE DATABASE "+euc+" ENCODING 'EUC_CN' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	for db, ship := range map[string]string{server.CreateDB(t): "🚢", euc: `"\U0001f6a2"`} {
		log := &lines{}
		cfg := quick(t, server.URL(db), newOwner())
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
		a := start(t, cfg)
		a.offer()
		a.until(10*time.Second, "tables", live)
		for range 2 {
			err := a.Write(t.Context(), []health.Row{
				row(health.Server, "login", "portal", 1, 0, time.Millisecond),
				row(health.Server, "login", "nul\x00", 1, 0, time.Millisecond),
				row(health.Server, "login", "bytes\xff", 1, 0, time.Millisecond),
				row(health.Server, "login", "\x1b[2J", 1, 0, time.Millisecond),
				row(health.Server, "login", strings.Repeat("x", 100_000), 1, 0, time.Millisecond),
				row(health.Server, "login", "认证", 1, 0, time.Millisecond),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Write(t.Context(), []health.Row{row(health.Server, "login", "🚢", 1, 0,
			time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		peers := one[string](t, server.URL(db)+"&client_encoding=UTF8",
			"SELECT string_agg(DISTINCT left(peer, 20), ' ' ORDER BY left(peer, 20)) FROM skerry_call_stat")
		for _, want := range []string{"portal", `"nul\x00"`, `"bytes\xff"`, `"\x1b[2J"`, strings.Repeat("x", 20),
			"认证", ship} {
			if !slices.Contains(strings.Fields(peers), want) {
				t.Errorf("%s: no %s among %s", db, want, peers)
			}
		}
		if n := strings.Count(log.String(), "no text"); n != 1 {
			t.Errorf("it was said %d times", n)
		}
	}
}

// lines collects what is logged.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestStatsNeedRun(t *testing.T) {
	t.Parallel()
	r := open(t, quick(t, "postgres://127.0.0.1:1/x", newOwner()))
	if err := r.Write(t.Context(), []health.Row{row(health.Client, "m", "p", 1, 0, 1)}); !errors.Is(err,
		registry.ErrUnavailable) {
		t.Errorf("Write without Run: %v; want ErrUnavailable", err)
	}
}

// TestClean: rows without further use are removed; needed rows and those of another cluster stay.
func TestClean(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a := start(t, quick(t, server.URL(db), newOwner()))
	kept := a.offer()
	old := kept
	old.Version = "v0"
	if err := a.Register(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := a.Deregister(t.Context(), old.ID()); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(t.Context(), []health.Row{row(health.Client, "m", "p", 1, 0, 1),
		row(health.Client, "young", "p", 1, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	a.sees(time.Second, kept)
	server.Exec(t, db, `UPDATE skerry_instance SET changed = now() - interval '1 hour';
		INSERT INTO skerry_instance SELECT 'other', service, version, host, port, owner, protocol, zone, weight, tls,
			tags, started, rev, gone, changed FROM skerry_instance;
		UPDATE skerry_call_stat SET to_at = now() - interval '8 days' WHERE method = 'm';
		INSERT INTO skerry_instance SELECT cluster, service, version, 'orphan', port, 'dead/1/1', protocol, zone,
			weight, tls, tags, started, rev + 1, 0, changed
			FROM skerry_instance WHERE gone = 0 AND cluster = 'site';
		UPDATE skerry_revision SET rev = rev + 1;
		UPDATE skerry_cluster SET cleaned = now() - interval '11 minutes'`)
	deadline := time.Now().Add(20 * time.Second)
	const left = `SELECT (SELECT count(*) FROM skerry_instance WHERE cluster = 'site') || ' of ours, ' ||
		(SELECT count(*) FROM skerry_instance WHERE cluster = 'other') || ' of others, ' ||
		(SELECT count(*) FROM skerry_instance WHERE owner = 'dead/1/1' AND gone = 2) || ' orphan expired, ' ||
		(SELECT string_agg(method, ' ') FROM skerry_call_stat)`
	const want = "2 of ours, 2 of others, 1 orphan expired, young"
	for {
		got := one[string](t, server.URL(db), left)
		if got == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %s; want %s", got, want)
		}
		a.holds(200*time.Millisecond, kept)
	}
	if ok := one[bool](t, server.URL(db),
		"SELECT kept > 0 AND kept < rev FROM skerry_revision WHERE cluster = 'site'"); !ok {
		t.Error("kept does not say that removed rows are no longer there to be read")
	}
}
