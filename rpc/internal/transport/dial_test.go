package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDialRace: another attempt helps one without an answer, a refusal ends them all, and a late
// connection is closed.
func TestDialRace(t *testing.T) {
	never := time.Hour
	refused := errors.New("refused")
	for _, tt := range []struct {
		name     string
		attempts []time.Duration // until each is answered
		err      error           // of those that are
		took     time.Duration
		want     error
	}{
		{"at once", []time.Duration{0}, nil, 0, nil},
		{"first lost", []time.Duration{never, 0}, nil, dialPatience, nil},
		{"first late", []time.Duration{dialPatience * 3 / 2, never}, nil, dialPatience * 3 / 2, nil},
		{"two lost", []time.Duration{never, never, 0}, nil, 3 * dialPatience, nil},
		{"all lost", []time.Duration{never, never, never}, nil, 500 * time.Millisecond, context.DeadlineExceeded},
		{"refused", []time.Duration{0}, refused, 0, refused},
		{"second refused", []time.Duration{never, 0}, refused, dialPatience, refused},
		{"both answered", []time.Duration{dialPatience + 1, 0}, nil, dialPatience, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				var mu sync.Mutex
				var ends []net.Conn // the servers' ends of all connections
				begun := 0
				dial := func(ctx context.Context) (net.Conn, error) {
					mu.Lock()
					wait := tt.attempts[begun]
					begun++
					mu.Unlock()
					select {
					case <-time.After(wait):
					case <-ctx.Done():
						if wait == never {
							return nil, ctx.Err()
						}
					}
					if tt.err != nil {
						return nil, tt.err
					}
					ours, theirs := net.Pipe()
					mu.Lock()
					defer mu.Unlock()
					ends = append(ends, theirs)
					return ours, nil
				}
				spawn := func(f func()) bool { go f(); return true }
				begin := time.Now()
				nc, err := race(ctx, spawn, dial)
				if op, ok := errors.AsType[*net.OpError](err); tt.want == context.DeadlineExceeded &&
					(!ok || op.Op != "dial") {
					t.Errorf("%v is not an error of connecting", err)
				}
				if took := time.Since(begin); took != tt.took || !errors.Is(err, tt.want) {
					t.Fatalf("%v after %v, want %v after %v", err, took, tt.want, tt.took)
				}
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				if nc != nil {
					_ = nc.Close()
				}
				for _, end := range ends {
					if _, err := end.Read(make([]byte, 1)); err == nil {
						t.Error("a connection was left open")
					}
				}
				if begun != len(tt.attempts) {
					t.Errorf("%d attempts, want %d", begun, len(tt.attempts))
				}
			})
		})
	}
}
