//go:build linux

package postgres_test

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
	"github.com/skerry/skerry/registry/registrytest"
)

// quick are intervals for tests in real time, a fifteenth of the defaults.
func quick(t testing.TB, url string, owner registry.Owner) postgres.Config {
	return postgres.Config{
		URL:       url,
		Cluster:   "site",
		Owner:     owner,
		Heartbeat: 2 * time.Second,
		Expiry:    6 * time.Second,
		Poll:      2 * time.Second,
		Logger:    slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
}

// testLog sends log lines to the test's own log.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s %s", time.Now().Format("05.000"), b)
	return len(b), nil
}

func open(t testing.TB, cfg postgres.Config) *postgres.Registry {
	t.Helper()
	r, err := postgres.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("Listening", func(t *testing.T) { t.Parallel(); conformance(t, false) })
	t.Run("Polling", func(t *testing.T) { t.Parallel(); conformance(t, true) })
}

func conformance(t *testing.T, pollOnly bool) {
	registrytest.Run(t, func(t *testing.T) *registrytest.Harness {
		s := &site{server: pgtest.Shared(t), cables: map[registry.Registry]*pgtest.Proxy{}}
		s.db = s.server.CreateDB(t)
		in := func(cluster string) func(*testing.T, registry.Owner) registry.Registry {
			return func(t *testing.T, owner registry.Owner) registry.Registry {
				cfg := quick(t, "", owner)
				cfg.Cluster, cfg.PollOnly = cluster, pollOnly
				return s.open(t, cfg)
			}
		}
		h := &registrytest.Harness{
			Open:      in("site"),
			OpenOther: in("other"),
			Kill:      func(_ *testing.T, r registry.Registry) { s.cables[r].Cut() },
			Cut:       func(*testing.T) { s.cut() },
			Heal:      func(*testing.T) { s.heal() },
			Apart:     true,
			Seen:      time.Second,
			Dead:      6*time.Second + 2*time.Second + time.Second, // expiry, one read, and this slow machine
			Lost:      10*time.Second + time.Second,
			Back:      7 * time.Second,
		}
		if pollOnly {
			h.Seen = 3 * time.Second
		}
		h.Forget = func(t *testing.T) {
			s.server.Exec(t, s.db,
				"DELETE FROM skerry_instance; DELETE FROM skerry_lease; UPDATE skerry_revision SET rev = rev - 1")
		}
		return h
	})
}

// site is a database and the proxies that lead to it.
type site struct {
	server *pgtest.Server
	db     string

	mu     sync.Mutex
	down   bool
	cables map[registry.Registry]*pgtest.Proxy
}

// open makes a registry with a proxy of its own.
func (s *site) open(t *testing.T, cfg postgres.Config) *postgres.Registry {
	cable := s.server.Proxy(t)
	cfg.URL = cable.URL(s.server.URL(s.db))
	r := open(t, cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cables[r] = cable
	if s.down {
		cable.Cut()
	}
	return r
}

func (s *site) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for _, c := range s.cables {
		c.Cut()
	}
}

func (s *site) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
	for _, c := range s.cables {
		c.Heal()
	}
}
