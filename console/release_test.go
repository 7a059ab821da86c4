package console

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// story makes the log of a release, step by step, of auth and proc.
type story struct {
	t *testing.T
	s *snapshot
}

func newStory(t *testing.T) *story {
	s := night()
	s.Findings = nil
	for _, host := range []string{"ops-1", "ops-4", "ops-7"} {
		s.Rollout.Members = append(s.Rollout.Members, operator.MemberStatus{Process: host + "/412/a",
			Addr: "10.20.0.1:7001"})
	}
	return &story{t, s}
}

// step appends a step of an operator.
func (y *story) step(by, text string, change func(*rollout.Log, rollout.Release, rollout.Generation) (rollout.Release,
	map[string]rollout.Rule, []rollout.Retirement, error)) {
	y.t.Helper()
	log, err := rollout.Replay(y.s.Rollout.Trail)
	if err != nil {
		y.t.Fatal(err)
	}
	r, _ := log.Session()
	e := log.Next(r.Name, nil)
	next, rules, retire, err := change(log, r, e.Generation)
	if err != nil {
		y.t.Fatalf("%s: %v", text, err)
	}
	e.Cluster, e.Release, e.By, e.Step, e.Session = y.s.Cluster, next.Name, by, text, &next
	e.Rules, e.Retire, e.At = rules, retire, y.s.At.Add(time.Duration(len(y.s.Rollout.Trail))*time.Minute-time.Hour)
	y.s.Rollout.Trail = append(y.s.Rollout.Trail, e)
	y.s.Signers = append(y.s.Signers, releases.Signer{Name: by})
	y.s.Rollout.Session = &next
	log, err = rollout.Replay(y.s.Rollout.Trail)
	if err != nil {
		y.t.Fatal(err)
	}
	for i := range y.s.Rollout.Members {
		m := &y.s.Rollout.Members[i]
		m.Applied, m.Hash = log.Last(), log.Hash()
	}
}

func (y *story) start() {
	y.step("li", "start: new token format", func(*rollout.Log, rollout.Release, rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, []rollout.Retirement, error) {
		return rollout.Release{Name: "r14", By: "li", Reason: "new token format", Mark: "ah7hysxj32",
			Opened: y.s.At.Add(-time.Hour), State: rollout.Prepared}, nil, nil, nil
	})
}

func (y *story) ship(strategy rollout.Strategy) {
	y.step("wang", "ship auth v2", func(log *rollout.Log, r rollout.Release, _ rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, []rollout.Retirement, error) {
		r, err := r.Put("auth", map[string]string{"max_failures": "1%", "max_p99": "200ms", "min_calls": "50"})
		if err != nil {
			return r, nil, nil, err
		}
		next, rules, err := r.Ship(log, rollout.Module{Service: "auth", Old: "v1", New: "v2", Strategy: strategy})
		return next, rules, nil, err
	})
}

func (y *story) commit(share int) {
	y.step("li", "commit", func(log *rollout.Log, r rollout.Release, at rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, []rollout.Retirement, error) {
		next, rules, err := r.Commit(log, share, at)
		return next, rules, nil, err
	})
}

func (y *story) back(text string) {
	y.step("li", text, func(log *rollout.Log, r rollout.Release, at rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, []rollout.Retirement, error) {
		next, rules, err := r.Rollback(log, at)
		return next, rules, nil, err
	})
}

func (y *story) clean(end bool) {
	y.step("li", "clean", func(_ *rollout.Log, r rollout.Release, _ rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, []rollout.Retirement, error) {
		next, err := r.Clean()
		return next, nil, nil, err
	})
	if !end {
		return
	}
	y.step("li", "stop", func(_ *rollout.Log, r rollout.Release, _ rollout.Generation) (rollout.Release,
		map[string]rollout.Rule, []rollout.Retirement, error) {
		next, retire, err := r.Retire()
		if err == nil {
			next, err = next.Stop()
		}
		return next, nil, retire, err
	})
}

// revoke takes the turn from the old version of a module that may run in one version only.
func (y *story) revoke() {
	y.step("li", "take the turn back from auth v1", func(log *rollout.Log, r rollout.Release,
		_ rollout.Generation) (rollout.Release, map[string]rollout.Rule, []rollout.Retirement, error) {
		return r.RevokeTurn(log, map[string][]rollout.Owner{"auth": {{Process: "ops-1/412/a"}}})
	})
}

// TestReleaseInEveryState: the page says what skerry release status says, marks the present stage with its time and
// operator, and has one filled button, for the step that is next.
func TestReleaseInEveryState(t *testing.T) {
	holders := []releases.Holder{
		{Service: "auth", Blocker: rollout.Blocker{Process: "ops-4/412/a", Why: "holding",
			Path: []string{"portal", "auth"}, Inflight: &rollout.Inflight{Live: 3, For: 90 * time.Second}}},
		{Service: "auth", Blocker: rollout.Blocker{Process: "ops-7/412/a", Why: "silent"}},
	}
	for _, c := range []struct {
		name  string
		make  func(*story)
		stage string   // the present one, and the state of the page; "": none
		next  string   // the button
		back  bool     // ROLL BACK is there
		says  []string // on the page in English
	}{
		{"no release yet", func(*story) {}, "Start", "Start a release…", false,
			[]string{"There has been no release yet; generation 0."}},
		{"started", func(y *story) { y.start() }, "Ship", "Ship…", true, []string{
			"Release r14 of li (new token format) is open since", "it is PREPARED", "new token format"}},
		{"shipped", func(y *story) { y.start(); y.ship("") }, "Try", "Commit…", true, []string{
			"document.cookie='skerry-preview=ah7hysxj32'", "ah7hysxj32", "skerry release commit, or rollback",
			"verifiers meet the new versions", "bound 1 %", "bound 200 ms", "wang"}},
		{"at a share", func(y *story) { y.start(); y.ship(""); y.commit(5000) }, "Commit", "Commit…", true, []string{
			"at 50% of the new requests", "RAMPING at 50%", "without such a command nothing is watched",
			`value="50%,100%"`}},
		{"committed", func(y *story) { y.start(); y.ship(""); y.commit(rollout.Whole) }, "Clean", "Clean…", true,
			[]string{"it is SWITCHED", "retire auth/v1 when you are content", "backup"}},
		{"blocking, old one runs", func(y *story) {
			y.start()
			y.ship(rollout.Blocking)
			y.commit(rollout.Whole)
			y.revoke()
			y.s.Rollout.Members[0].Runs = []string{"auth/v1"}
		}, "Commit", "Commit…", true, []string{
			"STOP auth/v1: ops-1/412/a runs it still, and was asked to leave", "it goes on with the change of auth",
			"Calls wait while they change"}},
		{"blocking, new one is awaited", func(y *story) {
			y.start()
			y.ship(rollout.Blocking)
			y.commit(rollout.Whole)
			y.revoke()
		}, "Commit", "Commit…", true, []string{"START auth/v2: calls wait for it"}},
		{"rolled back", func(y *story) { y.start(); y.ship(""); y.commit(1000); y.back("roll back") },
			"Clean", "Clean…", false, []string{"it is ROLLING_BACK", "retire auth/v2 when you are content"}},
		{"turned back by the guard", func(y *story) {
			y.start()
			y.ship("")
			y.commit(1000)
			y.back("roll back by the guard: auth/v2 fails: its callers counted 12 failures")
		}, "Clean", "Clean…", false, []string{"The guard has turned it back:",
			"auth/v2 fails: its callers counted 12 failures"}},
		{"draining", func(y *story) {
			y.start()
			y.ship("")
			y.commit(rollout.Whole)
			y.clean(false)
			y.s.Holders = slices.Clone(holders)
		}, "Clean", "Clean…", false, []string{"DRAINING", "ops-4/412/a",
			"has 3 requests of generation 0, of before 1m30s ago: portal → auth", "does not answer",
			"clean waits for 2", "It is dead…"}},
		{"over", func(y *story) { y.start(); y.ship(""); y.commit(rollout.Whole); y.clean(true) }, "",
			"Start a release…", false, []string{"No release is open; the last one was r14 of li (new token format)"}},
		{"frozen", func(y *story) {
			y.start()
			y.ship("")
			y.s.Rollout.Frozen = "the database can't be reached"
		}, "Try", "", true, []string{
			"FROZEN: the database can&#39;t be reached. Requests go on; nothing can be committed",
			"no step can be made before"}},
		{"half-way", func(y *story) {
			y.start()
			y.s.Rollout.Pending = []rollout.Entry{{By: "wang", Step: "ship auth v2"}}
		}, "Ship", "", true, []string{"HALF-WAY: ship auth v2 by wang, generation 0, is promised and not committed."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := newStory(t)
			c.make(y)
			console := serve(still{y.s}, Config{})
			body := get(t, as(t, console, "li", roleAdmin), "/release").Body.String()
			if now := between2(body, `aria-current="step"`, "</li>"); c.stage != "" &&
				!strings.Contains(now, "<b>"+c.stage+"</b>") || c.stage == "" && now != "" {
				t.Errorf("the present stage is %q, want %s", now, c.stage)
			}
			if n := strings.Count(body, `class="btn main"`); n > 1 || (n == 1) != (c.next != "") {
				t.Errorf("%d filled buttons", n)
			}
			if c.next != "" && !strings.Contains(body, `<button class="btn main" type="submit">`+c.next) {
				t.Errorf("the filled button is not %q", c.next)
			}
			if strings.Contains(body, "ROLL BACK…") != c.back {
				t.Errorf("ROLL BACK is there: %v, want %v", !c.back, c.back)
			}
			for _, want := range c.says {
				if !strings.Contains(body, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			seen := get(t, as(t, console, "zhao", roleViewer), "/release").Body.String()
			if strings.Contains(seen, `action="/release/`) {
				t.Error("a viewer gets a form")
			}
			st, err := releases.StatusOf(y.s.releaseSite())
			if err != nil {
				t.Fatal(err)
			}
			if html := strings.NewReplacer("'", "&#39;", "+", "&#43;").Replace(st.Next); !strings.Contains(body, html) {
				t.Errorf("the page does not name the next command %q", html)
			}
			if t.Failed() {
				t.Log(body)
			}
			chinese := get(t, as(t, console, "li", roleAdmin), "/release", in("zh"))
			if chinese.Code != http.StatusOK || !strings.Contains(chinese.Body.String(), "下一步") {
				t.Errorf("in Chinese: status %d", chinese.Code)
			}
		})
	}
}

// between2 is the text between two others, "" without them.
func between2(s, from, to string) string {
	_, s, ok := strings.Cut(s, from)
	if !ok {
		return ""
	}
	s, _, _ = strings.Cut(s, to)
	return s
}

// TestReleaseFigures: old and new stand side by side with the calls of the last minute, and the page says which bound
// the new version breaks.
func TestReleaseFigures(t *testing.T) {
	y := newStory(t)
	y.start()
	y.ship("")
	y.commit(5000)
	add := func(version string, calls, failed int64, d time.Duration) {
		f := flow{Caller: "portal", Service: "auth", Version: version, Calls: calls, Failed: failed,
			Kinds: map[string]int64{"timeout": failed}}
		f.Latency.Add(d, calls)
		y.s.Flows = append(y.s.Flows, f)
	}
	y.s.Flows = nil
	for _, c := range []struct {
		calls, failed int64
		took          time.Duration
		want          string
	}{
		{49, 20, time.Millisecond, "fewer than 100 calls: not judged"},
		{200, 2, time.Millisecond, "within its bounds"},
		{200, 3, time.Millisecond, "more than 1 % fail"},
		{200, 0, time.Second, "p99 is above 200ms"},
	} {
		y.s.Flows = nil
		add("v1", 1200, 0, 4*time.Millisecond)
		add("v2", c.calls, c.failed, c.took)
		body := get(t, as(t, serve(still{y.s}, Config{}), "li", roleViewer), "/release").Body.String()
		if !strings.Contains(body, c.want) {
			t.Errorf("%d calls, %d failed, %v: the page does not say %q", c.calls, c.failed, c.took, c.want)
		}
		if want := `<span class="v">20<small>a second`; !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestCommandOfAStep: the command beside a question does what the form asks for, also with values that a shell reads.
func TestCommandOfAStep(t *testing.T) {
	for want, form := range map[string][]string{
		`skerry release start --reason 'it'\''s $HOME'`: {"start", "reason", "it's $HOME"},
		"skerry release commit --ramp 10,50,100 --every 2m --max-failures 1% --min-calls 50": {"commit",
			"ramp", "10,50,100", "every", "2m", "max_failures", "1%", "min_calls", "50"},
		"skerry release config put auth max_p99=200ms && " +
			"skerry release ship auth --version v2 --wish 2 --strategy blocking": {
			"ship", "service", "auth", "version", "v2", "wish", "2", "strategy", "blocking", "max_p99", "200ms"},
		"skerry release clean --dead ops-7/412/a": {"clean", "dead", "ops-7/412/a"},
		"skerry release rollback":                 {"rollback", "ramp", "10"},
	} {
		q := stepRequest{form[0], map[string][]string{}}
		for i := 1; i < len(form); i += 2 {
			q.form.Set(form[i], form[i+1])
		}
		if got := q.command(); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}

// TestFormsOfStepsAreChecked: values that no step can have are refused, in words that say which.
func TestFormsOfStepsAreChecked(t *testing.T) {
	for _, c := range []struct{ step, name, value string }{
		{"commit", "ramp", "50,10"}, {"commit", "every", "1h30"}, {"commit", "every", "-2m"},
		{"commit", "every", "48h"},
		{"commit", "max_failures", "101%"}, {"commit", "max_p99", "fast"}, {"commit", "min_calls", "0"},
		{"commit", "min_calls", "many"}, {"ship", "wish", "0"}, {"ship", "wish", "two"}, {"ship", "patience", "soon"},
		{"ship", "version", "v 2"}, {"ship", "max_failures", "x"}, {"ship", "strategy", "slow"},
	} {
		q := stepRequest{c.step, map[string][]string{"service": {"auth"}, c.name: {c.value}}}
		_, ramp := q.ramp()
		_, module := q.module()
		if err := map[string]error{"commit": ramp, "ship": module}[c.step]; err == nil ||
			!strings.Contains(fmt.Sprint(err), c.value) {
			t.Errorf("%s=%s of %s: %v", c.name, c.value, c.step, err)
		}
	}
}

// asked is a site of which a release may be started.
type asked struct{ releases.Operations }

func (asked) State(context.Context) (releases.Site, error) { return releases.Site{}, nil }

// TestAChangedQuestionIsNoStep: where a step would do something else than its question has said, the page asks anew,
// and neither the answer nor the history says that the step was made.
func TestAChangedQuestionIsNoStep(t *testing.T) {
	c := serve(still{night()}, Config{})
	c.steps.open = func(control.Operator, releases.Teller) releases.Operations { return asked{} }
	li := as(t, c, "li", roleOperator)
	w := post(t, li, "/release/start?format=json", url.Values{"reason": {"new format"}, "seen": {"AAAA-AAAA"}})
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"done":false`) {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	records, _ := c.audit.state()
	if r := records[len(records)-1]; r.Action != "release-start" || r.Outcome != refusal {
		t.Errorf("the history says %+v", r)
	}
}

// englishWords finds three English words in a row.
var englishWords = regexp.MustCompile(`(?:\b[A-Za-z][a-z']+ ){2,}[a-z']+\b`)

// TestReleaseInChinese: the pages of a release have no English sentence but commands and what operators have written,
// in any state of it.
func TestReleaseInChinese(t *testing.T) {
	whole := func(y *story) { y.start(); y.ship(""); y.commit(rollout.Whole) }
	for name, make := range map[string]func(*story){
		"none":      func(*story) {},
		"started":   func(y *story) { y.start() },
		"shipped":   func(y *story) { y.start(); y.ship("") },
		"at share":  func(y *story) { y.start(); y.ship(""); y.commit(5000) },
		"committed": whole,
		"back":      func(y *story) { y.start(); y.ship(""); y.commit(1000); y.back("roll back") },
		"turned back": func(y *story) {
			y.start()
			y.ship("")
			y.commit(1000)
			y.back("roll back by the guard: auth/v2 fails: its callers counted 12 failures (5.7 %: timeout 12) in " +
				"210 calls, the bound is 1 %; most at ops-4/412/a: 12 of 80")
		},
		"changing": func(y *story) {
			y.start()
			y.ship(rollout.Blocking)
			y.commit(rollout.Whole)
			y.revoke()
			y.s.Rollout.Members[0].Runs = []string{"auth/v1"}
		},
		"awaited": func(y *story) { y.start(); y.ship(rollout.Waiting); y.commit(rollout.Whole); y.revoke() },
		"draining": func(y *story) {
			whole(y)
			y.clean(false)
			y.s.Holders = []releases.Holder{
				{Service: "auth", Blocker: rollout.Blocker{Process: "ops-4/412/a", Why: "holding",
					Path: []string{"portal", "auth"}, Inflight: &rollout.Inflight{Live: 3, For: 90 * time.Second}}},
				{Service: "auth", Blocker: rollout.Blocker{Process: "ops-7/412/a", Why: "silent"}},
				{Service: "auth", Blocker: rollout.Blocker{Process: "ops-1/412/a", Why: "serving", Calls: 2}},
			}
		},
		"over":   func(y *story) { whole(y); y.clean(true) },
		"frozen": func(y *story) { y.start(); y.s.Rollout.Frozen = "no process of the site answers" },
		"half-way": func(y *story) {
			y.start()
			y.s.Rollout.Pending = []rollout.Entry{{By: "wang", Step: "ship a v2"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			y := newStory(t)
			make(y)
			li := as(t, serve(still{y.s}, Config{}), "li", roleAdmin)
			for _, path := range []string{"/release", "/history?kind=release"} {
				if found := englishIn(get(t, li, path, in("zh")).Body.String()); len(found) > 0 {
					t.Errorf("%s: %q", path, found)
				}
			}
		})
	}
}

var (
	tags     = regexp.MustCompile(`(?s)<(script|style)\b.*?</(script|style)>|<[^>]*>`)
	commands = regexp.MustCompile(`skerry( [a-z]+)*`)
)

// englishIn are the sentences in English that a page shows.
func englishIn(body string) (found []string) {
	text := html.UnescapeString(tags.ReplaceAllString(body, "\n"))
	text = strings.ReplaceAll(commands.ReplaceAllString(text, ""), "new token format", "")
	return englishWords.FindAllString(text, -1)
}
