package foreign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Site lists providers and reports calls to them.
type Site interface {
	Register(ctx context.Context, instances ...registry.Instance) error
	Deregister(ctx context.Context, ids ...registry.ID) error
	// Keeps reports whether a registered instance is still registered. A
	// release takes the instances of a retired version off the lists.
	Keeps(in registry.Instance) bool
	// Answered returns, by process of the site, how many calls the instance
	// has answered to that process. A process that can't be asked is absent,
	// so only the growth of one process's number has a meaning.
	Answered(ctx context.Context, in registry.Instance) map[string]int64
}

// State is the state of a provider.
type State string

// The states, in the order in which a provider usually passes through them.
const (
	Waiting   State = "waiting"   // the provider does not answer yet and is not listed
	Listed    State = "listed"    // the provider answers and is listed
	Pending   State = "pending"   // the provider answers; the registry can't be reached yet and keeps trying
	Busy      State = "busy"      // the provider is listed and answers calls, but leaves the check unanswered
	Failing   State = "failing"   // the provider is listed and has failed its last check
	Withdrawn State = "withdrawn" // the provider failed too often and is off the list
	Retired   State = "retired"   // a release has retired the version: the provider is off the list until it has ended
	Stopped   State = "stopped"   // the provider is off the list because Keep has ended
)

// Event is a change of a provider's state.
type Event struct {
	Time     time.Time
	Instance registry.Instance
	State    State
	Failures int   // failed checks in a row
	Err      error // reason; nil for Listed, Retired and Stopped
}

const (
	registerTimeout = 2 * time.Second        // afterwards the registry keeps trying
	stopTimeout     = 3 * time.Second        // for the withdrawal at the end
	askTimeout      = 3 * time.Second        // for the site's processes to report their counts
	searchEvery     = 500 * time.Millisecond // most time between two checks of an unlisted provider
	workPeriod      = time.Second            // in which a working provider answers calls
)

// Keep checks one provider and keeps the site's list in step until ctx ends.
// Then it withdraws the provider and returns nil. Keep calls tell with every
// change, in order. It returns an error when the registry rejects the instance
// as invalid.
func Keep(ctx context.Context, to Site, p Provider, tell func(Event)) error {
	k := &keeper{to: to, p: p.withDefaults(), tell: tell}
	for {
		err := k.look(ctx)
		if err != nil {
			return err
		}
		if ctx.Err() != nil || run.Sleep(ctx, run.Jitter(k.pause(), 0.1)) != nil {
			return k.stop(context.WithoutCancel(ctx))
		}
	}
}

// keeper is the state of one Keep. Only the goroutine of Keep touches it.
type keeper struct {
	to       Site
	p        Provider
	tell     func(Event)
	state    State
	failures int
	answered map[string]int64 // calls by process, as last reported while checks fail; nil: not asked
}

// pause returns the time until the next check. An unlisted provider is checked
// more often, so that it is listed soon after its start.
func (k *keeper) pause() time.Duration {
	if k.listed() || k.state == Retired {
		return k.p.Every
	}
	return min(k.p.Every, searchEvery)
}

func (k *keeper) listed() bool {
	return k.state == Listed || k.state == Pending || k.state == Busy || k.state == Failing
}

// look checks the provider once.
func (k *keeper) look(ctx context.Context) error {
	if k.listed() && !k.to.Keeps(k.p.Instance) {
		k.failures = 0
		k.turn(Retired, nil)
	}
	err := k.check(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return k.note(ctx, err)
}

func (k *keeper) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.p.Timeout)
	defer cancel()
	return k.p.Check(ctx, k.p.Instance)
}

// note applies the outcome of a check.
func (k *keeper) note(ctx context.Context, err error) error {
	if err == nil {
		k.failures, k.answered = 0, nil
		if k.state == Listed || k.state == Retired {
			return nil
		}
		return k.list(ctx)
	}
	if k.listed() && unanswered(err) && k.working(ctx) {
		k.failures = 0
		if k.state != Busy {
			k.turn(Busy, err)
		}
		return nil
	}
	k.failures++
	switch {
	case k.listed() && k.failures >= k.p.Failures:
		k.withdraw(ctx)
		k.turn(Withdrawn, err)
	case k.listed():
		k.turn(Failing, err)
	case k.state == "", k.state == Retired && k.failures >= k.p.Failures: // the next one that answers is new
		k.turn(Waiting, err)
	}
	return nil
}

// unanswered reports whether a check failed because no answer came in time. The
// provider may be dead, or calls may take all its threads.
func unanswered(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// working reports whether the provider has answered calls since the last failed
// check, or answers calls now.
func (k *keeper) working(ctx context.Context) bool {
	before := k.answered
	if before == nil {
		before = k.ask(ctx)
		if run.Sleep(ctx, workPeriod) != nil {
			return false
		}
	}
	// A process missing from one report is compared with its report before that.
	k.answered = maps.Clone(before)
	grown := false
	for process, calls := range k.ask(ctx) {
		was, told := before[process]
		grown = grown || told && calls > was
		k.answered[process] = calls
	}
	return grown
}

func (k *keeper) ask(ctx context.Context) map[string]int64 {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return k.to.Answered(ctx, k.p.Instance)
}

// list registers the provider with the present as its start, so that consumers warm it up.
func (k *keeper) list(ctx context.Context) error {
	if !k.listed() {
		k.p.Instance.Started = time.Now()
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	switch err := k.to.Register(ctx, k.p.Instance); {
	case errors.Is(err, registry.ErrInvalid):
		return fmt.Errorf("register %s: %w", k.p.Instance.ID(), err)
	case err != nil:
		if k.state != Pending {
			k.turn(Pending, err)
		}
	default:
		k.turn(Listed, nil)
	}
	return nil
}

// withdraw deregisters the provider. An unreachable registry applies it later.
func (k *keeper) withdraw(ctx context.Context) {
	if !k.listed() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	_ = k.to.Deregister(ctx, k.p.Instance.ID())
}

func (k *keeper) stop(ctx context.Context) error {
	if k.listed() {
		k.withdraw(ctx)
		k.turn(Stopped, nil)
	}
	return nil
}

func (k *keeper) turn(s State, err error) {
	k.state = s
	k.tell(Event{Time: time.Now(), Instance: k.p.Instance, State: s, Failures: k.failures, Err: err})
}
