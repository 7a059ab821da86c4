package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed schema.sql
var schemaSQL string

// SchemaVersion is the version of the tables that this package makes and needs.
const SchemaVersion = 3

// tables are all relations of the schema; ruleTable came with version 2, and a
// process that may not make it works without releases. Version 3 added the
// column skerry_call_stat.version; without it statistics tell no versions.
var tables = []string{"skerry_schema", "skerry_cluster", "skerry_revision", "skerry_told", "skerry_lease", "skerry_instance",
	"skerry_service_registry", "skerry_call_stat", ruleTable}

const ruleTable = "skerry_rule"

const (
	undefinedTable  = "42P01"
	undefinedColumn = "42703"
	noRight         = "42501"
	lockedNow       = "55P03"
	tooSlow         = "57014" // the server ended a statement by its own limit
	tooMany         = "53300" // all connections are in use

	// schemaLock keeps processes that start together from making the tables
	// at the same time. Any number that nobody else uses will do.
	schemaLock = 0x736b65727279 // "skerry"
)

// Schema is the SQL that makes the tables, for an administrator to run. To run
// it twice changes nothing.
func Schema() string { return schemaSQL }

// Grants is the SQL that gives a user the rights that a process with skerry
// needs on the tables.
func Grants(user string) string {
	return fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON %s TO %s;\n", strings.Join(tables, ", "), pgx.Identifier{user}.Sanitize())
}

// createSchema makes what is missing of the tables, one process at a time.
func (r *Registry) createSchema(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTime)
	defer cancel()
	script := fmt.Sprintf("BEGIN; SET LOCAL statement_timeout = '%[1]ds'; SET LOCAL lock_timeout = '%[1]ds'; SET LOCAL client_min_messages = warning;"+
		"SELECT pg_advisory_xact_lock(%[2]d);\n%[3]s\nCOMMIT;", int(schemaTime.Seconds()), schemaLock, schemaSQL)
	if _, err := conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		_, _ = conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll() // else the session could not go on without
		return fmt.Errorf("create tables: %w", err)
	}
	r.log.Info("tables are there", "version", SchemaVersion)
	return nil
}

// RightsError says that the database user may not do what is needed, and what
// an administrator can run to allow it.
type RightsError struct {
	User string
	SQL  string // to be run by the administrator in the same database
	Err  error  // what the database said
}

// Error is the advice in one line; SQL has the text.
func (e *RightsError) Error() string {
	return fmt.Sprintf("%v; user %[2]s lacks rights: let an administrator of the database run the SQL of `skerry schema --grant %[2]s`", e.Err, e.User)
}

// Unwrap is what the database said.
func (e *RightsError) Unwrap() error { return e.Err }

// explain adds to an error what an administrator can do about it. A table that
// is missing, because this user may not make it, is a matter of rights too.
func (r *Registry) explain(err error) error {
	if _, done := errors.AsType[*RightsError](err); done {
		return err
	}
	code := sqlState(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case code == noRight:
		r.rights = &RightsError{User: r.conn.User, SQL: Schema() + "\n" + Grants(r.conn.User), Err: err}
		if !r.told { // once, as it is long
			r.told = true
			r.log.Warn("the user lacks rights in the database; as soon as an administrator has run this SQL, everything goes on by itself", "user", r.conn.User, "sql", r.rights.SQL)
		}
		return r.rights
	case code == undefinedTable && r.rights != nil:
		return r.rights
	}
	return err
}
