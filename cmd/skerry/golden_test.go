package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/health/statlog"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/policy"
)

var update = flag.Bool("update", false, "write the golden files")

// testdata keeps its path when a test changes the directory.
var testdata, _ = filepath.Abs("testdata")

// golden compares output with testdata/NAME.golden.
func golden(t *testing.T, name string, have []byte) {
	t.Helper()
	path := filepath.Join(testdata, name+".golden")
	if *update {
		if err := os.WriteFile(path, have, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s: have\n%s\nwant\n%s", name, have, want)
	}
}

// sample is a list with every special case of a table.
func sample(now time.Time) listing {
	by := func(names ...string) (list []discovery.SourceListing) {
		for _, n := range names {
			list = append(list, discovery.SourceListing{Name: n})
		}
		return list
	}
	return listing{
		Cluster: "launch-site-2", Mode: "auto",
		Sources: []discovery.SourceStatus{
			{Name: "database", Answered: true, Lost: "dial tcp 10.0.0.1:5432: connect: no route to host"},
			{Name: "lan", Answered: true, Partial: true},
		},
		Instances: []discovery.Entry{
			{Service: "auth", Version: "v1", Addr: "10.0.0.5:7000", Protocol: "framed-binary",
				State: discovery.OK, Stale: true,
				Sources: by("disk"), Weight: 100, Tags: map[string]string{"rack": "b", "disk": "ssd"}},
			{Service: "auth", Version: "v2", Addr: "10.0.0.6:7000", State: "suspect", Why: "connection reset by peer",
				Sources: by("database", "lan"), Zone: "hall-2", Weight: 50, TLS: true, Owner: "alpha/312/abc",
				Started: now.Add(-42 * time.Second), Heard: now.Add(-12 * time.Second)},
			{Service: "auth", Version: "v2", Addr: "10.0.0.7:7000", State: discovery.OK, Protected: true,
				Why:    "vanished with 2 of 3; it answers",
				Weight: 100, Started: now.Add(-51 * time.Hour)},
			{Service: "portal", Addr: "[fe80::1]:7001", State: discovery.OK, Sources: by("lan"), Weight: 100,
				Started: now.Add(-90 * time.Minute)},
		},
	}
}

func TestListingTables(t *testing.T) {
	for _, wide := range []bool{false, true} {
		var out bytes.Buffer
		a := newApp(nil, &out, &out)
		if err := a.printListing(sample(time.Now()), "", wide); err != nil {
			t.Fatal(err)
		}
		golden(t, map[bool]string{false: "ls", true: "ls-wide"}[wide], out.Bytes())
	}
}

// TestListedPolicy: below the instances stands what the policy says about their services.
func TestListedPolicy(t *testing.T) {
	text := `policy: 1
services:
  "*":
    faults: [{match: {mark: drill}, percent: 20, delay: 300ms, error: unavailable, expires: 30m}]
  auth:
    weights: [{host: h3, weight: 20}]
    route: [{match: {tenant: t7}, to: {zone: hall-2}, else: all}]
    limits:
      - {pending: 500, per: instance}
      - {match: {caller: report, method: [verify, "get*"]}, rate: 50, burst: 10, per: site}
    access: {mode: enforce, default: deny, allow: [{caller: portal}]}
    fallback: [{match: {method: getAvatar}, on: [timeout], reply: {url: ""}}]
  proc: {limits: [{rate: 1, per: site}]}
`
	l := sample(time.Now())
	l.Policy = &listedPolicy{Number: 18, By: "li", title: "18 of li", ObeyNone: []string{"alpha/312/abc"}}
	table := compiled(t, text)
	for _, name := range []string{policy.Every, "auth", "portal"} {
		l.Policy.add(table, name, nil)
	}
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	a.width = func() int { return 80 }
	if err := a.printListing(l, "", false); err != nil {
		t.Fatal(err)
	}
	golden(t, "ls-policy", out.Bytes())
	table = compiled(t, "policy: 1\nservices: {\"*\": {access: {mode: audit, default: deny}}}\n")
	every, _ := table.InForce(policy.Every)
	p := &listedPolicy{}
	if p.add(table, "auth", every); len(p.Services) != 0 {
		t.Errorf("what holds for every service stands at auth again: %+v", p.Services)
	}
}

func TestEmptyListing(t *testing.T) {
	l := sample(time.Now())
	l.Instances = nil
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	if code := a.report(a.printListing(l, "billing", false)); code != exitUnreachable {
		t.Errorf("exit code %d with the database lost", code)
	}
	l.Sources[0].Lost = ""
	if code := a.report(a.printListing(l, "", false)); code != exitProblem {
		t.Errorf("exit code %d", code)
	}
	golden(t, "ls-empty", out.Bytes())
}

func TestStatsTables(t *testing.T) {
	now := time.Now()
	row := func(side health.Side, method, peer string, p99 time.Duration, outcomes ...int64) health.Row {
		r := health.Row{Key: health.Key{Side: side, Service: "auth", Method: method, Peer: peer},
			From: now.Add(-time.Minute), To: now,
			P50: 180 * time.Microsecond, P99: p99, Max: 2 * p99}
		copy(r.Outcomes[:], outcomes)
		return r
	}
	rows := []health.Row{
		row(health.Client, "GetToken", "10.0.0.5:7000", 900*time.Microsecond, 1200, 3),
		row(health.Client, "GetToken", "10.0.0.6:7000", 1200*time.Millisecond, 700, 0, 25, 0, 0, 4),
		row(health.Server, "GetToken", "portal", 850*time.Microsecond, 1900),
		row(health.Server, "Verify", "proc", 12*time.Millisecond, 12),
	}
	rows[1].Version, rows[2].Version = "v2", "v1"
	for by, group := range groupings {
		var out bytes.Buffer
		a := newApp(nil, &out, &out)
		a.statsTable(statlog.Sum(rows, group), by)
		golden(t, "stats-"+by, out.Bytes())
	}
}

// TestStatsLast: calls that both sides have counted are shown once unless one side is asked for, and what is missing is
// named.
func TestStatsLast(t *testing.T) {
	calls := func(caller, service, method string, served, twice bool, n, failed int64) control.RecentCalls {
		c := control.RecentCalls{Process: "ops-1/12/a", Caller: caller, Service: service, Version: "v1", Method: method,
			Served: served, Twice: twice, Calls: n, Failed: failed, Rate: float64(n) / 60}
		c.Latency.Add(3*time.Millisecond, n-failed)
		c.Latency.Add(time.Second, failed)
		if failed > 0 {
			c.Kinds = map[string]int64{"timeout": failed}
		}
		return c
	}
	r := control.Recent{Answered: 4, KindsLeft: 2, CallsLeft: 30,
		Silent: map[string]error{"ops-9/7/b": control.ErrRecentTooOld},
		Calls: []control.RecentCalls{
			calls("portal", "auth", "verify", false, false, 6000, 30),
			calls("report", "auth", "verify", false, false, 60, 0),
			calls("portal", "auth", "verify", true, true, 6000, 0),
			calls("ip:10.0.0.7", "auth", "verify", true, false, 12, 0),
			calls("portal", "db", "get", false, false, 600, 0),
		}}
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	for _, q := range []statsQuery{{by: "method"}, {by: "service", service: "auth"}, {by: "peer", service: "auth"},
		{by: "method", side: "server"}, {by: "method", service: "none"}} {
		q.last = time.Minute
		fmt.Fprintf(&out, "$ skerry stats %s --last 1m --by %s --side %q\n", q.service, q.by, q.side)
		if err := a.printLast(q, r); (err != nil) != (q.service == "none") {
			t.Errorf("%+v: %v", q, err)
		}
	}
	golden(t, "stats-last", out.Bytes())
}

// TestStatsByPolicy: what the site's policy did has a column of its own.
func TestStatsByPolicy(t *testing.T) {
	r := health.Row{Key: health.Key{Side: health.Client, Service: "auth", Method: "verify"}}
	r.Outcomes[health.OK], r.Outcomes[health.Timeout] = 90, 1
	for i, o := range byPolicy {
		r.Outcomes[o] = int64(i + 2)
	}
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	a.statsTable([]health.Row{r}, "method")
	golden(t, "stats-policy", out.Bytes())
}

func TestFindings(t *testing.T) {
	var address, lan findings
	address.area, lan.area = "Address", "LAN"
	address.fine("10.0.0.5 on eth0 would be advertised: the first address on the LAN\n" +
		"passed over: 172.17.0.1 on docker0: container network")
	lan.problem("let UDP 7946 through the firewall of every host, or name seeds (lan.seeds)", "I hear only myself")
	lan.hint("set lan.key", "no site key is configured")
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	if code := a.report(a.printFindings(append(address.list, lan.list...))); code != exitProblem {
		t.Errorf("exit code %d", code)
	}
	if code := a.report(a.printFindings(address.list)); code != exitOK {
		t.Errorf("exit code %d without problems", code)
	}
	golden(t, "findings", out.Bytes())
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 3*time.Hour + 4*time.Minute: "3h04m",
		51 * time.Hour: "2d03h",
	} {
		if got := age(d); got != want {
			t.Errorf("age of %v: %s", d, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "-", 1234: "1.23µs", 45600000: "45.6ms", 3 * time.Second: "3s"} {
		if got := latency(d); got != want {
			t.Errorf("latency %v: %s", d, got)
		}
	}
}
