//go:build linux

package postgres_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
	"github.com/skerry/skerry/registry/registrytest"
)

// quick are intervals for tests in real time, a fifteenth of the defaults.
func quick(t testing.TB, url string, owner registry.Owner) postgres.Config {
	return postgres.Config{URL: url, Cluster: "site", Owner: owner, Heartbeat: 2 * time.Second, Expiry: 6 * time.Second, Poll: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil))}
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
	t.Run("Listening", func(t *testing.T) { conformance(t, false) })
	t.Run("Polling", func(t *testing.T) { conformance(t, true) })
}

func conformance(t *testing.T, pollOnly bool) {
	registrytest.Run(t, func(t *testing.T) *registrytest.Harness {
		server := pgtest.Shared(t)
		db := server.CreateDB(t)
		in := func(cluster string) func(*testing.T, registry.Owner) registry.Registry {
			return func(t *testing.T, owner registry.Owner) registry.Registry {
				cfg := quick(t, server.URL(db), owner)
				cfg.Cluster, cfg.PollOnly = cluster, pollOnly
				return open(t, cfg)
			}
		}
		h := &registrytest.Harness{
			Open:      in("site"),
			OpenOther: in("other"),
			Seen:      time.Second,
			Dead:      6*time.Second + 4*time.Second,
			Lost:      10 * time.Second,
			Back:      7 * time.Second,
		}
		if pollOnly {
			h.Seen = 3 * time.Second
		}
		h.Forget = func(t *testing.T) {
			server.Exec(t, db, "DELETE FROM skerry_instance; DELETE FROM skerry_lease; UPDATE skerry_revision SET rev = rev - 1")
		}
		return h
	})
}
