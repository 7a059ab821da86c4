package operator

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

// proc is a process of a world: an agent that can be made silent.
type proc struct {
	*participant.Agent
	w        *world
	silent   atomic.Bool
	lies     atomic.Uint64 // false round number that it reports; 0: none
	deafTo   string        // a request that it does not receive: "learn"
	served   atomic.Pointer[[]Served]
	sees     atomic.Pointer[map[string][]string] // versions of services that it knows; nil: all
	departed []string
	streams  map[string][]func() // by service/version: what ends each; guarded by world.mu
}

var errNoAnswer = errors.New("no answer")

func (p *proc) heard(question string) error {
	if p.silent.Load() || p.deafTo == question {
		return errNoAnswer
	}
	return nil
}

func (p *proc) Since(_ context.Context, g rollout.Generation) ([]rollout.Entry, error) {
	return p.Agent.Since(g), p.heard("since")
}

func (p *proc) Learn(_ context.Context, entries ...rollout.Entry) error {
	if err := p.heard("learn"); err != nil {
		return err
	}
	return p.Agent.Learn(entries...)
}

func (p *proc) Promise(_ context.Context, e rollout.Entry, by rollout.Undertaking) error {
	if err := p.heard("promise"); err != nil {
		return err
	}
	return p.Agent.Promise(e, by)
}

func (p *proc) Abandon(_ context.Context, e rollout.Entry, by rollout.Undertaking) error {
	if err := p.heard("abandon"); err != nil {
		return err
	}
	return p.Agent.Abandon(e, by)
}

func (p *proc) Reject(_ context.Context, e rollout.Entry, by rollout.Undertaking) error {
	if err := p.heard("bar"); err != nil {
		return err
	}
	return p.Agent.Reject(e, by)
}

func (p *proc) Promised(context.Context) (*rollout.Entry, error) {
	return p.Agent.Promised(), p.heard("promised")
}

func (p *proc) Report(ctx context.Context, q rollout.Question) (rollout.Report, error) {
	wait, cancel := context.WithTimeout(ctx, q.Wait)
	defer cancel()
	_ = p.AwaitIdle(wait, q.Until)
	r := p.Agent.Report(q)
	if lie := p.lies.Load(); lie > 0 {
		r.Round = lie
	}
	return r, p.heard("report")
}

func (p *proc) Served(context.Context, time.Duration, map[string]time.Duration) ([]Served, error) {
	if list := p.served.Load(); list != nil {
		return *list, p.heard("served")
	}
	return nil, p.heard("served")
}

func (p *proc) Sees(context.Context, []string) (map[string][]string, error) {
	if sees := p.sees.Load(); sees != nil {
		return *sees, p.heard("sees")
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	all := map[string][]string{}
	for _, in := range p.w.instances {
		all[in.Service] = append(all[in.Service], in.Version)
	}
	return all, p.heard("sees")
}

// CutStreams ends the calls that are streams.
func (p *proc) CutStreams(_ context.Context, service, version string) (int, error) {
	if err := p.heard("cutStreams"); err != nil {
		return 0, err
	}
	p.w.mu.Lock()
	cut := p.streams[service+"/"+version]
	delete(p.streams, service+"/"+version)
	p.w.mu.Unlock()
	for _, end := range cut {
		end()
	}
	return len(cut), nil
}

// Leave removes the process's instances of the version from the lists.
func (p *proc) Leave(_ context.Context, service, version string) (bool, error) {
	if err := p.heard("leave"); err != nil {
		return false, err
	}
	if p.Log().Floor(service, version) == (rollout.Generation{}) {
		return false, nil
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.departed = append(p.departed, service+" "+version)
	var rest []Instance
	for _, in := range p.w.instances {
		if in.Process != p.Process() || in.Service != service || in.Version != version {
			rest = append(rest, in)
		}
	}
	p.w.instances = rest
	return true, nil
}
