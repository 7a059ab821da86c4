package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/health"
)

// statTime bounds the writing of one period's statistics.
const statTime = 5 * time.Second

// A row holds the length of its period, which ends when the row is written.
const writeStatSQL = `INSERT INTO skerry_call_stat (
	cluster, owner, host, port, service, method, side, peer, from_at, to_at,
	calls, failures, app_error, timeout, canceled, refused, connect, broken, internal, rejected,
	sum_ms, p50_ms, p99_ms, max_ms, version)
SELECT @cluster, @owner, s.h, s.p, s.s, s.m, s.side, s.peer, now() - s.length * interval '1 millisecond', now(),
	s.n, s.f, s.o[2], s.o[3], s.o[4], s.o[5], s.o[6], s.o[7], s.o[8], s.o[9], s.sum, s.p50, s.p99, s.max, s.version
FROM json_to_recordset(@rows::json) AS s(h text, p integer, s text, m text, side text, peer text, length bigint,
	n bigint, f bigint, o bigint[], sum float8, p50 float8, p99 float8, max float8, version text)`

// statEntry is a health.Row as writeStatSQL reads it.
type statEntry struct {
	Host     string  `json:"h"`
	Port     int     `json:"p"`
	Service  string  `json:"s"`
	Method   string  `json:"m"`
	Side     string  `json:"side"`
	Peer     string  `json:"peer"`
	Length   int64   `json:"length"` // of the period, ms
	Calls    int64   `json:"n"`
	Failures int64   `json:"f"`
	Outcomes []int64 `json:"o"`
	Sum      float64 `json:"sum"` // ms, like the fields below
	P50      float64 `json:"p50"`
	P99      float64 `json:"p99"`
	Max      float64 `json:"max"`
	Version  string  `json:"version"`
}

// Write is health.Sink: it adds the rows to skerry_call_stat, all or none. Host and port are those
// of this process's registration of the service, or of any registration. A process without one has
// its host's name and port 0. Write works while Run runs.
func (r *Registry) Write(ctx context.Context, rows []health.Row) error {
	if len(rows) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statTime)
	defer cancel()
	err := r.writeStats(ctx, rows, shown)
	if badData(err) { // the database's encoding has no letters for a name
		err = r.writeStats(ctx, rows, ascii)
	}
	if err != nil {
		return fmt.Errorf("write statistics: %w", err)
	}
	return nil
}

// writeStats writes the rows. name converts each name of a service, method, peer or version.
func (r *Registry) writeStats(ctx context.Context, rows []health.Row, name func(string) string) error {
	entries := make([]statEntry, len(rows))
	odd := ""
	for i := range rows {
		e := r.statEntry(&rows[i])
		for _, s := range []*string{&e.Service, &e.Method, &e.Peer, &e.Version} {
			if text := name(*s); text != *s {
				*s, odd = text, text
			}
		}
		entries[i] = e
	}
	if odd != "" && !r.oddName.Swap(true) {
		r.log.Warn("statistics have a name that is no text; such names are written quoted", "name", odd)
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	args := r.args()
	args["rows"] = string(text)
	return r.withConn(ctx, roleService, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, writeStatSQL, args)
		return err
	})
}

// maxStatName is the longest name in the table, in bytes.
const maxStatName = 512

// shown returns the name cut to maxStatName, quoted unless it is printable text: PostgreSQL takes
// no NUL, and terminals obey control characters.
func shown(name string) string {
	if len(name) > maxStatName {
		name = name[:maxStatName] + "..."
	}
	for _, c := range name {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return strconv.Quote(name)
		}
	}
	return name
}

// ascii is shown for a database of any encoding: it also quotes names beyond ASCII.
func ascii(name string) string {
	name = shown(name)
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return strconv.QuoteToASCII(name)
		}
	}
	return name
}

// badData reports whether the database refused a statement because of its data (class 22 of
// SQLSTATE).
func badData(err error) bool { return strings.HasPrefix(sqlState(err), "22") }

func (r *Registry) statEntry(row *health.Row) statEntry {
	host, port := r.cfg.Owner.Host, 0
	for i, in := range r.registrar.Wished() {
		if i == 0 || in.Service == row.Service && row.Side == health.Server {
			host, port = in.Host, in.Port
		}
	}
	return statEntry{
		Host:    host,
		Port:    port,
		Service: row.Service,
		Method:  row.Method,
		Side:    row.Side.String(),
		Peer:    row.Peer,
		Length: row.To.Sub(row.From).
			Milliseconds(),
		Calls:    row.Calls(),
		Failures: row.Failures(),
		Outcomes: row.Outcomes[:],
		Sum:      millis(row.Sum),
		P50:      millis(row.P50),
		P99:      millis(row.P99),
		Max:      millis(row.Max),
		Version:  row.Version,
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// StatQuery selects what Stats returns.
type StatQuery struct {
	Since   time.Duration // how far to look back; 0 means 10 minutes
	Service string        // "" means all
	Method  string        // "" means all
	ByPeer  bool          // one row for each peer, otherwise Peer is empty
	Until   time.Duration // before now, where to stop looking: periods that began later are left out; 0: now
}

// Stat is the sum over all processes of the cluster for one method of one version of a service.
// Times are durations of calls.
type Stat struct {
	Service, Version, Method, Side, Peer string
	Calls, Failures                      int64
	Outcomes                             [len(health.Row{}.Outcomes)]int64
	Mean                                 time.Duration
	P50                                  time.Duration // mean of the periods' medians, by calls
	P99                                  time.Duration // the highest of any period and process
	Max                                  time.Duration
	Processes                            int       // processes with counted calls
	First, Last                          time.Time // begin and end of the counted periods, by the database's clock
}

// saneStat holds for rows that skerry can have written. Their sums fit into the types that they are
// read into. NaN is above every number.
const saneStat = `(isfinite(from_at) AND isfinite(to_at)
	AND from_at > now() - interval '36500 days' AND to_at < now() + interval '36500 days'
	AND octet_length(service) < 1000 AND octet_length(version) < 1000 AND octet_length(method) < 1000
	AND octet_length(peer) < 1000 AND octet_length(owner) < 1000 AND octet_length(side) < 10
	AND least(calls, failures, app_error, timeout, canceled, refused, connect, broken, internal, rejected) >= 0
	AND greatest(calls, failures, app_error, timeout, canceled, refused, connect, broken, internal, rejected)
		<= 1000000000000
	AND num_nulls(calls, failures, app_error, timeout, canceled, refused, connect, broken, internal, rejected) = 0
	AND least(sum_ms, p50_ms, p99_ms, max_ms) >= 0 AND greatest(sum_ms, p50_ms, p99_ms, max_ms) <= 1e12
	AND num_nulls(sum_ms, p50_ms, p99_ms, max_ms) = 0) IS TRUE`

// oddStatSQL counts the rows that readStatSQL leaves out.
const oddStatSQL = `SELECT count(*), coalesce(min(left(service, 80) || ' ' || left(method, 80)), '')
FROM skerry_call_stat
WHERE cluster = @cluster AND to_at > now() - @since::bigint * interval '1 millisecond' AND NOT ` + saneStat

const readStatSQL = `SELECT service, version, method, side, CASE WHEN @by_peer THEN peer ELSE '' END AS peer,
	sum(calls)::bigint, sum(failures)::bigint,
	ARRAY[sum(calls - app_error - timeout - canceled - refused - connect - broken - internal - rejected),
		sum(app_error), sum(timeout), sum(canceled), sum(refused), sum(connect), sum(broken), sum(internal),
		sum(rejected)]::bigint[],
	coalesce(sum(sum_ms) / nullif(sum(calls), 0), 0), coalesce(sum(p50_ms * calls) / nullif(sum(calls), 0), 0),
	max(p99_ms), max(max_ms),
	count(DISTINCT owner), min(from_at), max(to_at)
FROM skerry_call_stat
WHERE cluster = @cluster AND to_at > now() - @since::bigint * interval '1 millisecond'
	AND (@until::bigint = 0 OR from_at < now() - @until::bigint * interval '1 millisecond')
	AND (@service = '' OR service = @service) AND (@method = '' OR method = @method) AND ` + saneStat + `
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 3, 4, 2, 5`

// Stats reads the statistics of the cluster, in the order of service, method,
// side, version and peer. It uses a connection of its own and works without Run.
func (r *Registry) Stats(ctx context.Context, q StatQuery) ([]Stat, error) {
	if q.Since == 0 {
		q.Since = 10 * time.Minute
	}
	conn, err := r.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", unavailable(err))
	}
	defer hangUp(ctx, conn)
	args := r.args()
	args["since"] = q.Since.Milliseconds()
	args["service"] = q.Service
	args["method"] = q.Method
	args["by_peer"] = q.ByPeer
	args["until"] = max(0, q.Until.Milliseconds())
	var stats []Stat
	rows, err := conn.Query(ctx, readStatSQL, args)
	if err == nil {
		stats, err = pgx.CollectRows(rows, scanStat)
	}
	if err == nil {
		err = r.countOddStats(ctx, conn, args)
	}
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", r.explainQuestion(err, roleViewer))
	}
	return stats, nil
}

// countOddStats records the rows of statistics that were left out, as one odd row.
func (r *Registry) countOddStats(ctx context.Context, conn *pgx.Conn, args pgx.NamedArgs) error {
	var count int
	var first string
	if err := conn.QueryRow(ctx, oddStatSQL, args).Scan(&count, &first); err != nil {
		return err
	}
	var odd []OddRow
	if count > 0 {
		why := fmt.Errorf("%d rows like this have impossible times or counts", count)
		odd = append(odd, oddRow("skerry_call_stat", why, first))
	}
	r.odd.add("skerry_call_stat", true, odd...)
	return nil
}

func scanStat(row pgx.CollectableRow) (Stat, error) {
	var s Stat
	var outcomes []int64
	var mean, p50, p99, most float64
	err := row.Scan(&s.Service, &s.Version, &s.Method, &s.Side, &s.Peer, &s.Calls, &s.Failures, &outcomes,
		&mean, &p50, &p99, &most, &s.Processes, &s.First, &s.Last)
	copy(s.Outcomes[:], outcomes)
	s.Mean = duration(mean)
	s.P50 = duration(p50)
	s.P99 = duration(p99)
	s.Max = duration(most)
	return s, err
}

func duration(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
