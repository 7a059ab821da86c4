package foreign

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Registrar is where providers are listed; every registry.Registry is one.
type Registrar interface {
	Register(ctx context.Context, instances ...registry.Instance) error
	Withdraw(ctx context.Context, ids ...registry.ID) error
}

// State is what became of a provider.
type State string

// The states, in the order in which a provider usually goes through them.
const (
	Waiting   State = "waiting"   // it does not answer yet and is not listed
	Listed    State = "listed"    // it answers and is listed
	Pending   State = "pending"   // it answers; the registry can't be reached yet and keeps trying
	Failing   State = "failing"   // it is listed and has failed its last check
	Withdrawn State = "withdrawn" // it failed too often and is off the list
	Stopped   State = "stopped"   // taken off the list because announcing ended
)

// Event is a change of a provider's state.
type Event struct {
	Time     time.Time
	Instance registry.Instance
	State    State
	Failures int   // failed checks in a row
	Err      error // why; nil for Listed and Stopped
}

const (
	registerTimeout = 2 * time.Second // then checks go on while the registry keeps trying
	stopTimeout     = 3 * time.Second // for the withdrawal at the end
)

// Keep checks one provider and keeps the registrar's list in step until ctx
// ends; then it withdraws the provider and returns nil. tell is called with
// every change, in order. The error is of an instance that no registry takes.
func Keep(ctx context.Context, to Registrar, p Provider, tell func(Event)) error {
	k := &keeper{to: to, p: p.withDefaults(), tell: tell}
	for {
		err := k.check(ctx)
		if ctx.Err() != nil {
			return k.stop(context.WithoutCancel(ctx))
		}
		if err := k.note(ctx, err); err != nil {
			return err
		}
		if run.Sleep(ctx, run.Jitter(k.p.Every, 0.1)) != nil {
			return k.stop(context.WithoutCancel(ctx))
		}
	}
}

// keeper is the state of one Keep; only its goroutine touches it.
type keeper struct {
	to       Registrar
	p        Provider
	tell     func(Event)
	state    State
	failures int
}

func (k *keeper) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.p.Timeout)
	defer cancel()
	return k.p.Check(ctx, k.p.Instance)
}

// note carries out what a check's outcome demands.
func (k *keeper) note(ctx context.Context, err error) error {
	if err == nil {
		k.failures = 0
		if k.state != Listed {
			return k.list(ctx)
		}
		return nil
	}
	k.failures++
	switch k.state {
	case "":
		k.turn(Waiting, err)
	case Listed, Pending, Failing:
		if k.failures >= k.p.Failures {
			k.withdraw(ctx)
			k.turn(Withdrawn, err)
		} else {
			k.turn(Failing, err)
		}
	}
	return nil
}

// list registers the provider as started now: a consumer warms it up.
func (k *keeper) list(ctx context.Context) error {
	if k.state != Pending && k.state != Failing {
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

// withdraw takes it off; a registry that is away carries it out later.
func (k *keeper) withdraw(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	k.to.Withdraw(ctx, k.p.Instance.ID())
}

func (k *keeper) stop(ctx context.Context) error {
	if k.state == Listed || k.state == Failing || k.state == Pending {
		k.withdraw(ctx)
		k.turn(Stopped, nil)
	}
	return nil
}

func (k *keeper) turn(s State, err error) {
	k.state = s
	k.tell(Event{Time: time.Now(), Instance: k.p.Instance, State: s, Failures: k.failures, Err: err})
}
