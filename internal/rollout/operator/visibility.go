package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// seeLimit is how long a step waits for processes that do not know instances of
// their callees yet.
const seeLimit = 10 * time.Second

// awaitSeen waits until every process that calls one of the modules knows an
// instance of its new version. A process of a new version must also know an
// instance of each service that the old version calls. A process that has lost
// its registry can still get rules and requests from others, and would then have
// no instance to call.
func (c *Controller) awaitSeen(ctx context.Context, modules []rollout.Module) error {
	for begun := time.Now(); ; {
		blind, err := c.unaware(ctx, modules)
		if err != nil || len(blind) == 0 {
			return err
		}
		text := strings.Join(blind, ", ")
		if time.Since(begun) > seeLimit {
			if settled, err := c.settled(ctx); err != nil {
				return err
			} else if !settled {
				begun = time.Now()
				continue
			}
			return fmt.Errorf("%w: %s; see whether their registries can be reached (skerry doctor on their hosts)",
				ErrUnseen, text)
		}
		c.cfg.Progress(Progress{Step: "see", Waiting: time.Since(begun), Note: text})
		if err := run.Sleep(ctx, c.cfg.Pause); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnseen, text, err)
		}
	}
}

// unaware returns the processes that do not know their callees. It omits
// processes that do not answer, as they can't receive the rules either.
func (c *Controller) unaware(ctx context.Context, modules []rollout.Module) (names []string, err error) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the processes: %w", err)
	}
	reports := c.reports(ctx, members)
	calls := callees(reports)
	var mu sync.Mutex
	ask(ctx, alive(members, c.cfg.Without), func(ctx context.Context, m Member) error {
		r, answered := reports[m.Process]
		wants := wanted(r, calls, modules)
		if !answered || len(wants) == 0 {
			return nil
		}
		sees, err := m.Peer.Sees(ctx, slices.Sorted(maps.Keys(wants)))
		if err != nil {
			return err
		}
		for service, version := range wants {
			text := service + " " + version
			if version == "" {
				text = service
			}
			if len(sees[service]) > 0 && (version == "" || slices.Contains(sees[service], version)) {
				continue
			}
			if version == "" && !c.listed(ctx, service) { // no instance is registered, so the process can't know one
				continue
			}
			mu.Lock()
			names = append(names, fmt.Sprintf("%s knows no instance of %s", m.Process, text))
			mu.Unlock()
		}
		return nil
	})
	slices.Sort(names)
	return names, nil
}

// callees returns the services that each service calls, by the reports of all
// processes that serve it.
func callees(reports map[string]rollout.Report) map[string]map[string]bool {
	calls := map[string]map[string]bool{}
	for _, r := range reports {
		for _, s := range r.Serves {
			if calls[s] == nil {
				calls[s] = map[string]bool{}
			}
			for _, to := range r.Calls {
				calls[s][to] = true
			}
		}
	}
	return calls
}

// wanted returns the services, and versions, that a process must know before a
// switch: the new version of each module that it calls, if it runs before the
// switch. A process of a new version must also know an instance of any version
// ("") of all services that it will call.
func wanted(r rollout.Report, calls map[string]map[string]bool, modules []rollout.Module) map[string]string {
	all := map[string]bool{}
	for _, to := range r.Calls {
		all[to] = true
	}
	for _, s := range r.Serves {
		maps.Copy(all, calls[s])
	}
	delete(all, rollout.Anywhere)
	out := map[string]string{}
	if slices.ContainsFunc(modules, func(m rollout.Module) bool {
		return slices.Contains(slices.Concat(r.Runs, r.Waits), m.Service+"/"+m.New)
	}) {
		for to := range all {
			out[to] = ""
		}
	}
	for _, m := range modules {
		switch {
		case !all[m.Service]:
		case m.Strategy.Exclusive():
			delete(out, m.Service) // the new version is not up yet, and the old one about to stop
		default:
			out[m.Service] = m.New
		}
	}
	return out
}

// listed reports whether a service has registered instances.
func (c *Controller) listed(ctx context.Context, service string) bool {
	list, err := c.cfg.Site.Instances(ctx, service)
	return err == nil && len(list) > 0
}
