package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/run"
)

// notifyLater records that a change was written and not notified yet. The
// session notifies the listeners when the pause between notifications is over.
func (r *Registry) notifyLater() {
	r.mu.Lock()
	if r.notifyDue.IsZero() {
		r.notifyDue = time.Now()
	}
	r.mu.Unlock()
	r.poke()
}

// notifyAt is when a notification is due; zero when none is.
func (r *Registry) notifyAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notifyDue
}

// notify sends the notification of waiting changes when it is due.
func (s *session) notify(ctx context.Context) error {
	at := s.r.notifyAt()
	if at.IsZero() || time.Now().Before(at) || !s.writable {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	var left *int64
	var told *string
	err := serially(ctx, func() error { return s.conn.QueryRow(ctx, notifySQL, s.r.args()).Scan(&left, &told) })
	if err != nil {
		if s.lost(err) {
			return fmt.Errorf("tell the listeners: %w", err)
		}
		s.r.log.Warn("the listeners were not told of a change; the next try follows", "err", err)
		left = new(stmtTime.Milliseconds())
	}
	next := time.Time{}
	if left != nil { // other processes wait for the same moment, and one notification is enough
		wait := time.Duration(*left) * time.Millisecond
		next = time.Now().Add(wait + run.Jitter(wait, 1))
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.r.notifyDue.Equal(at) {
		s.r.notifyDue = next
	}
	return nil
}

// adjustNotifyPause fits the pause between two notifications to the size of the site. It also
// schedules a notification, in case the writer of a change died before its own.
func (s *session) adjustNotifyPause(ctx context.Context) error {
	if _, err := s.cleanOne(ctx, notifyPauseSQL); err != nil {
		return fmt.Errorf("pace the notifications: %w", err)
	}
	s.r.notifyLater()
	return nil
}
