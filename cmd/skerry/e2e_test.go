package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/pgtest"
	"github.com/skerry/skerry/internal/run"
)

// asProgram makes the test binary the program itself, for tests that need a
// process of their own.
const asProgram = "SKERRY_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	pgtest.Main(m)
}

// program starts the program as a process.
func program(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
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

// site is a configuration file for nodes on the loopback interface, on a port
// that no other test uses.
func site(t *testing.T, more string) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	c.Close()
	return writeConfig(t, "cluster: test-site\nmode: broadcast\nlan: {interfaces: [lo], port: "+port+"}\n"+more)
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
func offerClock(t *testing.T, config string) *skerry.Node {
	t.Helper()
	c, err := skerry.ReadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c.Service = skerry.Service{Name: "clock", Version: "v3", Listen: "127.0.0.1:0"}
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
	return n
}

func TestEmptySite(t *testing.T) {
	config := site(t, "")
	code, out, errs := cli(t, "", "ls", "-c", config, "--timeout", "1s")
	if code != exitProblem || !strings.Contains(out, `Nothing is registered in cluster "test-site" (mode broadcast)`) || !strings.Contains(out, "lan: nobody answered") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "call", "clock", "reset", "-c", config, "-t", clockFile(t), "--timeout", "1s")
	if code != exitUnreachable || !strings.Contains(errs, "skerry doctor") {
		t.Errorf("call: exit code %d\n%s%s", code, out, errs)
	}
}

func TestLAN(t *testing.T) {
	config := site(t, "")
	n := offerClock(t, config)
	watch, events := program(t, "watch", "-c", config, "--json")
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

	code, out, errs := cli(t, "", "ls", "clock", "-c", config)
	if code != exitOK || !strings.Contains(out, "clock    v3       127.0.0.1:") || !strings.Contains(out, "lan") {
		t.Errorf("ls: exit code %d\n%s%s", code, out, errs)
	}
	var doc listing
	code, out, errs = cli(t, "", "ls", "-c", config, "--json")
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != exitOK || len(doc.Instances) != 1 || doc.Cluster != "test-site" {
		t.Errorf("ls --json: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if code, out, _ := cli(t, "", "ls", "clokc", "-c", config, "--timeout", "1s"); code != exitProblem || !strings.Contains(out, "clokc") {
		t.Errorf("ls of another service: exit code %d\n%s", code, out)
	}
	code, out, errs = cli(t, "", "call", "clock", "now", `{"name":"UTC"}`, "-t", clockFile(t), "-c", config)
	if code != exitOK || out != "\"noon in UTC\"\n" {
		t.Errorf("call: exit code %d\n%s%s", code, out, errs)
	}
	code, out, _ = cli(t, "", "__complete", "ls", "-c", config, "")
	if code != exitOK || !strings.HasPrefix(out, "clock\n") {
		t.Errorf("completion: exit code %d\n%s", code, out)
	}
	code, out, errs = cli(t, "", "doctor", "-c", config, "--timeout", "1s")
	if code != exitOK || !strings.Contains(out, "1 of 1 listed instances can be connected to") || !strings.Contains(out, "1 process on 1 host answered, with 1 registration") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
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

// TestAnnounce keeps a stock Thrift server registered while it lives, dies
// and comes back, and withdraws it on SIGTERM.
func TestAnnounce(t *testing.T) {
	config := site(t, "")
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
	call := func() (int, string) {
		code, out, errs := cli(t, "", "call", "clock", "now", `{"name":"UTC"}`, "-t", clockFile(t), "-c", config)
		return code, out + errs
	}
	until("listed")
	if code, out := call(); code != exitOK || !strings.Contains(out, "noon in UTC") {
		t.Errorf("call of the announced server: exit code %d\n%s", code, out)
	}
	stop()
	until("failing")
	until("withdrawn")
	if code, out := call(); code != exitUnreachable {
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

// TestAnnounceFile announces two providers of a file to a database, one of
// which does not run.
func TestAnnounceFile(t *testing.T) {
	server := pgtest.Shared(t)
	config := writeConfig(t, "cluster: test-site\nmode: database\ndatabase: {url: \""+server.URL(server.CreateDB(t))+"\"}\n")
	addr, stop := stockServer(t, "127.0.0.1:0")
	defer stop()
	file := filepath.Join(t.TempDir(), "providers.yaml")
	text := "- {service: clock, version: v1, addr: \"" + addr + "\", check: thrift, every: 200ms, zone: hall-2, tags: {rack: b}}\n" +
		"- {service: bells, addr: \"127.0.0.1:1\", every: 200ms}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, lines := program(t, "announce", "-c", config, "--file", file)
	seen := map[string]bool{}
	for len(seen) < 2 && lines.Scan() {
		for _, want := range []string{"clock/v1 " + addr + ": answers, and is listed", "bells 127.0.0.1:1: does not answer, and is not listed"} {
			if strings.Contains(lines.Text(), want) {
				seen[want] = true
			}
		}
	}
	if len(seen) < 2 {
		t.Fatalf("announce said %v", seen)
	}
	code, out, errs := cli(t, "", "ls", "--wide", "-c", config)
	if code != exitOK || !strings.Contains(out, "hall-2") || !strings.Contains(out, "rack=b") || !strings.Contains(out, "framed-binary") || strings.Contains(out, "bells") {
		t.Errorf("ls: exit code %d\n%s%s", code, out, errs)
	}
}

// TestStatsLog reads the log that a node of a site without a database keeps.
func TestStatsLog(t *testing.T) {
	config := site(t, "state_dir: "+t.TempDir()+"\n")
	c, err := skerry.ReadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c.Service = skerry.Service{Name: "clock", Listen: "127.0.0.1:0"}
	c.Log.Level = "error"
	n, err := skerry.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Handle(t.Context(), "clock", newClock()); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := cli(t, "", "call", "clock", "now", `{"name":"CET"}`, "-t", clockFile(t), "-c", config); code != exitProblem {
		t.Fatalf("call: exit code %d\n%s%s", code, out, errs)
	}
	n.Close()
	code, out, errs := cli(t, "", "stats", "-c", config, "--by", "peer")
	if code != exitOK || !strings.Contains(out, "now") {
		t.Errorf("stats: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "stats", "nobody", "-c", config)
	if code != exitOK || !strings.Contains(out, "No calls of nobody") {
		t.Errorf("stats of another service: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, _ := cli(t, "", "stats", "-c", config, "--json"); code != exitOK || !json.Valid([]byte(out)) {
		t.Errorf("stats --json: exit code %d\n%s", code, out)
	}
}

// stockServer is Apache Thrift's own server with framed binary messages.
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
		thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), nil), thrift.NewTBinaryProtocolFactoryConf(nil))
	server.SetLogContext(t.Context())
	g := run.NewGroup(context.Background())
	g.Go(func(context.Context) error { return server.Serve() })
	return socket.Addr().String(), func() { server.Stop(); g.Wait() }
}

func TestDatabase(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	base := "cluster: test-site\nmode: database\n"
	config := writeConfig(t, base+"database: {url: \""+server.URL(db)+"\"}\n")
	n := offerClock(t, config)

	code, out, errs := cli(t, "", "ls", "-c", config)
	if code != exitOK || !strings.Contains(out, "127.0.0.1:") || !strings.Contains(out, "database") {
		t.Errorf("ls: exit code %d\n%s%s", code, out, errs)
	}
	// flags take the place of a configuration
	code, out, errs = cli(t, "", "ls", "--cluster", "other", "--mode", "database", "--database", server.URL(db))
	if code != exitProblem || !strings.Contains(out, `cluster "other" (mode database)`) || !strings.Contains(out, "database: reached, and lists none") {
		t.Errorf("ls of another cluster: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "call", "clock", "now", `{"name":"UTC"}`, "-t", clockFile(t), "-c", config)
	if code != exitOK {
		t.Errorf("call: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "doctor", "-c", config)
	if code != exitOK || !strings.Contains(out, "notifications arrive") || !strings.Contains(out, "PostgreSQL 1") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
	n.Close() // writes the last statistics
	code, out, errs = cli(t, "", "stats", "-c", config)
	if code != exitOK || !strings.Contains(out, "now") || !strings.Contains(out, "server") {
		t.Errorf("stats: exit code %d\n%s%s", code, out, errs)
	}
}

// TestSmallRights: doctor names the SQL for the administrator, and that SQL
// is what schema prints.
func TestSmallRights(t *testing.T) {
	server := pgtest.Shared(t)
	db := server.CreateDB(t)
	user := server.CreateUser(t, db)
	config := writeConfig(t, "cluster: test-site\nmode: database\ndatabase: {url: \""+server.UserURL(db, user)+"\"}\n")
	code, out, errs := cli(t, "", "doctor", "-c", config)
	if code != exitProblem || !strings.Contains(out, "may not make them") || !strings.Contains(out, "skerry schema") {
		t.Errorf("doctor: exit code %d\n%s%s", code, out, errs)
	}
	code, sql, errs := cli(t, "", "schema", "--grant", user)
	if code != exitOK {
		t.Fatalf("schema: exit code %d\n%s", code, errs)
	}
	server.Exec(t, db, sql)
	code, out, errs = cli(t, "", "doctor", "-c", config)
	if code != exitOK {
		t.Errorf("doctor after the SQL: exit code %d\n%s%s", code, out, errs)
	}
}

func TestDatabaseAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	args := []string{"--mode", "database", "--database", "postgres://nobody@" + addr + "/none"}
	for _, c := range []struct {
		command string
		code    int
		want    string
	}{
		{"ls", exitUnreachable, "database: can't be reached"},
		{"stats", exitUnreachable, "read statistics"},
		{"doctor", exitProblem, "pg_hba.conf"},
	} {
		code, out, errs := cli(t, "", append([]string{c.command}, args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit code %d\n%s%s", c.command, code, out, errs)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	bad := writeConfig(t, "cluster: a b\nmoed: auto\ndatabase: {heartbeat: 30s, expiry: 10s}\n")
	code, out, errs := cli(t, "", "config", "check", bad)
	if code != exitProblem || !strings.Contains(out, bad+":1: cluster") || !strings.Contains(out, bad+":2: moed") || !strings.Contains(out, ":3: database") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if code, _, errs := cli(t, "", "ls", "-c", bad); code != exitUsage || !strings.Contains(errs, "moed") {
		t.Errorf("ls with it: exit code %d\n%s", code, errs)
	}
	good := writeConfig(t, "cluster: site-2\ndatabase: {url: \"postgres://app:hunter2@db/site\"}\nlan: {key: 0123456789abcdef0123}\nservices: [{name: auth, tags: {a: b}}, {name: proc}]\n")
	code, out, errs = cli(t, "", "config", "check", "--show", good)
	if code != exitOK || strings.Contains(out, "hunter2") || strings.Contains(out, "0123456789") || !strings.Contains(out, "expiry: 1m30s") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	// what is shown is a configuration again, but for the secrets
	code, out, errs = cli(t, "", "config", "show", "-c", good, "--cluster", "other")
	if code != exitOK || !strings.Contains(out, "cluster: other") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	again := writeConfig(t, strings.ReplaceAll(out, "(set)", "0123456789abcdef0123"))
	if c, err := skerry.ReadConfig(again); err != nil || c.Cluster != "other" || len(c.Services) != 2 {
		t.Errorf("shown configuration: %v %+v\n%s", err, c, out)
	}
	if code, out, _ := cli(t, "", "config", "show", "-c", good, "--json"); code != exitOK || !json.Valid([]byte(out)) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if code, _, _ := cli(t, "", "config", "check", filepath.Join(t.TempDir(), "none.yaml")); code != exitUsage {
		t.Errorf("a missing file: exit code %d", code)
	}
	t.Chdir(t.TempDir())
	t.Setenv("SKERRY_CONFIG", good)
	if code, out, _ := cli(t, "", "config", "check"); code != exitOK || !strings.Contains(out, good) {
		t.Errorf("SKERRY_CONFIG: exit code %d\n%s", code, out)
	}
	if err := os.WriteFile("skerry.yaml", []byte("cluster: here\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := cli(t, "", "config", "show"); !strings.Contains(out, "cluster: here") {
		t.Errorf("./skerry.yaml: %s", out)
	}
}
