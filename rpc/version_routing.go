package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rollout/participant"
)

// maxExchanges bounds how often one call exchanges rules.
const maxExchanges = 8

// pushAgainAfter is how long the first call waits whose callee is brought entries
// by too many others. Later calls wait a multiple.
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

// versionRouting is a call's way through a site whose versions change: the trace
// that it belongs to, and the token that the attempt under way carries.
type versionRouting struct {
	trace     *participant.Trace // nil: the call carries no token
	token     rollout.Token
	raw       string
	wait      bool      // by the rules, a missing version is waited for
	unseen    bool      // the token is of the empty log, and the trace has executed nothing
	lastTry   bool      // the rules that the callee has can't be fetched, or a call beside this one was executed meanwhile
	next      *Endpoint // where the next attempt goes, nil: where the picker says
	exchanges int
	own       participant.Trace // of a call outside any trace
}

// joinTrace finds the call's trace. Outside of any the call is an orphan: it is
// refused, or counted and given a trace of its own.
func (s *serviceClient) joinTrace(ctx *callContext, call *Call, info *CallInfo) error {
	if s.origin == nil {
		return nil
	}
	p := &call.routing
	if p.trace = participant.TraceFrom(ctx.base); p.trace != nil {
		return nil
	}
	if s.c.cfg.RefuseOrphans {
		return s.refused(call, Orphan, participant.ErrOrphan)
	}
	s.c.cfg.Rollout.Await(ctx)
	p.trace = &p.own
	s.origin.Orphan(p.trace, seedOf(info))
	return nil
}

func (p *versionRouting) endTrace() {
	if p.trace == &p.own && p.trace != nil {
		p.own.End()
	}
}

// justStarted is how long after its start a process takes it for possible that the
// site has rules of which it has not heard.
const justStarted = time.Minute

// route asks the rules which version the attempt may meet.
func (a *attempt) route() error {
	c, p := a.call, &a.call.routing
	if p.trace == nil {
		return nil
	}
	var err error
	if p.token, p.raw, err = p.trace.Send(a.s.name); err != nil {
		return a.fail(CallRestricted, NotExecuted, err)
	}
	version, by, ok, err := a.s.c.route(a.s.name, p.token)
	if err != nil {
		return a.noRoute(err)
	}
	if c.Version = ""; ok {
		c.Version = version
	}
	p.wait = by.Exclusive()
	p.unseen = p.token.Generation == (rollout.Generation{}) && !p.lastTry && c.began.Sub(a.s.c.start) < justStarted && p.trace.Restartable()
	return nil
}


// noRoute is the error of an attempt whose token the rules here can't read.
func (a *attempt) noRoute(err error) error {
	return a.fail(RefusalCode(err), NotExecuted, fmt.Errorf("generation %v: %w", a.call.routing.token.Generation, err))
}

// returned ends the attempt for its trace. A call that may yet be executed
// holds the trace's span until its deadline.
func (a *attempt) returned(err error) {
	trace := a.call.routing.trace
	switch {
	case trace == nil:
		return
	case err == nil:
		trace.Returned(true)
		return
	}
	var e *Error
	if errors.As(err, &e) && e.Executed == MaybeExecuted {
		if left := time.Until(a.ctx.deadline); left > 0 {
			time.AfterFunc(left, trace.HandOff())
		}
	}
	trace.Returned(!SafeToRetry(err))
}

// recover does what an attempt that was refused by the rules asks for, and
// reports whether the call is to be made again: the callee is told the rules
// that it lacks, or the caller learns those that it lacks. Nothing was
// executed, so nobody sees it. Else it returns the call's error.
func (a *attempt) recover(err error) (bool, error) {
	p := &a.call.routing
	if p.trace == nil || p.exchanges == maxExchanges {
		return false, err
	}
	p.exchanges++
	switch CodeOf(err) {
	case RulesNeeded:
		if a.ep == nil {
			return a.pullFromAny() && !a.stale(), err
		}
		return a.updateCallee(err)
	case RulesForked:
		return a.reconcileLogs(), err
	case Retired, WrongVersion:
		if a.behind() && a.pullRules(a.ep, a.theirGeneration()) != nil {
			return false, err
		}
		return a.reroute(), err
	case Expired: // nobody has seen the token of a root that has called nobody yet
		if !p.unseen {
			return p.trace.Refresh(a.ctx, p.token), err
		}
		if a.behind() && a.pullRules(a.ep, a.theirGeneration()) != nil || !p.trace.Refresh(a.ctx, p.token) {
			p.lastTry = true // the callee may serve it all the same
		}
		return true, err
	case VersionUnavailable:
		switch {
		case p.trace.Restartable() && a.pullFromAny() && a.reroute():
			return true, nil
		case p.wait:
			return a.await(a.tied(context.WithCancel(a.ctx)))
		case a.mayWait() && !a.retired():
			return a.await(a.waiting())
		}
	}
	return false, err
}

// theirGeneration is the callee's newest, zero when it has not said.
func (a *attempt) theirGeneration() rollout.Generation {
	g, _ := rollout.ParseGeneration(a.theirs) // what can't be read is as good as nothing
	return g
}

// behind reports whether the callee knows rules that this process does not.
func (a *attempt) behind() bool {
	return a.ep != nil && a.s.c.cfg.Rollout.Log().Last().Before(a.theirGeneration())
}

func (a *attempt) stale() bool {
	return a.s.c.cfg.Rollout.Log().Last().Before(a.call.routing.token.Generation)
}

// updateCallee has the callee learn the rules that it lacks. It may go by a log
// that has parted from the one here, of which it has fewer entries.
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
		a.s.c.cfg.Logger.Warn("rpc: the callee does not take the rules that it lacks",
			"service", a.s.name, "instance", a.ep.Addr, "applied", a.theirs, "error", refusal)
		return false, err
	}
	return true, err
}

// callee is the end of the log of the process that has refused the call.
func (a *attempt) callee() (rollout.Position, error) {
	theirs, err := rollout.ParseGeneration(a.theirs)
	return rollout.Position{Generation: theirs, Hash: a.theirLog}, err
}

func (a *attempt) forked(their rollout.Position) error {
	here := a.s.c.cfg.Rollout.Log().Tip()
	return a.fail(RulesForked, NotExecuted, fmt.Errorf("it goes by %v, this process by %v: %w", their, here, rollout.ErrOtherLog))
}

// noteFork notes, and says, that the callee's log is not the one here.
func (a *attempt) noteFork(their rollout.Position) {
	tip := a.s.c.cfg.Rollout.Log().Tip()
	if !a.s.c.forks.note(tip, their) {
		return
	}
	a.s.c.cfg.Logger.Error("rpc: the rule log has parted: calls between the two are refused until an operator adopts one "+
		"(skerry release adopt)", "service", a.s.name, "instance", a.ep.Addr, "here", tip.String(), "there", their.String())
}

// pushRules brings the callee the rules that it lacks: this process has them, as
// whatever called it has seen to it. The call then goes there again.
func (a *attempt) pushRules(their rollout.Position) error {
	err := a.s.c.exchanges.share(a.ctx, "bring "+a.ep.Addr, func() error {
		err := a.s.c.rules.Push(a.ctx, a.ep, their.Generation)
		if errors.Is(err, rollout.ErrGap) || errors.Is(err, rollout.ErrFork) {
			err = a.s.c.rules.Push(a.ctx, a.ep, rollout.Generation{}) // its log may be one that a newer entry ends
		}
		return err
	})
	if CodeOf(err) == Overloaded { // others bring it the same entries now
		err = run.Sleep(a.ctx, time.Duration(a.call.routing.exchanges)*pushAgainAfter)
	}
	if err == nil {
		a.call.routing.next = a.ep
	}
	return err
}

// pushAllRules is teach for a callee whose log is not a part of the one here.
func (a *attempt) pushAllRules() error {
	err := a.s.c.rules.Push(a.ctx, a.ep, rollout.Generation{})
	if err == nil {
		a.call.routing.next = a.ep
	}
	return err
}

// pullRules fetches newer rules from an instance's process.
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

// reconcileLogs is for a token that the callee's log, or the caller's own, does not
// hold: the logs have parted, or the token is damaged. One side may lack the
// entry that makes them one again, so both tell each other what they have. It
// reports whether the call is worth making again: the callee goes by this log
// now, or the trace has executed nothing and reads the newest rules.
func (a *attempt) reconcileLogs() bool {
	agent, p := a.s.c.cfg.Rollout, &a.call.routing
	their, err := a.callee()
	// Where this log holds all of the callee's, the token is damaged.
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

// exchanges joins calls that meet the same other rules at once: one of them
// exchanges rules with that process, the others wait for it.
type exchanges struct {
	mu sync.Mutex
	of map[string]*exchange
}

type exchange struct {
	done    chan struct{}
	err     error
	expired bool // err is that of its own call, which has ended
}

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

// forkLog is what calls have found of logs that have parted: two of them do not
// exchange rules again for a while.
type forkLog struct {
	mu   sync.Mutex
	seen map[[2]rollout.Position]forkSeen
}

// forkSeen is when calls have met a pair of logs last, and when that was said.
type forkSeen struct{ at, said time.Time }

const (
	forkFresh    = 5 * time.Second
	forkLogEvery = time.Minute // between two lines of the log about one pair
	forkMost     = 64
)

func (p *forkLog) known(here, there rollout.Position) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, known := p.seen[[2]rollout.Position{here, there}]
	return known && time.Since(f.at) < forkFresh
}

// note reports whether it is time to say it.
func (p *forkLog) note(here, there rollout.Position) (say bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pair, now := [2]rollout.Position{here, there}, time.Now()
	f, known := p.seen[pair]
	if p.seen == nil || !known && len(p.seen) >= forkMost {
		p.seen = map[[2]rollout.Position]forkSeen{}
	}
	if say = !known || now.Sub(f.said) >= forkLogEvery; say {
		f.said = now
	}
	f.at = now
	p.seen[pair] = f
	return say
}

// pullFromAny asks any instance of the service for newer rules, whatever its
// version.
func (a *attempt) pullFromAny() bool {
	ep, err := a.s.picker().Pick(a.ctx, &Call{Service: a.s.name, Method: a.call.Method})
	if err == nil {
		err = a.pullRules(ep, a.call.routing.token.Generation)
	}
	return err == nil
}

// reroute reports whether, by the rules known now, the call goes another way:
// with a fresh token, when nobody can have seen the refused one.
func (a *attempt) reroute() bool {
	c, p := a.call, &a.call.routing
	if p.trace.Refresh(a.ctx, p.token) {
		c.tried, c.TryAgain = nil, false
		return true
	}
	version, ok, err := a.s.c.cfg.Rollout.Log().Resolve(a.s.name, p.token)
	return err == nil && ok && version != c.Version
}

// retired reports whether nobody will offer the version again.
func (a *attempt) retired() bool {
	return a.s.c.cfg.Rollout.Log().Floor(a.s.name, a.call.Version) != rollout.Generation{}
}

// await waits until an instance of the version is there, or the rules change,
// or ctx ends.
func (a *attempt) await(ctx context.Context, cancel context.CancelFunc) (bool, error) {
	c, p := a.call, &a.call.routing
	defer cancel()
	changed := a.s.c.cfg.Rollout.Changed()
	if !a.s.c.spawn(func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}) {
		return false, a.fail(Unreachable, NotExecuted, errClientClosed)
	}
	if p.trace.Refresh(a.ctx, p.token) {
		return true, nil // they have changed already
	}
	c.Wait = true
	ep, err := a.s.picker().Pick(ctx, c)
	c.Wait = false
	switch {
	case err == nil:
		p.next = ep
	case a.ctx.Err() == nil && errors.Is(ctx.Err(), context.Canceled) && !a.left(): // the rules have changed
		p.trace.Refresh(a.ctx, p.token)
	default:
		return false, a.fail(VersionUnavailable, NotExecuted, err)
	}
	p.exchanges-- // waiting is no exchange
	return true, nil
}
