package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/cmd/skerry/internal/rate"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/wire"
)

// The commands show a site of one process: its members and its calls.
func TestMembersAndTop(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	n := offerClock(t, cfg)
	calls := run.NewGroup(t.Context())
	defer calls.Stop()
	calls.Go(func(ctx context.Context) error {
		client := wire.NewInternalClient(n.Client("clock"))
		for ctx.Err() == nil {
			_ = client.Ping(ctx) // the process counts calls of an unknown method as well
			_ = run.Sleep(ctx, time.Millisecond)
		}
		return nil
	})
	var doc struct {
		Members []memberInfo `json:"members"`
	}
	eventually(t, "the process is listed", func() bool {
		code, out, _ := cli(t, "", "members", "-c", cfg, "--json", "--timeout", patient)
		return code == exitOK && json.Unmarshal([]byte(out), &doc) == nil && len(doc.Members) == 1
	})
	m := doc.Members[0]
	if m.State != "ok" || m.Release == "" || m.Up <= 0 || strings.Join(m.Runs, ",") != "clock/v3" ||
		strings.Join(m.Sources, ",") != "lan" || m.Host == "" || m.Addr == "" {
		t.Errorf("%+v", m)
	}
	code, out, errs := cli(t, "", "members", "-c", cfg)
	if code != exitOK || !strings.HasPrefix(out, "PROCESS") || !strings.Contains(out, "clock/v3") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}

	var look topLook
	eventually(t, "calls are counted", func() bool {
		code, out, errs := cli(t, "", "top", "clock", "-c", cfg, "--count", "1", "--every", "500ms",
			"--json", "--timeout", patient)
		if code != exitOK {
			t.Fatalf("exit code %d\n%s%s", code, out, errs)
		}
		return json.Unmarshal([]byte(out), &look) == nil && len(look.Rows) > 0 && look.Rows[0].Calls > 0
	})
	if r := look.Rows[0]; r.Service != "clock" || r.Version != "v3" || look.Processes != 1 || look.Silent != 0 {
		t.Errorf("%+v", look)
	}
	var last lastStats
	code, out, errs = cli(t, "", "stats", "clock", "--last", "1m", "-c", cfg, "--json", "--timeout", patient)
	if code != exitOK || json.Unmarshal([]byte(out), &last) != nil || last.Processes != 1 || len(last.Rows) != 1 ||
		last.Rows[0].Service != "clock" || last.Rows[0].Side != "client" || last.Rows[0].Calls == 0 {
		t.Errorf("stats --last: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "stats", "none", "--last", "5m", "-c", cfg, "--timeout", patient)
	if code != exitProblem || !strings.Contains(out, "No calls of none") {
		t.Errorf("stats --last of another service: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "top", "-c", cfg, "--count", "2", "--every", "100ms")
	if code != exitOK || strings.Count(out, "calls/s") != 2 || !strings.Contains(out, "CALLS/S") ||
		strings.Contains(out, "\x1b") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestMembersAndTopWithoutASite(t *testing.T) {
	t.Parallel()
	cfg := site(t, "state_dir: none\n")
	for _, args := range [][]string{{"members"}, {"members", "--json"}, {"top"}, {"stats", "--last", "1m"}} {
		code, out, errs := cli(t, "", append(args, "-c", cfg, "--timeout", "100ms")...)
		if code != exitUnreachable {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	for _, args := range [][]string{{"top", "--every", "1ms"}, {"top", "--count", "-1"}, {"members", "auth"}} {
		if code, _, _ := cli(t, "", append(args, "-c", cfg)...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
}

// membersOf joins the facts of three sources about a process.
func TestMembersOf(t *testing.T) {
	list := membersOf(
		[]control.Identity{{Process: "a/1/x", Addr: "10.0.0.1:7000", Release: "v0.1.0", Up: time.Minute}},
		map[string]error{"b/2/y": errors.New("connect: timeout")},
		[]discovery.Entry{
			{Owner: "a/1/x", Addr: "10.0.0.1:7000", State: discovery.OK,
				Sources: []discovery.SourceListing{{Name: "lan"}, {Name: "database"}}},
			{Owner: "b/2/y", Addr: "10.0.0.2:7000", State: discovery.Suspect},
			{Owner: "c/3/z", Addr: "10.0.0.3:7000", State: discovery.OK},
		},
		[]discovery.Entry{{Owner: "a/1/x", Service: "auth", Version: "v1"},
			{Owner: "a/1/x", Service: "auth", Version: "v1"}},
	)
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	a, b := list[0], list[1]
	if a.State != "ok" || strings.Join(a.Sources, ",") != "database,lan" ||
		strings.Join(a.Runs, ",") != "auth/v1" || a.Up != 60 {
		t.Errorf("%+v", a)
	}
	if b.State != "silent" || b.Why != "connect: timeout" || b.Addr != "10.0.0.2:7000" || b.Host != "b" {
		t.Errorf("%+v", b)
	}
}

// The tables of both commands keep to 80 columns.
func TestMembersAndTopOnATerminal(t *testing.T) {
	var b strings.Builder
	a := newApp(strings.NewReader(""), &b, &b)
	a.width = func() int { return 80 }
	long := memberInfo{Process: "launch-site-2-host-17/25499/hoe2y8wk60", Addr: "192.168.100.100:45533",
		State:   "ok,protected",
		Sources: []string{"database", "lan"}, Release: "v0.1.0-rc.1", Up: 90000, Runs: []string{"auth/v2", "proc/v2"},
		Why: "a reason"}
	if err := a.printMembers("x", []memberInfo{long, long}); err != nil {
		t.Fatal(err)
	}
	rows := topRows([]rate.Rate{
		{Service: "launch-site-inventory", Version: "2026-11-30-candidate-4", Calls: 123456, Failed: 12.3,
			P99: 200 * time.Millisecond},
		{Service: "auth", Version: "v1", Calls: 5, Beyond: true},
	}, "")
	if err := a.printTop(topLook{time.Now(), 12, 1, rows}); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"launch-site-inventory", "≤ 200ms", "> 10s", "123456", "1 process did not answer", "a reason",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
