package skerry

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Register lists instances that this process does not serve itself, such as a provider in another
// language, at every registry of the node. It keeps them listed until Deregister or Close. Close
// waits a second after it has removed them (less by Stop.Grace), so that the caller can close their
// ports when it returns. Register returns when the first registry has listed them; those that can't
// be reached are retried for ever. When ctx ends earlier the error wraps registry.ErrPending; for
// instances that no registry accepts it wraps registry.ErrInvalid.
func (n *Node) Register(ctx context.Context, instances ...registry.Instance) error {
	instances = slices.Clone(instances)
	for i, in := range instances {
		if err := in.Check(); err != nil {
			return err
		}
		if only := membership.HostOnly(in.Host, true); only != "" {
			n.log.Warn("only processes of this host can connect, so no other host takes it", "service", in.Service,
				"version", in.Version, "addr", in.Addr(), "address", only)
			instances[i] = n.host.Mark(in, only)
		}
	}
	n.mu.Lock()
	for i := range instances {
		instances[i].Owner = n.owner
		n.foreign[instances[i].ID()] = instances[i]
	}
	n.mu.Unlock()
	results, stop := n.atEach(ctx, func(ctx context.Context, r registry.Registry) error {
		return n.listForeign(ctx, r, instances)
	})
	defer stop() // the others go on by themselves
	var all error
	for range n.sources {
		result := <-results
		if result.err == nil {
			return nil
		}
		all = errors.Join(all, result.err)
	}
	return all
}

// Deregister removes registrations of Register from every list. It returns when all registries have
// done so. When ctx ends earlier it returns registry.ErrPending, and the registries go on.
func (n *Node) Deregister(ctx context.Context, ids ...registry.ID) error {
	n.mu.Lock()
	for _, id := range ids {
		id.Epoch = n.owner.Epoch
		delete(n.foreign, id)
	}
	n.mu.Unlock()
	results, stop := n.atEach(ctx, func(ctx context.Context, r registry.Registry) error {
		return r.Deregister(ctx, ids...)
	})
	defer stop()
	var all error
	for range n.sources {
		all = errors.Join(all, (<-results).err)
	}
	return all
}

// shown is an instance of this process as the lists show it: without calls, when an operator has
// drained it.
func (n *Node) shown(in registry.Instance) registry.Instance { return n.drains.Of(in).Put(in) }

// listForeign lists instances of Register at a registry as operators' orders show them, also when an
// order comes meanwhile.
func (n *Node) listForeign(ctx context.Context, r registry.Registry, plain []registry.Instance) error {
	now := func() (list []registry.Instance) {
		for _, in := range plain {
			list = append(list, n.shown(in))
		}
		return list
	}
	for {
		list := now()
		err := r.Register(ctx, list...)
		if slices.EqualFunc(list, now(), registry.Instance.Equal) {
			return err
		}
	}
}

// followDrains lists the instances of Register anew when operators have drained some or put some back.
func (n *Node) followDrains(ctx context.Context) error {
	shown := map[registry.ID]registry.Instance{}
	for {
		changed := n.drains.Changed()
		before := shown
		shown = map[registry.ID]registry.Instance{}
		var news []registry.Instance
		n.mu.Lock()
		for id, in := range n.foreign {
			was, known := before[id]
			if !known {
				was = in
			}
			if shown[id] = n.shown(in); !was.Equal(shown[id]) {
				news = append(news, in)
			}
		}
		n.mu.Unlock()
		if len(news) > 0 {
			n.relistForeign(ctx, news)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// relistForeign lists instances anew, except those that Deregister has removed meanwhile.
func (n *Node) relistForeign(ctx context.Context, list []registry.Instance) {
	ctx, cancel := context.WithTimeout(ctx, withdrawLimit)
	defer cancel()
	results, stop := n.atEach(ctx, func(ctx context.Context, r registry.Registry) error {
		if err := n.listForeign(ctx, r, list); err != nil && ctx.Err() == nil {
			n.log.Warn("an order to drain is not on the list of a registry yet", "err", err)
		}
		var gone []registry.ID
		n.mu.Lock()
		for _, in := range list {
			if _, listed := n.foreign[in.ID()]; !listed {
				gone = append(gone, in.ID())
			}
		}
		n.mu.Unlock()
		if len(gone) == 0 {
			return nil
		}
		return r.Deregister(ctx, gone...)
	})
	defer stop()
	for range n.sources {
		<-results
	}
}

// registerGrace is how long Close waits after it removes registrations from the lists: callers
// learn of it within a second.
const registerGrace = time.Second

// giveUpRegistrations removes the registrations of Register, and returns when callers have had the
// time to learn of it.
func (n *Node) giveUpRegistrations() {
	var ids []registry.ID
	n.mu.Lock()
	for id := range n.foreign {
		ids = append(ids, id)
	}
	n.mu.Unlock()
	grace := min(n.cfg.Stop.Grace, registerGrace)
	if len(ids) == 0 || grace <= 0 {
		return // the end of the registries removes them
	}
	n.log.Info("registrations are withdrawn: the node closes", "instances", len(ids), "grace", grace)
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = n.Deregister(ctx, ids...) // a registry that is away does it later, or lets them expire
	<-ctx.Done()
}

// Registered reports whether this process still lists an instance of Register. It no longer does
// when a release has retired the instance's version.
func (n *Node) Registered(id registry.ID) bool {
	id.Epoch = n.owner.Epoch
	n.mu.Lock()
	defer n.mu.Unlock()
	_, listed := n.foreign[id]
	return listed
}

// dismiss removes the registrations of a version that the rules have retired, and reports whether
// there were any.
func (n *Node) dismiss(service, version string) bool {
	if n.rules.Log().Floor(service, version) == (rollout.Generation{}) {
		return false
	}
	return n.dismissThose(context.Background(), "a release has retired their version", func(id registry.ID) bool {
		return id.Service == service && id.Version == version
	})
}

// dismissThose removes registrations of Register, and reports whether there were any.
func (n *Node) dismissThose(ctx context.Context, why string, those func(registry.ID) bool) bool {
	var ids []registry.ID
	n.mu.Lock()
	for id := range n.foreign {
		if those(id) {
			ids = append(ids, id)
		}
	}
	n.mu.Unlock()
	if len(ids) == 0 {
		return false
	}
	n.log.Info("registrations are withdrawn", "why", why, "instances", len(ids), "first", ids[0].String())
	ctx, cancel := context.WithTimeout(ctx, withdrawLimit)
	defer cancel()
	_ = n.Deregister(ctx, ids...) // registries that are away do it later
	return true
}

// sourceResult is what a registry has answered.
type sourceResult struct {
	source string
	err    error
}

// atEach calls f for every registry concurrently. stop cancels running calls and waits for them.
func (n *Node) atEach(ctx context.Context, f func(context.Context, registry.Registry) error) (
	results <-chan sourceResult, stop func() error,
) {
	g := run.NewGroup(ctx)
	out := make(chan sourceResult, len(n.sources))
	for _, s := range n.sources {
		begun := g.Go(func(ctx context.Context) error {
			out <- sourceResult{s.Name, f(ctx, s.Registry)}
			return nil
		})
		if !begun {
			out <- sourceResult{s.Name, context.Cause(ctx)}
		}
	}
	return out, g.Stop
}
