package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rollout"
)

// seeLimit is how long a step waits for processes that don't know yet whom
// they are to call.
const seeLimit = 10 * time.Second

// awaitSeen waits until every process that calls one of the modules knows an
// instance of its new version, and every process of a new version whomever the
// version before it calls. One whose registry is lost would learn the rule, or
// get the requests, from others, and have nobody to send its own to.
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
			return fmt.Errorf("%w: %s; see whether their registries can be reached (skerry doctor on their hosts)", ErrUnseen, text)
		}
		c.cfg.Progress(Progress{Step: "see", Waiting: time.Since(begun), Note: text})
		if err := run.Sleep(ctx, c.cfg.Pause); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnseen, text, err)
		}
	}
}

// unaware names the processes that don't know whom they are to call. Who does
// not answer can't be told the rules either.
func (c *Controller) unaware(ctx context.Context, modules []rollout.Module) (names []string, err error) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the processes: %w", err)
	}
	reports := c.reports(ctx, members)
	calls := callees(reports)
	var mu sync.Mutex
	ask(ctx, alive(members, c.cfg.Without), func(ctx context.Context, who Member) error {
		r, answered := reports[who.Process]
		wants := wanted(r, calls, modules)
		if !answered || len(wants) == 0 {
			return nil
		}
		sees, err := who.Peer.Sees(ctx, slices.Sorted(maps.Keys(wants)))
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
			if version == "" && !c.listed(ctx, service) { // it is not for this process to find
				continue
			}
			mu.Lock()
			names = append(names, fmt.Sprintf("%s knows no instance of %s", who.Process, text))
			mu.Unlock()
		}
		return nil
	})
	slices.Sort(names)
	return names, nil
}

// callees are the services that a service calls, as all who serve it say.
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

// wanted are the services that a process must know before a switch: new
// versions of modules that it calls, where they run before the switch, and if
// it is a new version itself, then any instance ("") of all that it will call.
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
			delete(out, m.Service) // its new version is not up yet, and the old one about to go
		default:
			out[m.Service] = m.New
		}
	}
	return out
}

// listed reports whether a service is registered at all.
func (c *Controller) listed(ctx context.Context, service string) bool {
	list, err := c.cfg.Site.Instances(ctx, service)
	return err == nil && len(list) > 0
}
