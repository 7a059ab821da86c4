package skerry

import (
	"context"
	"errors"
	"slices"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Register lists instances that this process does not serve itself, such as a
// provider in another language, at every registry of the node, and keeps them
// listed until Withdraw or Close. It returns when the first registry has
// listed them; those that can't be reached are tried for ever. When ctx ends
// before that the error wraps registry.ErrPending; it wraps
// registry.ErrInvalid for instances that no registry takes.
func (n *Node) Register(ctx context.Context, instances ...registry.Instance) error {
	instances = slices.Clone(instances)
	for i, in := range instances {
		if err := registry.Check(in); err != nil {
			return err
		}
		if only := hostOnly(in.Host, true); only != "" {
			n.log.Warn("only processes of this host can connect, so no other host takes it", "service", in.Service,
				"version", in.Version, "addr", in.Addr(), "address", only)
			instances[i] = n.marked(in, only)
		}
	}
	n.mu.Lock()
	for _, in := range instances {
		in.Owner = n.owner
		n.foreign[in.ID()] = in
	}
	n.mu.Unlock()
	results, stop := n.atEach(ctx, func(ctx context.Context, r registry.Registry) error { return r.Register(ctx, instances...) })
	defer stop() // the others go on by themselves
	var all error
	for range n.sources {
		err := <-results
		if err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	return all
}

// Withdraw takes registrations made by Register off every list. It returns
// when all registries have done so; with registry.ErrPending when ctx ends
// before, and they go on.
func (n *Node) Withdraw(ctx context.Context, ids ...registry.ID) error {
	n.mu.Lock()
	for _, id := range ids {
		id.Epoch = n.owner.Epoch
		delete(n.foreign, id)
	}
	n.mu.Unlock()
	results, stop := n.atEach(ctx, func(ctx context.Context, r registry.Registry) error { return r.Withdraw(ctx, ids...) })
	defer stop()
	var all error
	for range n.sources {
		all = errors.Join(all, <-results)
	}
	return all
}

// atEach does f with every registry at once. stop cancels what still runs and
// waits for it.
func (n *Node) atEach(ctx context.Context, f func(context.Context, registry.Registry) error) (results <-chan error, stop func() error) {
	g := run.NewGroup(ctx)
	out := make(chan error, len(n.sources))
	for _, s := range n.sources {
		begun := g.Go(func(ctx context.Context) error {
			out <- f(ctx, s.Registry)
			return nil
		})
		if !begun {
			out <- context.Cause(ctx)
		}
	}
	return out, g.Stop
}
