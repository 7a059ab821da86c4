package skerry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// tellLimit is how long the registries are told before the callers are told directly: a registry
// that hangs must not delay the callers.
const tellLimit = 100 * time.Millisecond

// Serve offers the service as Handle does, until ctx ends; then the service leaves in order, and
// Serve returns nil. It tells the registries and the connected callers that the service is leaving,
// and serves on for Stop.Grace as the last choice. Then it removes the service from the lists,
// refuses further calls unexecuted, and waits up to Stop.Drain for running calls. An error after
// that says how many were cut off.
//
// When several services are served, the end of one removes only that one, in the same order. Calls
// of it that run for longer than Stop.Drain go on, and the error says how many. With the last Serve
// everything leaves, including the services of Handle. The node can call other processes until
// Close, so running handlers can finish.
func (n *Node) Serve(ctx context.Context, service string, p thrift.TProcessor) error {
	if err := n.Handle(ctx, service, p); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before its begin
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
		return p.leave(stop) // it has left already: everything leaves
	}
	select {
	case <-ctx.Done():
	case <-o.asked: // by an operator
		stop.Grace = o.grace
	case <-p.left:
		return p.leave(stop)
	case <-p.group.Context().Done(): // the port failed
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
	return o.end(stop)
}

// end removes one service while others stay, and returns when its calls have been answered. Calls
// that run for longer than the drain go on; the error says how many.
func (o *registration) end(stop config.Stop) error {
	log, server := o.p.n.log, o.p.server
	log.Info("the service is leaving", "service", o.service)
	one := []*registration{o}
	err := withdraw(one, one, stop.Grace, func() { server.LeaveService(o.service) }).Wait()
	o.remove()
	drain, cancel := drainLimit(stop)
	defer cancel()
	err = errors.Join(err, server.DrainService(drain, o.service))
	if o.stopped != nil {
		o.stopped() // another version may run from here on
	}
	log.Info("the service has left", "service", o.service, "err", err)
	return err
}

// withdraw removes services from the lists. The registries list the stopping services as leaving
// for the grace, then none of all. notify tells the callers after each step. Unfinished work of the
// registries goes on in the returned group.
func withdraw(stopping, all []*registration, grace time.Duration, notify func()) *run.Group {
	if grace > 0 {
		marking := tellRegistries((*registration).stops, stopping...)
		notify()
		_ = run.Sleep(context.Background(), grace)
		_ = marking.Stop()
	}
	withdrawing := tellRegistries((*registration).withdraw, all...)
	notify()
	return withdrawing
}

// drainLimit bounds the running calls of a service that has left.
func drainLimit(stop config.Stop) (context.Context, context.CancelFunc) {
	late := fmt.Errorf("they ran for longer than stop.drain (%v)", stop.Drain)
	return context.WithTimeoutCause(context.Background(), max(stop.Drain, 0), late)
}

// tellRegistries calls what for offers, concurrently. It returns when all calls have ended, or when
// callers must be told directly. Unfinished calls go on in the returned group.
func tellRegistries(what func(*registration, context.Context), offers ...*registration) *run.Group {
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

// retire makes a service leave, like the end of its Serve, if the rules have retired its version.
// It reports whether the service leaves.
func (p *provider) retire(service, version string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.offers[service]
	if o == nil || o.entries[0].Version != version || p.n.rules.Log().Floor(service,
		version) == (rollout.Generation{}) {
		return false
	}
	stop := p.n.cfg.Stop
	stop.Grace = 0
	o.depart(stop)
	return true
}

// depart makes the service leave, like the end of its Serve. The caller holds the provider's mu.
func (o *registration) depart(stop config.Stop) {
	o.ask.Do(func() {
		o.grace = stop.Grace
		close(o.asked)
		if !o.served { // no call of Serve waits to do it
			delete(o.p.offers, o.service)
			o.p.leavers.Go(func(context.Context) error { _ = o.end(stop); return nil }) // the log has the error
		}
	})
}

// leave stops the provider in order, once; later calls wait for the first.
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
				stop.Grace = 0 // no process calls a process without services
			}
			p.leftErr = p.goAway(stop)
		}
	})
	return p.leftErr
}

func (p *provider) goAway(stop config.Stop) error {
	begun := time.Now()
	p.n.log.Info("the process is leaving", "grace", max(stop.Grace, 0), "drain", max(stop.Drain, 0))
	var services, all []*registration
	p.each(func(o *registration) { services = append(services, o) })
	// the process stays a member for the grace, as it executes calls
	p.listings(func(o *registration) { all = append(all, o) })
	withdrawing := withdraw(services, all, stop.Grace, p.server.Leave)
	drain, cancel := drainLimit(stop)
	defer cancel()
	err := errors.Join(p.server.Drain(drain), withdrawing.Wait(), p.leavers.Wait(), p.group.Stop())
	p.n.members.Farewell(context.Background())
	p.n.log.Info("the process has left", "took", time.Since(begun).Round(time.Millisecond), "err", err)
	return err
}

// Retract removes a service of Handle, and leaves the others unchanged. The service leaves the
// lists at once, without Stop.Grace, refuses later calls unexecuted, and finishes running ones. It
// may be offered again. Retract is for services that this process forwards to a program that can
// fail separately.
func (n *Node) Retract(ctx context.Context, service string) {
	p := n.offers
	p.mu.Lock()
	o := p.offers[service]
	delete(p.offers, service)
	p.mu.Unlock()
	if o != nil {
		_ = o.end(config.Stop{Grace: -1, Drain: -1}) // running calls go on
	}
}

// Offered reports whether a service of Handle is still offered. It no longer is when a release has
// retired its version.
func (n *Node) Offered(service string) bool {
	n.offers.mu.Lock()
	defer n.offers.mu.Unlock()
	return n.offers.offers[service] != nil
}

// Leave makes all services of the node leave in order, like the first part of Close: off the lists,
// Stop.Grace, further calls refused unexecuted, up to Stop.Drain for running calls. The node can
// call other processes until Close. The error says how many calls were cut off.
func (n *Node) Leave() error { return n.offers.leave(n.cfg.Stop) }
