package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/registry"
)

// afterBeat acts on an answer: it lists again what is missing, expires dead processes and cleans
// up.
func (s *session) afterBeat(ctx context.Context, h head) error {
	if !h.wrote {
		if h.writable && s.readOnly {
			s.promoted()
		}
		s.writable = h.writable
		return nil
	}
	steps := []func(context.Context) error{}
	// After a long silence, the answer that reported the lapsed lease may have been lost.
	silent := !s.m.beaten.IsZero() && time.Since(s.m.beaten) > s.r.cfg.Expiry/2
	s.m.beaten = time.Now()
	if wished, settled := s.r.registrar.Settled(); settled && wished > 0 && silent {
		s.r.registrar.Refresh()
	} else if settled && (wished != h.mine || h.mineRev != s.r.written.newest()) {
		steps = append(steps, s.reconcile)
	}
	if h.pulsed {
		steps = append(steps, s.expire, s.adjustNotifyPause, s.compact)
	}
	if h.clean {
		steps = append(steps, s.clean)
	}
	for _, step := range steps {
		err := step(ctx)
		if err == nil {
			continue
		}
		if s.lost(err) {
			return err
		}
		s.r.log.Warn("a duty of the heartbeat failed; the next one tries again", "err", err)
	}
	return nil
}

// compareSecret reads the secret in three cases: the row has changed, it is missing while this
// process may make it, or it has become readable.
func (s *session) compareSecret(ctx context.Context, state *string) error {
	known := s.r.currentSecret().state
	switch {
	case !s.secretive && state == nil:
		return nil
	case s.secretive && state == nil && known == "" && (!s.writable || s.keyless):
		return nil
	case s.secretive && state != nil && *state == known:
		return nil
	}
	return s.learnSecret(ctx)
}

// reconcile compares the rows of this process with the registrations that it wants. A row with
// another revision than it was written with is an earlier state of it, from an older copy of the
// database, or was altered by hand, so it counts as missing.
func (s *session) reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	rows, err := s.conn.Query(ctx, mineSQL, s.r.args())
	if err != nil {
		return fmt.Errorf("read own rows: %w", err)
	}
	var ids []registry.ID
	in, rev := registry.Instance{Owner: s.r.cfg.Owner}, int64(0)
	_, err = pgx.ForEachRow(rows, []any{&in.Service, &in.Version, &in.Host, &in.Port, &rev}, func() error {
		if last, wished := s.r.written[in.ID()]; !wished || last == rev {
			ids = append(ids, in.ID())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read own rows: %w", err)
	}
	s.r.registrar.Reconcile(ids)
	return nil
}

// expire marks the registrations of dead processes as expired. The process that took the pulse does
// it, so one process does at a time.
func (s *session) expire(ctx context.Context) error {
	if _, err := s.cleanOne(ctx, mendSQL); err != nil {
		return fmt.Errorf("mend leases: %w", err)
	}
	leases, instances := 0, int64(0)
	var names []string
	err := batches(func() (int64, error) {
		ctx, cancel := context.WithTimeout(ctx, s.r.limit())
		defer cancel()
		var expired int64
		var ended []string
		var told *string
		err := serially(ctx, func() error {
			return s.conn.QueryRow(ctx, expireSQL, s.r.args()).Scan(&expired, &ended, &told)
		})
		if err != nil {
			return 0, fmt.Errorf("expire leases: %w", err)
		}
		if told == nil && expired > 0 {
			s.r.notifyLater()
		}
		leases, instances = leases+len(ended), instances+expired
		for _, owner := range ended[:min(len(ended), 10-len(names))] {
			names = append(names, brief(owner))
		}
		return max(expired, int64(len(ended))), nil
	})
	if leases > 0 || instances > 0 {
		s.r.log.Info("leases have run out", "count", leases, "instances", instances, "owners", names)
	}
	return err
}

// The rows that one statement of a duty handles, and the time that a duty may take.
const (
	batchSize = 1000
	dutyTime  = 2 * time.Second
)

// batches repeats a statement until it finds few rows or its time is over.
func batches(statement func() (rows int64, err error)) error {
	for end := time.Now().Add(dutyTime); ; {
		n, err := statement()
		if err != nil || n < batchSize || time.Now().After(end) {
			return err
		}
	}
}

func (s *session) clean(ctx context.Context) error {
	for _, sql := range cleanSQL {
		err := batches(func() (int64, error) { return s.cleanOne(ctx, sql) })
		if err != nil {
			return fmt.Errorf("remove old rows: %w", err)
		}
	}
	return nil
}

func (s *session) cleanOne(ctx context.Context, sql string) (rows int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	err = serially(ctx, func() error {
		tag, err := s.conn.Exec(ctx, sql, s.r.args())
		rows = tag.RowsAffected()
		return err
	})
	return rows, err
}
