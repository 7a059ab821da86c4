package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/wire"
)

// asService makes the test binary a process that serves the services of the
// configuration file until SIGTERM.
const asService = "SKERRY_TEST_SERVICE"

// asked counts the calls of a bad version, so that the same ones fail in each run.
var asked atomic.Uint64

// versioned answers with its own version.
type versioned struct {
	wire.Internal
	version string
}

func (v versioned) WhoAmI(context.Context) (*wire.Identity, error) {
	switch {
	case strings.HasSuffix(v.version, "-bad") && rand.NewPCG(asked.Add(1), 1).Uint64()%2 == 0:
		return nil, errors.New("a bad version")
	case strings.HasSuffix(v.version, "-slow"):
		time.Sleep(100 * time.Millisecond)
	}
	return &wire.Identity{Owner: &wire.Owner{}, Release: v.version, Services: []string{}}, nil
}

func serveVersion(cfg string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := config.Read(cfg)
	if err != nil {
		return err
	}
	n, err := skerry.Open(ctx, c)
	if err != nil {
		return err
	}
	defer n.Close()
	fmt.Println("serving")
	return n.Serve(ctx, c.Service.Name, wire.NewInternalProcessor(versioned{version: c.Service.Version}))
}

// crew is a site of real processes over one database.
type crew struct {
	t      *testing.T
	config string // of the operator
	text   string // common to all processes

	// forgetful processes keep nothing on disk. On a busy machine a disk may answer too
	// late, and then a process on a LAN promises no step.
	forgetful bool
}

// state returns the state directory of a new process.
func (c *crew) state() string {
	if c.forgetful {
		return "none"
	}
	return filepath.Join(c.t.TempDir(), "state")
}

func newCrew(t *testing.T, url string) *crew {
	text := fmt.Sprintf("cluster: crew\nmode: database\ndatabase: {url: %q}\nlog: {level: error}\n%s", url, slowly)
	return &crew{t: t, config: writeConfig(t, text), text: text}
}

// slowly holds configuration lines by which no call fails on a busy machine, even when a
// process does not run for seconds.
const slowly = "consumers: {\"*\": {timeout: 30s, breaker: {off: true}, retries: 3, idempotent: [whoAmI]}}\n" +
	"calls: {connect_timeout: 5s}\n"

// serve starts a process with a version of a service.
func (c *crew) serve(service, version string) *exec.Cmd {
	c.t.Helper()
	cfg := writeConfig(c.t, fmt.Sprintf("%sstate_dir: %q\nservice: {name: %s, version: %s, listen: \"127.0.0.1:0\"}\n",
		c.text, c.state(), service, version))
	ctx, cancel := context.WithTimeout(c.t.Context(), 3*limit)
	c.t.Cleanup(cancel)
	p := exec.CommandContext(ctx, os.Args[0])
	p.Env = append(os.Environ(), asService+"="+cfg)
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	if line := bufio.NewScanner(out); !line.Scan() || line.Text() != "serving" {
		c.t.Fatalf("%s/%s did not start: %s", service, version, line.Text())
	}
	return p
}

// step runs an operator's command, which must succeed.
func (c *crew) step(args ...string) string {
	c.t.Helper()
	code, out := c.try(args...)
	if code != exitOK {
		c.t.Fatalf("release %v: exit code %d\n%s", args, code, out)
	}
	return out
}

// try runs an operator's command. It repeats the command, as an operator would, when the
// database of a busy machine did not answer in time.
func (c *crew) try(args ...string) (code int, out string) {
	c.t.Helper()
	for range 3 {
		var errs string
		code, out, errs = cli(c.t, "",
			append([]string{"release", "-c", c.config, "--timeout", patient, "--yes"}, args...)...)
		out += errs
		if !strings.Contains(out, "FROZEN") || !strings.Contains(out, "timeout") || slices.Contains(args, "--timeout") {
			break
		}
	}
	return code, out
}

// load calls both services in one trace, again and again.
type load struct {
	node *skerry.Node
	met  sync.Map // by the versions of both; values are *atomic.Int64
	stop func()
}

func (c *crew) load() *load {
	c.t.Helper()
	cfg, err := config.Read(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg.StateDir = c.state()
	l := &load{}
	if l.node, err = skerry.Open(c.t.Context(), cfg); err != nil {
		c.t.Fatal(err)
	}
	var end atomic.Bool
	var wg sync.WaitGroup
	l.stop = sync.OnceFunc(func() {
		end.Store(true)
		wg.Wait()
		l.node.Close()
	})
	c.t.Cleanup(l.stop)
	eventually(c.t, "both services answer", func() bool { return !strings.Contains(l.trace(), " ") })
	for range 4 {
		wg.Go(func() {
			for ; !end.Load(); time.Sleep(10 * time.Millisecond) { // leaves processor time to the others
				n, _ := l.met.LoadOrStore(l.trace(), &atomic.Int64{})
				n.(*atomic.Int64).Add(1)
			}
		})
	}
	return l
}

func (l *load) trace() (met string) {
	ctx, end := l.node.Begin(context.Background(), "job")
	defer end()
	for _, service := range []string{"auth", "proc"} {
		id, err := wire.NewInternalClient(l.node.Client(service)).WhoAmI(ctx)
		if err != nil {
			return service + " " + err.Error()
		}
		met += id.Release
	}
	return met
}

func (l *load) count(met string) int64 {
	if n, ok := l.met.Load(met); ok {
		return n.(*atomic.Int64).Load()
	}
	return 0
}

// more waits for further traces that met these versions.
func (l *load) more(t *testing.T, met string) {
	t.Helper()
	begun := l.count(met)
	eventually(t, "traces meet "+met, func() bool { return l.count(met) > begun+20 })
}

// judge fails the test when a trace failed or met mixed versions.
func (l *load) judge(t *testing.T) {
	t.Helper()
	l.stop()
	l.met.Range(func(met, n any) bool {
		switch met {
		case "v1v1", "v2v2":
			t.Logf("%d traces met %s", n.(*atomic.Int64).Load(), met)
		default:
			t.Errorf("%d traces met %s", n.(*atomic.Int64).Load(), met)
		}
		return true
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v have passed, and still not: %s", limit, what)
		}
	}
}

// TestReleaseInDatabaseMode runs a complete release, then one that is rolled back, by
// commands over a database under load.
func TestReleaseInDatabaseMode(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	c := newCrew(t, server.URL(server.CreateDB(t)))
	old := []*exec.Cmd{c.serve("auth", "v1"), c.serve("auth", "v1"), c.serve("proc", "v1")}
	l := c.load()
	wants := func(text string, phrases ...string) {
		t.Helper()
		for _, p := range phrases {
			if !strings.Contains(text, p) {
				t.Errorf("want %q in\n%s", p, text)
			}
		}
	}
	wants(c.step("status"), "There has been no release yet")
	c.step("start", "--by", "alice", "--reason", "new token format")
	if code, out := c.try("start", "--by", "bob", "--reason", "mine"); code != exitProblem {
		t.Errorf("a second release: exit code %d\n%s", code, out)
	} else {
		wants(out, "alice (new token format)")
	}
	c.serve("auth", "v2")
	c.serve("auth", "v2")
	c.serve("proc", "v2")
	c.step("config", "put", "auth", "version=v2", "colour=red")
	c.step("config", "put", "proc", "version=v2", "wish=1")
	wants(c.step("ship", "all"), "auth/v2: 2 of 2 up", "proc/v2: shipped")
	wants(c.step("status"), "PREPARED", "auth/v2, proc/v2", "current")
	wants(c.step("validate"), "Everything runs as the releases say")
	l.more(t, "v1v1")
	wants(c.step("commit", "--by", "bob", "--ramp", "30,100", "--every", "300ms"), "is committed")
	l.more(t, "v2v2")
	wants(c.step("status"), "SWITCHED", "backup")
	c.step("holders")
	wants(c.step("refresh"), "Everything runs as the releases say")
	wants(c.step("clean", "--by", "carol"), "is over")
	for i, p := range old {
		if err := p.Wait(); err != nil {
			t.Errorf("old process %d: %v", i, err)
		}
	}
	if code, out := c.try("adopt"); code != exitProblem {
		t.Errorf("adopt without need: exit code %d\n%s", code, out)
	}
	wants(c.step("log"), "commit 30 %", "commit 100 %", "alice", "bob", "carol", "stop")

	c.step("start", "--by", "alice", "--reason", "a mistake")
	c.serve("auth", "v3")
	c.step("ship", "auth", "--version", "v3", "--wish", "1")
	c.step("commit", "--ramp", "1,100", "--every", "10ms")
	wants(c.step("rollback"), "rolled back")
	wants(c.step("clean"), "is over")
	l.more(t, "v2v2")
	l.stop()
	l.met.Delete("v3v2")
	l.judge(t)
}

// TestFrozen takes the database away in the middle of a release. Requests go on. Every
// command reports the cause and changes nothing. The release goes on when the database
// is back.
func TestFrozen(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, pgtest.Options{})
	c := newCrew(t, server.URL(server.CreateDB(t)))
	for _, service := range []string{"auth", "proc"} {
		c.serve(service, "v1")
	}
	l := c.load()
	c.step("start", "--by", "alice", "--reason", "new token format")
	for _, service := range []string{"auth", "proc"} {
		c.serve(service, "v2")
		c.step("ship", service, "--version", "v2")
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"commit"}, {"adopt"}} {
		code, out := c.try(append(args, "--timeout", "500ms")...)
		if code != exitUnreachable || !strings.Contains(out, "frozen") {
			t.Errorf("%v without a database: exit code %d\n%s", args, code, out)
		}
	}
	l.more(t, "v1v1")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	c.step("commit")
	l.more(t, "v2v2")
	c.step("clean")
	l.judge(t)
}

// TestRestoredDatabase restores the database from a copy older than the switch. No
// request fails. No step is possible until an operator has adopted the log of the
// processes. Then the release goes on.
func TestRestoredDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	c := newCrew(t, server.URL(db))
	for _, service := range []string{"auth", "proc"} {
		c.serve(service, "v1")
	}
	l := c.load()
	c.step("start", "--by", "alice", "--reason", "new token format")
	for _, service := range []string{"auth", "proc"} {
		c.serve(service, "v2")
		c.step("ship", service, "--version", "v2")
	}
	l.more(t, "v1v1")
	backup := server.Dump(t, db)
	c.step("commit")
	l.more(t, "v2v2")

	server.Restore(t, db, backup)
	c.serve("auth", "v2") // reads the older rules
	for _, args := range [][]string{{"rollback"}, {"clean"}, {"validate"}} {
		if code, out := c.try(args...); code != exitProblem || !strings.Contains(out, "adopt") {
			t.Errorf("%v: exit code %d\n%s", args, code, out)
		}
	}
	for _, phrase := range []string{"FROZEN", "SWITCHED", "Next: skerry release adopt"} {
		if code, out := c.try("status"); code != exitUnreachable || !strings.Contains(out, phrase) {
			t.Errorf("exit code %d, want %q in\n%s", code, phrase, out)
		}
	}
	l.more(t, "v2v2")
	c.step("adopt", "--by", "bob")
	if out := c.step("status"); strings.Contains(out, "FROZEN") || !strings.Contains(out, "at generation 1:") {
		t.Errorf("adopted:\n%s", out)
	}
	c.step("clean")
	if out := c.step("log"); !strings.Contains(out, "adopt generation") || !strings.Contains(out, "stop") {
		t.Errorf("log:\n%s", out)
	}
	l.more(t, "v2v2")
	l.judge(t)
}
