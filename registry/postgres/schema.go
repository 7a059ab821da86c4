package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
)

//go:embed schema.sql
var schemaSQL string

// SchemaVersion is the version of the tables that this package makes and knows. It also uses later
// versions that need no later program.
const SchemaVersion = 6

// tables are all relations of the schema; readable are those without secrets.
var (
	tables = []string{
		"skerry_schema",
		"skerry_cluster",
		"skerry_revision",
		"skerry_told",
		"skerry_lease",
		"skerry_instance",
		"skerry_service_registry",
		"skerry_call_stat",
		"skerry_rule",
		"skerry_head",
		"skerry_policy",
		"skerry_secret",
	}
	readable = slices.DeleteFunc(slices.Clone(tables), func(t string) bool { return t == "skerry_secret" })
)

const (
	undefinedTable = "42P01"
	noRight        = "42501"
	lockedNow      = "55P03"
	tooSlow        = "57014" // the server ended a statement by its own limit
	tooMany        = "53300" // all connections are in use
)

// Errors of tables that this program can't use. It registers and reads nothing until they are
// replaced.
var (
	errOldTables = errors.New(
		"the tables of skerry are of a version before 4, which shares none with this one, and are left alone: " +
			"stop the processes of the earlier skerry, and let an administrator of the database run the SQL of " +
			"`skerry schema --replace`; " +
			"it drops the tables with the registrations, statistics and release log in them, and makes new ones",
	)
	ErrNoTables  = errors.New("skerry has no tables in this database yet: the first service makes them")
	errNewTables = errors.New("the tables of skerry need a later version of this program: update it")
)

// Schema returns the SQL that makes the tables, for an administrator. Running it again changes
// nothing.
func Schema() string { return schemaSQL }

// Replace returns the SQL that drops the tables of any version with their content and makes new
// ones.
func Replace() string {
	drop := "-- Drops all tables of skerry, with the registrations, statistics and the release log in them.\nBEGIN;\n"
	for _, t := range slices.Backward(tables) {
		kind := "TABLE"
		if t == "skerry_service_registry" {
			kind = "VIEW"
		}
		drop += fmt.Sprintf("DROP %s IF EXISTS %s;\n", kind, t)
	}
	return drop + "COMMIT;\n\n" + Schema()
}

// createSchema makes missing tables. Processes that start together meet at the first statement: the
// second waits there for the first, and its error says that the tables exist.
func (r *Registry) createSchema(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTime)
	defer cancel()
	limits := fmt.Sprintf("BEGIN ISOLATION LEVEL READ COMMITTED;\n"+
		"SET LOCAL statement_timeout = '%[1]ds'; SET LOCAL lock_timeout = '%[1]ds';\n"+
		"SET LOCAL client_min_messages = warning;", int(schemaTime.Seconds()/2))
	script := strings.Replace(schemaSQL, "BEGIN;", limits, 1)
	for try := 1; ; try++ {
		_, err := conn.PgConn().Exec(ctx, script).ReadAll()
		if err == nil {
			r.log.Info("tables are there", "version", SchemaVersion)
			return nil
		}
		_, _ = conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll() // else the session could not continue
		if try == 5 || !madeByOther(err) || run.Sleep(ctx, run.Jitter(100*time.Millisecond, 1)) != nil {
			return fmt.Errorf("create tables: %w", r.held(ctx, conn, err, "skerry_schema"))
		}
	}
}

// madeByOther reports the errors of two sessions that create the same object.
func madeByOther(err error) bool {
	switch sqlState(err) {
	case "23505", "42P07", "42710", "40P01": // unique, duplicate table, duplicate object, deadlock
		return true
	case "XX000":
		return strings.Contains(err.Error(), "tuple concurrently updated")
	}
	return false
}

// agrees checks that the tables have the version that this program knows, or a later one that it
// may use. missing is true when they have no version or an earlier one.
func (r *Registry) agrees(ctx context.Context, conn *pgx.Conn) (missing bool, err error) {
	var version, needs int
	switch err := conn.QueryRow(ctx, versionSQL).Scan(&version, &needs); {
	case errors.Is(err, pgx.ErrNoRows):
		return true, nil
	case sqlState(err) == noRight:
		return false, r.explain(err, roleReader)
	case err != nil:
		return false, err
	}
	if version > SchemaVersion && needs > SchemaVersion {
		return false, fmt.Errorf("%w: they have version %d and need a program that knows version %d; this one knows %d",
			errNewTables, version, needs, SchemaVersion)
	}
	return version < SchemaVersion, nil
}
