package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/pgtest"
)

// asProgram makes the test binary the program itself, for tests that need a separate
// process.
const asProgram = "SKERRY_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	if cfg := os.Getenv(asService); cfg != "" {
		if err := serveVersion(cfg); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	time.Local = time.UTC // tests compare the printed times
	os.Setenv("SKERRY_LANG", "en")
	pgtest.Main(m)
}

// The tests wait the full time only after a failure, because a busy machine is slow.
const (
	limit   = 2 * time.Minute // for another goroutine or process
	patient = "1m"            // --timeout of a command
)

// program starts the program as a process.
func program(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit) // ends every wait for the output
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c, bufio.NewScanner(out)
}

// site writes a configuration file for nodes on the loopback interface, on a port that
// no other test uses.
func site(t *testing.T, more string) string {
	t.Helper()
	return writeConfig(t,
		fmt.Sprintf("cluster: test-site\nmode: broadcast\nlan: {interfaces: [lo], port: %d, key: %s}\n%s",
			lab.Port(t), lab.SiteKey, more))
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "skerry.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// offerClock opens a node that offers the service clock.
func offerClock(t *testing.T, cfg string) *skerry.Node {
	t.Helper()
	c, err := config.Read(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Service = config.Service{Name: "clock", Version: "v3", Listen: "127.0.0.1:0"}
	c.StateDir, c.Log.Level = "none", "error"
	c.Stats.Interval = time.Second
	n, err := skerry.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if err := n.Handle(t.Context(), "clock", newClock()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "clock is listed", func() bool { return len(n.Explain("clock")) > 0 })
	return n
}

func TestEmptySite(t *testing.T) {
	t.Parallel()
	cfg := site(t, "")
	code, out, errs := cli(t, "", "ls", "-c", cfg, "--timeout", "1s")
	if code != exitProblem || !strings.Contains(out, `Nothing is registered in cluster "test-site" (mode broadcast)`) ||
		!strings.Contains(out, "lan: no process answered") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "call", "clock", "reset", "-c", cfg, "-t", clockFile(t), "--timeout", "1s")
	if code != exitUnreachable || !strings.Contains(errs, "skerry doctor") {
		t.Errorf("call: exit code %d\n%s%s", code, out, errs)
	}
}

// heard runs a command until it finds the provider on the LAN, because a busy machine
// may answer later than a LAN allows.
func heard(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	eventually(t, strings.Join(args, " "), func() bool {
		code, out, errs = cli(t, "", args...)
		return code == exitOK
	})
	return code, out, errs
}

func TestLAN(t *testing.T) {
	t.Parallel()
	cfg := site(t, "")
	n := offerClock(t, cfg)
	watch, events := program(t, "watch", "-c", cfg, "--json")
	next := func(kind string) {
		t.Helper()
		for events.Scan() {
			var e struct {
				Kind  string
				Entry struct{ Service string }
			}
			if err := json.Unmarshal(events.Bytes(), &e); err != nil {
				t.Fatalf("%v in %s", err, events.Text())
			}
			if e.Kind == kind && e.Entry.Service == "clock" {
				return
			}
		}
		t.Fatalf("watch ended before %s", kind)
	}
	next("listed")

	code, out, errs := heard(t, "ls", "clock", "-c", cfg)
	if code != exitOK || !strings.Contains(out, "clock    v3       127.0.0.1:") || !strings.Contains(out, "lan") {
		t.Errorf("ls: exit code %d\n%s%s", code, out, errs)
	}
	var doc listing
	code, out, errs = heard(t, "ls", "-c", cfg, "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitOK || len(doc.Instances) != 1 ||
		doc.Cluster != "test-site" {
		t.Errorf("ls --json: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if code, out, _ := cli(t, "", "ls", "clokc", "-c", cfg, "--timeout", "1s"); code != exitProblem ||
		!strings.Contains(out, "clokc") {
		t.Errorf("ls of another service: exit code %d\n%s", code, out)
	}
	code, out, errs = cli(t, "", "call", "clock", "now", `{"name":"UTC"}`, "-t", clockFile(t), "-c", cfg)
	if code != exitOK || out != "\"noon in UTC\"\n" {
		t.Errorf("call: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "call", "clokc", "now", `{"name":"UTC"}`, "-t", clockFile(t), "-c", cfg,
		"--timeout", "2s")
	if code != exitUnreachable || !strings.Contains(errs, "did you mean clock?") {
		t.Errorf("call of another service: exit code %d\n%s%s", code, out, errs)
	}
	eventually(t, "completion hears the site", func() bool {
		code, out, _ = cli(t, "", "__complete", "ls", "-c", cfg, "")
		return strings.Contains(out, "clock")
	})
	if code != exitOK || !strings.HasPrefix(out, "clock\n") {
		t.Errorf("completion: exit code %d\n%s", code, out)
	}
	code, out, errs = heard(t, "doctor", "-c", cfg)
	if code != exitOK || !strings.Contains(out, "1 of 1 listed instances can be connected to") ||
		!strings.Contains(out, "1 process on 1 host answered, with 2 registrations") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "doctor", "--site", "-c", cfg)
	if code != exitOK || !strings.Contains(out, ": 1 process\n") ||
		!strings.Contains(out, "checks are as they should be") ||
		!strings.Contains(out, "Address: 127.0.0.1 of clock is advertised") {
		t.Errorf("doctor of the site: exit code %d\n%s%s", code, out, errs)
	}
	host, _ := os.Hostname()
	code, out, errs = cli(t, "", "doctor", "--site", "--redacted", "--json", "-c", cfg)
	var report siteReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK || len(report.Hosts) != 1 ||
		strings.Contains(out, "clock") || strings.Contains(out, "test-site") || strings.Contains(out, `"`+host) {
		t.Errorf("redacted: exit code %d, %v\n%s%s", code, err, out, errs)
	}

	n.Close()
	next("dropped")
	watch.Process.Signal(syscall.SIGTERM)
	for events.Scan() {
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("watch ended with %v", err)
	}
}
