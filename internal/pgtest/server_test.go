//go:build linux

package pgtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
)

func ask(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx)
}

func TestServerSurvivesItsTreatment(t *testing.T) {
	s := pgtest.Own(t, pgtest.Options{})
	db := s.CreateDB(t)
	url := s.UserURL(db, s.CreateUser(t, db))
	steps := []struct {
		name  string
		do    func() error
		alive bool
	}{
		{"Start", func() error { return nil }, true},
		{"Freeze", s.Freeze, false},
		{"Thaw", s.Thaw, true},
		{"Kill", s.Kill, false},
		{"Start after Kill", s.Start, true},
		{"Stop", s.Stop, false},
		{"Start after Stop", s.Start, true},
		{"Restart", s.Restart, true},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if err := ask(url); (err == nil) != step.alive {
			t.Fatalf("after %s: %v", step.name, err)
		}
	}
}

func TestStandbyIsPromoted(t *testing.T) {
	primary := pgtest.Own(t, pgtest.Options{})
	standby, err := primary.Standby(pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	url := standby.URL("postgres") + "&target_session_attrs=read-write"
	if err := ask(url); err == nil {
		t.Fatal("the standby takes writes")
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(); err != nil {
		t.Fatal(err)
	}
	if err := ask(url); err != nil {
		t.Fatalf("the promoted standby takes no writes: %v", err)
	}
}

func TestClockAhead(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		s := pgtest.Own(t, pgtest.Options{Ahead: ahead})
		conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		var now time.Time
		if err := conn.QueryRow(t.Context(), "SELECT now()").Scan(&now); err != nil {
			t.Fatal(err)
		}
		if off := time.Until(now) - ahead; off.Abs() > time.Minute {
			t.Errorf("the clock is %v ahead, want %v", time.Until(now), ahead)
		}
		_ = conn.Close(t.Context())
	}
}

// TestPoolerLosesNotifications: the listening session is shared, so that no client gets the
// notification.
func TestPoolerLosesNotifications(t *testing.T) {
	s := pgtest.Own(t, pgtest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.Pooler(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(ctx, "LISTEN news"); err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres", "NOTIFY news")
	if n, err := conn.WaitForNotification(ctx); err == nil {
		t.Fatalf("notified: %+v", n)
	}
}
