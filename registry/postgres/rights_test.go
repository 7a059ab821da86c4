//go:build linux

package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// TestRightsTooSmall: the user may not make tables. The error carries SQL for the administrator,
// which grants the right while the process runs.
func TestRightsTooSmall(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	user := server.CreateUser(t, db)
	a := start(t, quick(t, server.UserURL(db, user), newOwner()))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := a.Register(ctx, a.instance())
	rights, ok := errors.AsType[*postgres.RightsError](err)
	if !ok || !errors.Is(err, registry.ErrPending) {
		t.Fatalf("Register: %v; want ErrPending with a RightsError", err)
	}
	if rights.User != user || !strings.Contains(err.Error(), "skerry schema --grant-service "+user) ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("the error does not say in one line what to do: %v", err)
	}
	s := a.until(2*time.Second, "the loss", lost)
	if !errors.Is(s.Lost, registry.ErrUnavailable) {
		t.Errorf("lost: %v; want ErrUnavailable", s.Lost)
	}
	server.Exec(t, db, rights.SQL)
	a.sees(back, a.instance())
}

// TestReadOnlyUser: a user with only the right to read sees everything, and its registration names
// the missing right. Its process drops dead instances by itself.
func TestReadOnlyUser(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	a := start(t, quick(t, server.URL(db), newOwner()))
	in := a.offer()
	user := server.CreateUser(t, db, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO %s")
	reader := start(t, quick(t, server.UserURL(db, user), newOwner()))
	reader.sees(2*time.Second, in)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := reader.Register(ctx, reader.instance())
	if _, ok := errors.AsType[*postgres.RightsError](err); !ok {
		t.Errorf("Register by a reader: %v; want a RightsError", err)
	}
	in.Weight = 9
	if err := a.Register(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	reader.sees(time.Second, in)

	// The only writer dies. The reader detects it by the database's clock.
	cable := server.Proxy(t)
	b := start(t, quick(t, cable.URL(server.URL(db)), newOwner()))
	two := b.offer()
	reader.sees(time.Second, in, two)
	a.stop()
	reader.sees(time.Second, two)
	cable.Cut()
	b.stop()
	s := reader.until(6*time.Second+2*time.Second+time.Second, "the end of the dead",
		func(s registry.Snapshot) bool { return len(s.Instances) == 0 })
	if last := s.Gone[len(s.Gone)-1]; last.ID != two.ID() || last.Kind != registry.Expired {
		t.Errorf("departure: %v %v; want %v expired", last.ID, last.Kind, two.ID())
	}
}

// TestStartTogether: many processes find no tables, and all of them make the tables.
func TestStartTogether(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	nodes := make([]*node, 20)
	var all []registry.Instance
	for i := range nodes {
		nodes[i] = start(t, quick(t, server.URL(db), newOwner()))
		nodes[i].promise()
		all = append(all, nodes[i].instance())
	}
	for _, n := range nodes {
		n.sees(15*time.Second, all...)
	}
	if n := one[int](t, server.URL(db),
		"SELECT count(*)::int FROM skerry_service_registry WHERE alive AND age < '1 minute'"); n != len(nodes) {
		t.Errorf("the view shows %d registrations, want %d", n, len(nodes))
	}
}

// TestPasswordStaysSecret: no error and no log line holds the password.
func TestPasswordStaysSecret(t *testing.T) {
	t.Parallel()
	const secret = "hush-hush"
	var mu sync.Mutex
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, url := range []string{
		"postgres://app:" + secret + "@127.0.0.1:1/site",
		"postgres://app:" + secret + "@127.0.0.1:1,127.0.0.1:2/site?sslmode=disable",
		"postgres://app:" + secret + "@host:notaport/site",
		"postgres://app:" + secret + "@[::1/site",
		"host=127.0.0.1 port=1 user=app password=" + secret + " dbname=site",
		"host=127.0.0.1 port=x user=app password='" + secret + "'",
		"password=" + secret + " nonsense",
	} {
		cfg := quick(t, url, newOwner())
		cfg.Logger = log
		r, err := postgres.New(cfg)
		if err != nil {
			log.Error("new", "err", err)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err = r.Probe(ctx)
		log.Error("probe", "err", err)
		stop := r.Watch("auth", func(s registry.Snapshot) { log.Error("watch", "lost", s.Lost) })
		_ = r.Run(ctx)
		log.Error("register", "err", r.Register(ctx, registry.Instance{Service: "x", Host: "h", Port: 1}))
		_, err = r.Stats(context.Background(), postgres.StatQuery{})
		log.Error("stats", "err", err)
		stop()
		cancel()
	}
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(text.String(), secret) {
		t.Errorf("the password was logged:\n%s", text.String())
	}
	if !strings.Contains(text.String(), "app@127.0.0.1:1,127.0.0.1:2/site") {
		t.Errorf("the address is missing from the log:\n%s", text.String())
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
