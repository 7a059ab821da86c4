package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/skerry/skerry/site/agent/shim"
	"github.com/skerry/skerry/site/plan"
)

// The pace of a watch. A held connection tells changes at once; it is opened anew now and then, so that a shim that
// hangs is noticed.
const (
	heldTime  = 2 * time.Minute
	firstWait = 10 * time.Millisecond // after a connection that ended
	lastWait  = time.Second           // and of questions to shims that can't be watched
)

// watches hold what the shims of a host say. The files of an instance are read once: the agent alone writes them.
type watches struct {
	woken chan struct{} // something has changed

	mu  sync.Mutex
	all map[plan.Instance]*watch
}

// watch is what is known of one instance.
type watch struct {
	dir     string
	now     Instance
	answers int           // process that answers the check of the manifest; 0: none
	silent  error         // why not
	moved   chan struct{} // now has changed, for the check
	end     context.CancelFunc
	tasks   sync.WaitGroup
}

func newWatches() *watches {
	return &watches{woken: make(chan struct{}, 1), all: map[plan.Instance]*watch{}}
}

func (w *watches) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// begin watches the shim of an instance in place of the watch before.
func (w *watches) begin(ctx context.Context, dir string, r record) {
	w.end(r.Instance)
	ctx, cancel := context.WithCancel(ctx)
	x := &watch{dir: dir, now: see(ctx, dir, r), end: cancel, moved: make(chan struct{}, 1)}
	w.mu.Lock()
	w.all[r.Instance] = x
	w.mu.Unlock()
	x.tasks.Go(func() {
		defer cancel()
		w.follow(ctx, x, r)
	})
	if r.Check != "" {
		x.tasks.Go(func() { w.check(ctx, x, r) })
	}
}

// end forgets an instance.
func (w *watches) end(i plan.Instance) {
	w.mu.Lock()
	x := w.all[i]
	delete(w.all, i)
	w.mu.Unlock()
	if x != nil {
		x.end()
		x.tasks.Wait()
	}
}

// close ends all watches.
func (w *watches) close() {
	for _, s := range w.list() {
		w.end(s.record.Instance)
	}
}

// list is what is known of all instances, sorted.
func (w *watches) list() []Instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Instance, 0, len(w.all))
	for _, x := range w.all {
		all = append(all, x.seen())
	}
	sortRecords(all)
	return all
}

// get is what is known of one instance.
func (w *watches) get(i plan.Instance) (now Instance, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x, known := w.all[i]
	if known {
		now = x.seen()
	}
	return now, known
}

// seen is the instance with what its check says.
func (x *watch) seen() Instance {
	i := x.now
	i.silent = i.record.Check != "" && (i.PID == 0 || x.answers != i.PID)
	if i.silent && i.PID != 0 {
		i.why = x.silent
	}
	return i
}

func (w *watches) set(x *watch, i Instance) {
	w.mu.Lock()
	x.now = i
	w.mu.Unlock()
	select {
	case x.moved <- struct{}{}:
	default:
	}
	w.wake()
}

// follow keeps a watch true until its shim is gone.
func (w *watches) follow(ctx context.Context, x *watch, r record) {
	wait := firstWait
	for {
		err := x.hold(ctx, func(s shim.State) {
			wait = firstWait
			w.set(x, stateOf(r, s))
		})
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			continue
		case errors.Is(err, shim.ErrGone):
			w.set(x, see(ctx, x.dir, r))
			return
		case errors.Is(err, shim.ErrNoWatch) || wait == lastWait:
			w.set(x, see(ctx, x.dir, r))
			wait = lastWait
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, lastWait)
	}
}

var errSilent = errors.New("the shim lives and does not answer")

// hold watches for a time. It returns nil when the time is over.
func (x *watch) hold(ctx context.Context, tell func(shim.State)) error {
	ctx, cancel := context.WithTimeout(ctx, heldTime)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	answer := time.AfterFunc(askTime, func() { fail(errSilent) })
	defer answer.Stop()
	err := shim.Watch(ctx, x.dir, func(s shim.State) {
		answer.Stop()
		tell(s)
	})
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, context.DeadlineExceeded):
		return nil
	case cause != nil:
		return cause
	}
	return err
}
