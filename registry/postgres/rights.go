package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Role is a set of rights on the tables. Each role includes the rights of those before it.
type Role string

// The roles. A service has the rights of any process of the site: it can write leases, instances
// and statistics of other processes.
const (
	roleViewer   Role = "viewer"   // reads everything except the site's secrets: lists, statistics, the rule log
	roleReader   Role = "reader"   // reads the site's key and hears notifications: a process that offers nothing
	roleService  Role = "service"  // keeps processes listed and writes statistics: a process that offers services
	roleOperator Role = "operator" // writes the rule log and the policy, and changes the site's keys
)

// Roles returns all roles in the order of their rights.
func Roles() []Role { return []Role{roleViewer, roleReader, roleService, roleOperator} }

// rights are what each role has beyond the role before it. {readable} stands for all tables except
// skerry_secret.
//
// TRUNCATE is for the four tables that compact rewrites. It removes nothing that UPDATE and DELETE
// on the same rows could not remove. A function with the rights of the tables' owner, often the
// superuser, would be the greater risk. A service inserts the secret once, as the first process of
// a cluster, and can't alter it. On the rule log it has only the right to read.
var rights = map[Role][]string{
	roleViewer: {"SELECT ON {readable}"},
	roleReader: {"SELECT ON skerry_secret"},
	roleService: {
		"INSERT, UPDATE, TRUNCATE ON skerry_cluster, skerry_revision, skerry_told",
		"INSERT, UPDATE, DELETE, TRUNCATE ON skerry_lease",
		"INSERT, UPDATE, DELETE ON skerry_instance",
		"INSERT, DELETE ON skerry_call_stat",
		"INSERT ON skerry_secret",
	},
	roleOperator: {
		"INSERT, DELETE ON skerry_rule", // adopt deletes entries of a log that has ended
		"INSERT, UPDATE ON skerry_head",
		"INSERT ON skerry_policy",
		"UPDATE (channel, keys, changed) ON skerry_secret",
	},
}

// clauses returns the rights of a role, including those of the roles before it.
func (r Role) clauses() []string {
	var out []string
	for _, role := range Roles() {
		for _, c := range rights[role] {
			out = append(out, strings.ReplaceAll(c, "{readable}", strings.Join(readable, ", ")))
		}
		if role == r {
			return out
		}
	}
	panic("postgres: unknown role " + string(r))
}

// Grant returns the SQL that gives a user the rights of the role.
func (r Role) Grant(user string) string {
	to := pgx.Identifier{user}.Sanitize()
	sql := ""
	for _, c := range r.clauses() {
		sql += "GRANT " + c + " TO " + to + ";\n"
	}
	return sql
}

// rolesSQL returns the roles with rights that the user has. It ignores TRUNCATE, which no process
// depends on.
const rolesSQL = `SELECT ARRAY(SELECT w.role FROM unnest(@roles::text[], @on::text[], @rights::text[]) w(role, t, p)
	GROUP BY w.role HAVING bool_and(coalesce(CASE WHEN w.p = 'DELETE' THEN has_table_privilege(to_regclass(w.t), w.p)
		ELSE has_any_column_privilege(to_regclass(w.t), w.p) END, false)))`

// may returns the roles with rights, beyond those of the role before, that the user of a connection
// has. A user may have those of a service without those of a reader.
func may(ctx context.Context, conn *pgx.Conn) (map[Role]bool, error) {
	var roles, on, privileges []string
	for _, role := range Roles() {
		for _, c := range rights[role] {
			what, where, _ := strings.Cut(strings.ReplaceAll(c, "{readable}", strings.Join(readable, ", ")), " ON ")
			what, _, _ = strings.Cut(what, " (")
			for _, p := range strings.Split(what, ", ") {
				for _, t := range strings.Split(where, ", ") {
					if p != "TRUNCATE" {
						roles, on, privileges = append(roles, string(role)), append(on, t), append(privileges, p)
					}
				}
			}
		}
	}
	var found []string
	err := conn.QueryRow(ctx, rolesSQL, pgx.NamedArgs{"roles": roles, "on": on, "rights": privileges}).Scan(&found)
	out := map[Role]bool{}
	for _, role := range found {
		out[Role(role)] = true
	}
	return out, err
}

// rightsError says that the database user lacks a right, and the SQL by which an administrator
// grants it.
type rightsError struct {
	User string
	Role Role   // the role with the needed rights
	SQL  string // for the administrator, in the same database
	Err  error  // the database's error
}

// Error is the advice in one line; SQL has the text.
func (e *rightsError) Error() string {
	return fmt.Sprintf(
		"%v; user %s lacks rights: let an administrator of the database run the SQL of `skerry schema "+
			"--grant-%s %[2]s`",
		e.Err,
		e.User,
		e.Role,
	)
}

// Unwrap returns the database's error.
func (e *rightsError) Unwrap() error { return e.Err }

// explain adds the step of an administrator to an error. need is the role with the rights for the
// failed statement. A missing table is a lack of rights when this user may not make it.
func (r *Registry) explain(err error, need Role) error {
	if _, done := errors.AsType[*rightsError](err); done {
		return err
	}
	code := sqlState(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case code == noRight:
		refused := &rightsError{User: r.conn.User, Role: need, SQL: Schema() + "\n" + need.Grant(r.conn.User), Err: err}
		if need == roleOperator { // concerns a command, not the session
			return refused
		}
		r.rights = refused
		if !r.told { // once
			r.told = true
			r.log.Warn(
				"the user lacks rights in the database; as soon as an administrator has given them, everything goes "+
					"on by itself",
				"user",
				r.conn.User,
				"err",
				err,
				"do",
				fmt.Sprintf("run in the same database what skerry schema --grant-%s %s prints", need, r.conn.User),
			)
		}
		return r.rights
	case code == undefinedTable && r.rights != nil:
		return r.rights
	}
	return err
}

// explainQuestion is explain for reads without a session, which has not looked for the tables.
func (r *Registry) explainQuestion(err error, need Role) error {
	explained := r.explain(err, need)
	if explained == err && sqlState(err) == undefinedTable {
		return fmt.Errorf("%w (%w)", ErrNoTables, err)
	}
	return explained
}

// holdersSQL names the sessions that hold a lock on the rows of a table and wait for none
// themselves. They made this session wait. pg_blocking_pids says the same only while a session
// waits.
const holdersSQL = `SELECT DISTINCT coalesce(l.pid, 0), coalesce(a.usename, ''),
	left(coalesce(a.application_name, ''), 100)
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	AND l.relation = to_regclass(@table::text) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
	AND l.mode IN ('RowShareLock', 'RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
		'AccessExclusiveLock')
	AND NOT EXISTS (SELECT FROM pg_locks w WHERE w.pid = l.pid AND NOT w.granted)
ORDER BY 1 LIMIT 3`

// held adds the holder of the lock to the error of a statement that waited in vain for a lock on a
// table. The transaction has ended.
func (r *Registry) held(ctx context.Context, conn *pgx.Conn, err error, table string) error {
	if sqlState(err) != lockedNow {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stmtTime) // most of ctx has passed
	defer cancel()
	rows, asked := conn.Query(ctx, holdersSQL, pgx.NamedArgs{"table": table})
	if asked != nil {
		return err
	}
	holders, asked := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var pid int
		var user, application string
		err := row.Scan(&pid, &user, &application)
		if pid == 0 {
			return "a prepared transaction (see pg_prepared_xacts)", err
		}
		return fmt.Sprintf(
			"process %d of the database (user %s, application %s); if it was forgotten: SELECT "+
				"pg_terminate_backend(%[1]d)",
			pid,
			brief(user),
			brief(application),
		), err
	})
	switch {
	case asked != nil:
		return err
	case len(holders) == 0:
		return fmt.Errorf("%w: the lock on %s was held until just now; try again", err, table)
	}
	return fmt.Errorf("%w: the lock on %s is held by %s", err, table, strings.Join(holders, ", and by "))
}
