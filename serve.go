package skerry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/run"
)

// tellLimit is how long callers wait to be told directly while the registries
// are told: a registry that hangs must not hold up the news.
const tellLimit = 100 * time.Millisecond

// Serve offers the service as Handle does, until ctx ends; then it leaves
// politely (demand D19) and returns nil: it takes the service off the lists,
// tells the connected callers, serves on for Stop.Grace, refuses further calls
// unexecuted, and waits up to Stop.Drain for those that still run. An error
// after that says how many were cut off.
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
	p.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-p.left:
		return p.leave()
	case <-p.group.Context().Done(): // the port broke
	}
	p.mu.Lock()
	p.serving--
	last := p.serving == 0
	o := p.offers[service]
	if !last {
		delete(p.offers, service)
	}
	p.mu.Unlock()
	if last || o == nil {
		return p.leave()
	}
	p.n.log.Info("leaving", "service", service)
	background := context.WithoutCancel(ctx)
	o.withdraw(background)
	_ = run.Sleep(background, p.n.cfg.Stop.Grace)
	o.remove()
	return nil
}

// leave stops the provider in order, once; whoever calls it later waits for
// the first.
func (p *provider) leave() error {
	p.once.Do(func() {
		defer close(p.left)
		p.mu.Lock()
		p.leaving = true
		silent := p.listener == nil
		p.mu.Unlock()
		if !silent {
			p.leftErr = p.goAway(p.n.cfg.Stop)
		}
	})
	return p.leftErr
}

func (p *provider) goAway(stop Stop) error {
	begun := time.Now()
	p.n.log.Info("leaving", "grace", max(stop.Grace, 0), "drain", max(stop.Drain, 0))
	withdrawing := run.NewGroup(context.Background())
	p.each(func(o *offer) {
		withdrawing.Go(func(ctx context.Context) error { o.withdraw(ctx); return nil })
	})
	withdrawn := make(chan struct{})
	waiting := run.NewGroup(context.Background())
	waiting.Go(func(context.Context) error { defer close(withdrawn); return withdrawing.Wait() })
	select {
	case <-withdrawn:
	case <-time.After(tellLimit):
	}
	p.server.Leave()
	_ = run.Sleep(context.Background(), stop.Grace)

	drain, cancel := context.WithTimeoutCause(context.Background(), max(stop.Drain, 0), fmt.Errorf("they ran for longer than stop.drain (%v)", stop.Drain))
	defer cancel()
	err := errors.Join(p.server.Drain(drain), waiting.Wait(), p.group.Stop())
	p.n.log.Info("left", "took", time.Since(begun).Round(time.Millisecond), "err", err)
	return err
}
