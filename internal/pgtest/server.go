package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/internal/run"
)

// startTime bounds the start of a server, also after a kill -9.
const startTime = 30 * time.Second

// Options configures a server.
type Options struct {
	Host   string        // address of the port and of URLs; "" means 127.0.0.1
	Port   int           // 0 means a free port
	Netns  string        // name of the network namespace to run in; "" means the caller's; needs root
	Config string        // further lines of postgresql.conf
	TLS    bool          // the server also accepts TLS; see Certificate
	Ahead  time.Duration // lead of the server's clock over this machine's, by libfaketime; may be negative
	Moving bool          // the clock can be moved while the server runs; see MoveClock
}

// Server is one private PostgreSQL. Its methods are for one goroutine at a time.
type Server struct {
	Options
	bin  string
	dir  string // holds data/, the socket and the log
	user *unprivileged
	env  []string // for its programs, added to this process's

	pid    int
	exited chan error // receives the end of the running postmaster
	group  *run.Group
}

// Start makes a data directory and starts a server on it. Close removes both.
func Start(o Options) (*Server, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	out, err := s.command("initdb", "-D", s.data(), "-A", "trust", "-U", "postgres",
		"--no-sync", "-E", "UTF8", "--locale=C").
		CombinedOutput()
	if err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.firstStart()
}

// prepare finds the programs, the user, a directory and a port.
func prepare(o Options) (*Server, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	s := &Server{Options: o, group: run.NewGroup(context.Background())}
	var err error
	if s.bin, err = findBin(); err != nil {
		return nil, err
	}
	if s.user, err = findUser(); err != nil {
		return nil, err
	}
	ahead := o.Ahead
	if o.Moving {
		ahead = 1 // any value but zero
	}
	if s.env, err = fakeClock(ahead); err != nil {
		return nil, err
	}
	if s.Host == "" {
		s.Host = "127.0.0.1"
	}
	if s.Port == 0 {
		if s.Port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp("", "skerry-pg-"); err != nil {
		return nil, err
	}
	if s.Moving {
		if err := s.MoveClock(o.Ahead); err != nil {
			return nil, err
		}
		s.env = movingClock(s.env, s.clock())
	}
	return s, s.user.own(s.dir)
}

func (s *Server) firstStart() error {
	hba := "local all all trust\nlocal replication all trust\n" +
		"host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\nhost replication all 0.0.0.0/0 trust\n"
	conf := fmt.Sprintf("listen_addresses = '%s'\nport = %d\nunix_socket_directories = '%s'\n"+
		"max_connections = 200\nshared_buffers = '32MB'\nfsync = off\nlog_min_messages = warning\n%s\n",
		s.Host, s.Port, s.dir, s.Config)
	if s.TLS {
		conf += "ssl = on\n"
		if err := s.certify(); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(hba), 0o644); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(conf); err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		_ = s.Close()
		return err
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Dir is the directory of the server's Unix socket.
func (s *Server) Dir() string { return s.dir }

// Start starts a stopped or killed server, and returns when it accepts connections.
func (s *Server) Start() error {
	deadline := time.Now().Add(startTime)
	for {
		err := s.launch()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		// After kill -9 the remaining processes keep the shared memory for a moment.
		time.Sleep(50 * time.Millisecond)
	}
}

// launch starts the postmaster once and waits until it answers or ends.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.logPath(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.command("postgres", "-D", s.data())
	cmd.Stdout, cmd.Stderr = log, log
	started, exited := make(chan error, 1), make(chan error, 1)
	s.group.Go(func(context.Context) error {
		// The kernel sends Pdeathsig when the thread that started the process ends. This goroutine
		// therefore keeps its thread for as long. It must not end the thread, because other
		// goroutines may have started processes on it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			exited <- cmd.Wait()
		}
		return nil
	})
	if err := <-started; err != nil {
		return err
	}
	s.pid, s.exited = cmd.Process.Pid, exited
	return s.ready()
}

func (s *Server) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.SocketURL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case end := <-s.exited:
			s.pid = 0
			return fmt.Errorf("postgres ended at its start: %v: %s", end, tail(s.logPath()))
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w: %s", err, tail(s.logPath()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends the server by a fast shutdown, like "pg_ctl stop -m fast".
func (s *Server) Stop() error { return s.end(sigFast) }

// Kill is kill -9 of the postmaster.
func (s *Server) Kill() error { return s.end(sigKill) }

func (s *Server) end(sig syscall.Signal) error {
	if s.pid == 0 {
		return nil
	}
	if err := signal(s.pid, sig); err != nil {
		return err
	}
	select {
	case <-s.exited:
		s.pid = 0
		return nil
	case <-time.After(startTime):
		return fmt.Errorf("postgres %d does not end on %v", s.pid, sig)
	}
}

// Restart is Stop and Start.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	return s.Start()
}

// Freeze stops every process of the server with SIGSTOP. The kernel still acknowledges packets, but
// no process answers.
func (s *Server) Freeze() error { return s.signalAll(sigFreeze) }

// Thaw continues a frozen server.
func (s *Server) Thaw() error { return s.signalAll(sigThaw) }

// signalAll begins with the postmaster, so that no child starts meanwhile, and then checks for a
// child that was just starting.
func (s *Server) signalAll(sig syscall.Signal) error {
	if s.pid == 0 {
		return errors.New("the server is not running")
	}
	if err := signal(s.pid, sig); err != nil {
		return err
	}
	reached := map[int]bool{}
	for quiet := 0; quiet < 2; quiet++ {
		for _, child := range children(s.pid) {
			if reached[child] {
				continue
			}
			if err := signal(child, sig); err != nil && !hasEnded(err) {
				return err
			}
			reached[child], quiet = true, -1
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// MoveClock sets the lead of a running server's clock, which takes effect within a second; see
// Options.Moving.
func (s *Server) MoveClock(ahead time.Duration) error {
	next := s.clock() + ".next"
	err := os.WriteFile(next, fmt.Appendf(nil, "%+.0fs\n", ahead.Seconds()), 0o644)
	if err != nil {
		return err
	}
	return os.Rename(next, s.clock())
}

func (s *Server) clock() string { return filepath.Join(s.dir, "clock") }

// SetClock gives a stopped server another clock; see Options.Ahead.
func (s *Server) SetClock(ahead time.Duration) (err error) {
	s.env, err = fakeClock(ahead)
	return err
}

// Close stops the server and removes its directory.
func (s *Server) Close() error {
	if s.pid != 0 {
		_ = s.Thaw()
	}
	err := s.Stop()
	if err != nil {
		err = errors.Join(err, s.Kill())
	}
	return errors.Join(err, s.group.Stop(), os.RemoveAll(s.dir))
}

// Standby starts a hot standby that follows s. The caller closes it.
func (s *Server) Standby(o Options) (*Server, error) {
	b, err := prepare(o)
	if err != nil {
		return nil, err
	}
	out, err := b.command("pg_basebackup", "-D", b.data(), "-h", s.dir, "-p", strconv.Itoa(s.Port), "-U", "postgres",
		"-R", "-X", "stream", "-c", "fast", "--no-sync").CombinedOutput()
	if err != nil {
		_ = os.RemoveAll(b.dir)
		return nil, fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	return b, b.firstStart()
}

// Promote makes a standby a primary.
func (s *Server) Promote() error {
	out, err := s.command("pg_ctl", "promote", "-w", "-D", s.data()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pg_ctl promote: %w: %s", err, out)
	}
	return nil
}

// command is a program of PostgreSQL or, without a name, the program at the path that comes first
// in args. It runs as the unprivileged user in the server's network namespace.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	argv := args
	if name != "" {
		argv = append([]string{filepath.Join(s.bin, name)}, args...)
	}
	env := s.env
	if s.Netns != "" {
		enter := []string{"ip", "netns", "exec", s.Netns}
		enter = append(append(enter, s.user.setpriv()...), "env")
		// After the change of the user: a library that fakes the clock keeps files by process and
		// user.
		argv, env = slices.Concat(enter, s.env, argv), nil
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "HOME="+s.dir), env...)
	endWithThread(cmd, sigQuit, true)
	if s.Netns == "" {
		s.user.runAs(cmd)
	}
	return cmd
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "log") }

// Log is the text of the server's log.
func (s *Server) Log(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile(s.logPath())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tail is the end of a server's log, for errors.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-1000):])
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
