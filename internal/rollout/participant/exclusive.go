package participant

import (
	"context"
	"maps"
	"slices"
)

// AwaitTurn waits until the applied rules let the version run, and records that
// it runs until stop is called. why receives the reason for the wait, again
// after each change of the rules. A version that may run beside others does not
// wait. The error is that of ctx.
func (a *Agent) AwaitTurn(ctx context.Context, service, version string, why func(error)) (stop func(), err error) {
	for {
		a.mu.Lock()
		err, changed := a.log.Load().CheckTurn(service, version), a.changed
		if err == nil {
			defer a.mu.Unlock()
			return a.runs(service + "/" + version), nil
		}
		name := service + "/" + version
		a.waiting = counted(a.waiting, name, 1)
		a.mu.Unlock()
		why(err)
		select {
		case <-changed:
		case <-ctx.Done():
		}
		a.mu.Lock()
		a.waiting = counted(a.waiting, name, -1)
		a.mu.Unlock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// runs records that the version runs. mu is held.
func (a *Agent) runs(name string) (stop func()) {
	a.running = counted(a.running, name, 1)
	stopped := false
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if !stopped {
			stopped = true
			a.running = counted(a.running, name, -1)
		}
	}
}

func counted(all map[string]int, name string, by int) map[string]int {
	if all == nil {
		all = map[string]int{}
	}
	if all[name] += by; all[name] == 0 {
		delete(all, name)
	}
	return all
}

// turns returns the versions that run and those that wait for their turn,
// sorted.
func (a *Agent) turns() (runs, waits []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.running)), slices.Sorted(maps.Keys(a.waiting))
}
