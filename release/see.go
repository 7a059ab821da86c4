package release

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rollout"
)

// seeLimit is how long a step waits for processes that know no instance of a
// new version yet.
const seeLimit = 10 * time.Second

// seen waits until every process that calls one of the modules knows an
// instance of its new version. One whose registry is lost would learn the rule
// from others, and have nobody to send its requests to.
func (c *Controller) seen(ctx context.Context, modules []rollout.Module) error {
	for begun := time.Now(); ; {
		blind, err := c.blind(ctx, modules)
		if err != nil || len(blind) == 0 {
			return err
		}
		text := strings.Join(blind, ", ")
		if time.Since(begun) > seeLimit {
			return fmt.Errorf("%w: %s; see whether their registries can be reached (skerry doctor on their hosts)", ErrUnseen, text)
		}
		c.cfg.Progress(Progress{Step: "see", Waiting: time.Since(begun), Note: text})
		if err := run.Sleep(ctx, c.cfg.Pause); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnseen, text, err)
		}
	}
}

// blind names the processes that call a module and don't know its new version,
// where that runs before the switch. Who does not answer can't be told the
// rules either.
func (c *Controller) blind(ctx context.Context, modules []rollout.Module) (names []string, err error) {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the processes: %w", err)
	}
	var services []string
	for _, m := range modules {
		services = append(services, m.Service)
	}
	var mu sync.Mutex
	ask(ctx, alive(members, c.cfg.Without), func(ctx context.Context, who Member) error {
		sees, err := who.Peer.Sees(ctx, services)
		mu.Lock()
		defer mu.Unlock()
		for _, m := range modules {
			if versions, calls := sees[m.Service]; calls && !m.Strategy.Exclusive() && !slices.Contains(versions, m.New) {
				names = append(names, fmt.Sprintf("%s knows no instance of %s %s", who.Process, m.Service, m.New))
			}
		}
		return err
	})
	slices.Sort(names)
	return names, nil
}
