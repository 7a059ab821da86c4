package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrDiskHangs: a job on a disk was given up, because it or an earlier job has not ended in time.
var ErrDiskHangs = errors.New("the disk does not answer")

// Disk runs jobs on files, one at a time. A disk that hangs blocks a thread that nothing can end,
// not even the end of its process. A caller therefore waits for a job no longer than its context
// lasts, and no job begins while another one hangs. The zero value is ready. Its methods may be
// called from any goroutine.
type Disk struct {
	mu    sync.Mutex
	job   chan struct{} // closed when the running job has ended; nil: no job runs
	stuck bool          // the job's caller has given it up
}

// Do runs the job and returns its error. When ctx ends first, Do returns [ErrDiskHangs]. A job that
// has begun goes on. If it succeeds after that, undo is called, unless it is nil. A caller that has
// given a job up must not use the memory that the job writes to: see [Read].
func (d *Disk) Do(ctx context.Context, job func() error, undo func()) error {
	done, err := d.begin(ctx)
	if err != nil {
		return err
	}
	var failed error
	go func() {
		failed = job()
		d.mu.Lock()
		late := d.stuck
		if !late {
			d.end(done)
		}
		d.mu.Unlock()
		if !late {
			return
		}
		if failed == nil && undo != nil {
			undo()
		}
		d.mu.Lock()
		d.end(done)
		d.mu.Unlock()
	}()
	select {
	case <-done:
		return failed
	case <-ctx.Done():
	}
	d.mu.Lock()
	if d.job == done {
		d.stuck = true
		d.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrDiskHangs, context.Cause(ctx))
	}
	d.mu.Unlock()
	return failed
}

// begin waits until no job runs.
func (d *Disk) begin(ctx context.Context) (done chan struct{}, err error) {
	for {
		d.mu.Lock()
		running, stuck := d.job, d.stuck
		if running == nil {
			d.job = make(chan struct{})
			defer d.mu.Unlock()
			return d.job, nil
		}
		d.mu.Unlock()
		if stuck {
			return nil, fmt.Errorf("%w: an earlier job waits for it", ErrDiskHangs)
		}
		select {
		case <-running:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrDiskHangs, context.Cause(ctx))
		}
	}
}

// end lets the next job begin. mu is held.
func (d *Disk) end(done chan struct{}) {
	d.job, d.stuck = nil, false
	close(done)
}

// Read is [Disk.Do] for a job with a result, which undo gets.
func Read[T any](ctx context.Context, d *Disk, job func() (T, error), undo func(T)) (T, error) {
	type result struct{ value T }
	got := &result{}
	work := func() (err error) {
		got.value, err = job()
		return err
	}
	var late func()
	if undo != nil {
		late = func() { undo(got.value) }
	}
	if err := d.Do(ctx, work, late); err != nil {
		if errors.Is(err, ErrDiskHangs) {
			var none T
			return none, err
		}
		return got.value, err
	}
	return got.value, nil
}
