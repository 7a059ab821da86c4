package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rollout"
)

// Rules is the rule log of the cluster: the table skerry_rule. It needs Run.
// Whoever may only read the tables can read it.
type Rules struct{ r *Registry }

// Rules is the cluster's rule log.
func (r *Registry) Rules() *Rules { return &Rules{r} }

const (
	rulesSinceSQL = `SELECT entry::text FROM skerry_rule
		WHERE cluster = @cluster AND (timeline, n) > (@timeline::bigint, @n::bigint) ORDER BY timeline, n`
	newestRuleSQL = `SELECT timeline, n, hash FROM skerry_rule WHERE cluster = @cluster ORDER BY timeline DESC, n DESC LIMIT 1`
	writeRuleSQL  = `INSERT INTO skerry_rule (cluster, timeline, n, previous, hash, entry)
		VALUES (@cluster, @timeline, @n, @previous, @hash, @entry::jsonb)`
	// Processes that know no rules take it for old news of instances.
	tellRuleSQL = `SELECT pg_notify(@channel, json_build_object('c', @cluster::text, 'g', true)::text)`
)

// Since returns the committed entries after a generation, oldest first. The
// error wraps registry.ErrUnavailable when the database can't be reached.
func (s *Rules) Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error) {
	read := make(chan []rollout.Entry, 1)
	err := s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		entries, err := s.r.rulesSince(ctx, conn, after)
		if err == nil {
			read <- entries
		}
		return err
	})
	if err != nil {
		if state := sqlState(err); state == "" || state[:2] == "08" || state[:2] == "57" {
			err = unavailable(err)
		}
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	return <-read, nil
}

// with is Registry.with for operators' commands, which ask as soon as they
// start: the session may have to begin, and to make the table, first.
func (s *Rules) with(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	begun := time.Now()
	for {
		err := s.r.with(ctx, f)
		early := errors.Is(err, errNotRunning) || sqlState(err) == undefinedTable
		if !early || time.Since(begun) > stmtTime || run.Sleep(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

func (r *Registry) rulesSince(ctx context.Context, conn *pgx.Conn, after rollout.Generation) ([]rollout.Entry, error) {
	args := r.args()
	args["timeline"], args["n"] = int64(after.Timeline), int64(after.N)
	rows, err := conn.Query(ctx, rulesSinceSQL, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e rollout.Entry, err error) {
		var record []byte
		if err = row.Scan(&record); err == nil {
			e, err = decodeEntry(record)
		}
		return e, err
	})
}

// Append commits an entry that follows the newest one in number and hash;
// rollout.ErrFork and rollout.ErrGap refuse any other. The newest entry again
// is no error. Writers of a cluster go one after the other, and the entry is
// on disk when Append returns, unlike a heartbeat.
func (s *Rules) Append(ctx context.Context, e rollout.Entry) error {
	err := s.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return s.write(ctx, tx, e) })
	})
	if err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	return nil
}

func (s *Rules) write(ctx context.Context, tx pgx.Tx, e rollout.Entry) error {
	if err := s.alone(ctx, tx); err != nil {
		return err
	}
	var timeline, n int64
	var hash string
	err := tx.QueryRow(ctx, newestRuleSQL, s.r.args()).Scan(&timeline, &n, &hash)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	newest := rollout.Generation{Timeline: uint32(timeline), N: uint64(n)}
	if e.Generation == newest && e.Hash() == hash {
		return nil // written before, and the answer was lost
	}
	if err := e.Follows(newest, hash); err != nil {
		return err
	}
	if err := s.insert(ctx, tx, e); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, tellRuleSQL, s.r.args())
	return err
}

// alone waits until no other writes rules of the cluster, until the end of the
// transaction. What it writes is on disk when it ends, unlike a heartbeat.
func (s *Rules) alone(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('skerry rules ' || @cluster, 0))", s.r.args())
	return err
}

func (s *Rules) insert(ctx context.Context, tx pgx.Tx, e rollout.Entry) error {
	args := s.at(e.Generation)
	args["previous"], args["hash"], args["entry"] = e.Previous, e.Hash(), string(encodeEntry(e))
	_, err := tx.Exec(ctx, writeRuleSQL, args)
	return err
}

func (s *Rules) at(g rollout.Generation) pgx.NamedArgs {
	args := s.r.args()
	args["timeline"], args["n"] = int64(g.Timeline), int64(g.N)
	return args
}

// encodeEntry is an entry as it is kept: the bytes that its writer made.
func encodeEntry(e rollout.Entry) []byte { return e.Record().Marshal() }

func decodeEntry(record []byte) (rollout.Entry, error) {
	r, err := rollout.ParseRecord(record)
	if err != nil {
		return rollout.Entry{}, err
	}
	return r.Open()
}

// compare looks whether there are entries that are not applied yet, by what a
// beat or a read has said of the newest.
func (s *session) compare(ctx context.Context, newest []int64) error {
	if !s.ruled {
		return nil
	}
	if len(newest) == 2 && s.r.cfg.Applied().Before(rollout.Generation{Timeline: uint32(newest[0]), N: uint64(newest[1])}) {
		return s.follow(ctx)
	}
	s.r.cfg.Rules(nil)
	return nil
}

// follow brings new entries to whoever follows the rules, over the session's
// own connection. When it has worked, beats look at the log by the way.
func (s *session) follow(ctx context.Context) error {
	if s.r.cfg.Applied == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	entries, err := s.r.rulesSince(ctx, s.conn, s.r.cfg.Applied())
	s.ruled = err == nil
	switch code := sqlState(err); {
	case err == nil:
		s.r.cfg.Rules(entries)
	case code == undefinedTable: // tables of version 1: nobody releases by this database
	case code == noRight: // calls and operators bring the rules; it is said once
		s.r.log.Debug("rules not read", "err", s.r.explain(err))
		s.r.cfg.Rules(nil)
	case s.lost(err):
		return fmt.Errorf("read the rules: %w", err)
	default:
		s.r.log.Warn("rules not read; next time", "err", err)
	}
	return nil
}
