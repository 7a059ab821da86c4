package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/policylog"
)

// returnPolicies writes the entries that this process holds and the policy log has lost: a standby
// without them was promoted, an older copy was restored, or they were made while the database was
// away. Processes that start would obey an older policy. It needs two answers in a row, because one
// may be older than an entry. The process that took the pulse writes; one without the right to may take it again and
// again, so that after six answers any other one does.
func (s *session) returnPolicies(ctx context.Context, h head) error {
	cfg := &s.r.cfg
	if cfg.HeldPolicies == nil || cfg.Observe || !h.wrote || !s.lacksPolicy(h.policy) {
		s.policyLacks = 0
		return nil
	}
	s.policyLacks++
	if turn := h.pulsed && s.policyLacks >= 2 || s.policyLacks >= 6; !turn || s.policyRefused {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	written := 0
	err := flushed(ctx, s.conn, func(tx pgx.Tx) (err error) {
		written, err = s.r.insertLost(ctx, tx, cfg.HeldPolicies())
		return err
	})
	switch code := sqlState(err); {
	case err == nil && written > 0:
		s.r.log.Info("the policy log of the database lacked changes that the site obeys, after a fail-over, a restore "+
			"or an outage; they are written again", "count", written)
		s.r.announce(ctx, s.conn, tellRuleSQL, s.r.args())
	case err == nil:
	case code == noRight:
		s.policyRefused = true
		s.r.log.Error("the policy log of the database lacks changes that the site obeys, after a fail-over, a restore "+
			"or an outage; a process that starts may obey an older policy until an operator brings them there: "+
			"skerry policy show | skerry policy apply -", "user", s.r.conn.User)
	case s.lost(err):
		return fmt.Errorf("write the policy: %w", err)
	default:
		s.r.log.Warn("lost policies were not written; the next pulse tries again", "err", err)
	}
	return nil
}

// lacksPolicy reports whether the policy of the process wins over the newest one of the table.
func (s *session) lacksPolicy(newest *string) bool {
	theirs, hash := newestOf(newest)
	number, own := s.r.cfg.NewestPolicy()
	return number > theirs || number == theirs && own > hash
}

// insertLost writes the entries that the table lacks and that are not older than all of it, and returns
// their number.
func (r *Registry) insertLost(ctx context.Context, tx pgx.Tx, held []policylog.Stored) (written int, err error) {
	rows, err := tx.Query(ctx, heldPoliciesSQL, r.args())
	if err != nil {
		return 0, err
	}
	there, oldest := map[string]bool{}, uint64(0)
	var n uint64
	var hash string
	_, err = pgx.ForEachRow(rows, []any{&n, &hash}, func() error {
		if there[hash] = true; oldest == 0 || n < oldest {
			oldest = n
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	lost := slices.DeleteFunc(slices.Clone(held), func(e policylog.Stored) bool {
		return there[e.Hash()] || e.Number < oldest
	})
	for _, e := range lost {
		if err := (&policies{r}).insert(ctx, tx, e.Entry, e.Age); err != nil {
			return 0, err
		}
	}
	return len(lost), nil
}
