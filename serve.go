package skerry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rollout"
)

// tellLimit is how long callers wait to be told directly while the registries
// are told: a registry that hangs must not hold up the news.
const tellLimit = 100 * time.Millisecond

// Serve offers the service as Handle does, until ctx ends; then it leaves
// politely and returns nil: it tells the registries and the
// connected callers that the service is leaving, serves on for Stop.Grace as the
// last choice, takes the service off the lists, refuses further calls unexecuted,
// and waits up to Stop.Drain for those that still run. An error after that says
// how many were cut off.
//
// When several services are served, the end of one takes only that one away;
// with the last Serve everything leaves, what Handle offers too. The node can
// call others until Close, so handlers that still run can finish.
func (n *Node) Serve(ctx context.Context, service string, p thrift.TProcessor) error {
	if err := n.Handle(ctx, service, p); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	return n.offers.serve(ctx, service)
}

func (p *provider) serve(ctx context.Context, service string) error {
	p.mu.Lock()
	p.serving++
	o := p.offers[service]
	if o != nil {
		o.served = true
	}
	p.mu.Unlock()
	stop := p.n.cfg.Stop
	if o == nil {
		return p.leave(stop) // gone already: everything leaves
	}
	select {
	case <-ctx.Done():
	case <-o.asked: // an operator: the rules have retired its version, and nobody calls it
		stop.Grace = 0
	case <-p.left:
		return p.leave(stop)
	case <-p.group.Context().Done(): // the port broke
	}
	p.mu.Lock()
	p.serving--
	last := p.serving == 0
	if !last {
		delete(p.offers, service)
	}
	p.mu.Unlock()
	if last {
		return p.leave(stop)
	}
	o.end(context.WithoutCancel(ctx), stop.Grace)
	return nil
}

// end takes one service away while others stay.
func (o *offer) end(ctx context.Context, grace time.Duration) {
	o.p.n.log.Info("leaving", "service", o.service)
	if grace > 0 {
		stopping := tell((*offer).stops, o)
		o.p.server.LeaveService(o.service)
		_ = run.Sleep(ctx, grace)
		_ = stopping.Stop()
	}
	withdrawing := tell((*offer).withdraw, o)
	o.p.server.LeaveService(o.service)
	_ = withdrawing.Wait()
	o.remove()
	if o.stopped != nil {
		o.stopped()
	}
}

// tell has offers tell the registries something, and returns when all have done
// so, or when callers should wait no longer to be told directly: those that are
// not done go on in the group.
func tell(what func(*offer, context.Context), offers ...*offer) *run.Group {
	telling := run.NewGroup(context.Background())
	told := make(chan struct{}, len(offers))
	for _, o := range offers {
		telling.Go(func(ctx context.Context) error {
			what(o, ctx)
			told <- struct{}{}
			return nil
		})
	}
	late := time.After(tellLimit)
	for range offers {
		select {
		case <-told:
		case <-late:
			return telling
		}
	}
	return telling
}

// retire makes a service leave, as the end of its Serve does, when the rules
// have retired the version that it is offered by. It reports whether it does.
func (p *provider) retire(service, version string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.offers[service]
	if o == nil || o.entries[0].Version != version || p.n.rules.Log().Floor(service, version) == (rollout.Generation{}) {
		return false
	}
	o.ask.Do(func() {
		close(o.asked)
		if !o.served { // nobody waits in Serve to do it
			delete(p.offers, service)
			p.group.Go(func(ctx context.Context) error { o.end(context.WithoutCancel(ctx), 0); return nil })
		}
	})
	return true
}

// leave stops the provider in order, once; whoever calls it later waits for
// the first.
func (p *provider) leave(stop config.Stop) error {
	p.once.Do(func() {
		defer close(p.left)
		p.mu.Lock()
		p.leaving = true
		silent := p.listener == nil
		idle := len(p.offers) == 0
		p.mu.Unlock()
		if !silent {
			if idle {
				stop.Grace = 0 // nobody calls a process that offers nothing
			}
			p.leftErr = p.goAway(stop)
		}
	})
	return p.leftErr
}

func (p *provider) goAway(stop config.Stop) error {
	begun := time.Now()
	p.n.log.Info("leaving", "grace", max(stop.Grace, 0), "drain", max(stop.Drain, 0))
	if stop.Grace > 0 { // the process stays a member meanwhile, as it executes calls
		var services []*offer
		p.each(func(o *offer) { services = append(services, o) })
		stopping := tell((*offer).stops, services...)
		p.server.Leave()
		_ = run.Sleep(context.Background(), stop.Grace)
		_ = stopping.Stop()
	}
	var all []*offer
	p.listings(func(o *offer) { all = append(all, o) })
	withdrawing := tell((*offer).withdraw, all...)
	p.server.Leave()

	late := fmt.Errorf("they ran for longer than stop.drain (%v)", stop.Drain)
	drain, cancel := context.WithTimeoutCause(context.Background(), max(stop.Drain, 0), late)
	defer cancel()
	err := errors.Join(p.server.Drain(drain), withdrawing.Wait(), p.group.Stop())
	p.n.members.Farewell(context.Background())
	p.n.log.Info("left", "took", time.Since(begun).Round(time.Millisecond), "err", err)
	return err
}
