package postgres

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// TestErrandsWithoutASession: a task waits for the next session while one is expected soon, else it
// fails with the reason.
func TestErrandsWithoutASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Registry{}
		refused := errors.New("connection refused")
		do := func(context.Context, *pgx.Conn) error { return nil }
		if err := r.withConn(t.Context(), roleService, do); !errors.Is(err, errNotRunning) ||
			!errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("Run does not run: %v", err)
		}
		r.alive = true

		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.withConn(soon, roleService, do); !errors.Is(err, context.DeadlineExceeded) || len(r.tasks) != 0 {
			t.Errorf("given up: %v, and %d wait still", err, len(r.tasks))
		}

		g := run.NewGroup(t.Context())
		var waited error
		g.Go(func(ctx context.Context) error {
			waited = r.withConn(ctx, roleService, do)
			return nil
		})
		synctest.Wait()
		r.rejectTasks(refused, true)
		if len(r.tasks) != 1 {
			t.Errorf("%d errands wait for the session that will follow at once, want 1", len(r.tasks))
		}
		r.rejectTasks(refused, false)
		_ = g.Wait() // it returns nil
		if !errors.Is(waited, refused) {
			t.Errorf("no session came about: %v", waited)
		}
		if err := r.withConn(t.Context(), roleService, do); !errors.Is(err, refused) {
			t.Errorf("while there is none: %v", err)
		}
		if err := r.withConn(t.Context(), roleService, do); len(r.tasks) != 0 {
			t.Errorf("%v, and %d wait", err, len(r.tasks))
		}
	})
}
