package form

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/policy"
)

func whole(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func good(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, problems := Read([]byte(text))
	if p == nil {
		t.Fatalf("problems: %v", problems)
	}
	return p
}

// TestWholeForm reads a text with every key of the form.
func TestWholeForm(t *testing.T) {
	p, problems := Read(whole(t))
	if p == nil || len(problems) != 1 || !problems[0].Note || problems[0].Line != 15 {
		t.Fatalf("problems %v, want the note that 100ms are short", problems)
	}
	if n := p.Items(); n != 15 {
		t.Errorf("%d items, want 15", n)
	}
	table := policy.Compile(p, nil, 0)
	verify, export, other := table.Rules("auth", "verify"), table.Rules("auth", "export"), table.Rules("other", "x")
	if *verify.Timeout != 100*time.Millisecond || *verify.Retries != 2 || *verify.OutlierFailures != 3 ||
		*verify.MaxRate != 100 {
		t.Errorf("verify: %+v", verify.Settings)
	}
	if !*export.BreakerOff || *export.BreakerRatio != 50 || *export.Timeout != 30*time.Second {
		t.Errorf("export: %+v", export.Settings)
	}
	if *other.Timeout != time.Second || !*other.ZoneFirst || other.Retries != nil {
		t.Errorf("other: %+v", other.Settings)
	}
	q := &policy.Request{Method: "verify", Caller: "report", Baggage: "tenant=t7", Mark: "drill", Seeded: true}
	if r := verify.Route(q); r == nil || r.Name != "hall 3 stays in hall 3" || !r.Picks("hall-3", "h", nil) ||
		r.Picks("hall-2", "h", nil) {
		t.Errorf("route %+v", r)
	}
	if got := verify.Limits(q, nil); len(got) != 2 || got[1].Rate != 50 || got[1].Burst != 10 || got[1].Per != "site" {
		t.Errorf("limits %+v", got)
	}
	if ok, enforced, by := verify.Access(q); !ok || enforced || by == nil || by.Key != "services.auth.access.allow[1]" {
		t.Errorf("access %v %v %+v", ok, enforced, by)
	}
	if ok, _, by := export.Access(&policy.Request{Method: "export", Caller: "report"}); ok || by != nil {
		t.Errorf("access of export: %v %+v", ok, by)
	}
	avatar := &policy.Request{Method: "getAvatar"}
	if f := table.Rules("auth", "getAvatar").Fallback(avatar, "timeout"); f == nil || string(f.Reply) != `{"url":""}` {
		t.Errorf("fallback %+v", f)
	}
	if w, ok := verify.Weight("", "h3", nil); !ok || w != 20 {
		t.Errorf("weight %d %v", w, ok)
	}
	lane := table.Lane(&policy.Request{
		Header: func(name string) string { return map[string]string{"X-Drill": "1"}[name] },
	})
	if lane == nil || lane.Gets != "drill" {
		t.Errorf("lane %+v", lane)
	}
	if table.Rules("proc", "x").Limits(&policy.Request{Caller: "web"}, nil) != nil {
		t.Error("a plan is on without an operator")
	}
	p.On = []policy.On{{Name: "storm"}}
	if got := policy.Compile(p, nil, 0).Rules("proc", "x").Limits(&policy.Request{Caller: "web"}, nil); len(got) != 1 ||
		got[0].Rate != 300 {
		t.Errorf("the plan's limits: %+v", got)
	}
}

// TestMistakes: each mistake has its line, its column, its key and a cure.
func TestMistakes(t *testing.T) {
	for _, c := range [][2]string{
		{"", "policy: no policy"},
		{"rules: 1\n", "1:1: rules: no such key; there are policy, services, lanes, plans"},
		{"policy: 2\n", `1:1: policy: no policy that this version of skerry reads: it has the form "2"`},
		{"services: {}\npolicy: 1\n", "2:1: policy: policy: 1 stands first"},
		{"policy: 1\nservice: {}\n", "2:1: service: no such key; did you mean services?"},
		{"policy: 1\nservices:\n  auth:\n    limit: []\n",
			"4:5: services.auth.limit: no such key; did you mean limits?"},
		{"policy: 1\nservices:\n  auth:\n    timeout: 5\n", "4:14: services.auth.timeout: 5 has no unit"},
		{"policy: 1\nservices:\n  auth: {retries: -1}\n", "3:10: services.auth.retries: -1 is not in 0..10"},
		{"policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 5}\n",
			"5:9: services.auth.limits[0]: per is missing"},
		{"policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 5, per: hall}\n",
			"5:19: services.auth.limits[0].per: \"hall\" is none of instance, site"},
		{"policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 5, per: site, matsh: {}}\n",
			"5:30: services.auth.limits[0].matsh: no such key; did you mean match?"},
		{"policy: 1\nservices:\n  auth:\n    access: {mode: enforced, default: deny}\n",
			`4:14: services.auth.access.mode: "enforced" is none of audit, enforce`},
		{"policy: 1\nservices:\n  auth:\n    access: {allow: [{caller: a}]}\n",
			"4:5: services.auth.access: default is missing"},
		{"policy: 1\nservices:\n  auth:\n    route: [{to: {version: v2}, else: all}]\n",
			"services.auth.route[0].to.version: the version of a call is the release's to choose"},
		{"policy: 1\nservices:\n  auth:\n    weights: [{host: h3}]\n", "services.auth.weights[0]: weight is missing"},
		{"policy: 1\nservices:\n  auth:\n    faults: [{delay: 1s, percent: 5.555, expires: 1h}]\n",
			"services.auth.faults[0].percent: want a percent from 0 to 100"},
		{"policy: 1\nservices:\n  auth:\n    faults: [{delay: 1s}]\n",
			"services.auth.faults[0]: it must end by itself"},
		{"policy: 1\nlanes: [{match: {percent: 5}}]\n", "2:9: lanes[0]: name is missing"},
		{"policy: 1\nservices:\n  auth:\n    timeout: 1s\n    timeout: 2s\n",
			"5:5: services.auth.timeout: stands twice; the first is in line 4"},
		{"policy: 1\nservices:\n\tauth: {}\n", "never with tabs"},
		{"policy: 1\nservices:\n  auth:\n    limits: [{rate: 1, per: site, match: {tenant: a, baggage: " +
			"{tenant: b}}}]\n", "tenant is short for baggage"},
		{"policy: 1\nservices:\n  skerry.internal: {timeout: 1s}\n", "no policy touches"},
		// A key that lost its value would make an item hold for all, or for ever.
		{"policy: 1\nservices:\n  auth:\n    access: {mode: enforce, default: deny, allow: [{caller: []}]}\n",
			"4:53: services.auth.access.allow[0].caller: it has no value"},
		{"policy: 1\nservices:\n  auth:\n    limits: [{rate: 1, per: site, match: {caller: }}]\n",
			"services.auth.limits[0].match.caller: it has no value"},
		{"policy: 1\nservices:\n  auth:\n    limits: [{rate: 1, per: site, match: {baggage: {a: }}}]\n",
			"services.auth.limits[0].match.baggage.a: it has no value"},
		{"policy: 1\nservices:\n  auth:\n    limits: [{rate: 1, per: site, match: {tag: {}}}]\n",
			"services.auth.limits[0].match.tag: it has no value"},
		{"policy: 1\nservices:\n  auth:\n    faults: [{percent: , delay: 1s, expires: 1h}]\n",
			"services.auth.faults[0].percent: it has no value"},
		{"policy: 1\nservices:\n  auth:\n    faults: [{match: {percent: ''}, delay: 1s, expires: 1h}]\n",
			"services.auth.faults[0].match.percent: it has no value"},
		{"policy: 1\nservices:\n  auth:\n    weights: [{host: h3, zone: [], weight: 0}]\n",
			"services.auth.weights[0].zone: it has no value"},
		{"policy: 1\nservices:\n  auth:\n    route: [{to: {zone: z, tag: {a: []}}, else: all}]\n",
			"services.auth.route[0].to.tag.a: it has no value"},
		{"policy: 1\nservices:\n  auth:\n    weights: [{host: h3, weight: 0, expires: }]\n",
			"services.auth.weights[0].expires: it has no value; write one, or take the key out: without it the item " +
				"never ends"},
		{"policy: 1\nlanes: [{name: a, match: {header: {X: }}}]\n", "lanes[0].match.header.X: it has no value"},
		{"policy: 1\nplans:\n  storm:\n    services:\n      auth: {balancer: rr}\n",
			"5:14: plans.storm.services.auth.balancer"},
		{strings.Repeat("#", MaxText+1), "at most 524288 are read"},
	} {
		text, want := c[0], c[1]
		p, problems := Read([]byte(text))
		if p != nil ||
			!slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.String(), want) }) {
			t.Errorf("%.80q: %v, want %s", text, problems, want)
		}
	}
}

// TestFutureKeys: an older process leaves a whole item out, keeps the rest, and says what it can't obey.
func TestFutureKeys(t *testing.T) {
	text := `policy: 1
moons: {a: 1}
services:
  auth:
    timeout: 2s
    orbit: 5
    breaker: {ratio: 40, decay: 3}
    methods:
      verify: {timeout: 1s, jitter: 5}
      get: {timeout: 3s}
    limits:
      - {pending: 500, per: instance}
      - {rate: 5, per: site, queue: 7}
      - {rate: 5, per: galaxy}
    access: {mode: enforce, default: deny, allow: [{caller: web, moon: full}]}
  a.limits:
    route: [{to: {zone: z}, else: all, match: {caller: a}}, {to: {zone: z}, else: maybe}]
lanes:
  - {name: a, match: {percent: 5}}
  - {name: b, match: {moon: 5}}
plans:
  storm: {services: {auth: {retries: 0, limits: [{rate: 1, per: site, moon: 1}]}}}
  other: {moon: 1}
`
	p, lost, err := Understand([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	protective := 0
	for _, l := range lost {
		keys = append(keys, l.Key)
		if l.Protective {
			protective++
		}
		if l.Line == 0 || l.Text == "" {
			t.Errorf("%+v has no line or text", l)
		}
	}
	want := []string{"moons", "services.auth.orbit", "services.auth.breaker.decay",
		"services.auth.methods.verify.jitter", "services.auth.limits[1].queue", "services.auth.limits[2].per",
		"services.auth.access.allow[0].moon", "services.a.limits.route[1].else", "lanes[1].match.moon",
		"plans.storm.services.auth.limits[0].moon",
		"plans.other.moon"}
	if fmt.Sprint(keys) != fmt.Sprint(want) || protective != 4 {
		t.Errorf("lost %v, %d protective; want %v, 4", keys, protective, want)
	}
	auth := p.Services["auth"]
	if *auth.Timeout != 2*time.Second || auth.BreakerRatio != nil || auth.Access != nil || len(auth.Items) != 1 ||
		len(auth.Methods) != 1 || auth.Methods["get"].Timeout == nil {
		t.Errorf("what is left of auth: %+v", auth)
	}
	if len(p.Services["a.limits"].Items) != 1 || len(p.Lanes) != 1 || p.Plans["other"] != nil ||
		p.Plans["storm"].Services["auth"].Retries == nil || len(p.Plans["storm"].Services["auth"].Items) != 0 {
		t.Errorf("what is left: %+v", p)
	}
	// The access that was understood last stays in force.
	last := good(t, "policy: 1\nservices:\n  auth: {access: {mode: enforce, default: deny, allow: [{caller: job}]}}\n")
	kept := policy.Compile(KeepAccess(p, last, lost), nil, 0).Rules("auth", "get")
	for caller, want := range map[string]bool{"job": true, "web": false} {
		if got, enforced, _ := kept.Access(&policy.Request{Caller: caller}); got != want || !enforced {
			t.Errorf("%s may call: %v, want %v, enforced", caller, got, want)
		}
	}
	if p.Services["auth"].Access != nil {
		t.Error("KeepAccess changed the policy")
	}
	if same := KeepAccess(p, nil, lost); same != p {
		t.Error("without an earlier policy something changed")
	}
}

func TestNothingIsObeyed(t *testing.T) {
	many := "policy: 1\nservices:\n  auth:\n"
	for n := range 150 {
		many += fmt.Sprintf("    unknown%d: 1\n", n)
	}
	for name, text := range map[string]string{"another form": "policy: 2\n", "no YAML": "a: [",
		"no key": "services: {}\n",
		"a list": "- 1\n", "empty": "", "too much unknown": many, "too long": strings.Repeat("#", MaxText+1)} {
		if p, _, err := Understand([]byte(text)); p != nil || !errors.Is(err, ErrText) {
			t.Errorf("%s: %v, %v; want ErrText", name, p, err)
		}
	}
}

// TestManyItems: a text of 10,000 items is read.
func TestManyItems(t *testing.T) {
	var b strings.Builder
	b.WriteString("policy: 1\nservices:\n")
	for s := range 500 {
		fmt.Fprintf(&b, "  s%d:\n    limits:\n", s)
		for i := range 20 {
			fmt.Fprintf(&b, "      - {rate: 5, per: site, match: {caller: c%d}}\n", i)
		}
	}
	if b.Len() > MaxText {
		t.Fatalf("%d bytes are too many", b.Len())
	}
	p := good(t, b.String())
	if n := p.Items(); n != 10_000 {
		t.Errorf("%d items, want 10,000", n)
	}
}

// TestTextsThatTookLong: long texts, for which a reader took from seconds to minutes. What is too much is refused
// before it is worked on.
func TestTextsThatTookLong(t *testing.T) {
	list := func(format string, n int) string {
		var parts []string
		for i := range n {
			parts = append(parts, fmt.Sprintf(format, i))
		}
		return strings.Join(parts, ",")
	}
	filled := func(head, item string, most int) string {
		return head + strings.Repeat(item, min((MaxText-len(head))/len(item), most))
	}
	values := strings.ReplaceAll(list("c%d", 100), ",", ";")
	const head = "policy: 1\nservices:\n a:\n"
	texts := map[string]struct{ text, problem, err string }{
		"mistakes": {filled(head+"  limits:\n", "   - {}\n", 10_000), "it limits nothing", "more than 1000 parts"},
		"items":    {filled(head+"  limits:\n", "   -\n", 60_000), "items, at most 50000", "items, at most 50000"},
		"allow and deny": {head + "  access:\n   default: deny\n   deny:\n" +
			strings.Repeat("   - {method: zz}\n", 490) + "   allow:\n   - " +
			strings.ReplaceAll(list("{caller: [n%d;"+values+"], method: ["+values+"]}", 400), ",{", "\n   - {"),
			"", ""},
	}
	for name, c := range texts {
		c.text = strings.ReplaceAll(c.text, ";", ",")
		if len(c.text) > MaxText {
			t.Fatalf("%s has %d bytes", name, len(c.text))
		}
		_, problems := Read([]byte(c.text))
		found := len(problems) == 0 && c.problem == ""
		for _, p := range problems {
			found = found || c.problem != "" && strings.Contains(p.Text, c.problem)
		}
		if !found || len(problems) > 2100 {
			t.Errorf("%s: %d problems, want %q", name, len(problems), c.problem)
		}
		_, _, err := Understand([]byte(c.text))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
}

func TestPercent(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "5": 500, "12.5": 1250, "0.25": 25, "100": 10_000, "7%": 700,
		"100.01": -1, "-1": -1, "": -1, ".5": -1, "1.234": -1, "x": -1, "1e2": -1} {
		got, err := parsePercent(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}
