package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/refusal"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/registry/postgres"
)

// longText has words between which a column must be broken, and one word that fits no
// column.
const longText = "vanished with 2 of 3; it answers, and 服务发现 knows it by a-name-of-" +
	"sixty-three-characters-that-is-allowed-for-services-and-versions, since then"

// checkWidth fails when a line has more than width cells.
func checkWidth(t *testing.T, what, output string, width int) {
	t.Helper()
	for line := range strings.Lines(output) {
		if n := cells(strings.TrimRight(line, "\n")); n > width {
			t.Errorf("%s: %d cells in a terminal of %d: %s", what, n, width, line)
		}
	}
}

// TestTablesFitTheTerminal: tables of all shapes have no line that is too long, and
// lose no word.
func TestTablesFitTheTerminal(t *testing.T) {
	header := []string{"SERVICE", "VERSION", " CALLS", "STATE", " UP", "TAGS", "WHY"}
	rows := [][]string{
		{"auth", "v1", "12", "ok", "3m", "rack=b,disk=ssd", longText},
		{longText, "v1", "123456789", "suspect,retired,stale", "3m", "-", ""},
		{"认证服务", "2026.11.30-r1", "1", "ok", "51h00m", "机架=三号,磁盘=固态", "连接被对方重置"},
	}
	for width := tableLeast; width < 250; width++ {
		for n := 1; n <= len(header); n++ {
			var cut [][]string
			for _, r := range rows {
				cut = append(cut, r[:n])
			}
			text := tableText(header[:n], cut, width)
			checkWidth(t, fmt.Sprintf("%d columns", n), text, width)
			for _, r := range cut {
				for _, word := range slices.Concat(breakable(strings.Join(r, " "))) {
					if word = strings.Trim(word, " "); cells(word) <= 30 && word != "-" &&
						!strings.Contains(text, word) {
						t.Fatalf("%d columns in %d cells: %q is lost:\n%s", n, width, word, text)
					}
				}
			}
		}
	}
}

// TestWrap breaks texts between words and loses no text.
func TestWrap(t *testing.T) {
	for width := 1; width < 90; width++ {
		lines := wrap(longText, width)
		if have := strings.ReplaceAll(strings.Join(lines, ""), " ", ""); have != strings.ReplaceAll(longText, " ", "") {
			t.Fatalf("in %d cells:\n%s", width, strings.Join(lines, "\n"))
		}
		if width > 1 { // a Chinese character takes two cells
			checkWidth(t, "wrap", strings.Join(lines, "\n"), width)
		}
	}
	if have := wrap("a, b,c d", 4); !slices.Equal(have, []string{"a,", "b,c", "d"}) {
		t.Errorf("%q", have)
	}
}

// TestEveryTableIn80Columns prints every table of every command to a terminal
// of 80 columns.
func TestEveryTableIn80Columns(t *testing.T) {
	now := time.Now()
	r := filled[rollout.Release]()
	r.State, r.Modules[0].Service = rollout.Draining, longText
	h := filled[releases.Holder]()
	h.Why, h.Service = "holding", "auth"
	row := filled[health.Row]()
	row.Service, row.Side = "launch-site-inventory", health.Client
	refused := control.Refusals{
		Process: "launch-control-7/31245/9f8e7d6c5b4a", Up: time.Hour, Kinds: map[string]int64{},
	}
	for _, k := range refusal.All() {
		refused.Kinds[k.Name] = 1 << 40
	}
	status := filled[releases.Status]()
	status.Versions[0].Service, status.Processes[0].Why, status.Frozen = "launch-site-inventory", longText, longText
	status.Processes[0].Name = "launch-control-7/31245/9f8e7d6c5b4a"
	status.Processes[0].Runs = []string{"auth/v1", "proc/2026.11.30"}
	status.Logs[0].Step = longText
	status.Environments[0].Versions = map[string]string{"auth": "v1", "proc": "v2", "launch": "2026.11.30"}
	entry := filled[rollout.Entry]()
	entry.Step, entry.By = "start: "+longText, "zhang.wei@launch-control-7"
	line := func(print func(*app)) func(*app) error {
		return func(a *app) error { print(a); return nil }
	}
	for what, print := range map[string]func(*app) error{
		"ls":      func(a *app) error { return a.printListing(sample(now), "", false) },
		"ls -w":   func(a *app) error { return a.printListing(sample(now), "", true) },
		"stats":   line(func(a *app) { a.statsTable([]health.Row{row}, "peer") }),
		"refused": func(a *app) error { return a.printRefused([]control.Refusals{refused}, nil) },
		"status":  func(a *app) error { return a.printStatus(status, now) },
		"holders": func(a *app) error { return a.printHolders(r, []releases.Holder{h}, now) },
		"validate": func(a *app) error {
			return a.printDifferences([]releases.Difference{{What: longText, Mend: longText}}, releases.Policy{})
		},
		"log": func(a *app) error { return a.printLog([]rollout.Entry{entry}) },
		"log --verify": func(a *app) error {
			return a.printVerified(releases.Site{
				Status:  operator.Status{Trail: []rollout.Entry{entry}},
				Signers: []releases.Signer{{Err: errors.New(longText)}},
			})
		},
		"a plan": func(a *app) error {
			return a.confirm(&releaseFlags{yes: true}, longText, releases.HowToPreview(r))
		},
		"policy history": func(a *app) error {
			return a.printHistory("x", []policychange.Change{longChange()})
		},
		"policy show --processes": func(a *app) error {
			return a.printPolicyProcesses("x", policylog.Entry{Number: 18},
				[]control.PolicyProcess{{Process: "launch-control-7/31245/9f8e7d6c5b4a", Err: errors.New(longText)}})
		},
		"policy apply": func(a *app) error { return a.printPolicyResult(longResult()) },
		"policy explain": func(a *app) error {
			x := filled[policyExplained]()
			x.Settings[0].Key = "outlier.max_ejected"
			x.Settings[0].From = "services.launch-site-inventory.outlier.max_ejected"
			x.Items[0].Key, x.Items[0].Because = "plans.storm.services.launch-site-inventory.limits[12]", longText
			return a.printPolicyExplained(x, "18 of zhang.wei@launch-control-7")
		},
		"policy access": func(a *app) error {
			x := filled[policychange.Accessed]()
			x.Calls[0].Caller, x.Calls[0].Service = "launch-control-station-7", "launch-site-inventory"
			x.Calls[0].Calls, x.Calls[0].Item = 1<<40, "services.launch-site-inventory.access.deny[12]"
			return a.printPolicyAccess(x, "", false)
		},
		"policy try": func(a *app) error {
			t := filled[policychange.Trial]()
			t.Faults, t.Notes = []string{longText}, []string{longText}
			return a.printPolicyTried(t)
		},
		"a step": func(a *app) error { return a.stepped(r, longText, releases.HowToPreview(r)) },
		"doctor": func(a *app) error {
			f := &findings{area: "Database"}
			f.list = doctor.DatabaseReport(filled[postgres.Report]())
			f.standings([]discovery.Entry{{Service: "auth", Version: "v1", Standing: "retired"}})
			f.problem(longText, "%s", longText)
			return a.printFindings(f.list)
		},
	} {
		var out, errs bytes.Buffer
		a := newApp(strings.NewReader(""), &out, &errs)
		a.width = func() int { return 80 }
		print(a)
		a.out.Flush()
		if out.Len() == 0 {
			t.Errorf("%s: nothing is printed", what)
		}
		checkWidth(t, what, out.String(), 80)
	}
}
