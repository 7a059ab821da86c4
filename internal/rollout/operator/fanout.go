package operator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

const (
	askLimit = 4 * time.Second // time for one question to one process
	askMost  = 64              // processes asked at once
)

// ask sends a question to all members at once. It returns the error of each
// process that failed.
func ask(ctx context.Context, members []Member, question func(context.Context, Member) error) map[string]error {
	failed := map[string]error{}
	var mu sync.Mutex
	slots := make(chan struct{}, askMost)
	g := run.NewGroup(ctx)
	for _, m := range members {
		g.Go(func(ctx context.Context) error {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, askLimit)
			defer cancel()
			if err := question(ctx, m); err != nil {
				mu.Lock()
				failed[m.Process] = err
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in failed
	return failed
}

// forever is later than every generation.
var forever = rollout.Generation{Timeline: math.MaxUint32, N: math.MaxUint64}

// reports returns the current reports of the processes, without those that do
// not answer.
func (c *Controller) reports(ctx context.Context, members []Member) map[string]rollout.Report {
	var mu sync.Mutex
	all := map[string]rollout.Report{}
	ask(ctx, alive(members, c.cfg.Without), func(ctx context.Context, m Member) error {
		r, err := m.Peer.Report(ctx, rollout.Question{Until: forever})
		if err == nil {
			mu.Lock()
			all[m.Process] = r
			mu.Unlock()
		}
		return err
	})
	return all
}

// alive returns the members except those that the operator vouches are dead.
func alive(members []Member, without []string) []Member {
	return slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return vouched(m.Process, without) })
}

// vouched reports whether one of the names covers a process: host/pid/epoch,
// host/pid, or a whole host.
func vouched(process string, without []string) bool {
	return slices.ContainsFunc(without, func(w string) bool {
		return process == w || strings.HasPrefix(process, w+"/")
	})
}

// silentError returns an error that names the processes which have failed and are
// not certified dead, nil without any.
func silentError(ctx context.Context, s Site, failed map[string]error) error {
	var names []string
	for process, err := range failed {
		if !s.Ended(ctx, process, "") {
			names = append(names, fmt.Sprintf("%s (%v)", process, err))
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%w: %s; wait for them, or name those that are dead for certain (--dead PROCESS)",
		ErrSilent, strings.Join(names, ", "))
}

// anyOf returns the error of a process that wraps one of the sentinels, nil if
// none does.
func anyOf(failed map[string]error, sentinels ...error) error {
	for process, err := range failed {
		for _, s := range sentinels {
			if errors.Is(err, s) {
				return fmt.Errorf("%s: %w", process, err)
			}
		}
	}
	return nil
}

// sendLog sends the log to every process, and returns the errors by process. A
// process that is not reached learns it by notifications, announcements and
// calls.
func (c *Controller) sendLog(ctx context.Context, entries []rollout.Entry) map[string]error {
	members, err := c.cfg.Site.Members(ctx)
	if err != nil || len(entries) == 0 {
		return nil
	}
	return ask(ctx, alive(members, c.cfg.Without), func(ctx context.Context, m Member) error {
		return teach(ctx, m.Peer, entries)
	})
}

// teach sends a process the newest entry of whole. It sends all of whole if the
// process lacks more, or has a log that the newest entry ends.
func teach(ctx context.Context, p Peer, whole []rollout.Entry) error {
	err := p.Learn(ctx, whole[len(whole)-1])
	if errors.Is(err, rollout.ErrGap) || errors.Is(err, rollout.ErrFork) {
		err = p.Learn(ctx, whole...)
	}
	return err
}
