package release

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rollout"
)

// Guard is what the new versions must keep while a release ramps up. The zero
// value watches nothing.
type Guard struct {
	Failures float64       // greatest share of failed calls, 0 to 1; 0: not watched
	P99      time.Duration // 99 of 100 calls take at most this; 0: not watched
	Calls    int64         // of one service, before it is judged; 0 means 50
}

// Ramp commits one share after the other, each for a time, and watches the new
// versions; when one breaks a bound of the guard the release is rolled back
// at once and the error wraps ErrGuard. Shares that are reached already are
// passed over, so that another operator can go on with a ramp.
func (c *Controller) Ramp(ctx context.Context, shares []int, every time.Duration, g Guard) error {
	for i, share := range shares {
		log, _, err := c.Log(ctx)
		if err != nil {
			return err
		}
		r, _ := log.Session()
		if share <= r.Share {
			if share == rollout.Whole { // modules may be changing over still
				return c.handover(ctx)
			}
			continue
		}
		before := c.served(ctx, r, g)
		if err := c.Commit(ctx, share); err != nil {
			return err
		}
		if i == len(shares)-1 && g == (Guard{}) {
			return nil
		}
		if err := c.watch(ctx, r, before, every, g); err != nil {
			if !errors.Is(err, ErrGuard) {
				return err
			}
			if back := c.rollback(context.WithoutCancel(ctx), "roll back by the guard: "+err.Error()); back != nil {
				return errors.Join(err, back)
			}
			return err
		}
	}
	return nil
}

// watch looks at the new versions for a time.
func (c *Controller) watch(ctx context.Context, r rollout.Release, before map[string]Served, every time.Duration, g Guard) error {
	begun := time.Now()
	for {
		left := every - time.Since(begun)
		if left <= 0 {
			return nil
		}
		if err := run.Sleep(ctx, min(left, c.cfg.Pause)); err != nil {
			return err
		}
		for key, now := range c.served(ctx, r, g) {
			old := before[key]
			now.Calls, now.Failures, now.Slow = now.Calls-old.Calls, now.Failures-old.Failures, now.Slow-old.Slow
			if err := g.judge(now); err != nil {
				return err
			}
		}
		c.cfg.Progress(Progress{Step: "ramp", Waiting: time.Since(begun), Note: fmt.Sprintf("%v until the next share", left.Round(time.Second))})
	}
}

// judge is nil while a service keeps the bounds.
func (g Guard) judge(s Served) error {
	least := g.Calls
	if least == 0 {
		least = 50
	}
	if s.Calls < least {
		return nil
	}
	if share := float64(s.Failures) / float64(s.Calls); g.Failures > 0 && share > g.Failures {
		return fmt.Errorf("%w: %s %s: %.2f %% of %d calls failed, at most %.2f %% are allowed", ErrGuard, s.Service, s.Version, 100*share, s.Calls, 100*g.Failures)
	}
	if share := float64(s.Slow) / float64(s.Calls); g.P99 > 0 && share > 0.01 {
		return fmt.Errorf("%w: %s %s: %.2f %% of %d calls took longer than %v, at most 1 %% may", ErrGuard, s.Service, s.Version, 100*share, s.Calls, g.P99)
	}
	return nil
}

// served sums up what the new versions have done, by service.
func (c *Controller) served(ctx context.Context, r rollout.Release, g Guard) map[string]Served {
	out := map[string]Served{}
	members, err := c.cfg.Site.Members(ctx)
	if err != nil {
		return out
	}
	fresh := map[string]string{}
	for _, m := range r.Modules {
		fresh[m.Service] = m.New
	}
	var mu sync.Mutex
	ask(ctx, members, func(ctx context.Context, m Member) error {
		list, err := m.Peer.Served(ctx, g.P99)
		mu.Lock()
		defer mu.Unlock()
		for _, s := range list {
			if fresh[s.Service] != s.Version {
				continue
			}
			sum := out[s.Service]
			sum.Service, sum.Version = s.Service, s.Version
			sum.Calls, sum.Failures, sum.Slow = sum.Calls+s.Calls, sum.Failures+s.Failures, sum.Slow+s.Slow
			out[s.Service] = sum
		}
		return err
	})
	return out
}
