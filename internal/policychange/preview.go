package policychange

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/policy"
)

// previewMark is the mark of a lane or a mirror that stands for the one of the open release.
const previewMark = "preview"

// asleep names the lanes and mirrors that do nothing until a release is open, when none is. Plans that are off do
// not count: they are prepared for later.
func (s *Site) asleep(ctx context.Context, p *policy.Policy) (notes []string) {
	items := previewItems(p)
	if len(items) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.Limit, 5*time.Second))
	defer cancel()
	log, _, err := control.Releases(s.Node, control.Operator{}).Log(ctx)
	if err != nil {
		return nil // the items are not known to sleep
	}
	release, ok := log.Session()
	if ok && (release.State == rollout.Prepared || release.State == rollout.Ramping) {
		return nil
	}
	for _, i := range items {
		notes = append(notes, "note: "+i.Key+": it does nothing until a release is open, and none is")
	}
	return notes
}

// previewItems are the items that are on and depend on the open release.
func previewItems(p *policy.Policy) (found []policy.Item) {
	for _, i := range p.Lanes {
		if i.Gets == previewMark {
			found = append(found, i)
		}
	}
	add := func(services map[string]*policy.Service) {
		for _, name := range slices.Sorted(maps.Keys(services)) {
			for _, i := range services[name].Items {
				if i.To.Mark == previewMark {
					found = append(found, i)
				}
			}
		}
	}
	add(p.Services)
	for _, on := range p.On {
		if plan := p.Plans[on.Name]; plan != nil {
			add(plan.Services)
		}
	}
	return found
}
