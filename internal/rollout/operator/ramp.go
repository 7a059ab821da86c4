package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// patience bounds the time for a share with too few calls, as a multiple of its
// normal time.
const patience = 3

// backTime is how long the guard retries a rollback while a process is silent.
const backTime = 30 * time.Second

// silentTime is how long a ramp retries a later share while a process is silent. A process that has
// just ended leaves the lists within that time.
const silentTime = 10 * time.Second

// Ramp commits the shares in order, each for the duration every, and watches the
// new versions. When one breaks a bound of the guard, Ramp rolls the release
// back at once and returns ErrGuard.
//
// A version with too few calls can't be judged. Ramp then waits for more calls,
// up to three times every for the share. If there are still too few, it returns
// ErrUnjudged, and the release stays at the share. On the last share it returns
// nil instead.
//
// A process that does not answer holds back a share. Every share after the first starts unattended.
// Ramp therefore waits up to silentTime before one of these, and then returns ErrSilent.
//
// A Ramp that is interrupted leaves the release at its share, unwatched. Another
// Ramp continues: it skips smaller shares, and watches the present one for the
// whole time again.
func (c *Controller) Ramp(ctx context.Context, shares []int, every time.Duration, g Guard) error {
	for i, share := range shares {
		s, err := c.begin(ctx, share, every, g, i == len(shares)-1)
		for begun := time.Now(); i > 0 && errors.Is(err, ErrSilent) && time.Since(begun) < silentTime; {
			c.cfg.Progress(Progress{Step: "wait", Share: share,
				Note: fmt.Sprintf("the share of %s waits for up to %v: %v", percent(float64(share)/rollout.Whole),
					silentTime, err)})
			if run.Sleep(ctx, c.cfg.Pause) != nil {
				break
			}
			s, err = c.begin(ctx, share, every, g, i == len(shares)-1)
		}
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		if s.last && len(s.counts.all) == 0 {
			return nil
		}
		if err := s.prepared(ctx); err != nil {
			return fmt.Errorf("the release stays at %s, and no command watches it: %w",
				percent(float64(share)/rollout.Whole), err)
		}
		if err := s.watch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin commits a share unless it is committed already. It returns nil if a
// larger one is.
func (c *Controller) begin(ctx context.Context, share int, every time.Duration, g Guard, last bool) (*stage, error) {
	log, _, err := c.Log(ctx)
	if err != nil {
		return nil, err
	}
	r, _ := log.Session()
	if share < r.Share {
		return nil, nil
	}
	s := &stage{c: c, r: r, share: share, every: every, last: last, counts: c.newTallies(ctx, r, g)}
	switch {
	case share > r.Share:
		err = c.commit(ctx, share, s.prepare)
	case share == rollout.Whole: // modules may still be changing over
		err = c.handover(ctx)
	}
	return s, err
}

// stage is one share of a ramp on trial.
type stage struct {
	c      *Controller
	r      rollout.Release
	share  int // per ten thousand
	every  time.Duration
	last   bool
	counts *tallies

	back *signedStep // the rollback; nil if nothing is watched
}

// signedStep is a step that is signed and not committed.
type signedStep struct {
	entries []rollout.Entry // the log before it
	entry   rollout.Entry
	text    string
	append  func(context.Context, rollout.Entry) error
}

// preparer is a Store that needs signatures beside the entry's.
type preparer interface {
	Prepare(e rollout.Entry) (appendTo func(context.Context, rollout.Entry) error, err error)
}

// prepare signs the rollback of the share that is about to start, as the next
// entry after it. The guard can then act without ssh-agent, which ends when its
// operator logs out.
func (s *stage) prepare(entries []rollout.Entry) error {
	if len(s.counts.all) == 0 {
		return nil // nothing is watched
	}
	log, err := rollout.Replay(entries)
	if err != nil {
		return err
	}
	t := &signedStep{entries: entries, append: s.c.cfg.Store.Append,
		text: fmt.Sprintf("roll back by the guard, signed before the share of %s began",
			percent(float64(s.share)/rollout.Whole))}
	if t.entry, err = s.c.draft(log, t.text, rollbackStep); err != nil {
		return err
	}
	if p, ok := s.c.cfg.Store.(preparer); ok {
		if t.append, err = p.Prepare(t.entry); err != nil {
			return err
		}
	}
	s.back = t
	return nil
}

// prepared ensures that the signed rollback follows the newest entry of the log.
// It may not: modules may have changed over since the share was committed, or
// another command may have committed the share.
func (s *stage) prepared(ctx context.Context) error {
	if len(s.counts.all) == 0 {
		return nil
	}
	log, entries, err := s.c.Log(ctx)
	if err != nil || s.back != nil && s.back.entry.Previous == log.Hash() {
		return err
	}
	if r, _ := log.Session(); r.Name != s.r.Name || r.Back {
		return nil // another operator has continued: watch finds out
	}
	return s.prepare(entries)
}

// rollback rolls the release back with a step that states the breach. If the
// key is not usable any more, it uses the step that was signed before.
func (s *stage) rollback(ctx context.Context, breach string) error {
	err := s.c.rollback(ctx, "roll back by the guard: "+breach)
	if s.back == nil || !errors.Is(err, errSign) {
		return err
	}
	t := s.back
	if err := s.c.publish(ctx, t.text, t.entries, t.entry, t.append); err != nil {
		return err
	}
	return s.c.handover(ctx)
}

// watch polls the new versions for the time of a share.
func (s *stage) watch(ctx context.Context) error {
	begun := time.Now()
	for {
		left := s.every - time.Since(begun)
		pause := s.c.cfg.Pause
		if left > 0 {
			pause = min(left, pause)
		}
		if err := run.Sleep(ctx, pause); err != nil {
			return fmt.Errorf("the release stays at %s, and no command watches it: %w",
				percent(float64(s.share)/rollout.Whole), err)
		}
		silent := s.counts.poll(ctx)
		watched := s.counts.watched(s.r)
		for i := range watched {
			if breach := watched[i].Breach(); breach != "" {
				return s.turnBack(ctx, breach)
			}
		}
		left = s.every - time.Since(begun)
		scarce := unjudged(watched)
		over := left <= 0 && (scarce == "" || left <= -(patience-1)*s.every)
		s.c.cfg.Progress(Progress{Step: "ramp", Share: s.share, Waiting: time.Since(begun), Left: left,
			Watched: watched, Silent: silent, Over: over})
		switch {
		case over && scarce != "" && !s.last:
			return fmt.Errorf("%w: %s; the release stays at %s", ErrUnjudged, scarce,
				percent(float64(s.share)/rollout.Whole))
		case over:
			return nil
		}
	}
}

// unjudged returns a text with the versions that had too few calls.
func unjudged(watched []Watched) string {
	var names []string
	for i := range watched {
		if w := &watched[i]; !w.Judged() {
			names = append(names, fmt.Sprintf("%s/%s had %d of the %d calls that it takes", w.Service, w.Version,
				max(w.Callees.Calls, w.Callers.Calls), w.Bounds.Least()))
		}
	}
	return strings.Join(names, ", ")
}

// turnBack rolls the release back. It retries for a while when a process is
// silent, as a bad version may be.
func (s *stage) turnBack(ctx context.Context, breach string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outageLimit)
	defer cancel()
	var why error
	for begun := time.Now(); ; {
		back := s.rollback(ctx, breach)
		if back == nil || s.rolledBack(ctx) {
			return fmt.Errorf("%w: %s; the release is rolled back", ErrGuard, breach)
		}
		if why == nil || ctx.Err() == nil { // the context may have interrupted the last try
			why = cmp.Or(errors.Unwrap(back), back) // the step's text repeats the breach
		}
		s.c.cfg.Progress(Progress{Step: "ramp", Share: s.share, Note: breach + "; the rollback waits: " + why.Error()})
		waits := errors.Is(back, ErrFrozen) || errors.Is(back, ErrSilent) && time.Since(begun) < backTime
		if !waits || run.Sleep(ctx, s.c.cfg.Pause) != nil {
			return fmt.Errorf("%w: %s; BUT THE ROLLBACK FAILED, and the new versions still get %s of the requests: %w",
				ErrGuard, breach, percent(float64(s.share)/rollout.Whole), why)
		}
	}
}

// rolledBack reports whether another command has rolled the release back.
func (s *stage) rolledBack(ctx context.Context) bool {
	log, _, err := s.c.readLog(ctx)
	if err != nil {
		return false
	}
	r, _ := log.Session()
	return r.Name == s.r.Name && r.Back
}
