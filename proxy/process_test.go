package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/rpc"
)

// childEnv makes the test binary a proxy; its value is the configuration file.
const childEnv = "SKERRY_TEST_PROXY"

func TestMain(m *testing.M) {
	if file := os.Getenv(childEnv); file != "" {
		if err := child(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := config.Read(file)
	if err != nil {
		return err
	}
	x, err := New(c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	return x.Run(ctx)
}

// process is a proxy in a separate process.
type process struct {
	cmd  *exec.Cmd
	log  *strings.Builder
	wait func() error
}

// writeProxyConfig writes the configuration of a proxy of the program billing at path.
func writeProxyConfig(t *testing.T, c config.Config, path, addr string) string {
	t.Helper()
	provides := ""
	if addr != "" {
		provides = fmt.Sprintf("\n      provides: [{service: billing, version: v3, addr: %q, check: \"thrift:do\", "+
			"concurrency: 7}]", addr)
	}
	file := filepath.Join(t.TempDir(), "skerry.yaml")
	text := fmt.Sprintf(
		"cluster: %s\nmode: broadcast\nlan: {interfaces: 127.0.0.0/8, port: %d, key: %s}\nstate_dir: %s\n"+
			"stop: {grace: 300ms, drain: 5s}\nproxy:\n  programs:\n    billing:\n      listen: unix:%s%s\n",
		c.Cluster, c.LAN.Port, lab.SiteKey, c.StateDir, path, provides)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startProcess runs a proxy of the program billing. addr is the program's server; "" =
// the program only makes calls.
func startProcess(t *testing.T, c config.Config, path, addr string) *process {
	t.Helper()
	file := writeProxyConfig(t, c, path, addr)
	p := &process{log: &strings.Builder{}}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childEnv+"="+file)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.wait = sync.OnceValue(p.cmd.Wait)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.wait()
		if t.Failed() {
			t.Logf("process %d:\n%s", p.cmd.Process.Pid, p.log)
		}
	})
	eventually(t, "the proxy serves", func() bool {
		s, err := Ask(t.Context(), config.Program{Listen: "unix:" + path})
		return err == nil && s.PID == p.cmd.Process.Pid && s.State == serving
	})
	return p
}

// load makes calls until stop is called.
type load struct {
	stop  atomic.Bool
	calls atomic.Int64
	group sync.WaitGroup
}

// add starts a caller. A call's error fails the test unless forgive accepts it.
func (l *load) add(t *testing.T, what string, call func() error, forgive func(error) bool) {
	l.group.Go(func() {
		for !l.stop.Load() {
			err := call()
			if err == nil {
				l.calls.Add(1)
			} else if forgive == nil || !forgive(err) {
				t.Errorf("%s: %v", what, err)
				return
			}
		}
	})
}

func (l *load) end() int64 {
	l.stop.Store(true)
	l.group.Wait()
	return l.calls.Load()
}

// A second proxy replaces the first one under load in both directions. No call fails,
// of callers or of the program.
func TestUpgradeOfAProxyFailsNoCall(t *testing.T) {
	c := site(t)
	offer(t, c, "auth", "v1", echoing("", nil))
	path := socketPath(t)
	methods := map[string]func(string, string) (string, error){
		"do": func(_, text string) (string, error) { return text, nil },
		"chain": func(word, text string) (string, error) { // calls on with its word, at either proxy
			word, _, _ = strings.Cut(word, ".")
			return helperCall(path, "ctx="+word+";auth:verify", text)
		},
	}
	program := startProgram(t, "127.0.0.1:0", 8, &foreignProgram{methods: methods, helper: true})
	current := startProcess(t, c, path, program.addr)
	n := open(t, c)
	l := &load{}
	for range 2 {
		for _, method := range []string{"do", "chain"} {
			l.add(t, "a call of "+method, func() error {
				ctx, end := n.Begin(t.Context(), "test")
				defer end()
				var result textResult
				_, err := n.Client("billing", func(o *rpc.ServiceOptions) { o.Timeout = 10 * time.Second }).
					Call(ctx, method, &textArgument{"x"}, &result)
				return err
			}, nil)
		}
		l.add(t, "a call of the program", func() error {
			_, err := helperCall(path, "auth:verify", "x")
			return err
		}, nil)
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		next := startProcess(t, c, path, program.addr)
		if err := current.wait(); err != nil {
			t.Errorf("the proxy that was replaced: %v", err)
		}
		current = next
	}
	time.Sleep(300 * time.Millisecond)
	t.Logf("%d calls", l.end())
	if files, _ := filepath.Glob(path + "*"); len(files) != 2 {
		t.Errorf("files are left: %v", files)
	}
}

// helperCall calls as a helper does. A call that fails with EPIPE was not executed, so
// it is repeated on a new connection.
func helperCall(path, name, text string) (string, error) {
	for {
		p, err := tryDial(path)
		if err != nil {
			return "", err
		}
		got, err := p.call(context.Background(), name, text)
		p.nc.Close()
		if !errors.Is(err, syscall.EPIPE) {
			return got, err
		}
	}
}

// A proxy is killed. Its callers get an error or wait, and succeed after its restart.
// The files that it left do not prevent the restart.
func TestProxyIsKilled(t *testing.T) {
	c := site(t)
	path := socketPath(t)
	methods := map[string]func(string, string) (string, error){
		"do": func(_, text string) (string, error) { return text, nil },
	}
	program := startProgram(t, "127.0.0.1:0", 8, &foreignProgram{methods: methods})
	p := startProcess(t, c, path, program.addr)
	n := open(t, c)
	call := func() error {
		_, err := n.Client("billing").Call(t.Context(), "do", &textArgument{"x"}, &textResult{})
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.wait()
	startProcess(t, c, path, program.addr)
	eventually(t, "calls reach the program again", func() bool { return call() == nil })
	if files, _ := filepath.Glob(path + "*"); len(files) != 2 {
		t.Errorf("files are left: %v", files)
	}
}

// SIGTERM drains a program while calls come. Calls that another instance could take do
// not fail.
func TestDrainOfAProgram(t *testing.T) {
	c := site(t)
	path := socketPath(t)
	methods := map[string]func(string, string) (string, error){
		"do": func(_, text string) (string, error) { return text, nil },
	}
	program := startProgram(t, "127.0.0.1:0", 8, &foreignProgram{methods: methods})
	p := startProcess(t, c, path, program.addr)
	startProcess(t, c, path+"2", program.addr)
	n := open(t, c)
	l := &load{}
	client := n.Client("billing")
	for range 4 {
		l.add(t, "a call", func() error {
			_, err := client.Call(t.Context(), "do", &textArgument{"x"}, &textResult{})
			return err
		}, nil)
	}
	time.Sleep(200 * time.Millisecond)
	if err := Drain(t.Context(), config.Program{Listen: "unix:" + path}); err != nil {
		t.Error(err)
	}
	if err := p.wait(); err != nil {
		t.Errorf("the proxy ends: %v", err)
	}
	t.Logf("%d calls", l.end())
}
