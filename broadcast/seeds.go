package broadcast

import (
	"context"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// keepSeeds resolves the seeds, repeatedly while one or more have no address.
func (r *Registry) keepSeeds(ctx context.Context) error {
	if r.awaitUnmuted(ctx) != nil {
		return nil
	}
	var pause run.Backoff
	for len(r.cfg.Seeds) > 0 {
		addrs, err := resolveSeeds(ctx, r.cfg.Seeds, r.cfg.Port)
		r.do(func(now time.Time) {
			if !slices.Equal(addrs, r.core.seeds) {
				r.core.seeds = addrs
				r.core.exchange(now, addrs...)
			}
		})
		wait := r.cfg.Announce
		if err != nil {
			r.cfg.Logger.Warn("LAN seed has no address", "err", err)
			wait = pause.Next()
		}
		if run.Sleep(ctx, wait) != nil {
			break
		}
	}
	return nil
}
