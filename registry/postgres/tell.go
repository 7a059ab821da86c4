package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// tellLater notes that a change was written of which the listeners have not
// been told: the session will do that.
func (r *Registry) tellLater() {
	r.mu.Lock()
	if r.telling.IsZero() {
		r.telling = time.Now()
	}
	r.mu.Unlock()
	r.poke()
}

// tellAt is when to see to it that the listeners are told; zero: nothing waits.
func (r *Registry) tellAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.telling
}

// tell has the listeners told of what waits, if it is time.
func (s *session) tell(ctx context.Context) error {
	at := s.r.tellAt()
	if at.IsZero() || time.Now().Before(at) || !s.writable {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	var left *int64
	var told *string
	if err := s.conn.QueryRow(ctx, tellSQL, s.r.args()).Scan(&left, &told); err != nil {
		if s.lost(err) {
			return fmt.Errorf("tell the listeners: %w", err)
		}
		s.r.log.Warn("the listeners were not told of a change; the next try follows", "err", err)
		left = new(stmtTime.Milliseconds())
	}
	next := time.Time{}
	if left != nil { // others wait for the same moment, and one is enough
		wait := time.Duration(*left) * time.Millisecond
		next = time.Now().Add(wait + run.Jitter(wait, 1))
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.r.telling.Equal(at) {
		s.r.telling = next
	}
	return nil
}

// pace fits the pause between two notifications to the size of the site, and
// sees to it that nothing waits whose writer has died.
func (s *session) pace(ctx context.Context) error {
	if _, err := s.cleanOne(ctx, paceSQL); err != nil {
		return fmt.Errorf("pace the notifications: %w", err)
	}
	s.r.tellLater()
	return nil
}

// repack gives the space of old row versions back, which the server can't
// reuse while somebody keeps a transaction open. It never waits for a lock:
// while somebody reads the table for long, a dump for example, it grows.
func (s *session) repack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	var bloated []string
	if err := s.conn.QueryRow(ctx, bloatSQL).Scan(&bloated); err != nil {
		return fmt.Errorf("look at the size of the tables: %w", err)
	}
	for _, table := range bloated {
		_, err := s.conn.Exec(ctx, strings.ReplaceAll(repackSQL, "{table}", table))
		switch code := sqlState(err); {
		case err == nil:
			s.r.log.Info("table repacked: a long transaction keeps the database from reusing space", "table", table)
		case code == lockedNow:
		case code == noRight && s.tight:
		case code == noRight:
			s.tight = true
			s.r.log.Warn("table grows beside a long transaction; the right to TRUNCATE it would mend that, see `skerry schema --grant-service`", "table", table)
		default:
			return fmt.Errorf("repack %s: %w", table, err)
		}
	}
	return nil
}

// sooner is the earlier of two times of which the second may be zero, for never.
func sooner(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
