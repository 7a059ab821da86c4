package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
)

// Rules is the rule log of the cluster, in the table skerry_rule. It needs Run. A user with only
// the right to read the tables can read it.
type Rules struct{ r *Registry }

// Rules returns the cluster's rule log.
func (r *Registry) Rules() *Rules { return &Rules{r} }

// Limits of reads of the log.
const (
	maxRecord = 1 << 20 // bytes of one record
	rulePage  = 256     // entries read at a time
)

var (
	rulesSinceSQL = `SELECT timeline, n, hash,
			CASE WHEN octet_length(record) <= @longest::int THEN record END, octet_length(record)
		FROM skerry_rule WHERE cluster = @cluster AND (timeline, n) > (@timeline::bigint, @n::bigint)
		ORDER BY timeline, n LIMIT @page::int`
	newestRuleSQL = statement(
		`SELECT timeline, n, hash, CASE WHEN octet_length(record) <= @longest::int THEN record END, octet_length(record)
		FROM skerry_rule WHERE cluster = @cluster AND {placed} ORDER BY timeline DESC, n DESC LIMIT 1`,
	)
	makeHeadSQL  = "INSERT INTO skerry_head (cluster) VALUES (@cluster) ON CONFLICT DO NOTHING"
	lockHeadSQL  = "SELECT FROM skerry_head WHERE cluster = @cluster FOR UPDATE"
	writeHeadSQL = "UPDATE skerry_head SET timeline = @timeline, n = @n, hash = @hash WHERE cluster = @cluster"
	dropRuleSQL  = "DELETE FROM skerry_rule WHERE cluster = @cluster AND timeline = @timeline AND n = @n"
	writeRuleSQL = `INSERT INTO skerry_rule (cluster, timeline, n, hash, record)
		VALUES (@cluster, @timeline, @n, @hash, @record)`
	// Older versions ignore it: without a revision it looks like a notification that they have
	// applied.
	tellRuleSQL = `SELECT pg_notify(@channel, json_build_object('c', @cluster::text, 'g', true)::text)
		WHERE @channel::text <> ''`
)

// encodeEntry returns the record of an entry, and decodeEntry reads it. The other functions here
// keep the bytes unread.
func encodeEntry(e rollout.Entry) []byte { return e.Record().Marshal() }

func decodeEntry(record []byte) (rollout.Entry, error) {
	r, err := rollout.ParseRecord(record)
	if err != nil {
		return rollout.Entry{}, err
	}
	return r.Open()
}

// hashOf is the hash by which the next entry refers to this one.
func hashOf(e rollout.Entry) []byte {
	hash, err := hex.DecodeString(e.Hash())
	if err != nil {
		panic(err) // it consists of hexadecimal digits
	}
	return hash
}

// ruleRow is a row of skerry_rule.
type ruleRow struct {
	timeline, n  *int64
	hash, record []byte
	length       *int64
}

func scanRule(row pgx.CollectableRow) (r ruleRow, err error) {
	err = row.Scan(&r.timeline, &r.n, &r.hash, &r.record, &r.length)
	return r, err
}

// errNoPlace: the row has no place in the log. Rows after it may have one.
var errNoPlace = errors.New("timeline or number is out of range")

// entry reads the row. The error says why the row is not an entry of the log.
func (r *ruleRow) entry() (rollout.Entry, error) {
	switch {
	case r.timeline == nil || *r.timeline < 0 || *r.timeline > math.MaxUint32,
		r.n == nil || *r.n < 1 || *r.n > maxNumber:
		return rollout.Entry{}, errNoPlace
	case r.length == nil:
		return rollout.Entry{}, errors.New("it has no record")
	case r.record == nil:
		return rollout.Entry{}, fmt.Errorf("its record has %d bytes, at most %d are read", *r.length, maxRecord)
	}
	e, err := decodeEntry(r.record)
	if err != nil {
		return e, fmt.Errorf("its record can't be read: %w", err)
	}
	if place := r.place(); e.Generation != place {
		return e, fmt.Errorf("its record says that it is entry %v", e.Generation)
	}
	if !bytes.Equal(hashOf(e), r.hash) {
		return e, errors.New("its hash is not that of its record")
	}
	return e, nil
}

func (r *ruleRow) place() rollout.Generation {
	return rollout.Generation{Timeline: uint32(*r.timeline), N: uint64(*r.n)}
}

func (r *ruleRow) odd(why error) OddRow {
	show := func(n *int64) any {
		if n == nil {
			return "NULL"
		}
		return *n
	}
	return oddRow("skerry_rule", why, show(r.timeline), show(r.n))
}

// Since returns the committed entries after a generation, oldest first. A row that is not an entry
// ends the list before it, and is in Registry.Odd. The error wraps registry.ErrUnavailable when the
// database can't be reached.
func (s *Rules) Since(ctx context.Context, after rollout.Generation) ([]rollout.Entry, error) {
	read := make(chan []rollout.Entry, 1)
	err := s.with(ctx, roleReader, func(ctx context.Context, conn *pgx.Conn) error {
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

// with is Registry.withConn for operators' commands, which ask right after their start. It waits,
// at most stmtTime, until the session has begun and made the table.
func (s *Rules) with(ctx context.Context, need Role, f func(context.Context, *pgx.Conn) error) error {
	begun := time.Now()
	for {
		err := s.r.withConn(ctx, need, f)
		early := errors.Is(err, errNotRunning) || sqlState(err) == undefinedTable
		if !early || time.Since(begun) > stmtTime || run.Sleep(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

// rulesSince reads the log page by page. It stops before a row that is not an entry.
func (r *Registry) rulesSince(ctx context.Context, conn *pgx.Conn, after rollout.Generation) ([]rollout.Entry, error) {
	var entries []rollout.Entry
	var odd []OddRow
	args := r.args()
	args["page"], args["longest"] = rulePage, maxRecord
	args["timeline"], args["n"] = int64(after.Timeline), int64(min(after.N, maxNumber))
	for {
		rows, err := conn.Query(ctx, rulesSinceSQL, args)
		if err != nil {
			return nil, err
		}
		page, err := pgx.CollectRows(rows, scanRule)
		if err != nil {
			return nil, err
		}
		for i := range page {
			e, err := page[i].entry()
			switch {
			case err == nil:
				entries = append(entries, e)
				continue
			case !errors.Is(err, errNoPlace):
				err = fmt.Errorf("%w; the log ends before it", err)
			}
			odd = append(odd, page[i].odd(err))
			if !errors.Is(err, errNoPlace) {
				r.odd.add("skerry_rule", true, odd...)
				return entries, nil
			}
		}
		if len(page) < rulePage || page[len(page)-1].timeline == nil || page[len(page)-1].n == nil {
			r.odd.add("skerry_rule", true, odd...)
			return entries, nil
		}
		args["timeline"], args["n"] = *page[len(page)-1].timeline, *page[len(page)-1].n
	}
}

// Append commits an entry that follows the newest one in number and hash, else it returns
// rollout.ErrFork or rollout.ErrGap. Appending the newest entry again changes nothing and succeeds.
// Writers of a cluster take turns. The entry is on disk when Append returns, unlike a heartbeat.
// Append needs the rights of an operator.
func (s *Rules) Append(ctx context.Context, e rollout.Entry) error {
	return ruleError(s.writing(ctx, func(tx pgx.Tx) error { return s.write(ctx, tx, e) }))
}

// Adopt makes whole the rule log: it writes the entries that the table lacks and deletes those that
// whole ends (rollout.Continues). It needs the rights of an operator.
func (s *Rules) Adopt(ctx context.Context, whole []rollout.Entry) error {
	return ruleError(s.writing(ctx, func(tx pgx.Tx) error { return s.replace(ctx, tx, whole) }))
}

func ruleError(err error) error {
	if err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	return nil
}

// writing runs a transaction that changes the log. Writers take turns.
func (s *Rules) writing(ctx context.Context, do func(pgx.Tx) error) error {
	return s.with(ctx, roleOperator, func(ctx context.Context, conn *pgx.Conn) error {
		err := flushed(ctx, conn, func(tx pgx.Tx) error {
			for _, sql := range []string{makeHeadSQL, lockHeadSQL} {
				if _, err := tx.Exec(ctx, sql, s.r.args()); err != nil {
					return err
				}
			}
			return do(tx)
		})
		if err == nil {
			s.r.announce(ctx, conn, tellRuleSQL, s.r.args())
		}
		return s.r.held(ctx, conn, err, "skerry_head")
	})
}

func (s *Rules) replace(ctx context.Context, tx pgx.Tx, whole []rollout.Entry) error {
	kept, err := s.r.rulesSince(ctx, tx.Conn(), rollout.Generation{})
	if err != nil {
		return err
	}
	common, err := rollout.Continues(kept, whole)
	if err != nil {
		return err
	}
	for _, e := range kept[common:] {
		args := s.r.args()
		args["timeline"], args["n"] = int64(e.Generation.Timeline), int64(e.Generation.N)
		if _, err := tx.Exec(ctx, dropRuleSQL, args); err != nil {
			return err
		}
	}
	for _, e := range whole[common:] {
		if err := s.insert(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Rules) write(ctx context.Context, tx pgx.Tx, e rollout.Entry) error {
	args := s.r.args()
	args["longest"] = maxRecord
	newest, hash, err := s.end(ctx, tx, args)
	if err != nil {
		return err
	}
	if e.Generation == newest && e.Hash() == hash {
		return nil // committed before, and the answer was lost
	}
	if err := e.Follows(newest, hash); err != nil {
		return err
	}
	return s.insert(ctx, tx, e)
}

// insert writes an entry after the others.
func (s *Rules) insert(ctx context.Context, tx pgx.Tx, e rollout.Entry) error {
	record := encodeEntry(e)
	switch {
	case len(record) > maxRecord:
		return fmt.Errorf("the entry takes %d bytes, at most %d are allowed", len(record), maxRecord)
	case e.Generation.N > maxNumber:
		return fmt.Errorf("generation %v: the number is too high", e.Generation)
	}
	args := s.r.args()
	args["timeline"], args["n"] = int64(e.Generation.Timeline), int64(e.Generation.N)
	args["hash"], args["record"] = hashOf(e), record
	for _, sql := range []string{writeRuleSQL, writeHeadSQL} {
		if _, err := tx.Exec(ctx, sql, args); err != nil {
			return err
		}
	}
	return nil
}

// end returns the newest entry of the log, from the rows. skerry_head is a lock and a copy, which
// may be lost or restored without them.
func (s *Rules) end(ctx context.Context, tx pgx.Tx, args pgx.NamedArgs) (rollout.Generation, string, error) {
	rows, err := tx.Query(ctx, newestRuleSQL, args)
	if err != nil {
		return rollout.Generation{}, "", err
	}
	row, err := pgx.CollectExactlyOneRow(rows, scanRule)
	if errors.Is(err, pgx.ErrNoRows) {
		return rollout.Generation{}, "", nil
	}
	if err != nil {
		return rollout.Generation{}, "", err
	}
	newest, err := row.entry()
	if err != nil {
		return rollout.Generation{}, "", fmt.Errorf(
			"the newest row of skerry_rule is no entry of the log (timeline %d, n %d): %w; "+
				"look at it, and let the tables' owner delete it if it was written by mistake",
			*row.timeline,
			*row.n,
			err,
		)
	}
	return newest.Generation, newest.Hash(), nil
}

// compare follows the log when it has entries that are not applied yet. newest comes from a beat or
// a read.
func (s *session) compare(ctx context.Context, newest []int64) error {
	if !s.ruled {
		return nil
	}
	var last rollout.Generation
	if len(newest) == 2 { // {placed} has bounded the numbers
		last = rollout.Generation{Timeline: uint32(newest[0]), N: uint64(newest[1])}
	}
	applied := s.r.cfg.Applied()
	if applied.Before(last) {
		s.lacking = 0
		return s.follow(ctx)
	}
	s.lacks(last, applied)
	s.r.cfg.Rules(nil)
	return nil
}

// lacks logs that the rule log has lost entries that this process has applied: a standby without
// them was promoted, or an older copy restored. It needs two answers in a row, because one answer
// may be older than an entry, and a standby may lag.
func (s *session) lacks(last, applied rollout.Generation) {
	if s.readOnly || !last.Before(applied) {
		s.lacking = 0
		return
	}
	if s.lacking++; s.lacking == 2 {
		s.r.log.Error(
			"the rule log of the database has lost steps that this process goes by, by a fail-over or a restore; "+
				"calls go on, and nothing can be released until an operator says skerry release adopt",
			"database",
			last,
			"applied",
			applied,
		)
	}
}

// follow passes new entries to Config.Rules, over the session's connection. After a success, each
// beat reads the newest generation of the log.
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
		s.ruleless = false
		s.r.cfg.Rules(entries)
	case code == noRight: // calls and operators bring the rules
		if !s.ruleless {
			s.ruleless = true
			s.r.log.Warn(
				"the user may not read the rule log in the database: calls and operators bring the rules of releases",
				"user", s.r.conn.User, "err", err)
		}
		s.r.cfg.Rules(nil)
	case s.lost(err):
		return fmt.Errorf("read the rules: %w", err)
	default:
		s.r.log.Warn("the rule log was not read; the next poll tries again", "err", err)
	}
	return nil
}
