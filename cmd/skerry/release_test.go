package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/registry"
)

// drill is a site without processes. It has the rules of package rollout over a log in
// memory, and the test sets the rest.
type drill struct {
	releases.Site
	by      string
	holders [][]releases.Holder // of the rounds to come
	refused map[string]error    // connections, by address
	fails   int                 // share at which the guard turns back
	says    func(operator.Progress)
	copies  []operator.Watched // that the site's policy has made
	stuck   bool               // a process that has yielded its turn does not stop
	retire  []rollout.Retirement
	policy  releases.Policy
	hands   releases.Hands
}

func (d *drill) Hands() releases.Hands { return d.hands }

func (d *drill) State(context.Context) (releases.Site, error) { return d.Site, nil }

// step makes one change of the log.
func (d *drill) step(what string, do func(rollout.Release, *rollout.Log, rollout.Generation) (rollout.Release,
	map[string]rollout.Rule, error)) (rollout.Release, error) {
	log, err := d.Log()
	if err != nil {
		return rollout.Release{}, err
	}
	r, _ := d.Newest()
	e := log.Next(r.Name, nil)
	next, rules, err := do(r, log, e.Generation)
	if err != nil {
		return r, err
	}
	e.Release, e.By, e.At, e.Step, e.Session, e.Rules = next.Name, d.by, time.Now(), what, &next, rules
	e.Retire, d.retire = d.retire, nil
	d.Trail = append(d.Trail, e)
	for i := range d.Members {
		d.Members[i].Applied = e.Generation
	}
	return next, nil
}

func (d *drill) Start(_ context.Context, reason string) (rollout.Release, error) {
	return d.step("start: "+reason, func(_ rollout.Release, _ *rollout.Log, at rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, error) {
		return rollout.Release{Name: fmt.Sprintf("r%v", at), By: d.by, Reason: reason, Opened: time.Now(), Mark: "m4rk",
			State: rollout.Prepared}, nil, nil
	})
}

func (d *drill) Put(_ context.Context, module string, values map[string]string) (rollout.Release, error) {
	return d.step("config put "+module, func(r rollout.Release, _ *rollout.Log, _ rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, error) {
		next, err := r.Put(module, values)
		return next, nil, err
	})
}

func (d *drill) Ship(_ context.Context, m rollout.Module) (rollout.Release, error) {
	return d.step("ship "+m.Service+"/"+m.New,
		func(r rollout.Release, log *rollout.Log, _ rollout.Generation) (rollout.Release, map[string]rollout.Rule,
			error) {
			return r.Ship(log, m)
		})
}

func (d *drill) Commit(ctx context.Context, shares []int, every time.Duration, g operator.Guard,
	tell func(operator.Progress)) (r rollout.Release, err error) {
	for i, share := range shares {
		if now, _ := d.Newest(); share > now.Share {
			r, err = d.step("commit "+releases.Percent(share),
				func(r rollout.Release, log *rollout.Log, at rollout.Generation) (rollout.Release,
					map[string]rollout.Rule, error) {
					return r.Commit(log, share, at)
				})
		}
		if err == nil {
			r, err = d.change()
		}
		if err != nil || i == len(shares)-1 && !g.Of("auth").Watches() {
			return r, err
		}
		watched := operator.Watched{Service: "auth", Version: "v2", Bounds: g.Of("auth"),
			Callers: operator.Tally{Count: operator.Count{Calls: int64(share) / 10, Failures: 1}}}
		tell(operator.Progress{Step: "ramp", Share: share, Left: every, Watched: []operator.Watched{watched}})
		time.Sleep(every)
		if share == d.fails {
			r, err = d.Rollback(ctx)
			return r, errors.Join(err, fmt.Errorf("%w: auth v2: 5 of 100 calls failed", operator.ErrGuard))
		}
		tell(operator.Progress{Step: "ramp", Share: share, Waiting: every, Watched: []operator.Watched{watched},
			Over: true})
	}
	return r, err
}

func (d *drill) Connect(_ context.Context, addr string) error { return d.refused[addr] }

func (d *drill) Rollback(context.Context) (rollout.Release, error) {
	r, err := d.step("rollback", func(r rollout.Release, log *rollout.Log, at rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, error) {
		return r.Rollback(log, at)
	})
	if err != nil {
		return r, err
	}
	return d.change()
}

// change turns over the modules that may run one version only. It reports the progress
// that a controller would report.
func (d *drill) change() (rollout.Release, error) {
	log, err := d.Log()
	if err != nil {
		return rollout.Release{}, err
	}
	r, _ := d.Newest()
	for _, m := range r.ChangingOver(log) {
		rule, _ := log.Rule(m.Service)
		d.says(operator.Progress{Step: "drain", Service: m.Service})
		if rule.Turn == "" {
			err = nil // a process has yielded before
		} else if r, err = d.step("take the turn back from "+m.Service+" "+rule.Turn,
			func(r rollout.Release, log *rollout.Log, _ rollout.Generation) (rollout.Release, map[string]rollout.Rule,
				error) {
				next, rules, retire, err := r.RevokeTurn(log,
					map[string][]rollout.Owner{m.Service: {{Process: "alpha/11/a"}}})
				d.retire = retire
				return next, rules, err
			}); err != nil {
			return r, err
		}
		if d.stuck {
			d.says(operator.Progress{Step: "leave", Service: m.Service, Version: rule.Turn,
				Runs: []string{"alpha/11/a"}})
			return r, context.Canceled
		}
		if r, err = d.step("pass the turn to "+m.Service+" "+rule.Version,
			func(r rollout.Release, log *rollout.Log, _ rollout.Generation) (rollout.Release, map[string]rollout.Rule,
				error) {
				return r.GrantTurn(log)
			}); err != nil {
			return r, err
		}
		d.says(operator.Progress{Step: "begin", Service: m.Service, Version: rule.Version})
	}
	return r, nil
}

func (d *drill) Clean(_ context.Context, tell func([]releases.Holder, string)) (rollout.Release, error) {
	r, err := d.step("clean", func(r rollout.Release, _ *rollout.Log, _ rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, error) {
		next, err := r.Clean()
		return next, nil, err
	})
	if err != nil {
		return r, err
	}
	for _, list := range d.holders {
		tell(list, "")
	}
	tell(nil, "")
	return d.step("retired", func(r rollout.Release, _ *rollout.Log, _ rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, error) {
		r, retire, err := r.Retire()
		if d.retire = retire; err == nil {
			r, err = r.Stop()
		}
		return r, nil, err
	})
}

func (d *drill) Holders(context.Context) ([]releases.Holder, error) {
	if len(d.holders) == 0 {
		return nil, nil
	}
	return d.holders[0], nil
}

func (d *drill) Copies(_ context.Context, _ rollout.Release, g operator.Guard) ([]operator.Watched, int, error) {
	for i := range d.copies {
		d.copies[i].Bounds = g.Of(d.copies[i].Service)
	}
	return d.copies, 0, nil
}

func (d *drill) Refresh(context.Context, bool) error {
	d.Pending = nil
	log, err := d.Log()
	for i := range d.Members {
		if m := &d.Members[i]; m.Silent == "" {
			m.Applied = log.Last()
		}
	}
	return err
}

func (d *drill) Policy(context.Context) releases.Policy { return d.policy }

func (d *drill) Acknowledge(context.Context, ...rollout.Position) error {
	return errors.New("nothing is to be acknowledged")
}

func (d *drill) Vouch(context.Context) error { return errors.New("nothing is to be vouched for") }

func (d *drill) Adopt(context.Context, string) error { return errors.New("nothing is to be adopted") }

// newDrill returns a site with two services in two versions, and three processes.
func newDrill() *drill {
	d := &drill{}
	for i, name := range []string{"auth/v1", "auth/v1", "auth/v2", "auth/v2", "proc/v1", "proc/v2"} {
		service, version, _ := strings.Cut(name, "/")
		d.Instances = append(d.Instances, discovery.Entry{Service: service, Version: version,
			Addr: fmt.Sprintf("10.0.0.%d:7000", i+1), State: discovery.OK})
	}
	d.Members = []operator.MemberStatus{
		{Process: "alpha/11/a", Addr: "10.0.0.1:7000"},
		{Process: "beta/12/b", Addr: "10.0.0.2:7000"},
		{Process: "gamma/13/c", Addr: "10.0.0.5:7000"},
	}
	return d
}

// on runs one command line on the site, with an operator's answers.
func (d *drill) on(t *testing.T, answers string, line ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	a := newApp(strings.NewReader(answers), &out, &out)
	a.openReleases = func(_ context.Context, f *releaseFlags) (releases.Operations, func(), error) {
		d.by, d.says = f.operator(), a.teller().Changes()
		return d, func() {}, nil
	}
	code := a.run(t.Context(), append([]string{"release"}, line...))
	return code, out.String()
}

// must runs a step, which must succeed.
func (d *drill) must(t *testing.T, line ...string) string {
	t.Helper()
	code, out := d.on(t, "", append(line, "--yes")...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d\n%s", line, code, out)
	}
	return out
}

// TestReleaseDialogue shows a complete release of two modules by two operators, as
// printed on the screen.
func TestReleaseDialogue(t *testing.T) {
	t.Chdir(t.TempDir())
	own := "modules:\n  auth: {check: 'echo $SKERRY_MODULE at $SKERRY_ADDRS'}\n"
	if err := os.WriteFile("release.yaml", []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDrill()
		d.holders = [][]releases.Holder{{{Service: "auth", Blocker: rollout.Blocker{Process: "gamma/13/c",
			Why: "holding", Least: rollout.Generation{N: 3}}, Since: time.Now()}}}
		var screen strings.Builder
		for _, line := range [][]string{
			{"status"},
			{"start", "--by", "alice", "--reason", "new token format"},
			{"config", "put", "auth", "version=v2", "wish=2", "max_failures=1%", "max_p99=200ms"},
			{"config", "put", "proc", "version=v2"},
			{"ship", "all"},
			{"status"},
			{"commit", "--by", "bob", "--ramp", "10,100", "--every", "10s"},
			{"status"},
			{"validate"},
			{"clean", "--by", "bob"},
			{"status"},
			{"log"},
		} {
			time.Sleep(time.Minute)
			code, out := d.on(t, "y\n", line...)
			fmt.Fprintf(&screen, "$ skerry release %s\n%s", strings.Join(line, " "), out)
			if code != exitOK {
				fmt.Fprintf(&screen, "exit code %d\n", code)
			}
		}
		text := checkTime.ReplaceAllString(screen.String(), "passed in 2ms")
		text = strings.ReplaceAll(text, (releaseFlags{}).operator(), "carol@alpha")
		golden(t, "release", []byte(text))
	})
}

// checkTime matches the duration of a real command.
var checkTime = regexp.MustCompile(`passed in \S+`)

// TestReleaseTrouble shows the texts for an operator when a step is blocked.
func TestReleaseTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill()
		var screen strings.Builder
		say := func(what string, line ...string) {
			time.Sleep(time.Minute)
			code, out := d.on(t, "y\n", line...)
			fmt.Fprintf(&screen, "# %s\n$ skerry release %s\n%sexit code %d\n\n", what, strings.Join(line, " "),
				out, code)
		}
		say("nothing is open", "commit")
		say("nobody says why", "start", "--by", "alice")
		d.must(t, "start", "--by", "alice", "--reason", "new token format")
		say("another one is open", "start", "--by", "bob", "--reason", "mine")
		say("a slip of the keyboard", "config", "put", "auht", "versoin=v2")
		say("it is taken out again", "config", "put", "auht", "versoin=")
		say("settings that nobody put", "config", "get", "auth")
		say("nothing goes yet", "holders")
		say("a module that nobody offers", "ship", "auht", "--version", "v2")
		say("a bound that is none", "config", "put", "auth", "max_failures=200%")
		say("nothing is shipped", "commit")
		say("no version is named", "ship", "auth")
		d.refused = map[string]error{"10.0.0.4:7000": errors.New("connection refused")}
		say("an instance is listed and can't be called", "ship", "auth", "--version", "v2", "--wait", "5s")
		d.refused = nil
		say("the check fails, of the second of two modules", "ship", "--file",
			manifestOf(t, "  auth: {version: v2}\n  proc: {version: v2, check: 'echo no use; exit 3'}\n"))
		d.must(t, "ship", "proc", "--version", "v2")
		d.fails = 1000
		say("the guard turns back", "commit", "--ramp", "10,100", "--every", "1m", "--max-failures", "1%")
		say("too late for another commit", "commit")
		log, _ := d.Log()
		half := log.Next("r1", nil)
		half.By, half.Step = "bob", "clean"
		d.Pending = []rollout.Entry{half}
		say("somebody's step was cut off", "status")
		say("the same, as differences", "validate")
		say("it is given up", "refresh", "--discard")
		d.Members[0].Orphans = map[string]int64{"auth.getToken": 7, "made by portal": 2}
		asked := time.Now().Add(time.Minute) // by the next command
		d.Members[1].Silent, d.Members[1].Ended, d.Members[1].Heard = "no answer", true, asked
		d.Members[2].Silent, d.Members[2].Heard = "no answer", asked.Add(-42*time.Second)
		d.Instances[4].Owner = "gamma/13/c" // of proc v1
		say("orphans, one who has ended, one who is silent", "status")
		say("the same, as differences", "validate")
		say("a slip in whom one vouches for", "holders", "--dead", "delta/14")
		golden(t, "release-trouble", []byte(manifestPath.ReplaceAllString(screen.String(), "release.yaml")))
	})
}

var manifestPath = regexp.MustCompile(`\S+/release\.yaml`)

// TestACheckHasAnEnd runs outside a bubble, because the check is a real command.
func TestACheckHasAnEnd(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	began := time.Now()
	code, out := d.on(t, "", "ship", "auth", "--version", "v2", "--check", "echo begun; exec sleep 60", "--check-time",
		"300ms", "--yes")
	if code != exitProblem || !strings.Contains(out, "begun\n") ||
		!strings.Contains(out, "has not ended within 300ms") || time.Since(began) > 30*time.Second {
		t.Errorf("exit code %d after %v\n%s", code, time.Since(began), out)
	}
	if r, _ := d.Newest(); len(r.Modules) != 0 {
		t.Errorf("shipped all the same: %v", r.Modules)
	}
}

// TestBoundsOfModules: ship keeps a manifest's bounds in the release. Every operator's
// commit applies them.
func TestBoundsOfModules(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	d.must(t, "ship", "--file", manifestOf(t,
		"  auth: {version: v2, max_failures: 0.5%, max_p99: 80ms, min_calls: 300}\n"+
			"  proc: {version: v2, guard: off}\n"))
	d.must(t, "ship", "--file", manifestOf(t, "  auth: {version: v2, max_failures: 0.5%}\n"))
	if puts := strings.Count(fmt.Sprint(d.Trail), "config put"); puts != 2 {
		t.Errorf("%d settings were written, want one for each module, once", puts)
	}
	_, out := d.on(t, "", "commit", "--ramp", "10,100", "--max-failures", "5%")
	for _, want := range []string{"more than 0.5 % of the calls of auth/v2 fail", "80ms; 300 calls are needed",
		"not watch proc/v2"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	for _, bad := range []string{"max_p99=soon", "max_p99=10us", "min_calls=0", "guard=maybe", "max_failures=x",
		"check_time=0s"} {
		if code, out := d.on(t, "", "config", "put", "auth", bad); code != exitUsage ||
			!strings.Contains(out, strings.Split(bad, "=")[0]) {
			t.Errorf("%s: exit code %d\n%s", bad, code, out)
		}
	}
}

func manifestOf(t *testing.T, modules string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "release.yaml")
	if err := os.WriteFile(path, []byte("modules:\n"+modules), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecondReleaseIsRefused(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "new tokens")
	code, out := d.on(t, "y\n", "start", "--by", "bob", "--reason", "mine")
	if code != exitProblem || !strings.Contains(out, "of alice (new tokens) is open since") ||
		!strings.Contains(out, "skerry release ship") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if code, out := d.on(t, "", "start", "--by", "bob"); code != exitUsage || !strings.Contains(out, "--reason WHY") {
		t.Errorf("without a reason: exit code %d\n%s", code, out)
	}
}

// TestOperatorByDefault: --by defaults to this user and host, as its help says.
func TestOperatorByDefault(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--reason", "x")
	host, _ := os.Hostname()
	if r, _ := d.Newest(); !strings.Contains(r.By, host) {
		t.Errorf("the release is of %q, want this user at %s", r.By, host)
	}
}

// TestStartWarnsOfVersions: a release fixes no version of a service that runs two
// versions without a rule.
func TestStartWarnsOfVersions(t *testing.T) {
	d := newDrill()
	if out := d.must(t, "start", "--by", "alice", "--reason", "x"); !strings.Contains(out,
		"fix no version of auth, as v1 and v2 run at once") {
		t.Errorf("no warning:\n%s", out)
	}
	d = newDrill()
	d.Instances = d.Instances[:2]
	if out := d.must(t, "start", "--by", "alice", "--reason", "x"); strings.Contains(out, "fix no version") {
		t.Errorf("a warning, though one version runs:\n%s", out)
	}
}

// TestLogWithoutProcesses: without a running process, the commands show the database's
// log and run no step.
func TestLogWithoutProcesses(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	d.Members, d.Instances = nil, nil
	if out := d.must(t, "log"); !strings.Contains(out, "start: x") {
		t.Errorf("log:\n%s", out)
	}
	if code, out := d.on(t, "", "status"); code != exitOK || !strings.Contains(out, "No process of the site answers") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	if code, out := d.on(t, "", "commit", "--yes"); code != exitUnreachable ||
		!strings.Contains(out, "no process of the site answers") {
		t.Errorf("commit: exit code %d\n%s", code, out)
	}
}

// TestLogIsOneDocument: release log --json prints one array, also an empty one.
func TestLogIsOneDocument(t *testing.T) {
	d := newDrill()
	for want := range 2 {
		for _, line := range [][]string{{"log", "--json"}, {"log", "--verify", "--json"}} {
			d.Signers = make([]releases.Signer, len(d.Trail))
			code, out := d.on(t, "", line...)
			var list []map[string]any
			if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK || len(list) != want ||
				list == nil {
				t.Errorf("%v: exit code %d, %v, want an array of %d:\n%s", line, code, err, want, out)
			}
		}
		if want == 0 {
			d.must(t, "start", "--by", "alice", "--reason", "x")
		}
	}
}

// TestExitCodes checks the table of doc.go.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{fmt.Errorf("commit: %w", operator.ErrNoMoment), exitProblem},
		{fmt.Errorf("commit: %w", rollout.ErrStep), exitProblem},
		{fmt.Errorf("commit: %w", operator.ErrForked), exitProblem},
		{usagef("--ramp: want growing shares"), exitUsage},
		{fmt.Errorf("commit: %w", operator.ErrSilent), exitUnreachable},
		{fmt.Errorf("read the rule log: %w", registry.ErrUnavailable), exitUnreachable},
	} {
		var out bytes.Buffer
		a := newApp(nil, &out, &out)
		a.started = true
		if code := a.report(failedStep(c.err)); code != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, code, c.want)
		}
	}
}

func TestNothingIsDoneWithoutYes(t *testing.T) {
	d := newDrill()
	for _, answer := range []string{"", "n\n", "what\n"} {
		code, out := d.on(t, answer, "start", "--by", "alice", "--reason", "x")
		if code != exitProblem || len(d.Trail) != 0 || !strings.Contains(out, "nothing was done") {
			t.Errorf("answer %q: exit code %d, %d entries\n%s", answer, code, len(d.Trail), out)
		}
	}
	if code, _ := d.on(t, "y\n", "start", "--by", "alice", "--reason", "x", "--json"); code != exitUsage ||
		len(d.Trail) != 0 {
		t.Errorf("--json without --yes: exit code %d", code)
	}
}

func TestStepsOutOfOrder(t *testing.T) {
	d := newDrill()
	for _, line := range [][]string{{"commit"}, {"ship", "auth", "--version", "v2"}, {"clean"}, {"rollback"},
		{"holders"}} {
		if code, out := d.on(t, "y\n", line...); code != exitProblem || !strings.Contains(out, "skerry release start") {
			t.Errorf("%v without a release: exit code %d\n%s", line, code, out)
		}
	}
	d.must(t, "start", "--by", "alice", "--reason", "x")
	if code, out := d.on(t, "y\n", "commit"); code != exitProblem || !strings.Contains(out, "ship a module first") {
		t.Errorf("commit of nothing: exit code %d\n%s", code, out)
	}
	if code, out := d.on(t, "y\n", "clean"); code != exitProblem || !strings.Contains(out, "PREPARED") {
		t.Errorf("clean before commit: exit code %d\n%s", code, out)
	}
}

// ship counts a dead instance of the old version at its start. It does not wait for a
// new one in its place.
func TestShipDoesNotWaitForTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill()
		d.Instances = append(d.Instances, discovery.Entry{Service: "auth", Version: "v1", Addr: "10.0.0.9:7000",
			State: discovery.OK})
		d.refused = map[string]error{"10.0.0.9:7000": errors.New("connection refused")}
		d.must(t, "start", "--by", "alice", "--reason", "x")
		code, out := d.on(t, "", "ship", "auth", "--version", "v2", "--wait", "10s", "--yes")
		if code != exitOK || !strings.Contains(out, "auth/v2: 2 of 2 up") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		d.must(t, "rollback")
		d.must(t, "clean")
		d.must(t, "start", "--by", "alice", "--reason", "x")
		code, out = d.on(t, "", "ship", "auth", "--version", "v2", "--wish", "3", "--wait", "10s", "--yes")
		if code != exitProblem || !strings.Contains(out, "2 of 3 instances") {
			t.Errorf("what the operator wished is waited for: exit code %d\n%s", code, out)
		}
	})
}

func TestShipWaitsAndChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill()
		d.must(t, "start", "--by", "alice", "--reason", "x")
		code, out := d.on(t, "", "ship", "auth", "--version", "v2", "--wish", "3", "--wait", "10s", "--yes")
		if code != exitProblem || !strings.Contains(out, "2 of 3 instances of v2 are up after 10s") {
			t.Errorf("too few instances: exit code %d\n%s", code, out)
		}
		code, out = d.on(t, "", "ship", "auth", "--version", "v2", "--check", "echo no use; exit 3", "--yes")
		if code != exitProblem || !strings.Contains(out, "no use") || !strings.Contains(out, "auth is not shipped") {
			t.Errorf("failed check: exit code %d\n%s", code, out)
		}
		for _, c := range []struct {
			want string
			line []string
		}{
			{"which version?", []string{"auth"}},
			{"serves already", []string{"auth", "--version", "v1", "--old", "v1"}},
			{"which version serves now? listed are v1, v2", []string{"auth", "--version", "v3"}},
			{"known are concurrent", []string{"auth", "--version", "v2", "--strategy", "eager"}},
			{"of one module", []string{"auth", "proc", "--version", "v2"}},
			{"nothing to ship", nil},
		} {
			if code, out := d.on(t, "", append([]string{"ship", "--yes"}, c.line...)...); code != exitUsage ||
				!strings.Contains(out, c.want) {
				t.Errorf("%v: exit code %d, want %q\n%s", c.line, code, c.want, out)
			}
		}
		if r, _ := d.Newest(); len(r.Modules) != 0 {
			t.Errorf("shipped all the same: %v", r.Modules)
		}
	})
}

func TestManifest(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	path := filepath.Join(t.TempDir(), "release.yaml")
	text := "modules:\n  auth: {version: v2, wish: 2, check: 'test $SKERRY_SETTING_COLOUR = red', env: {colour: " +
		"red}}\n  proc: {version: v2, strategy: waiting, patience: 5s, give_up: true}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.must(t, "ship", "--file", path)
	r, _ := d.Newest()
	if len(r.Modules) != 2 || r.Modules[0].New != "v2" || r.Modules[1].Strategy != rollout.Waiting ||
		r.Modules[1].Patience != 5*time.Second || !r.Modules[1].GiveUp {
		t.Errorf("modules: %+v", r.Modules)
	}
	if err := os.WriteFile(path, []byte("modules: {auth: {verzion: v2}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := d.on(t, "", "ship", "--file", path, "--yes"); code != exitUsage ||
		!strings.Contains(out, "verzion") {
		t.Errorf("mistake in the manifest: exit code %d\n%s", code, out)
	}
}

// TestGuardTurnsBack ramps a version that fails at a share of half of the users.
func TestGuardTurnsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrill()
		d.fails = rollout.Whole / 2
		d.must(t, "start", "--by", "alice", "--reason", "x")
		d.must(t, "ship", "auth", "--version", "v2")
		began := time.Now()
		code, out := d.on(t, "", "commit", "--ramp", "10,50,100", "--every", "1m", "--max-failures", "1%", "--max-p99",
			"200ms", "--yes")
		r, _ := d.Newest()
		if code != exitProblem || r.State != rollout.RollingBack || time.Since(began) != 2*time.Minute {
			t.Errorf("exit code %d, %s after %v", code, r.State, time.Since(began))
		}
		for _, want := range []string{"roll back when more than 1 % of the calls of auth/v2 fail",
			"take longer than 200ms", "the guard turns back", "meet auth/v1 again"} {
			if !strings.Contains(out, want) {
				t.Errorf("want %q in\n%s", want, out)
			}
		}
	})
}

func TestRampSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"100": "[10000]", "10,50,100": "[1000 5000 10000]", "0.5%, 100%": "[50 10000]",
		"50,10,100": "", "10,50": "", "10,10,100": "", "0,100": "", "x": "", "": "", "101": "",
	} {
		have, err := releases.ParseRamp(text)
		if want == "" && err == nil || want != "" && fmt.Sprint(have) != want {
			t.Errorf("%q: %v, %v; want %s", text, have, err, want)
		}
	}
}

// TestDifferences finds contradictions to the log, and mends those that it can.
func TestDifferences(t *testing.T) {
	d := newDrill()
	d.must(t, "start", "--by", "alice", "--reason", "x")
	d.must(t, "ship", "auth", "--version", "v2")
	d.must(t, "commit")
	d.Members[0].Applied.N--
	d.Members[1].Silent, d.Members[1].Heard = "no answer", time.Now().Add(-42*time.Second)
	d.Instances = d.Instances[2:] // both auth/v1
	d.Instances = append(d.Instances, discovery.Entry{Service: "auth", Version: "v9", Addr: "10.0.0.9:7000",
		State: discovery.OK})
	code, out := d.on(t, "", "validate")
	for _, want := range []string{"auth/v1 is the backup, and no instance", "auth/v9 is in no release",
		"alpha/11/a goes by generation 2, the newest is 3", "beta/12/b has not answered for 42s"} {
		if code != exitProblem || !strings.Contains(out, want) {
			t.Errorf("exit code %d, want %q\n%s", code, want, out)
		}
	}
	code, out = d.on(t, "", "refresh")
	if code != exitProblem || strings.Contains(out, "goes by generation") {
		t.Errorf("refresh: exit code %d\n%s", code, out)
	}
}

// TestRetiredIsADifference: processes of a version that a release has retired still run. validate, status,
// doctor and ls name the version, and validate fails until they have ended. The log of such a process says
// the same (skerry.TestRetiredSaysSo).
func TestRetiredIsADifference(t *testing.T) {
	d := newDrill()
	d.Instances = d.Instances[:5] // one version of proc
	d.must(t, "start", "--by", "alice", "--reason", "x")
	d.must(t, "ship", "auth", "--version", "v2")
	d.must(t, "commit")
	d.must(t, "clean")
	code, out := d.on(t, "", "validate")
	if code != exitProblem || !strings.Contains(out, "auth/v1 is retired, and 2 instances are listed: they refuse") ||
		!strings.Contains(out, "stop these processes") || strings.Contains(out, "auth/v2") {
		t.Errorf("validate: exit code %d\n%s", code, out)
	}
	if out := d.must(t, "status"); !regexp.MustCompile(`v1 +(\S+ +)*retired`).MatchString(out) {
		t.Errorf("status:\n%s", out)
	}

	log, err := d.Log()
	if err != nil {
		t.Fatal(err)
	}
	listed := slices.Clone(d.Instances)
	for i, e := range listed {
		listed[i].Standing = string(log.Standing(e.Service, e.Version)) // as Node.Explain sets it
	}
	f := &findings{area: "Instances"}
	f.standings(listed)
	if len(f.list) != 1 || f.list[0].Level != problem ||
		!strings.Contains(string(f.list[0].Text), "auth/v1: 2 instances are listed, and a release has retired") {
		t.Errorf("doctor: %+v", f.list)
	}
	var table bytes.Buffer
	a := newApp(nil, &table, &table)
	a.instanceTable(listing{Instances: listed}, false, time.Now())
	a.out.Flush()
	if got := strings.Count(table.String(), "ok,retired"); got != 2 {
		t.Errorf("ls names %d instances, want 2:\n%s", got, table.String())
	}

	d.Instances = d.Instances[2:] // they have ended
	if code, out := d.on(t, "", "validate"); code != exitOK {
		t.Errorf("validate after their end: exit code %d\n%s", code, out)
	}
}

// TestTheLogStaysWithSomebody: where the processes keep the log, one of them must
// outlive a change over.
func TestTheLogStaysWithSomebody(t *testing.T) {
	d := newDrill()
	d.Spread = true
	d.Instances = append(d.Instances, discovery.Entry{Service: "auth", Version: "v1", Addr: "10.0.0.7:7000",
		State: discovery.OK, Owner: "gamma/13/c"})
	d.Instances[0].Owner, d.Instances[1].Owner = "alpha/11/a", "beta/12/b"
	d.must(t, "start", "--by", "alice", "--reason", "x")
	d.must(t, "ship", "auth", "--version", "v2", "--strategy", "blocking")
	if code, out := d.on(t, "", "commit", "--yes"); code != exitProblem ||
		!strings.Contains(out, "would be forgotten") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	d.Instances = d.Instances[:len(d.Instances)-1] // gamma is a caller only
	d.must(t, "commit")
}
