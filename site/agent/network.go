package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// network is what the part of the agent that talks with other hosts and the one that works here tell each other.
type network struct {
	mu       sync.Mutex
	missing  []plan.Wanted
	fetching []string
	problem  string
	changed  chan struct{} // closed and replaced when the plan or missing has changed
}

// The methods below are for what runs beside the agent, see [Agent.Run].

// Config is the configuration of the agent.
func (a *Agent) Config() Config { return a.config }

// Store is the store of the host.
func (a *Agent) Store() *artifact.Store { return a.store }

// Plan returns the plan that is obeyed (number 0: none), and, when another plan with its number is validly signed,
// that one: then neither is carried out.
func (a *Agent) Plan() (now SignedPlan, rival *SignedPlan) {
	n, r := a.orders.current()
	if r != nil {
		signed := r.signed()
		rival = &signed
	}
	return n.signed(), rival
}

// Offer has the agent obey a plan. The error wraps [ErrRefused] if the plan may not be obeyed. A plan that is obeyed
// already is no error.
func (a *Agent) Offer(text, signature []byte) error {
	err := a.orders.offer(text, signature)
	a.tell()
	a.watches.wake()
	return err
}

// History returns plans that were obeyed with numbers below before (0: all), the latest first: at most 20, with at most
// 4 MiB.
func (a *Agent) History(before int64) ([]SignedPlan, error) { return a.orders.history(before) }

// Missing returns what the plan wants on this host and the store lacks the artifact for, each artifact once.
func (a *Agent) Missing() []plan.Wanted {
	a.network.mu.Lock()
	defer a.network.mu.Unlock()
	return slices.Clone(a.network.missing)
}

// Changed returns a channel that is closed when the plan or the missing artifacts change.
func (a *Agent) Changed() <-chan struct{} {
	a.network.mu.Lock()
	defer a.network.mu.Unlock()
	return a.network.changed
}

// tell wakes those that wait for a change.
func (a *Agent) tell() {
	a.network.mu.Lock()
	defer a.network.mu.Unlock()
	close(a.network.changed)
	a.network.changed = make(chan struct{})
}

// SayFetching has the report show what is being fetched, a line for each artifact.
func (a *Agent) SayFetching(lines []string) {
	a.network.mu.Lock()
	defer a.network.mu.Unlock()
	if !slices.Equal(lines, a.network.fetching) {
		a.network.fetching = lines
		a.watches.wake()
	}
}

// SayNetwork has the report show what is wrong with the network; nil: nothing.
func (a *Agent) SayNetwork(problem error) {
	a.network.mu.Lock()
	defer a.network.mu.Unlock()
	said := ""
	if problem != nil {
		said = problem.Error()
	}
	if said != a.network.problem {
		a.network.problem = said
		a.watches.wake()
	}
}

func (a *Agent) networkSays() (fetching []string, problem string) {
	a.network.mu.Lock()
	defer a.network.mu.Unlock()
	return a.network.fetching, a.network.problem
}

// findMissing looks for the artifacts of a plan, and returns the services that lack one, with the reason.
func (a *Agent) findMissing(wanted []plan.Wanted) map[string]error {
	lacks := map[string]error{}
	var missing []plan.Wanted
	has := func(d artifact.Digest) bool {
		return slices.ContainsFunc(missing, func(w plan.Wanted) bool { return w.Artifact == d })
	}
	for _, w := range wanted {
		if w.Artifact == "" || a.here[w.Artifact] {
			continue
		}
		_, err := a.store.Get(w.Artifact)
		if !errors.Is(err, artifact.ErrNotFound) { // a start says what else is wrong
			a.here[w.Artifact] = true
			continue
		}
		lacks[w.Instance.Service] = fmt.Errorf("the store of this host has no artifact %s; bring it with skerry "+
			"bundle import", w.Artifact)
		if !has(w.Artifact) {
			missing = append(missing, w)
		}
	}
	a.network.mu.Lock()
	same := slices.EqualFunc(missing, a.network.missing, func(a, b plan.Wanted) bool {
		return a.Artifact == b.Artifact
	})
	a.network.missing = missing
	a.network.mu.Unlock()
	if !same {
		a.tell()
	}
	return lacks
}

// hold leaves out steps that may not be taken yet, for the reason that why returns for a service. What runs goes on:
// nothing is stopped, and an instance that has died, with the hash of what it was started for, is started again: as it
// was wanted then, or with again as it is wanted now.
func hold(steps []plan.Step, died map[plan.Instance]string, again bool, why func(service string) error) (
	kept []plan.Step) {
	for _, s := range steps {
		err := why(s.Instance.Service)
		if err == nil || s.Do == plan.Blocked || s.Do == plan.Remove {
			kept = append(kept, s)
			continue
		}
		if s.Do == plan.Stop {
			continue
		}
		hash, ran := died[s.Instance]
		if ran && (again || hash == s.Wanted.Hash) {
			kept = append(kept, s)
			continue
		}
		kept = append(kept, plan.Step{Do: plan.Blocked, Instance: s.Instance, Why: err.Error()})
	}
	return kept
}

// beside runs what is beside the agent. The returned function waits for its end.
func (a *Agent) beside(ctx context.Context, all []func(context.Context) error) (wait func()) {
	var group sync.WaitGroup
	for _, run := range all {
		group.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				a.SayNetwork(err)
			}
		})
	}
	return group.Wait
}
