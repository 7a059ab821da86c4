package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/health/statlog"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/foreign"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/registry/postgres"
)

// hostile is a text that clears a screen, forges a row and turns the direction of
// writing. It hides behind a C1 character and is invalid UTF-8.
const hostile = "x\x1b[2J\x1b[H\r\nFORGED\t\u202e\u2066\u200b\u009b31m\x7f\x00\xff"

// poison puts hostile into every text of v, and adds one element to each empty list
// and map.
func poison(v reflect.Value, depth int) {
	if depth > 8 || !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Now()))
			return
		}
		for i := range v.NumField() {
			poison(v.Field(i), depth+1)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			text, _ := json.Marshal(hostile)
			v.SetBytes(text)
			return
		}
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			poison(v.Index(i), depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		poison(key, depth+1)
		poison(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		poison(v.Elem(), depth+1)
	case reflect.Interface:
		if v.Type() == reflect.TypeFor[error]() {
			v.Set(reflect.ValueOf(errors.New(hostile)))
		}
	}
}

func poisoned[T any]() (v T) {
	poison(reflect.ValueOf(&v).Elem(), 0)
	return v
}

// harmless fails the test when output could move the cursor or forge a line.
func harmless(t *testing.T, what, output string) {
	t.Helper()
	if !utf8.ValidString(output) {
		t.Errorf("%s: no UTF-8: %q", what, output)
	}
	for _, r := range output {
		if r < 0x20 && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x2066 || r == 0x200b {
			t.Errorf("%s: %U is printed raw: %q", what, r, output)
			return
		}
	}
	for line := range strings.Lines(output) {
		if strings.HasPrefix(strings.TrimSpace(line), "FORGED") {
			t.Errorf("%s: a forged line: %q", what, output)
		}
	}
}

// printers are the functions that print texts from outside.
func printers() map[string]func(*app) error {
	entry := poisoned[discovery.Entry]()
	r := poisoned[rollout.Release]()
	r.State = rollout.Prepared
	state := poisoned[releases.Site]()
	plain := func(print func(*app)) func(*app) error {
		return func(a *app) error { print(a); return nil }
	}
	all := map[string]func(*app) error{
		"ls": func(a *app) error { return a.printListing(poisoned[listing](), hostile, true) },
		"ls without instances": func(a *app) error {
			l := poisoned[listing]()
			l.Instances = nil
			return a.printListing(l, hostile, false)
		},
		"watch":    plain(func(a *app) { a.printEvent(discovery.Event{When: time.Now(), Entry: entry, Why: hostile}) }),
		"announce": plain(func(a *app) { a.printAnnounceEvent(poisoned[foreign.Event]()) }),
		"stats":    plain(func(a *app) { a.statsTable([]health.Row{poisoned[health.Row]()}, "peer") }),
		"call": func(a *app) error {
			o := poisoned[outcome]()
			o.Exception = ""
			return a.printOutcome(o, false)
		},
		"call that throws": func(a *app) error { return a.printOutcome(poisoned[outcome](), false) },
		"call without JSON": func(a *app) error {
			return a.printOutcome(outcome{Value: json.RawMessage(hostile)}, false)
		},
		"call that fails": func(*app) error { return callError(errors.New(hostile)) },
		"release status":  func(a *app) error { return a.printStatus(poisoned[releases.Status](), time.Now()) },
		"release holders": func(a *app) error {
			return a.printHolders(r, []releases.Holder{poisoned[releases.Holder]()}, time.Now())
		},
		"release differences": func(a *app) error {
			return a.printDifferences([]releases.Difference{poisoned[releases.Difference]()}, releases.Policy{})
		},
		"release log":      func(a *app) error { return a.printLog([]rollout.Entry{poisoned[rollout.Entry]()}) },
		"release settings": func(a *app) error { return a.printSettings(map[string]string{hostile: hostile}, nil) },
		"no release setting": func(a *app) error {
			return a.printSettings(map[string]string{hostile: hostile}, []string{"x" + hostile})
		},
		"release step": func(a *app) error { return a.stepped(r, releases.Describe(r, time.Now()), hostile) },
		"release plan": func(a *app) error {
			return a.confirm(&releaseFlags{dead: []string{hostile}, yes: true}, poisoned[releases.Step]().Will...)
		},
		"release drain": plain(func(a *app) {
			a.note("%s", releases.DrainText([]releases.Holder{poisoned[releases.Holder]()}))
		}),
		"release change": plain(func(a *app) { a.teller().Changes()(poisoned[operator.Progress]()) }),
		"release ramp": plain(func(a *app) {
			p := poisoned[operator.Progress]()
			p.Step = "ramp"
			a.teller().ShowRamp(p)
		}),
		"release that is open": func(*app) error {
			return problemf("%s; go on: %s", releases.Describe(r, time.Now()), releases.NextStep(state, r))
		},
		"release turned back": func(a *app) error {
			return failedStep(fmt.Errorf("%w: %s", operator.ErrGuard, hostile))
		},
		"release that waits": func(a *app) error {
			return failedStep(fmt.Errorf("%w: %s", operator.ErrSilent, hostile))
		},
		"doctor": func(a *app) error {
			f := &findings{area: "Database"}
			f.list = doctor.DatabaseReport(poisoned[postgres.Report]())
			lan := broadcast.Report{Peers: []broadcast.Peer{poisoned[broadcast.Peer]()}}
			f.list = append(f.list, doctor.LAN(lan)...)
			f.problem("nothing", "%s at %s: %v", hostile, title(entry.Service, entry.Version), errors.New(hostile))
			return a.printFindings(f.list)
		},
		"configuration": func(a *app) error { return a.showConfig(poisoned[skerry.Config]()) },
		"wrong configuration": func(*app) error {
			return usagef("%w", error(&config.Error{Problems: []config.Problem{poisoned[config.Problem]()}}))
		},
		"error of a library": func(*app) error { return errors.New(hostile) },
		"error of several":   func(*app) error { return errors.Join(errors.New(hostile), problemf("%s", hostile)) },
		"error of an exit":   func(*app) error { return unreachablef("%w\nNext: %s", errors.New(hostile), hostile) },
		"a line that passes": plain(func(a *app) { a.passing("%s", hostile) }),
		"a forgotten fmt": plain(func(a *app) {
			fmt.Fprint(a.out, strings.NewReplacer("\n", "", "\t", "").Replace(hostile))
			fmt.Fprintln(a.err)
		}),
		"the statistics of no process": plain(func(a *app) {
			a.printf("No calls of %s in %s.\n", orAll(hostile), hostile)
		}),
		"a table": plain(func(a *app) {
			a.printTable([]string{"A", "B"}, [][]string{{hostile, "1"}})
		}),
		"a service of another name": func(*app) error { return registry.CheckName("service", hostile) },
	}
	return all
}

func TestNothingHostileIsPrinted(t *testing.T) {
	for what, print := range printers() {
		for _, asJSON := range []bool{false, true} {
			var out, errs bytes.Buffer
			a := newApp(strings.NewReader(""), &out, &errs)
			a.flags.json, a.started = asJSON, true
			a.report(print(a))
			a.out.Flush()
			harmless(t, what, out.String())
			harmless(t, what, errs.String())
			if what == "a forgotten fmt" {
				continue // the output is not a document
			}
			for _, text := range []string{out.String(), errs.String()} {
				if asJSON && text != "" && strings.HasPrefix(text, "{") && !json.Valid([]byte(text)) {
					t.Errorf("%s: no JSON: %s", what, text)
				}
			}
		}
	}
}

// TestHostileSite runs every subcommand of release on a site with only hostile texts.
func TestHostileSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, state := range []rollout.State{
			rollout.Prepared, rollout.Ramping, rollout.Switched, rollout.RollingBack, rollout.Stopped,
		} {
			for _, line := range [][]string{
				{"status"}, {"holders"}, {"validate"}, {"log"}, {"refresh"}, {"refresh", "--discard"}, {"adopt"},
				{"clean"}, {"rollback"},
				{"config", "get", hostile}, {"config", "put", hostile, hostile + "=" + hostile}, {"commit"},
				{"commit", "--ramp", hostile},
				{"start", "--by", hostile, "--reason", hostile}, {"ship", hostile}, {"ship", "all", "--wait", "1s"},
				{"ship", hostile, "--version", "v9", "--wait", "1s"},
				{"status", "--dead", hostile}, {hostile}, {"ship", "--" + hostile}, {"ship", "--file", hostile},
			} {
				d := newDrill()
				for i := range d.Instances {
					service := d.Instances[i].Service
					poison(reflect.ValueOf(&d.Instances[i]).Elem(), 0)
					d.Instances[i].State = discovery.OK
					if i%2 == 0 {
						d.Instances[i].Version = service + hostile
					}
				}
				for i := range d.Members {
					poison(reflect.ValueOf(&d.Members[i]).Elem(), 0)
				}
				session := poisoned[rollout.Release]()
				session.State = state
				session.Settings[hostile] = map[string]string{
					hostile: hostile, "version": hostile, "check": "touch " + hostile,
				}
				d.Trail = []rollout.Entry{{Generation: rollout.Generation{N: 1}, Release: hostile, By: hostile,
					Step: hostile, Session: &session,
					Rules: map[string]rollout.Rule{hostile: {Version: hostile}}}}
				d.Pending = []rollout.Entry{{Generation: rollout.Generation{N: 2}, By: hostile, Step: hostile,
					Release: hostile}}
				d.Frozen = hostile
				d.holders = [][]releases.Holder{{poisoned[releases.Holder]()}}
				d.refused = map[string]error{hostile: errors.New(hostile)}
				for _, json := range []string{"--json=false", "--json"} {
					_, out := d.on(t, "y\n", append(line, "--yes", json)...)
					harmless(t, strings.Join(line, " "), out)
				}
			}
		}
	})
}

// TestStatisticsOfHostileCallers reads the log of a process after calls of hostile
// callers.
func TestStatisticsOfHostileCallers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.stats.log")
	sink := statlog.New(statlog.Config{Path: file})
	row := health.Row{
		Key:  health.Key{Side: health.Server, Service: hostile, Method: hostile, Peer: hostile, Version: hostile},
		From: time.Now(), To: time.Now(),
	}
	row.Outcomes[0] = 1
	if err := sink.Write(t.Context(), []health.Row{row}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	harmless(t, "the log of statistics", string(text))
	for _, more := range [][]string{nil, {"--json"}} {
		code, out, errs := cli(t, "", append([]string{"stats", "--log", file, "--by", "peer"}, more...)...)
		harmless(t, "stats", out+errs)
		if code != exitOK || !strings.Contains(out, "FORGED") {
			t.Errorf("exit code %d\n%s%s", code, out, errs)
		}
	}
}

// TestOneWayToTheTerminal: every file of the command prints through the Writers of app.
func TestOneWayToTheTerminal(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(testdata), "*.go"))
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	forbidden := map[string]bool{"fmt.Print": true, "fmt.Printf": true, "fmt.Println": true, "os.Stdout": true,
		"os.Stderr": true, "log.Print": true, "log.Printf": true, "log.Fatal": true, "fmt.Fprintf": true}
	allowed := map[string]int{
		"main.go os.Stdout": 1, "main.go os.Stderr": 1, // arguments of newApp
		"show.go fmt.Fprintf": 4, // to a buffer
	}
	found := map[string]int{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && forbidden[x.Name+"."+s.Sel.Name] {
					found[filepath.Base(file)+" "+x.Name+"."+s.Sel.Name]++
				}
			}
			return true
		})
	}
	if !maps.Equal(found, allowed) {
		t.Errorf("prints past quoting: %v, allowed are %v", found, allowed)
	}
}

// TestNoCommandOfTheLog: ship neither keeps nor runs a check from the release. No
// setting becomes a variable that a shell or skerry obeys.
func TestNoCommandOfTheLog(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	code, out := d.on(t, "", "config", "put", "auth", "version=v2", "check=./probe auth", "--yes")
	if r, _ := d.Newest(); code != exitUsage || !strings.Contains(out, "release.yaml") || len(r.Settings) != 0 {
		t.Errorf("put: exit code %d, settings %v\n%s", code, r.Settings, out)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	file := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(file, []byte("touch "+trace), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := d.on(t, "", "config", "put", "auth", "--file", file, "--yes"); code != exitUsage {
		t.Errorf("put of a file: exit code %d\n%s", code, out)
	}
	// another program wrote into the log
	values := map[string]string{
		"check": "touch " + trace, "version": "v2", "config": "/tmp/x", "addrs": "10.9.9.9:1",
		"Path": "/tmp", "wish": "2",
	}
	if _, err := d.Put(t.Context(), "auth", values); err != nil {
		t.Fatal(err)
	}
	out = d.must(t, "ship", "auth", "--check", "env")
	if _, err := os.Stat(trace); err == nil {
		t.Error("the command of the log was run")
	}
	for _, want := range []string{
		"It is not run", "SKERRY_SETTING_CONFIG=/tmp/x", "SKERRY_SETTING_PATH=/tmp",
		"SKERRY_ADDRS=10.0.0.3:7000 10.0.0.4:7000",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	for _, bad := range []string{
		"\nSKERRY_CONFIG=/tmp/x", "\nPATH=/tmp\n", "10.9.9.9:1\nSKERRY_ADDRS", "SETTING_CHECK",
	} {
		if strings.Contains(out, bad) {
			t.Errorf("%q in\n%s", bad, out)
		}
	}
}

// TestSettingsAreLines: a comma in a value does not break a line.
func TestSettingsAreLines(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	d.must(t, "config", "put", "auth", "version=1.10", "probe=./probe a,b --tag=x,y")
	if _, out := d.on(t, "", "config", "get", "auth"); out != "probe=./probe a,b --tag=x,y\nversion=1.10\n" {
		t.Errorf("%q", out)
	}
}
