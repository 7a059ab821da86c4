package interop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// patience bounds every program and every test of this package.
const patience = 30 * time.Second

var stubs string // directory with the stubs of other languages

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	stubs = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

var generated sync.Map // language → func() error

// stubsOf returns the directory with the stubs of a language, generated once.
func stubsOf(t *testing.T, language string) string {
	t.Helper()
	out := filepath.Join(stubs, strings.NewReplacer(":", "-", ",", "-").Replace(language))
	once, _ := generated.LoadOrStore(language, sync.OnceValue(func() error {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		b, err := exec.Command(
			"thrift",
			"--gen",
			language,
			"-out",
			out,
			"../internal/echo/echo.thrift",
		).CombinedOutput()
		if err != nil {
			return fmt.Errorf("generate stubs with the Thrift compiler (scripts/setup installs it): %w\n%s", err, b)
		}
		return nil
	}))
	if err := once.(func() error)(); err != nil {
		t.Fatal(err)
	}
	return out
}

// tool returns the path of a program that scripts/setup puts into .build.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../.build", name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: run scripts/setup", err)
	}
	return path
}

func python(ctx context.Context, t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{filepath.Join("testdata", program), stubsOf(t, "py")}, args...)
	return exec.CommandContext(ctx, tool(t, "venv/bin/python"), args...)
}

func node(ctx context.Context, t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{filepath.Join("testdata", program), stubsOf(t, "js:node,es6")}, args...)
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+tool(t, "node_modules"))
	return cmd
}

// output runs a program and returns its output.
func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v (scripts/setup installs what is missing)\n%s", filepath.Base(cmd.Path), err, errs.Bytes())
	}
	return out.Bytes()
}

// serveAside starts a server program and returns the address it listens on.
func serveAside(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("start %s: %v (scripts/setup installs what is missing)", cmd.Path, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server said:\n%s", errs.Bytes())
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("the server ended: %v\n%s", err, errs.Bytes())
	}
	return net.JoinHostPort("127.0.0.1", strings.TrimSpace(port))
}

// handler serves echo.thrift.
type handler struct {
	notes chan note
}

type note struct {
	text string
	info *rpc.CallInfo
}

func newHandler() *handler { return &handler{notes: make(chan note, 100)} }

func (h *handler) Who(context.Context) (string, error) { return "skerry", nil }

func (h *handler) Echo(_ context.Context, m *echo.Message) (*echo.Message, error) {
	if m.Text == "refuse" {
		return nil, &echo.Refusal{Why: "as you asked"}
	}
	m.Number++
	return m, nil
}

func (h *handler) Sleep(ctx context.Context, millis int64) (int64, error) {
	select {
	case <-time.After(time.Duration(millis) * time.Millisecond):
		return millis, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (h *handler) Fail(context.Context, string) error { return errors.New("broken on purpose") }

func (h *handler) Note(ctx context.Context, text string) error {
	h.notes <- note{text, rpc.CallInfoFrom(ctx)}
	return nil
}

// noted waits for the note of a one-way call.
func (h *handler) noted(t *testing.T) note {
	t.Helper()
	select {
	case n := <-h.notes:
		return n
	case <-time.After(patience):
		t.Fatal("the one-way call did not arrive")
		return note{}
	}
}

// serve starts a skerry server of handler and returns its host and port.
func serve(t *testing.T, h *handler) (host, port string) {
	t.Helper()
	s, err := rpc.NewServer(rpc.ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Handle("echo", "v7", echo.NewEchoProcessor(h)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	host, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}
