package run

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestDiskThatHangs: no caller waits longer than its limit, one job hangs at a time, and a job that
// ends too late is undone before the next job begins.
func TestDiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Disk
		within := func(limit time.Duration, job func() error, undo func()) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			return d.Do(ctx, job, undo)
		}
		broken, order := errors.New("broken"), ""
		if err := within(time.Second, func() error { return broken }, nil); err != broken {
			t.Errorf("a job that fails: %v", err)
		}
		answer := make(chan struct{})
		begun := time.Now()
		err := within(2*time.Second, func() error {
			<-answer
			order += "late "
			return nil
		},
			func() { order += "undone " })
		if took := time.Since(begun); !errors.Is(err, ErrDiskHangs) || !errors.Is(err, context.DeadlineExceeded) ||
			took != 2*time.Second {
			t.Errorf("a job that hangs: %v after %v", err, took)
		}
		begun = time.Now()
		err = within(time.Hour, func() error { order += "beside "; return nil }, nil)
		if took := time.Since(begun); !errors.Is(err, ErrDiskHangs) || took != 0 {
			t.Errorf("a job behind it: %v after %v", err, took)
		}
		close(answer)
		synctest.Wait()
		if err := within(time.Second, func() error { order += "next"; return nil }, nil); err != nil {
			t.Errorf("when the disk answers again: %v", err)
		}
		if order != "late undone next" {
			t.Errorf("done: %q", order)
		}
	})
}

// TestDiskIsShared: concurrent jobs take turns, each with its own limit.
func TestDiskIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Disk
		g, running := NewGroup(t.Context()), 0
		slow := func() (int, error) {
			running++
			time.Sleep(time.Second)
			running--
			return running, nil
		}
		results := make(chan error, 4)
		for i := range 4 {
			g.Go(func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, 2500*time.Millisecond)
				defer cancel()
				time.Sleep(time.Duration(i)) // in this order
				beside, err := Read(ctx, &d, slow, nil)
				if beside != 0 {
					t.Errorf("%d jobs at a time", beside+1)
				}
				results <- err
				return nil
			})
		}
		_ = g.Wait()
		late := 0
		for range 4 {
			if err := <-results; err != nil {
				late++
			}
		}
		if late != 2 { // the third was given up, the fourth never begun
			t.Errorf("%d of 4 jobs of a second each are late after 2.5 s, want 2", late)
		}
		synctest.Wait()
		time.Sleep(time.Second)
	})
}
