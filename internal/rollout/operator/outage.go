package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// outageLimit is how long a step waits for a database that went away while the
// command ran. A failover takes about a minute.
const outageLimit = 2 * time.Minute

// outage records when the database of the log was away, as a controller saw it.
type outage struct {
	mu    sync.Mutex
	met   bool      // the database has answered this controller
	since time.Time // first failed read since its last answer; zero: it is available
	over  time.Time // when it answered again; zero: it was never away
	waits int       // how many times the controller has waited
}

// Log reads the rule log. It fails when no trusted key has signed the newest
// entries, because a new entry would vouch for them.
//
// If the database has answered this controller before and is away now, it may
// be failing over. Log then waits up to outageLimit. After that, or at once if
// the database never answered, the error wraps ErrFrozen.
func (c *Controller) Log(ctx context.Context) (*rollout.Log, []rollout.Entry, error) {
	for {
		log, entries, err := c.readLog(ctx)
		if !errors.Is(err, ErrFrozen) || !c.awaitDatabase(ctx, err) {
			return log, entries, err
		}
	}
}

// awaitDatabase waits before another read of the log. It returns false when
// another read is useless.
func (c *Controller) awaitDatabase(ctx context.Context, why error) bool {
	if _, spread := c.cfg.Store.(*Ballot); spread {
		return false
	}
	since, first := c.outage.wait()
	if since.IsZero() {
		return false
	}
	if first {
		c.cfg.Progress(Progress{Step: "wait",
			Note: fmt.Sprintf("the step waits for the database, for up to %v, and then goes on: %v", outageLimit, why)})
	}
	return time.Since(since) < outageLimit && run.Sleep(ctx, c.cfg.Pause) == nil
}

// wait records one wait. It returns the time at which the database went away, zero
// when it has never answered, and whether this wait is the first since that time.
func (o *outage) wait() (since time.Time, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.met {
		return time.Time{}, false
	}
	if first = o.since.IsZero(); first {
		o.since = time.Now()
	}
	o.waits++
	return o.since, first
}

// waited returns how many times the controller has waited.
func (o *outage) waited() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waits
}

// settled reports whether the database was never away, or is back for a while.
func (o *outage) settled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over.IsZero() || time.Since(o.over) > seeLimit
}

// answered records that the database has been read.
func (o *outage) answered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.met = true
	if !o.since.IsZero() {
		o.since = time.Time{}
		o.over = time.Now()
	}
}

// settled reports whether the lists of instances are reliable: the database is
// available, and has been so long enough for processes to register again.
func (c *Controller) settled(ctx context.Context) (bool, error) {
	if _, spread := c.cfg.Store.(*Ballot); spread {
		return true, nil
	}
	if _, _, err := c.Log(ctx); err != nil {
		return false, err
	}
	return c.outage.settled(), nil
}

// append commits an entry. If the database went away before its answer, the log
// shows whether the entry was committed. If it was not, append writes it again.
func (c *Controller) append(ctx context.Context, e rollout.Entry, to func(context.Context, rollout.Entry) error) error {
	for again := false; ; again = true {
		err := to(ctx, e)
		if _, spread := c.cfg.Store.(*Ballot); err == nil || spread || isRefusal(err) {
			return err
		}
		waits := c.outage.waited()
		log, entries, now := c.Log(ctx)
		switch {
		case errors.Is(now, ErrFrozen):
			return now
		case now != nil:
			return err
		case slices.ContainsFunc(entries, func(o rollout.Entry) bool { return o.Hash() == e.Hash() }):
			return nil
		case log.Hash() != e.Previous, again && waits == c.outage.waited():
			return err
		}
	}
}

// isRefusal reports whether the error is a store's answer that refuses the
// entry.
func isRefusal(err error) bool {
	for _, sentinel := range []error{
		rollout.ErrFork, rollout.ErrGap, rollout.ErrPromised, rollout.ErrUnproven, rollout.ErrRule, rollout.ErrEntry,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
