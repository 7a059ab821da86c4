package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
)

// poolerConfig is PgBouncer's configuration.
const poolerConfig = `[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = %s
listen_port = %d
unix_socket_dir = %s
auth_type = trust
auth_file = %s
pool_mode = %s
max_client_conn = 200
`

// Pooler starts a PgBouncer before the server for the duration of the test, and returns a
// database's connection string through it, as the superuser. It pools transactions, as is common:
// two statements of a client may run in two sessions of the server.
func (s *Server) Pooler(t testing.TB, db string) string {
	t.Helper()
	return s.pooler(t, db, "transaction")
}

// SessionPooler is Pooler with a session of the server for each client.
func (s *Server) SessionPooler(t testing.TB, db string) string {
	t.Helper()
	return s.pooler(t, db, "session")
}

func (s *Server) pooler(t testing.TB, db, mode string) string {
	t.Helper()
	port, err := freePort()
	dir := ""
	if err == nil {
		dir, err = s.startPooler(t, port, mode)
	}
	if err != nil {
		t.Fatalf("pgbouncer: %v", err)
	}
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + db,
		Host: net.JoinHostPort(s.Host, strconv.Itoa(port)), RawQuery: "sslmode=disable"}
	awaitPooler(t, fmt.Sprintf("host=%s port=%d user=postgres dbname=%s sslmode=disable", dir, port, db))
	return u.String()
}

// startPooler starts a PgBouncer in the server's network namespace and returns the directory of its
// socket.
func (s *Server) startPooler(t testing.TB, port int, mode string) (dir string, err error) {
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		bin = "/usr/sbin/pgbouncer" // not in every PATH
		if _, err := os.Stat(bin); err != nil {
			return "", errors.New(
				"it is not installed; for example: apt-get install pgbouncer (its own service need not run)")
		}
	}
	if dir, err = os.MkdirTemp(s.dir, "pooler-"); err != nil {
		return "", err
	}
	users, ini := filepath.Join(dir, "users"), filepath.Join(dir, "ini")
	text := fmt.Sprintf(poolerConfig, s.Host, s.Port, s.Host, port, dir, users, mode)
	err = errors.Join(os.WriteFile(users, []byte("\"postgres\" \"\"\n"), 0o644), os.WriteFile(ini, []byte(text), 0o644),
		os.Chmod(dir, 0o755), s.user.own(dir))
	if err != nil {
		return "", err
	}
	cmd := s.command("", bin, ini)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	endWithThread(cmd, sigKill, false)
	group := run.NewGroup(context.Background())
	started := make(chan error, 1)
	killed := make(chan struct{})
	group.Go(func(context.Context) error {
		runtime.LockOSThread() // for Pdeathsig, as in launch
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return nil
		}
		end := cmd.Wait()
		select {
		case <-killed:
		default:
			t.Errorf("pgbouncer ended by itself: %v: %s", end, tail(log.Name()))
		}
		return nil
	})
	if err := <-started; err != nil {
		return "", err
	}
	t.Cleanup(func() {
		close(killed)
		_ = cmd.Process.Kill()
		_ = group.Wait()
	})
	return dir, nil
}

func awaitPooler(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, url)
		if err == nil {
			_ = conn.Close(ctx)
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("pgbouncer does not answer: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
