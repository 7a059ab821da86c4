package operator

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/rollout"
)

// PutSettings stores settings of a module in the open release.
func (c *Controller) PutSettings(ctx context.Context, module string, values map[string]string) error {
	return c.step(ctx, "config put "+module+" "+strings.Join(slices.Sorted(maps.Keys(values)), " "),
		func(_ *rollout.Log, r rollout.Release, _ rollout.Generation) (change, error) {
			next, err := r.Put(module, values)
			return change{session: next}, err
		})
}
