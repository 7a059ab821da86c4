package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
)

// clockIDL declares the service of clock.
const clockIDL = `
struct Zone { 1: string name, 2: i32 minutes }
exception NoZone { 1: string name, 2: list<string> known }
service Clock {
  string now(1: Zone zone) throws (1: NoZone no)
  oneway void tick(1: i64 count)
  void reset()
  string missing()
  string slow()
}
service Other { void other() }
`

// clock is a hand-written processor. now greets the zone "UTC" and throws NoZone for
// any other. missing is not implemented. slow waits for the end of the test.
type clock struct {
	ticks chan int64
	hold  chan struct{}
}

func newClock() clock {
	return clock{ticks: make(chan int64, 1), hold: make(chan struct{})}
}

func (c clock) ProcessorMap() map[string]thrift.TProcessorFunction {
	m := map[string]thrift.TProcessorFunction{}
	for _, name := range []string{"now", "tick", "reset", "slow"} {
		m[name] = clockMethod{c, name}
	}
	return m
}
func (c clock) AddToProcessorMap(string, thrift.TProcessorFunction) {}
func (c clock) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, _, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	if f := c.ProcessorMap()[name]; f != nil {
		return f.Process(ctx, seq, in, out)
	}
	in.Skip(ctx, thrift.STRUCT)
	in.ReadMessageEnd(ctx)
	x := thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "no method "+name)
	err = errors.Join(out.WriteMessageBegin(ctx, name, thrift.EXCEPTION, seq), x.Write(ctx, out),
		out.WriteMessageEnd(ctx), out.Flush(ctx))
	return false, thrift.WrapTException(err)
}

type clockMethod struct {
	c    clock
	name string
}

func (m clockMethod) Process(ctx context.Context, seq int32, in, out thrift.TProtocol) (bool, thrift.TException) {
	zone, ticks := readClockArgs(ctx, in)
	in.ReadMessageEnd(ctx)
	switch m.name {
	case "tick":
		m.c.ticks <- ticks
		return true, nil
	case "slow":
		<-m.c.hold
	}
	out.WriteMessageBegin(ctx, m.name, thrift.REPLY, seq)
	switch {
	case m.name == "now" && zone != "UTC":
		out.WriteFieldBegin(ctx, "no", thrift.STRUCT, 1)
		out.WriteFieldBegin(ctx, "name", thrift.STRING, 1)
		out.WriteString(ctx, zone)
		out.WriteFieldStop(ctx)
	case m.name == "now":
		out.WriteFieldBegin(ctx, "success", thrift.STRING, 0)
		out.WriteString(ctx, "noon in UTC")
	}
	err := errors.Join(out.WriteFieldStop(ctx), out.WriteMessageEnd(ctx), out.Flush(ctx))
	return true, thrift.WrapTException(err)
}

// readClockArgs reads the arguments of either method.
func readClockArgs(ctx context.Context, in thrift.TProtocol) (zone string, ticks int64) {
	for {
		_, kind, _, err := in.ReadFieldBegin(ctx)
		if err != nil || kind == thrift.STOP {
			return zone, ticks
		}
		switch kind {
		case thrift.I64:
			ticks, _ = in.ReadI64(ctx)
		case thrift.STRUCT:
			zone, _ = readClockArgs(ctx, in)
		case thrift.STRING:
			zone, _ = in.ReadString(ctx)
		default:
			in.Skip(ctx, kind)
		}
	}
}

// serveClock serves clock with skerry's own server, which plain clients reach on the
// same port.
func serveClock(t *testing.T) (addr string, c clock) {
	t.Helper()
	c = newClock()
	server, err := rpc.NewServer(rpc.ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Handle("clock", "v3", c); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := run.NewGroup(context.Background())
	g.Go(func(ctx context.Context) error { return server.Serve(ctx, l) })
	t.Cleanup(func() { close(c.hold); g.Stop() })
	return l.Addr().String(), c
}

// cli runs a command line in process.
func cli(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	if slices.Contains([]string{"call", "doctor", "ls", "stats"}, args[0]) && !slices.Contains(args, "--timeout") {
		args = append(slices.Clip(args), "--timeout", patient)
	}
	var o, e bytes.Buffer
	code = execute(t.Context(), args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func clockFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "clock.thrift")
	if err := os.WriteFile(path, []byte(clockIDL), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCall(t *testing.T) {
	addr, c := serveClock(t)
	idl := clockFile(t)
	body := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(body, []byte(`{"zone":{"name":"UTC"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, args, stdin string
		code              int
		out, errs         string
	}{
		{"result", `now {"zone":{"name":"UTC"}}`, "", exitOK, "\"noon in UTC\"\n", "clock v3"},
		{"sole struct", `now {"name":"UTC"}`, "", exitOK, "\"noon in UTC\"\n", ""},
		{"stdin", `now -`, `{"name":"UTC"}`, exitOK, "\"noon in UTC\"\n", ""},
		{"file", `now @` + body, "", exitOK, "\"noon in UTC\"\n", ""},
		{"no such file", `now @/nowhere`, "", exitUsage, "", "no such file"},
		{"exception", `now {"name":"CET"}`, "", exitProblem, `"exception": "NoZone"`, "clock.now threw NoZone"},
		{"void", `reset`, "", exitOK, "null\n", ""},
		{"one-way", `tick {"count":41}`, "", exitOK, "", "sent; a one-way call has no answer"},
		{"not implemented", `missing`, "", exitProblem, "", "unknown_method"},
		{"wrong type", `now {"name":"UTC","minutes":"x"}`, "", exitUsage, "",
			"$.minutes: want i32, have the string \"x\""},
		{"unknown field", `now {"nme":"UTC"}`, "", exitUsage, "", `now has no field "nme"`},
		{"no JSON", `now {`, "", exitUsage, "", "JSON at line 1"},
		{"method", `nw {}`, "", exitUsage, "", `did you mean "now"?`},
		{"too slow", `slow`, "", exitUnreachable, "", "give it longer by --timeout"},
		{"interface", `other --interface Othr`, "", exitUsage, "", `did you mean "Other"?`},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append(strings.Fields("call clock "+test.args), "--thrift", idl, "--instance", addr)
			if test.name == "too slow" {
				args = append(args, "--timeout", "300ms")
			}
			code, out, errs := cli(t, test.stdin, args...)
			if code != test.code || !strings.Contains(out, test.out) || !strings.Contains(errs, test.errs) {
				t.Errorf("exit code %d, want %d\nstdout %s\nstderr %s", code, test.code, out, errs)
			}
		})
	}
	select {
	case n := <-c.ticks:
		if n != 41 {
			t.Errorf("one-way call brought %d", n)
		}
	case <-time.After(limit):
		t.Error("the one-way call did not arrive")
	}
}

func TestCallSpeaksEveryProtocol(t *testing.T) {
	addr, _ := serveClock(t)
	idl := clockFile(t)
	for _, p := range []string{
		"skerry", "header", "framed-binary", "framed-compact", "unframed-binary", "unframed-compact",
	} {
		code, out, errs := cli(t, "", "call", "clock", "now", `{"name":"UTC"}`, "-t", idl, "--instance", addr,
			"--protocol", p)
		if code != exitOK || out != "\"noon in UTC\"\n" {
			t.Errorf("%s: exit code %d\n%s%s", p, code, out, errs)
		}
	}
}

func TestCallJSON(t *testing.T) {
	addr, _ := serveClock(t)
	idl := clockFile(t)
	call := func(args ...string) (int, map[string]any) {
		code, out, errs := cli(t, "",
			append([]string{"call", "clock", "-t", idl, "--instance", addr, "--json"}, args...)...)
		doc := map[string]any{}
		if err := json.Unmarshal([]byte(out+errs), &doc); err != nil {
			t.Fatalf("%v in %s%s", err, out, errs)
		}
		return code, doc
	}
	if code, doc := call("now", `{"name":"UTC"}`); code != exitOK || doc["value"] != "noon in UTC" ||
		doc["version"] != "v3" {
		t.Errorf("%d %v", code, doc)
	}
	if code, doc := call("now", `{"name":"CET"}`); code != exitProblem || doc["exception"] != "NoZone" {
		t.Errorf("%d %v", code, doc)
	}
	if code, doc := call("now", `[]`); code != exitUsage || doc["exit"] != 2.0 || doc["error"] == "" {
		t.Errorf("%d %v", code, doc)
	}
	if code, doc := call(); code != exitOK || len(doc["methods"].([]any)) != 5 {
		t.Errorf("%d %v", code, doc)
	}
}

func TestCallListsMethods(t *testing.T) {
	_, out, _ := cli(t, "", "call", "clock", "-t", clockFile(t))
	for _, want := range []string{
		"Methods of Clock", "string now(1: Zone zone) throws (1: NoZone no)", `'{"zone":{"name":"","minutes":0}}'`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is missing in\n%s", want, out)
		}
	}
}

func TestCallNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	code, _, errs := cli(t, "", "call", "clock", "reset", "-t", clockFile(t), "--instance", addr)
	if code != exitUnreachable || !strings.Contains(errs, "unreachable") || !strings.Contains(errs, "not executed") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestUsageErrors(t *testing.T) {
	idl := clockFile(t)
	for _, c := range []struct{ args, want string }{
		{"nosuch", "unknown command"},
		{"vers", "Did you mean this"},
		{"ls a b", "accepts at most 1 arg"},
		{"ls --nosuch", "unknown flag: --nosuch"},
		{"stats --since -1s", "want a time span"},
		{"stats --last 0s", "want a time span from 1s"},
		{"stats --last 6m", "want a time span from 1s"},
		{"stats --last 1m --since 2m", "leave --since and --log out"},
		{"stats --last 1m --by colour", "want service, version, method or peer"},
		{"stats --streams --last 2m", "leave --since, --last"},
		{"stats --streams --side left", "want client or server"},
		{"stats --by colour", "want service, version, method or peer"},
		{"stats --side left", "want client or server"},
		{"call", "requires at least 1 arg"},
		{"call clock", "--thrift FILE is missing"},
		{"call clock -t /nowhere.thrift", "no such file"},
		{"call clock reset -t " + idl + " --instance nowhere", "want HOST:PORT"},
		{"call clock reset -t " + idl + " --instance a:1 --protocol soap", "known are"},
		{"announce", "--service and --addr, or --file"},
		{"announce --file x --service y", "leave out --service"},
		{"announce --file /nowhere.yaml", "no such file"},
	} {
		code, out, errs := cli(t, "", strings.Fields(c.args)...)
		if code != exitUsage || !strings.Contains(errs, c.want) || out != "" {
			t.Errorf("skerry %s: exit code %d\nstdout %s\nstderr %s", c.args, code, out, errs)
		}
	}
}
