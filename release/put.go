package release

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skerry/skerry/rollout"
)

// Put keeps settings of a module in the open release.
func (c *Controller) Put(ctx context.Context, module string, values map[string]string) error {
	return c.step(ctx, "config put "+module+" "+strings.Join(slices.Sorted(maps.Keys(values)), " "),
		func(_ *rollout.Log, r rollout.Release, _ rollout.Generation) (change, error) {
			next, err := r.Put(module, values)
			return change{session: next}, err
		})
}

// Fix gives services of which no rule speaks the version that serves now, so
// that instances of another one can be started without meeting a request.
// Services that have a rule are left alone; without any others nothing is
// written.
func (c *Controller) Fix(ctx context.Context, versions map[string]string) error {
	log, _, err := c.Log(ctx)
	if err != nil {
		return err
	}
	var fixed []string
	for _, service := range slices.Sorted(maps.Keys(versions)) {
		if _, known := log.Rule(service); !known {
			fixed = append(fixed, service+" "+versions[service])
		}
	}
	if len(fixed) == 0 {
		return nil
	}
	return c.step(ctx, "fix what serves: "+strings.Join(fixed, ", "), func(log *rollout.Log, r rollout.Release, _ rollout.Generation) (change, error) {
		if r.Name == "" || r.Over() {
			return change{}, fmt.Errorf("fix versions: %w, no release is open", rollout.ErrStep)
		}
		rules := map[string]rollout.Rule{}
		for service, version := range versions {
			if _, known := log.Rule(service); !known {
				rules[service] = rollout.Rule{Version: version}
			}
		}
		return change{session: r, rules: rules}, nil
	})
}
