package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// maxExchanges bounds how often one call exchanges rules.
const maxExchanges = 8

// versionRouting is the state of a call at a site with changing versions: the trace that it belongs
// to, and the token of the present attempt.
type versionRouting struct {
	trace     *participant.Trace // nil: the call carries no token
	token     rollout.Token
	raw       string
	wait      bool      // by the rules, the call waits for a missing version
	unseen    bool      // the token is of the empty log, and the trace has executed nothing
	lastTry   bool      // no newer rules can be had for the trace; the next attempt is not sent as unseen
	next      *Endpoint // endpoint of the next attempt, nil: the picker's
	exchanges int
	kept      bool              // own goes on with the stream that the call has opened
	own       participant.Trace // trace of a call that belongs to no other one
}

// joinTrace finds the call's trace. A call without one is an orphan: it is refused, or counted and
// given a trace of its own.
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
	if p.trace == &p.own && p.trace != nil && !p.kept {
		p.own.End()
	}
}

// justStarted is how long after its start a client assumes that the site may have rules that this
// process does not know yet.
const justStarted = time.Minute

// route determines by the rules which version the attempt may reach.
func (a *attempt) route() error {
	c, p := a.call, &a.call.routing
	c.Version = c.rules.o.Version
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
	if ok {
		c.Version = version
	}
	p.wait = by.Exclusive()
	p.unseen = p.token.Generation == (rollout.Generation{}) && !p.lastTry && c.began.Sub(a.s.c.start) < justStarted &&
		p.trace.Restartable()
	return nil
}

// noRoute returns the error of an attempt with a token that the log here can't read.
func (a *attempt) noRoute(err error) error {
	return a.fail(RefusalCode(err), NotExecuted, fmt.Errorf("generation %v: %w", a.call.routing.token.Generation, err))
}

// returned ends the attempt for its trace. A call that may yet be executed holds the trace's span
// until its deadline.
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

// recover handles a refusal by the rules, and reports whether the call is to be made again: the
// callee gets the rules that it lacks, or this process does. Nothing was executed, so the caller
// does not see the refusal. Otherwise it returns the call's error.
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
	case Expired: // a root that has executed no call may read newer rules
		if !p.unseen {
			return p.trace.Refresh(a.ctx, p.token), err
		}
		if a.behind() && a.pullRules(a.ep, a.theirGeneration()) != nil || !p.trace.Refresh(a.ctx, p.token) {
			p.lastTry = true // the callee may still serve it
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
	default:
		p.exchanges-- // a failure of another kind
	}
	return false, err
}

// reroute reports whether the call may be made again in another way. If the trace has executed no
// call with the refused token, it takes a fresh one. Otherwise the present rules must name another
// version for the token.
func (a *attempt) reroute() bool {
	c, p := a.call, &a.call.routing
	if p.trace.Refresh(a.ctx, p.token) {
		c.tried, c.TryAgain = nil, false
		return true
	}
	version, ok, err := a.s.c.cfg.Rollout.Log().Resolve(a.s.name, p.token)
	return err == nil && ok && version != c.Version
}

// retired reports whether no instance will offer the version again.
func (a *attempt) retired() bool {
	return a.s.c.cfg.Rollout.Log().Floor(a.s.name, a.call.Version) != rollout.Generation{}
}

// await waits for an instance of the version, for a change of the rules, or for the end of ctx.
func (a *attempt) await(ctx context.Context, cancel context.CancelFunc) (bool, error) {
	p := &a.call.routing
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
		return true, nil // the rules have changed already
	}
	ep, err := a.next(ctx, a.s.picker())
	switch {
	case err == nil:
		p.next = ep
	case a.ctx.Err() == nil && errors.Is(ctx.Err(), context.Canceled) && !a.left(): // the rules have changed
		p.trace.Refresh(a.ctx, p.token)
	default:
		return false, a.fail(VersionUnavailable, NotExecuted, err)
	}
	p.exchanges-- // waiting does not count as an exchange
	return true, nil
}

// opener is the value of keyOpener for a stream that the call opens; "": it has no trace, or that of a handler.
func (p *versionRouting) opener() string {
	switch t := p.trace; {
	case t == nil:
		return ""
	case t.Follows():
		return openerFollows
	case t == &p.own, t.Job():
		return openerOwn
	}
	return ""
}
