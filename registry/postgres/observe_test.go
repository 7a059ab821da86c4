//go:build linux

package postgres_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// TestObserverMakesNothing: a registry with Observe leaves an empty schema empty, and says what is
// missing.
func TestObserverMakesNothing(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	url := server.URL(server.CreateDB(t))
	cfg := quick(t, url, newOwner())
	cfg.Observe = true
	r := start(t, cfg)
	lost := make(chan error, 1)
	stop := r.Watch(registry.AllServices, func(s registry.Snapshot) {
		if s.Lost != nil {
			select {
			case lost <- s.Lost:
			default:
			}
		}
	})
	defer stop()
	select {
	case err := <-lost:
		if !errors.Is(err, postgres.ErrNoTables) {
			t.Errorf("lost: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("nothing is said of the missing tables")
	}
	if p := probe(t, url); len(p.Missing) == 0 {
		t.Error("it has made tables")
	}
}

// TestAdvice: the advice fits the server's error.
func TestAdvice(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	url := server.URL("no_such_database")
	r := open(t, quick(t, url, newOwner()))
	_, err := r.Probe(t.Context())
	if err == nil || !strings.Contains(r.Advice(err), "no_such_database") ||
		strings.Contains(r.Advice(err), "firewall") {
		t.Errorf("%v: %s", err, r.Advice(err))
	}
	if text := r.Advice(errors.New("connection refused")); !strings.Contains(text, "firewall") {
		t.Errorf("not reached: %s", text)
	}
}
