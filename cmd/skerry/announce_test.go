package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/run"
)

// TestAnnounce keeps a stock Thrift server registered while it lives, dies and comes
// back. It withdraws the server on SIGTERM.
func TestAnnounce(t *testing.T) {
	t.Parallel()
	config := site(t, "state_dir: none\n")
	addr, stop := stockServer(t, "127.0.0.1:0")
	announce, events := program(t, "announce", "-c", config, "--service", "clock", "--version", "v1", "--addr", addr,
		"--check", "thrift:reset", "--every", "200ms", "--failures", "2", "--json")
	until := func(state string) {
		t.Helper()
		for events.Scan() {
			var e announceEvent
			if err := json.Unmarshal(events.Bytes(), &e); err != nil {
				t.Fatalf("%v in %s", err, events.Text())
			}
			if e.State == state {
				return
			}
		}
		t.Fatalf("announce ended before %s", state)
	}
	call := func(more ...string) (int, string) {
		args := []string{"call", "clock", "now", `{"name":"UTC"}`, "-t", clockFile(t), "-c", config}
		code, out, errs := cli(t, "", append(args, more...)...)
		return code, out + errs
	}
	until("listed")
	if code, out := call(); code != exitOK || !strings.Contains(out, "noon in UTC") {
		t.Errorf("call of the announced server: exit code %d\n%s", code, out)
	}
	stop()
	until("failing")
	until("withdrawn")
	if code, out := call("--timeout", "3s"); code != exitUnreachable {
		t.Errorf("call of the withdrawn server: exit code %d\n%s", code, out)
	}
	if code, out, _ := cli(t, "", "ls", "clock", "-c", config, "--timeout", "1s"); code != exitProblem {
		t.Errorf("ls of the withdrawn server: exit code %d\n%s", code, out)
	}
	_, stop = stockServer(t, addr)
	defer stop()
	until("listed")
	if code, out := call(); code != exitOK {
		t.Errorf("call of the returned server: exit code %d\n%s", code, out)
	}
	announce.Process.Signal(syscall.SIGTERM)
	until("stopped")
	if err := announce.Wait(); err != nil {
		t.Errorf("announce ended with %v", err)
	}
	if code, out, _ := cli(t, "", "ls", "clock", "-c", config, "--timeout", "1s"); code != exitProblem {
		t.Errorf("ls after the end: exit code %d\n%s", code, out)
	}
}

// TestAnnounceFile announces the two providers of a file to a database. One of them
// does not run.
func TestAnnounceFile(t *testing.T) {
	server := pgtest.Shared(t)
	config := writeConfig(t,
		"cluster: test-site\nmode: database\ndatabase: {url: \""+server.URL(server.CreateDB(t))+"\"}\n")
	addr, stop := stockServer(t, "127.0.0.1:0")
	defer stop()
	file := filepath.Join(t.TempDir(), "providers.yaml")
	text := "- {service: clock, version: v1, addr: \"" + addr +
		"\", check: thrift, every: 200ms, zone: hall-2, tags: {rack: b}}\n" +
		"- {service: bells, addr: \"127.0.0.1:1\", every: 200ms}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, lines := program(t, "announce", "-c", config, "--file", file)
	seen := map[string]bool{}
	for len(seen) < 2 && lines.Scan() {
		for _, want := range []string{
			"clock/v1 " + addr + ": answers, and is listed", "bells 127.0.0.1:1: does not answer, and is not listed",
		} {
			if strings.Contains(lines.Text(), want) {
				seen[want] = true
			}
		}
	}
	if len(seen) < 2 {
		t.Fatalf("announce said %v", seen)
	}
	code, out, errs := cli(t, "", "ls", "--wide", "-c", config)
	if code != exitOK || !strings.Contains(out, "hall-2") || !strings.Contains(out, "rack=b") ||
		!strings.Contains(out, "framed-binary") || strings.Contains(out, "bells") {
		t.Errorf("ls: exit code %d\n%s%s", code, out, errs)
	}
}

// TestAnnounceUnderSeveralNames moves a running server to a new name and version. A
// consumer that knows neither keeps the server's old address.
func TestAnnounceUnderSeveralNames(t *testing.T) {
	t.Parallel()
	config := site(t, "state_dir: none\n")
	addr, stop := stockServer(t, "127.0.0.1:0")
	defer stop()
	file := filepath.Join(t.TempDir(), "providers.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("- {service: clock, addr: \"" + addr + "\", every: 200ms}\n")
	_, events := program(t, "announce", "-c", config, "--file", file, "--json")
	until := func(service, version, state string) {
		t.Helper()
		for events.Scan() {
			var e announceEvent
			if err := json.Unmarshal(events.Bytes(), &e); err != nil {
				t.Fatalf("%v in %s", err, events.Text())
			}
			if e.State == "stopped" && e.Version == "" {
				t.Errorf("the old registration was touched: %s", events.Text())
			}
			if e.Service == service && e.Version == version && e.State == state {
				return
			}
		}
		t.Fatalf("announce ended before %s/%s was %s", service, version, state)
	}
	call := func(service string) {
		t.Helper()
		code, out, errs := cli(t, "", "call", service, "now", `{"name":"UTC"}`, "-t", clockFile(t), "-c", config)
		if code != exitOK {
			t.Errorf("call of %s: exit code %d\n%s%s", service, code, out, errs)
		}
	}
	until("clock", "", "listed")
	call("clock")
	write("- {service: clock, addr: \"" + addr + "\", every: 200ms, also: [/v2, time/v2]}\n")
	until("time", "v2", "listed")
	call("clock")
	call("time")
	write("- {service: clock, addr: \"" + addr + "\", every: 200ms, also: [time/v3]}\n")
	until("time", "v3", "listed")
	call("clock")
	_, out, _ := cli(t, "", "ls", "-c", config)
	if strings.Contains(out, "v2") || !strings.Contains(out, "v3") || strings.Count(out, addr) != 2 {
		t.Errorf("ls:\n%s", out)
	}
}

// stockServer starts Apache Thrift's own server with framed binary messages.
func stockServer(t *testing.T, addr string) (string, func()) {
	t.Helper()
	socket, err := thrift.NewTServerSocket(addr)
	if err == nil {
		err = socket.Listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	server := thrift.NewTSimpleServer4(newClock(), socket,
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil),
		thrift.NewTBinaryProtocolFactoryConf(nil))
	server.SetLogContext(t.Context())
	g := run.NewGroup(context.Background())
	g.Go(func(context.Context) error { return server.Serve() })
	return socket.Addr().String(), func() { server.Stop(); g.Wait() }
}
