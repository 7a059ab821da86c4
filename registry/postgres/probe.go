package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/rollout"
)

// Report is the result of Probe.
type Report struct {
	Address                            string          // user@host:port/database, without the password
	User                               string          // of the connection
	Version                            string          // of the server
	Latency                            time.Duration   // of a small statement
	ClockOffset                        time.Duration   // the database's clock minus this host's; no decision uses it
	Standby                            bool            // a hot standby: it takes no writes before its promotion
	ReadOnly                           bool            // the server or database refuses writes now
	Missing                            []string        // tables that do not exist
	SchemaVersion                      int             // of the tables; 0: no tables
	CanCreate                          bool            // the user may make the tables
	CanRead                            bool            // the user may read all tables except the secret
	CanWrite                           bool            // the user may write all tables except rule log and secret
	CanListen                          bool            // the user may read the secret: site's key and channel
	CanOperate                         bool            // the user may write the rule log and change the site's keys
	Notifies                           bool            // a notification from one connection reached another
	Plain                              bool            // the server takes no start-up parameters, like a pooler
	Schema                             string          // of the tables, or for new ones; "": SearchPath has none
	SearchPath                         string          // of the session
	NoSchema                           string          // the first missing schema of SearchPath, when Schema is ""
	Encoding                           string          // of the database
	Connections                        int             // in use, of all users
	MaxConnections                     int             // without those reserved for administrators
	RoleLimit, RoleConnections         int             // limit and use of this role; limit 0: none
	DatabaseLimit, DatabaseConnections int             // limit and use of this database; limit 0: none
	Clusters                           []string        // with registrations in this database
	Old                                bool            // the tables are of a skerry before version 4
	Needs                              int             // the lowest version that a program must know to use the tables
	Link                               Link            // network path to the database, which carries the site's key
	Keys                               int             // number of the site's keys in the database; -1: not read
	KeyReaders                         []string        // users that may read the site's key, except superusers
	Odd                                []OddRow        // skipped rows of the cluster, at most a hundred
	OddCount                           int             // number of skipped rows
	crowded                            bool            // the server had no second connection to test a notification
	Oldest                             *snapshotHolder // with the oldest visible snapshot in this database; or nil
}

// snapshotHolder is a session with an open snapshot that keeps the database from reusing the space
// of old heartbeats.
type snapshotHolder struct {
	PID         int
	User        string
	Application string
	State       string
	Age         time.Duration // of its transaction
}

// Problem is a finding, and the step that corrects it.
type Problem struct{ What, Do string }

// longSnapshot is the age of a snapshot at which old heartbeats begin to cost space.
const longSnapshot = 10 * time.Minute

// Problems returns the obstacles to the registry, the worst first.
func (p *Report) Problems() []Problem {
	var out []Problem
	say := func(found bool, what, do string) {
		if found {
			out = append(out, Problem{what, do})
		}
	}
	if p.Old {
		return []Problem{
			{"the tables are of an earlier skerry, which shares none with this one", "stop its processes, and let " +
				"the administrator of the database run the SQL of `skerry schema --replace`: it drops the tables and " +
				"makes new ones"},
		}
	}
	if p.Schema == "" && p.SearchPath != "" {
		if p.NoSchema != "" {
			return []Problem{
				{
					"schema " + brief(
						p.NoSchema) + " does not exist, so that there is none for the tables (search_path " + brief(
						p.SearchPath,
					) + ")",
					"CREATE SCHEMA " + pgx.Identifier{p.NoSchema}.Sanitize(),
				},
			}
		}
		return []Problem{{"user " + p.User + " may use no schema of the search_path " + brief(p.SearchPath),
			"let an administrator of the database run GRANT USAGE ON SCHEMA … TO " + pgx.Identifier{p.User}.Sanitize()}}
	}
	missing := len(p.Missing) > 0
	grant := func(r Role) string {
		return fmt.Sprintf(
			"let the administrator of the database run the SQL of `skerry schema --grant-%s %s`",
			r,
			brief(p.User),
		)
	}
	sql := grant(roleService)
	say(missing && !p.CanCreate,
		fmt.Sprintf("tables are missing (%s) and user %s may not make them", strings.Join(p.Missing, ", "), p.User),
		sql)
	say(!missing && !p.CanRead, "user "+p.User+" may not read the tables", sql)
	say(!missing && p.CanRead && !p.CanListen, "user "+p.User+
		" may not read skerry_secret: changes are seen after 30 s, and the site's key is not known from here",
		grant(roleReader))
	say(!missing && p.CanRead && !p.CanWrite,
		"user "+p.User+" may not write the tables: this process can find services and offer none", sql)
	say(
		p.Standby,
		"this is a standby: no process can register",
		"name the primary too in the URL: postgres://user@one,two/database",
	)
	say(p.ReadOnly && !p.Standby, "the database is read-only",
		"see default_transaction_read_only of the server, the database and the user")
	say(p.SchemaVersion > SchemaVersion && p.Needs > SchemaVersion,
		fmt.Sprintf("the tables have version %d and need a program that knows version %d; this one knows %d",
			p.SchemaVersion, p.Needs, SchemaVersion), "update skerry")
	say(!missing && p.CanRead && p.SchemaVersion < SchemaVersion,
		fmt.Sprintf("the tables have version %d, this program knows %d", p.SchemaVersion, SchemaVersion), sql)
	say(p.MaxConnections-p.Connections < 10,
		fmt.Sprintf("%d of %d connections are in use", p.Connections, p.MaxConnections),
		"raise max_connections: each process needs one, and up to three for moments")
	limited := func(what string, limit, used int, sql string) {
		say(limit > 0 && limit-used < 5,
			fmt.Sprintf("%s may have %d connections (CONNECTION LIMIT), and %d are in use", what, limit, used),
			"each process needs one, and up to three for moments; with fewer they take turns: "+sql)
	}
	limited("user "+p.User, p.RoleLimit, p.RoleConnections,
		"ALTER ROLE "+pgx.Identifier{p.User}.Sanitize()+" CONNECTION LIMIT -1")
	limited("the database", p.DatabaseLimit, p.DatabaseConnections, "ALTER DATABASE … CONNECTION LIMIT -1")
	say(!p.Notifies && !p.Standby && !p.crowded, "notifications do not arrive: changes are seen after 30 s",
		"connect to PostgreSQL directly, or through a pooler in session mode")
	for _, odd := range p.Odd[:min(len(p.Odd), 10)] {
		say(true, fmt.Sprintf("a row of %s makes no sense and is skipped: %s: %s", odd.Table, odd.Row, odd.Why),
			"mend or delete the row")
	}
	say(p.OddCount > 10, fmt.Sprintf("%d rows in all make no sense and are skipped", p.OddCount),
		"look for what wrote them")
	if h := p.Oldest; h != nil {
		say(
			h.Age > longSnapshot,
			fmt.Sprintf(
				"process %d (%s, %s, %s) has held a transaction open for %v: the heartbeat table grows meanwhile",
				h.PID, h.User, h.Application, h.State, h.Age.Round(time.Second)),
			fmt.Sprintf("end it, if it was forgotten: SELECT pg_terminate_backend(%d)", h.PID),
		)
	}
	return out
}

var probeSQL = statement(
	`SELECT current_user, current_setting('server_version'), pg_is_in_recovery(),
	current_setting('transaction_read_only') = 'on',
	ARRAY(SELECT t FROM unnest(@tables::text[]) t WHERE to_regclass(t) IS NULL), {old},
	current_setting('search_path'), current_schema(), current_setting('server_encoding'),
	coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
	(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL),
	{connections},
	coalesce({rolelimit}, 0), coalesce({roleused}, 0), coalesce({dblimit}, 0), {dbused}
	FROM pg_roles u, pg_database d WHERE u.rolname = session_user AND d.datname = current_database()`,
)

// noSchemaSQL names the first schema of the search_path that does not exist.
const noSchemaSQL = `SELECT n FROM unnest(@schemas::text[]) WITH ORDINALITY s(n, i)
	WHERE n <> '$user' AND NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = n) ORDER BY i LIMIT 1`

// keyReadersSQL names the users that may log in and read the secret.
const keyReadersSQL = `SELECT ARRAY(SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND NOT rolsuper
	AND has_any_column_privilege(rolname, to_regclass('skerry_secret'), 'SELECT') ORDER BY 1 LIMIT 100)`

// surveySQL reads the instances of the cluster, at most 20,000.
var surveySQL = statement(`SELECT {row}::text FROM skerry_instance i WHERE i.cluster = @cluster LIMIT 20000`)

// holderSQL names the oldest snapshot. Those of skerry's own statements are short; this one is
// excluded.
const holderSQL = `SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(state, ''),
	(extract(epoch FROM clock_timestamp() - coalesce(xact_start, clock_timestamp())) * 1000)::bigint
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
ORDER BY age(backend_xmin) DESC, xact_start LIMIT 1`

// Probe examines the database over connections of its own, with or without Run. Its error wraps
// registry.ErrUnavailable when it can't reach the database; the Report then has only Address and
// User.
func (r *Registry) Probe(ctx context.Context) (Report, error) {
	p := Report{Address: r.address, User: r.conn.User, Keys: -1}
	conn, err := r.connect(ctx)
	if err != nil {
		return p, unavailable(err)
	}
	defer hangUp(ctx, conn)
	p.Link = linkOf(conn, r.conn)
	if err := r.examine(ctx, conn, &p); err != nil {
		return p, unavailable(err)
	}
	p.Plain = r.isPlain()
	if !p.Standby {
		p.Notifies, err = r.hears(ctx, conn)
		if p.crowded = sqlState(err) == tooMany; p.crowded {
			return p, nil
		}
		if err != nil {
			return p, unavailable(fmt.Errorf("try a notification: %w", err))
		}
	}
	return p, nil
}

func hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 200*time.Millisecond)
	defer cancel()
	_ = conn.Close(ctx) // nothing is lost with it
}

func (r *Registry) isPlain() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.plain
}

func (r *Registry) examine(ctx context.Context, conn *pgx.Conn, p *Report) error {
	ctx, cancel := context.WithTimeout(ctx, stmtTime)
	defer cancel()
	var schema *string
	err := conn.QueryRow(ctx, probeSQL, r.args()).Scan(&p.User, &p.Version, &p.Standby, &p.ReadOnly, &p.Missing,
		&p.Old, &p.SearchPath, &schema, &p.Encoding, &p.CanCreate, &p.Connections, &p.MaxConnections,
		&p.RoleLimit, &p.RoleConnections, &p.DatabaseLimit, &p.DatabaseConnections)
	if err != nil {
		return fmt.Errorf("look at the database: %w", err)
	}
	if schema != nil {
		p.Schema = *schema
	} else {
		err := conn.QueryRow(ctx, noSchemaSQL, pgx.NamedArgs{"schemas": schemas(p.SearchPath)}).Scan(&p.NoSchema)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("look for the schema: %w", err)
		}
	}
	var now time.Time
	asked := time.Now()
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return fmt.Errorf("read its clock: %w", err)
	}
	p.Latency = time.Since(asked)
	p.ClockOffset = now.Sub(asked.Add(p.Latency / 2))
	if len(p.Missing) == 0 && !p.Old {
		if err := r.examineTables(ctx, conn, p); err != nil {
			return err
		}
	}
	var h snapshotHolder
	var age int64
	switch err := conn.QueryRow(ctx, holderSQL).Scan(&h.PID, &h.User, &h.Application, &h.State, &age); err {
	case nil:
		h.Age = time.Duration(age) * time.Millisecond
		p.Oldest = &h
	case pgx.ErrNoRows:
	default:
		return fmt.Errorf("look for open transactions: %w", err)
	}
	return nil
}

// examineTables examines tables of this version or a later one.
func (r *Registry) examineTables(ctx context.Context, conn *pgx.Conn, p *Report) error {
	roles, err := may(ctx, conn)
	if err != nil {
		return fmt.Errorf("look at the rights: %w", err)
	}
	p.CanRead, p.CanListen = roles[roleViewer], roles[roleReader]
	p.CanWrite, p.CanOperate = roles[roleService], roles[roleOperator]
	if err := conn.QueryRow(ctx, keyReadersSQL).Scan(&p.KeyReaders); err != nil {
		return fmt.Errorf("look at the readers of the site's key: %w", err)
	}
	if !p.CanRead {
		return nil
	}
	err = conn.QueryRow(ctx, versionSQL).Scan(&p.SchemaVersion, &p.Needs)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read the version of the tables: %w", err)
	}
	err = conn.QueryRow(ctx, "SELECT ARRAY(SELECT left(cluster, 64) FROM skerry_cluster ORDER BY 1 LIMIT 100)").
		Scan(&p.Clusters)
	if err != nil {
		return fmt.Errorf("read the clusters: %w", err)
	}
	if p.SchemaVersion > SchemaVersion && p.Needs > SchemaVersion {
		return nil
	}
	return r.survey(ctx, conn, p)
}

// survey looks for odd rows.
func (r *Registry) survey(ctx context.Context, conn *pgx.Conn, p *Report) error {
	rows, err := conn.Query(ctx, surveySQL, r.args())
	if err != nil {
		return fmt.Errorf("look at the instances: %w", err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look at the instances: %w", err)
	}
	now := time.Now()
	for _, text := range texts {
		if _, e, err := parseRow([]byte(text), now); err != nil {
			r.odd.add("skerry_instance", false, oddInstance(&e, err))
		}
	}
	if _, err := r.rulesSince(ctx, conn, rollout.Generation{}); err != nil {
		return fmt.Errorf("look at the rule log: %w", err)
	}
	args := r.args()
	args["since"] = (10 * time.Minute).Milliseconds()
	if err := r.countOddStats(ctx, conn, args); err != nil {
		return fmt.Errorf("look at the statistics: %w", err)
	}
	var rev, kept int64
	const revisionSQL = "SELECT coalesce(rev, 0), coalesce(kept, 0) FROM skerry_revision WHERE cluster = @cluster"
	switch err := conn.QueryRow(ctx, revisionSQL, r.args()).Scan(&rev, &kept); {
	case err == nil:
		r.odd.checkRevision(r.cfg.Cluster, rev, kept)
	case !errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("look at the revision: %w", err)
	}
	if p.CanListen {
		found, err := r.readSecret(ctx, conn)
		odd, isOdd := errors.AsType[*oddSecretError](err)
		switch {
		case isOdd:
			r.odd.add("skerry_secret", true, oddRow("skerry_secret", odd, r.cfg.Cluster))
		case err != nil:
			return fmt.Errorf("look at the site's key: %w", err)
		default:
			p.Keys = len(found.keys)
		}
	}
	p.Odd, p.OddCount = r.Odd()
	return nil
}

// hears reports whether a notification of another connection arrives.
func (r *Registry) hears(ctx context.Context, conn *pgx.Conn) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime+stmtTime)
	defer cancel()
	other, err := r.connect(ctx)
	if err != nil {
		return false, err
	}
	defer hangUp(ctx, other)
	name := newChannel()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{name}.Sanitize()); err != nil {
		return false, err
	}
	if _, err := other.Exec(ctx, "SELECT pg_notify($1, 'hear me')", name); err != nil {
		return false, err
	}
	ctx, cancel = context.WithTimeout(ctx, pingTime)
	defer cancel()
	_, err = conn.WaitForNotification(ctx)
	return err == nil, nil // a missing notification is a finding, not an error
}
