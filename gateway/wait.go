package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
)

var (
	errChanged = errors.New("the rules have changed while the request waited")
	errLeft    = errors.New("the client has closed its side while the request waited for an instance")
)

// pick finds an instance of the version that the rules name. It waits for the next instance if
// there is none, or if the tried ones are gone.
func (a *attempt) pick() (*rpc.Endpoint, error) {
	version, by, _, err := a.u.g.node.Rollout().Log().Route(a.u.route.Service, a.token)
	if err != nil {
		return nil, unexecuted("%w", err)
	}
	a.call.Version, a.v.version = version, version
	ctx, cancel := context.WithDeadline(a.req.Context(), a.begun.Add(a.u.route.Timeout))
	defer cancel()
	a.call.TryAgain = false
	ep, err := a.u.picker.Pick(ctx, a.call)
	waits := a.mayWait(by)
	if errors.Is(err, rpc.ErrNoInstance) && a.v.instance != "" && !(waits && a.lost != nil) &&
		run.Sleep(ctx, run.Jitter(retryPause, 0.5)) == nil {
		a.call.TryAgain = true
		ep, err = a.u.picker.Pick(ctx, a.call)
	}
	if errors.Is(err, rpc.ErrNoInstance) && waits {
		ep, err = a.await(ctx, by)
	}
	switch {
	case err == nil:
		return ep, nil
	case a.lost != nil:
		return nil, unexecuted("%w; %w", a.lost, err)
	}
	return nil, unexecuted("%w", err)
}

// mayWait reports whether the request waits when no instance can be picked. It waits while the
// service switches by an exclusive strategy. Otherwise it waits if the service's calls may wait,
// the version is not retired, and no instance was tried or the last one was gone.
func (a *attempt) mayWait(by rollout.Strategy) bool {
	if by.Exclusive() {
		return true
	}
	retired := a.u.g.node.Rollout().Log().Floor(a.u.route.Service, a.call.Version) != rollout.Generation{}
	return a.u.wait > 0 && !retired && (a.v.instance == "" || a.lost != nil)
}

// await waits until an instance of the version is there, the rules change, or the client has closed
// its side. No bytes of the request have been sent yet.
func (a *attempt) await(ctx context.Context, by rollout.Strategy) (*rpc.Endpoint, error) {
	if !by.Exclusive() {
		limited, cancel := context.WithDeadline(ctx, a.begun.Add(a.u.wait))
		defer cancel()
		ctx = limited
	}
	g := run.NewGroup(ctx)
	defer g.Stop()
	changed, present := a.u.g.node.Rollout().Changed(), a.v.present
	g.Go(func(ctx context.Context) error {
		select {
		case <-changed:
			return errChanged // ends the wait below
		case <-present.Done():
			return errLeft
		case <-ctx.Done():
			return nil
		}
	})
	if c := a.unread(); c != nil {
		g.Go(func(ctx context.Context) error {
			if c.closes(ctx) {
				return errLeft
			}
			return nil
		})
	}
	a.call.Wait = true
	defer func() { a.call.Wait = false }()
	ep, err := a.u.picker.Pick(g.Context(), a.call)
	switch cause := context.Cause(g.Context()); {
	case err == nil || ctx.Err() != nil:
		return ep, err
	case errors.Is(cause, errChanged), errors.Is(cause, errLeft):
		return nil, fmt.Errorf("version %q: %w", a.call.Version, cause)
	}
	return nil, err
}

// unread is the client's connection if the server does not notice its end, because a body is to be
// read first; nil otherwise.
func (a *attempt) unread() *client {
	if a.body.stream == nil || !a.body.whole() || a.v.sent.ProtoMajor != 1 {
		return nil
	}
	c, _ := a.req.Context().Value(clientKey{}).(*client)
	return c
}
