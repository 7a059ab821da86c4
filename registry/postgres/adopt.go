package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/rollout"
)

// Adopt makes a whole log the one that is kept: what the table lacks is
// written, and what the log ends (rollout.Continues) is taken out.
func (s *Rules) Adopt(ctx context.Context, whole []rollout.Entry) error {
	err := s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return s.adopt(ctx, tx, whole) })
	})
	if err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	return nil
}

const dropRuleSQL = `DELETE FROM skerry_rule WHERE cluster = @cluster AND timeline = @timeline AND n = @n`

func (s *Rules) adopt(ctx context.Context, tx pgx.Tx, whole []rollout.Entry) error {
	if err := s.alone(ctx, tx); err != nil {
		return err
	}
	kept, err := s.r.rulesSince(ctx, tx.Conn(), rollout.Generation{})
	if err != nil {
		return err
	}
	common, err := rollout.Continues(kept, whole)
	if err != nil {
		return err
	}
	for _, e := range kept[common:] {
		if _, err := tx.Exec(ctx, dropRuleSQL, s.at(e.Generation)); err != nil {
			return err
		}
	}
	for _, e := range whole[common:] {
		if err := s.insert(ctx, tx, e); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, tellRuleSQL, s.r.args())
	return err
}
