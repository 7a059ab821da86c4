package participant

import (
	"context"
	"maps"
	"slices"
)

// AwaitTurn waits until the applied rules let the version run. It then records
// that the version runs, until stop is called. While it waits, it calls why with
// the reason, and again after each change of the rules. A version that may run
// beside others does not wait. The error is that of ctx.
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

// runs records that the version runs until stop is called. The caller of runs
// holds mu.
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

// counted adds by to the count of a name, and returns the map, which it makes when
// it is nil.
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
