package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/policylog"
)

// policies is the policy log of the cluster, in the table skerry_policy.
type policies struct{ r *Registry }

// Policies returns the cluster's policy log. It needs Run. A user with only the right to read the
// tables can read it.
func (r *Registry) Policies() policylog.Store { return &policies{r} }

// policyBytes bounds the records that one read of the policy log brings, beside the newest.
const policyBytes = 4 << 20

var (
	// The newest entries: as many as a process keeps, and no more bytes than it keeps.
	policiesSQL = statement(`SELECT n, hash, record, CASE WHEN isfinite(written)
			THEN extract(epoch FROM clock_timestamp() - written)::float8 ELSE 0 END FROM (
			SELECT n, hash, record, written,
				sum(octet_length(record)) OVER newest AS total, row_number() OVER newest AS place
			FROM (SELECT n, hash, record, written FROM skerry_policy WHERE cluster = @cluster AND {fits}
				ORDER BY n DESC, hash DESC LIMIT @most::int) p
			WINDOW newest AS (ORDER BY n DESC, hash DESC)) q
		WHERE total <= @bytes::bigint OR place <= 2 ORDER BY n DESC, hash DESC`)
	newestPolicySQL = "SELECT " + newestPolicy
	heldPoliciesSQL = statement("SELECT n, encode(hash, 'hex') FROM skerry_policy WHERE cluster = @cluster AND {fits}")
	writePolicySQL  = `INSERT INTO skerry_policy (cluster, n, hash, record, written)
		VALUES (@cluster, @n, @hash, @record, now() - @age::bigint * interval '1 millisecond')
		ON CONFLICT DO NOTHING`
)

// Entries implements policylog.Store. Rows that are no entries are left out, and are in
// Registry.Odd.
func (p *policies) Entries(ctx context.Context) ([]policylog.Stored, error) {
	read := make(chan []policylog.Stored, 1)
	err := p.r.Rules().with(ctx, roleReader, func(ctx context.Context, conn *pgx.Conn) error {
		entries, err := p.r.readPolicies(ctx, conn, policylog.MaxEntries)
		if err == nil {
			read <- entries
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	return <-read, nil
}

func (r *Registry) readPolicies(ctx context.Context, conn *pgx.Conn, most int) ([]policylog.Stored, error) {
	args := r.args()
	args["most"], args["bytes"] = most, int64(policyBytes)
	rows, err := conn.Query(ctx, policiesSQL, args)
	if err != nil {
		return nil, err
	}
	var entries []policylog.Stored
	var odd []OddRow
	var n int64
	var hash, record []byte
	var age float64
	_, err = pgx.ForEachRow(rows, []any{&n, &hash, &record, &age}, func() error {
		e, err := policyOf(n, hash, record)
		if err != nil {
			odd = append(odd, oddRow("skerry_policy", err, n, hex.EncodeToString(hash)))
			return nil
		}
		entries = append(entries, policylog.Stored{Entry: e, Age: ageOf(age)})
		return nil
	})
	if err == nil {
		r.odd.add("skerry_policy", true, odd...)
	}
	return entries, err
}

// ageOf is the age of a row in seconds as a time: the database's clock may have been set since it was written.
func ageOf(seconds float64) time.Duration {
	const most = 100 * 365 * 24 * time.Hour
	return time.Duration(min(max(seconds, 0), most.Seconds()) * float64(time.Second))
}

// policyOf reads a row. The error says why it is no entry.
func policyOf(n int64, hash, record []byte) (policylog.Entry, error) {
	r, err := policylog.ParseRecord(record)
	if err != nil {
		return policylog.Entry{}, err
	}
	e, err := r.Open()
	switch {
	case err != nil:
		return e, err
	case e.Number != uint64(n):
		return e, fmt.Errorf("its record says that it is number %d", e.Number)
	case e.Hash() != hex.EncodeToString(hash):
		return e, errors.New("its hash is not that of its record")
	}
	return e, nil
}

// Append implements policylog.Store. It needs the rights of an operator. The entry is on disk when
// Append returns.
func (p *policies) Append(ctx context.Context, e policylog.Entry) error {
	return p.writing(ctx, func(tx pgx.Tx) error {
		kept, err := p.r.readPolicies(ctx, tx.Conn(), 1)
		if err != nil {
			return err
		}
		var newest policylog.Entry
		if len(kept) > 0 {
			newest = kept[0].Entry
			if newest.Hash() == e.Hash() {
				return nil // written before, and the answer was lost
			}
		}
		if err := e.Follows(newest); err != nil {
			return err
		}
		return p.insert(ctx, tx, e, 0)
	})
}

// Merge implements policylog.Store. It needs the rights of an operator.
func (p *policies) Merge(ctx context.Context, entries ...policylog.Entry) error {
	return p.writing(ctx, func(tx pgx.Tx) error {
		for _, e := range entries {
			if err := p.insert(ctx, tx, e, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// writing runs a transaction that changes the log. Writers of rules and policies take turns.
func (p *policies) writing(ctx context.Context, do func(pgx.Tx) error) error {
	if err := p.r.Rules().writing(ctx, do); err != nil {
		return fmt.Errorf("write the policy: %w", err)
	}
	return nil
}

// insert writes an entry that is as old as age says.
func (p *policies) insert(ctx context.Context, tx pgx.Tx, e policylog.Entry, age time.Duration) error {
	hash, err := hex.DecodeString(e.Hash())
	if err != nil {
		panic(err) // it consists of hexadecimal digits
	}
	args := p.r.args()
	args["n"] = int64(e.Number)
	args["hash"] = hash
	args["record"] = e.Record().Marshal()
	args["age"] = min(max(age, 0), maxAge).Milliseconds()
	_, err = tx.Exec(ctx, writePolicySQL, args)
	return err
}

// comparePolicy follows the policy log when its newest entry wins over the one of the process, and
// writes what the log has lost.
func (s *session) comparePolicy(ctx context.Context, h head) error {
	if s.policied && !s.winsOver(h.policy) {
		return s.returnPolicies(ctx, h)
	}
	s.policyLacks = 0
	return s.followPolicy(ctx)
}

// followPolicy passes the policies of the table to Config.Policies when the newest of them wins over
// the one that the process has. After a success, each beat reads the newest entry. A role without
// the right to read them hears them from others.
func (s *session) followPolicy(ctx context.Context) error {
	if s.r.cfg.Policies == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	var newest *string
	err := s.conn.QueryRow(ctx, newestPolicySQL, s.r.args()).Scan(&newest)
	if err == nil && s.winsOver(newest) {
		var entries []policylog.Stored
		if entries, err = s.r.readPolicies(ctx, s.conn, policylog.MaxEntries); err == nil {
			s.r.cfg.Policies(entries)
		}
	}
	s.policied = err == nil
	switch code := sqlState(err); {
	case err == nil:
		s.policyless = false
	case code == noRight, code == undefinedTable:
		if !s.policyless {
			s.policyless = true
			s.r.log.Warn("the site's policy is not read from the database: other processes bring it; the tables' "+
				"owner runs the SQL of `skerry schema`, and of `skerry schema --grant-…` for this user",
				"user", s.r.conn.User, "err", err)
		}
	case s.lost(err):
		return fmt.Errorf("read the policy: %w", err)
	default:
		s.r.log.Warn("the policy was not read; the next poll tries again", "err", err)
	}
	return nil
}

// winsOver reports whether the newest policy of the table wins over the one of the process.
func (s *session) winsOver(newest *string) bool {
	if newest == nil {
		return false
	}
	theirs, hash := newestOf(newest)
	number, own := s.r.cfg.NewestPolicy()
	return theirs > number || theirs == number && hash > own
}

// newestOf reads the fragment {policy}.
func newestOf(text *string) (number uint64, hash string) {
	if text == nil {
		return 0, ""
	}
	n, hash, _ := strings.Cut(*text, " ")
	number, _ = strconv.ParseUint(n, 10, 64) // the database has written it
	return number, hash
}
