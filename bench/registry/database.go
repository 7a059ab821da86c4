package registry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/pgtest"
)

// database is a private PostgreSQL with its settings as they come, but for
// the number of connections.
type database struct {
	server *pgtest.Server
	pid    int
	admin  *pgx.Conn // over the Unix socket: its bytes are not counted
}

func startDatabase(ctx context.Context, connections int, more string) (*database, error) {
	server, err := pgtest.Start(pgtest.Options{Config: fmt.Sprintf(
		"max_connections = %d\nshared_buffers = '128MB'\nfsync = on\n%s", connections+20, more)})
	if err != nil {
		return nil, err
	}
	d := &database{server: server}
	if d.pid, err = postmaster(server.Dir()); err == nil {
		d.admin, err = pgx.Connect(ctx, server.SocketURL("postgres"))
	}
	if err != nil {
		_ = server.Close()
		return nil, err
	}
	return d, nil
}

func postmaster(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return strconv.Atoi(first)
}

func (d *database) url() string { return d.server.URL("postgres") }

func (d *database) cpu() time.Duration { return cpuOf(d.pid) }

func (d *database) meter(ctx context.Context) (u usage, err error) {
	u.cpu, u.bytes, u.memory = d.cpu(), sentAndReceived(ctx, d.server.Port), ownMemory(d.pid)
	err = d.admin.QueryRow(ctx, `SELECT xact_commit + xact_rollback, numbackends - 1 FROM pg_stat_database
		WHERE datname = current_database()`).Scan(&u.statements, &u.connections)
	return u, err
}

// ownMemory is what a process and its descendants have for themselves: what
// they share is counted in parts (PSS).
func ownMemory(pid int) (bytes int64) {
	for _, p := range tree(pid) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p)) // empty when it ended meanwhile
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
				kib, _ := strconv.ParseInt(f[1], 10, 64)
				bytes += kib << 10
			}
		}
	}
	return bytes
}

// watchStatements begins to count statements by their text.
func (d *database) watchStatements(ctx context.Context) error {
	_, err := d.admin.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()")
	return err
}

// statements are what was carried out since watchStatements, with what it took:
// pings, which have no text, are the rest of all that meter counts.
func (d *database) statements(ctx context.Context) (counts []statementCount, err error) {
	rows, err := d.admin.Query(ctx, `SELECT left(regexp_replace(query, '\s+', ' ', 'g'), 72) AS text,
		sum(calls)::bigint AS calls, sum(total_exec_time) / sum(calls) * 1000 AS micros
		FROM pg_stat_statements GROUP BY 1 ORDER BY 2 DESC LIMIT 12`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[statementCount])
}

// statementCount is one statement of a window.
type statementCount struct {
	Text   string
	Calls  int64
	Micros float64 // of execution, on average
}

func (d *database) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = d.admin.Close(ctx) // the server ends anyway
	return d.server.Close()
}
