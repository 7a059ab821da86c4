package pgtest

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// Main runs the tests of a package and stops the server that [Shared] started.
// Call it from TestMain; it does not return.
func Main(m *testing.M) { MainParallel(m, 8) }

// MainParallel is Main with a number of parallel tests, for tests that wait much and work little.
// The command line has precedence.
func MainParallel(m *testing.M, tests int) {
	if err := flag.Set("test.parallel", strconv.Itoa(tests)); err != nil {
		panic(err) // the flag is in every test binary
	}
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Shared returns the server of the package's tests, started at the first call. Tests must not stop
// it.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = Start(Options{}) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Own starts a server for one test. The test may harm it.
func Own(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var names atomic.Int64

// CreateDB makes an empty database and returns its name.
func (s *Server) CreateDB(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", names.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	return name
}

// CreateUser makes a user that may connect. It has only the rights of grants in the database. %s in
// a grant stands for the user's name.
func (s *Server) CreateUser(t testing.TB, db string, grants ...string) (user string) {
	t.Helper()
	user = fmt.Sprintf("user_%d", names.Add(1))
	s.Exec(t, db, "CREATE ROLE "+user+" LOGIN PASSWORD 'the-secret'")
	for _, g := range grants {
		s.Exec(t, db, strings.ReplaceAll(g, "%s", user))
	}
	return user
}

// Exec runs statements as the superuser over the Unix socket.
func (s *Server) Exec(t testing.TB, db, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.SocketURL(db))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// URL is the connection string of a database over TCP, as the superuser.
func (s *Server) URL(db string) string { return s.UserURL(db, "postgres") }

// UserURL is URL for a user that CreateUser made, with its password.
func (s *Server) UserURL(db, user string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, "the-secret"), Path: "/" + db,
		Host: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), RawQuery: "sslmode=disable"}
	return u.String()
}

// SocketURL is URL over the Unix socket, which works from every network
// namespace.
func (s *Server) SocketURL(db string) string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=%s sslmode=disable connect_timeout=5", s.dir, s.Port, db)
}

// URL is a connection string that names several servers, in this order.
func URL(db string, servers ...*Server) string {
	hosts := make([]string, len(servers))
	for i, s := range servers {
		hosts[i] = net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	}
	return "postgres://postgres@" + strings.Join(hosts, ",") + "/" + db + "?sslmode=disable"
}
