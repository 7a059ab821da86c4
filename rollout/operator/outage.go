package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rollout"
)

// outageLimit is how long a step waits for a database that has gone while the
// command ran: a fail-over takes about a minute.
const outageLimit = 2 * time.Minute

// outage is what a controller knows of the database that keeps the log.
type outage struct {
	met   bool      // the database has answered once
	since time.Time // of the first read that failed since it answered; zero: it is there
	over  time.Time // when it was there again; zero: it has never been away
	waits int       // how often the controller has waited for it
}

// Log reads the rule log. Entries that are signed by no key that is trusted now
// make it frozen: to build on them would vouch for them.
//
// A database that has answered this controller before and is away now is waited
// for, for outageLimit in all: it may be failing over. Then, and at once when
// it has never answered, the error wraps ErrFrozen.
func (c *Controller) Log(ctx context.Context) (*rollout.Log, []rollout.Entry, error) {
	for {
		log, entries, err := c.readLog(ctx)
		if !errors.Is(err, ErrFrozen) || !c.awaitDatabase(ctx, err) {
			return log, entries, err
		}
	}
}

// awaitDatabase waits before the log is read once more. It is false when that
// is of no use, or not any more.
func (c *Controller) awaitDatabase(ctx context.Context, why error) bool {
	if _, spread := c.cfg.Store.(*Ballot); spread || !c.outage.met {
		return false
	}
	if c.outage.since.IsZero() {
		c.outage.since = time.Now()
		c.cfg.Progress(Progress{Step: "wait",
			Note: fmt.Sprintf("the step waits for the database, for up to %v, and then goes on: %v", outageLimit, why)})
	}
	c.outage.waits++
	return time.Since(c.outage.since) < outageLimit && run.Sleep(ctx, c.cfg.Pause) == nil
}

// answered notes that the database has been read.
func (o *outage) answered() {
	o.met = true
	if !o.since.IsZero() {
		o.since = time.Time{}
		o.over = time.Now()
	}
}

// settled reports whether the lists of instances can be believed: the database
// is there, and has been for so long that all that lost it have it again.
func (c *Controller) settled(ctx context.Context) (bool, error) {
	if _, spread := c.cfg.Store.(*Ballot); spread {
		return true, nil
	}
	if _, _, err := c.Log(ctx); err != nil {
		return false, err
	}
	return c.outage.over.IsZero() || time.Since(c.outage.over) > seeLimit, nil
}

// append commits an entry. Where the answer was lost with the database, the log
// says whether the entry was committed; if it was not, it is written again.
func (c *Controller) append(ctx context.Context, e rollout.Entry, to func(context.Context, rollout.Entry) error) error {
	for again := false; ; again = true {
		err := to(ctx, e)
		if _, spread := c.cfg.Store.(*Ballot); err == nil || spread || isRefusal(err) {
			return err
		}
		waits := c.outage.waits
		log, entries, now := c.Log(ctx)
		switch {
		case errors.Is(now, ErrFrozen):
			return now
		case now != nil:
			return err
		case slices.ContainsFunc(entries, func(o rollout.Entry) bool { return o.Hash() == e.Hash() }):
			return nil
		case log.Hash() != e.Previous, again && waits == c.outage.waits:
			return err
		}
	}
}

// isRefusal reports whether a store has answered that it does not take an entry.
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
