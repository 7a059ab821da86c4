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
	for _, in := range instances {
		in.Owner = n.owner
		n.foreign[in.ID()] = true
	}
	n.mu.Unlock()
	results, stop := n.atEach(ctx, func(ctx context.Context, r registry.Registry) error {
		return r.Register(ctx, instances...)
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
	return n.foreign[id]
}

// dismiss removes the registrations of a version that the rules have retired, and reports whether
// there were any.
func (n *Node) dismiss(service, version string) bool {
	if n.rules.Log().Floor(service, version) == (rollout.Generation{}) {
		return false
	}
	var ids []registry.ID
	n.mu.Lock()
	for id := range n.foreign {
		if id.Service == service && id.Version == version {
			ids = append(ids, id)
		}
	}
	n.mu.Unlock()
	if len(ids) == 0 {
		return false
	}
	n.log.Info("registrations are withdrawn: a release has retired their version", "service", service, "version",
		version, "instances", len(ids))
	ctx, cancel := context.WithTimeout(context.Background(), withdrawLimit)
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
