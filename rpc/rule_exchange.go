package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// pushAgainAfter is how long a call waits when too many others push rules to its callee. The nth
// exchange of the call waits n times as long.
const pushAgainAfter = 20 * time.Millisecond

// RuleExchange moves entries of the rule log between this process and the
// process of an endpoint. Rules steer the process that takes them, so an
// implementation pulls only over a connection that proves a member of the site.
type RuleExchange interface {
	// Pull fetches and applies the entries that this process lacks. The
	// endpoint's process has the entries up to the generation upTo.
	Pull(ctx context.Context, from *Endpoint, upTo rollout.Generation) error
	// Push sends the endpoint's process the entries after a generation; the
	// zero generation sends the whole log. The error wraps rollout.ErrGap when
	// that process lacks earlier entries, rollout.ErrFork when its log has
	// other entries, and an *Error of code Overloaded when it is busy with the
	// pushes of other callers.
	Push(ctx context.Context, to *Endpoint, after rollout.Generation) error
}

// noRules is the exchange of a client without ClientConfig.Rules.
type noRules struct{}

var errNoExchange = errors.New("this client exchanges no rules (ClientConfig.Rules)")

func (noRules) Pull(context.Context, *Endpoint, rollout.Generation) error { return errNoExchange }
func (noRules) Push(context.Context, *Endpoint, rollout.Generation) error { return errNoExchange }

// theirGeneration returns the callee's newest generation, or zero when it has not sent it.
func (a *attempt) theirGeneration() rollout.Generation {
	g, _ := rollout.ParseGeneration(a.theirs) // an unreadable one counts as none
	return g
}

// behind reports whether the callee knows rules that this process does not.
func (a *attempt) behind() bool {
	return a.ep != nil && a.s.c.cfg.Rollout.Log().Last().Before(a.theirGeneration())
}

// stale reports whether this process still lacks the rules of the call's token.
func (a *attempt) stale() bool {
	return a.s.c.cfg.Rollout.Log().Last().Before(a.call.routing.token.Generation)
}

// updateCallee pushes the rules that the callee lacks, and reports whether the call may be made
// again. It fails when the callee's log has forked from this one, whichever log is longer.
func (a *attempt) updateCallee(err error) (bool, error) {
	their, unread := a.callee()
	if unread != nil {
		return false, err
	}
	if a.s.c.forks.known(a.s.c.cfg.Rollout.Log().Tip(), their) {
		return false, a.forked(their)
	}
	switch refusal := a.pushRules(their); {
	case errors.Is(refusal, rollout.ErrFork):
		a.noteFork(their)
		return false, a.forked(their)
	case refusal != nil:
		a.s.c.cfg.Logger.Warn("rpc: the callee refused the rules that it lacks, so the call fails",
			"service", a.s.name, "instance", a.ep.Addr, "applied", a.theirs, "err", refusal)
		return false, err
	}
	return true, err
}

// callee returns the end of the rule log of the process that has refused the call.
func (a *attempt) callee() (rollout.Position, error) {
	theirs, err := rollout.ParseGeneration(a.theirs)
	return rollout.Position{Generation: theirs, Hash: a.theirLog}, err
}

func (a *attempt) forked(their rollout.Position) error {
	here := a.s.c.cfg.Rollout.Log().Tip()
	return a.fail(
		RulesForked,
		NotExecuted,
		fmt.Errorf("the callee has applied %v, this process %v: %w", their, here, rollout.ErrOtherLog),
	)
}

// noteFork records and logs that the callee's log differs from this one.
func (a *attempt) noteFork(their rollout.Position) {
	tip := a.s.c.cfg.Rollout.Log().Tip()
	if !a.s.c.forks.note(tip, their) {
		return
	}
	a.s.c.cfg.Logger.Error(
		"rpc: the rule log has forked: calls between the two are refused until an operator adopts one "+
			"(skerry release adopt)",
		"service", a.s.name, "instance", a.ep.Addr, "here", tip.String(), "there", their.String(),
	)
}

// pushRules sends the callee the rules that it lacks, and has the next attempt go there. This
// process has the rules, because its own caller has pushed them here before.
func (a *attempt) pushRules(their rollout.Position) error {
	err := a.s.c.exchanges.share(a.ctx, "bring "+a.ep.Addr, func() error {
		err := a.s.c.rules.Push(a.ctx, a.ep, their.Generation)
		if errors.Is(err, rollout.ErrGap) || errors.Is(err, rollout.ErrFork) {
			err = a.s.c.rules.Push(a.ctx, a.ep, rollout.Generation{}) // a newer entry here may end the callee's log
		}
		return err
	})
	if CodeOf(err) == Overloaded { // other callers are pushing the same entries
		err = run.Sleep(a.ctx, time.Duration(a.call.routing.exchanges)*pushAgainAfter)
	}
	if err == nil {
		a.call.routing.next = a.ep
	}
	return err
}

// pushAllRules is pushRules for a callee with a log that is not a prefix of this one.
func (a *attempt) pushAllRules() error {
	err := a.s.c.rules.Push(a.ctx, a.ep, rollout.Generation{})
	if err == nil {
		a.call.routing.next = a.ep
	}
	return err
}

// pullRules pulls newer rules from an instance's process.
func (a *attempt) pullRules(from *Endpoint, to rollout.Generation) error {
	if d, _ := dialectOf(from.Protocol); !d.shared {
		return fmt.Errorf("%s is a plain Thrift server and has no rules", from.Addr)
	}
	err := a.s.c.exchanges.share(a.ctx, "fetch "+from.Addr, func() error { return a.s.c.rules.Pull(a.ctx, from, to) })
	if err != nil {
		return fmt.Errorf("fetch rules from %s: %w", from.Addr, err)
	}
	return nil
}

// reconcileLogs handles a token that the log of the callee or of this process does not hold: the logs
// have forked, or the token is damaged. One side may lack the entry that joins the logs again, so
// the side with more entries sends them to the other. It reports whether the call should be made
// again: the callee has this log now, or the trace has executed nothing and reads the newest rules.
func (a *attempt) reconcileLogs() bool {
	agent, p := a.s.c.cfg.Rollout, &a.call.routing
	their, err := a.callee()
	// When this log holds all of the callee's, the token is damaged.
	if a.ep == nil || err != nil || agent.HasEntry(their) || a.s.c.forks.known(agent.Log().Tip(), their) {
		return p.trace.Refresh(a.ctx, p.token)
	}
	if agent.Log().Last().Before(their.Generation) {
		_ = a.pullRules(a.ep, their.Generation)
	} else if a.pushAllRules() == nil {
		return true
	}
	if !agent.HasEntry(their) {
		a.noteFork(their)
	}
	return p.trace.Refresh(a.ctx, p.token)
}

// exchanges joins the calls that need the same exchange of rules with a process: one call makes it,
// and the others wait for its result.
type exchanges struct {
	mu sync.Mutex
	of map[string]*exchange
}

type exchange struct {
	done    chan struct{}
	err     error
	expired bool // the call that made it has ended, so err says nothing about the rules
}

// share returns the result of do, by this call or by another one with the same key.
func (x *exchanges) share(ctx context.Context, key string, do func() error) error {
	for {
		x.mu.Lock()
		e := x.of[key]
		if e == nil {
			break
		}
		x.mu.Unlock()
		select {
		case <-e.done:
			if !e.expired {
				return e.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	e := &exchange{done: make(chan struct{})}
	if x.of == nil {
		x.of = map[string]*exchange{}
	}
	x.of[key] = e
	x.mu.Unlock()
	e.err = do()
	e.expired = e.err != nil && ctx.Err() != nil
	x.mu.Lock()
	delete(x.of, key)
	x.mu.Unlock()
	close(e.done)
	return e.err
}

// pullFromAny pulls newer rules from any instance of the service, whatever its version. It reports
// whether that succeeded.
func (a *attempt) pullFromAny() bool {
	ep, err := a.s.picker().Pick(a.ctx, &Call{Service: a.s.name, Method: a.call.Method})
	if err == nil {
		err = a.pullRules(ep, a.call.routing.token.Generation)
	}
	return err == nil
}
