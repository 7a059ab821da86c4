//go:build !windows

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/rpc"
)

// pythonClock starts a stock Python server with a pool of threads.
func pythonClock(t *testing.T, threads int, name ...string) (addr string, p *exec.Cmd) {
	t.Helper()
	stubs := t.TempDir()
	if out, err := exec.Command("thrift", "--gen", "py", "-out", stubs, clockFile(t)).CombinedOutput(); err != nil {
		t.Fatalf("generate stubs (scripts/setup installs the compiler): %v\n%s", err, out)
	}
	python, err := filepath.Abs("../../.build/venv/bin/python")
	if err == nil {
		_, err = os.Stat(python)
	}
	if err != nil {
		t.Fatalf("%v: run scripts/setup", err)
	}
	p = exec.Command(python, append([]string{"testdata/clock.py", stubs, fmt.Sprint(threads)}, name...)...)
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	line := bufio.NewScanner(out)
	if !line.Scan() {
		t.Fatal("the server of Python did not start")
	}
	return "127.0.0.1:" + line.Text(), p
}

// states returns a function that waits for a state of announce's output.
func states(t *testing.T, events *bufio.Scanner) func(state string) bool {
	var mu sync.Mutex
	seen := map[string]bool{}
	go func() {
		for events.Scan() {
			var e announceEvent
			if json.Unmarshal(events.Bytes(), &e) == nil {
				mu.Lock()
				seen[e.State] = true
				mu.Unlock()
			}
		}
	}()
	return func(state string) bool {
		mu.Lock()
		defer mu.Unlock()
		return seen[state]
	}
}

// Two consumers with 16 callers each share a stock server of 8 threads. No call fails,
// and the provider stays listed.
func TestAnnouncedPoolOfThreads(t *testing.T) {
	t.Parallel()
	cfg := site(t, "")
	addr, _ := pythonClock(t, 8)
	_, events := program(t, "announce", "-c", cfg, "--service", "clock", "--addr", addr, "--check", "thrift:reset",
		"--every", "500ms", "--concurrency", "8", "--json")
	seen := states(t, events)
	eventually(t, "it is listed", func() bool { return seen("listed") })
	var failed, calls atomic.Int64
	var load sync.WaitGroup
	end := time.Now().Add(8 * time.Second)
	for range 2 {
		n := caller(t, cfg, nil)
		clock := n.Client("clock", func(o *rpc.ServiceOptions) { o.Timeout = limit }) // the machine may be busy
		eventually(t, "the consumer finds it", func() bool { return reset(t.Context(), clock) == nil })
		for range 16 {
			load.Go(func() {
				for time.Now().Before(end) {
					calls.Add(1)
					if err := reset(t.Context(), clock); err != nil && failed.Add(1) < 5 {
						t.Error(err)
					}
				}
			})
		}
	}
	load.Wait()
	t.Logf("%d of %d calls failed", failed.Load(), calls.Load())
	if failed.Load() > 0 || seen("withdrawn") {
		t.Errorf("%d of %d calls failed; withdrawn: %v", failed.Load(), calls.Load(), seen("withdrawn"))
	}
}

// A frozen plain provider accepts connections beside a good one. A few failed calls make
// it suspect. From then on it gets no calls while the good one is well. It gets calls
// again when it resumes.
func TestFrozenAnnouncedProvider(t *testing.T) {
	t.Parallel()
	const mostFailed = 5 // calls of one caller
	cfg := site(t, "")
	good, _ := pythonClock(t, 8)
	bad, frozen := pythonClock(t, 8)
	// the check is tcp
	_, events := program(t, "announce", "-c", cfg, "--service", "clock", "--addr", good, "--addr", bad, "--json")
	n := caller(t, cfg, nil)
	clock := n.Client("clock", func(o *rpc.ServiceOptions) { o.Breaker.Off = true })
	go func() {
		for events.Scan() {
		}
	}()
	state := func(addr string) discovery.State {
		for _, e := range n.Explain("clock") {
			if e.Addr == addr {
				return e.State
			}
		}
		return "not listed"
	}
	avoided := func() bool { s := state(bad); return s == "suspect" || s == "ejected" }
	eventually(t, "both are well", func() bool {
		return reset(t.Context(), clock) == nil && state(good).Well() && state(bad).Well()
	})
	frozen.Process.Signal(syscall.SIGSTOP)
	failed, begun := 0, time.Now() // the good one may be slow on a busy machine
	eventually(t, "it is suspect", func() bool {
		var e *rpc.Error
		if errors.As(reset(t.Context(), clock), &e) && e.Instance == bad {
			failed++
		}
		return avoided()
	})
	t.Logf("suspect after %v and %d failed calls", time.Since(begun), failed)
	if failed > mostFailed {
		t.Errorf("suspect after %d failed calls, want %d at most", failed, mostFailed)
	}
	picks := 0
	eventually(t, "many calls while one is well and the other suspect", func() bool {
		before := state(good).Well() && avoided()
		call := &rpc.Call{Service: "clock", Method: "reset"}
		e, err := n.Picker("clock").Pick(t.Context(), call)
		if before && state(good).Well() && avoided() {
			if picks++; err != nil || e.Addr != good {
				t.Errorf("once it is suspect a call goes to %v, %v", e, err)
			}
		}
		return picks >= 200
	})
	frozen.Process.Signal(syscall.SIGCONT)
	eventually(t, "it is well again", func() bool { return state(bad).Well() })
}

// A provider behind a TMultiplexedProcessor is called by its prefix. The prefix comes
// from announce, from the consumer's configuration, or from a direct call.
func TestAnnouncedMultiplexedProvider(t *testing.T) {
	t.Parallel()
	cfg := site(t, "")
	addr, _ := pythonClock(t, 4, "Clock")
	_, events := program(t, "announce", "-c", cfg, "--service", "clock", "--addr", addr, "--check", "thrift:reset",
		"--prefix", "Clock", "--json")
	seen := states(t, events)
	eventually(t, "it is listed", func() bool { return seen("listed") })
	args := []string{"call", "clock", "now", `{"zone":{"name":"UTC"}}`, "-t", clockFile(t), "-c", cfg,
		"--timeout", patient}
	for _, more := range [][]string{nil, {"--instance", addr, "--protocol", "framed-binary", "--prefix", "Clock"}} {
		if code, out, errs := cli(t, "", append(args, more...)...); code != exitOK ||
			!strings.Contains(out, "noon in UTC") {
			t.Errorf("%v: exit code %d\n%s%s", more, code, out, errs)
		}
	}
	_, others := program(t, "announce", "-c", cfg, "--service", "bare", "--addr", addr, "--json")
	bare := states(t, others)
	eventually(t, "it is listed without a prefix", func() bool { return bare("listed") })
	n := caller(t, cfg, func(c *skerry.Config) {
		c.Consumers = map[string]config.Consumer{"bare": {Prefix: "Clock", Timeout: limit}}
	})
	eventually(t, "the consumer's prefix is taken", func() bool { return reset(t.Context(), n.Client("bare")) == nil })
	if code, _, errs := cli(t, "", append(args, "--instance", addr, "--prefix", "Clock")...); code != exitUsage ||
		!strings.Contains(errs, "--protocol") {
		t.Errorf("--prefix without --protocol: exit code %d\n%s", code, errs)
	}
}

// clean ends a release with an announced old version: announce takes it off the lists.
// The step tells what a plain server can't do.
func TestReleaseOfAnnouncedProviders(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	c := newCrew(t, server.URL(server.CreateDB(t)))
	var seen []func(string) bool
	for _, version := range []string{"v1", "v2"} {
		addr, stop := stockServer(t, "127.0.0.1:0")
		t.Cleanup(stop)
		_, events := program(t, "announce", "-c", c.config, "--service", "clock", "--version", version, "--addr", addr,
			"--check", "thrift:reset", "--every", "300ms", "--json")
		seen = append(seen, states(t, events))
		eventually(t, version+" is listed", func() bool { return seen[len(seen)-1]("listed") })
		if version == "v1" {
			c.step("start", "--by", "anna", "--reason", "a test")
		}
	}
	c.step("ship", "clock", "--version", "v2")
	c.step("commit")
	out := c.step("clean")
	for _, want := range []string{
		"leave clock/v1 at 127.0.0.1:", "it can't refuse calls", "plain servers above all", "is over",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("clean does not say %q:\n%s", want, out)
		}
	}
	eventually(t, "announce says so", func() bool { return seen[0]("retired") })
	if seen[1]("retired") {
		t.Error("v2 is retired")
	}
	_, list, _ := cli(t, "", "ls", "clock", "-c", c.config)
	if strings.Contains(list, "v1") || !strings.Contains(list, "v2") {
		t.Errorf("ls:\n%s", list)
	}
}
