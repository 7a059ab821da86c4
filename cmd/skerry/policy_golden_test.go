package main

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/textdiff"
	"github.com/skerry/skerry/internal/words"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/rpc"
)

// longChange is an entry of the log with long names.
func longChange() policychange.Change {
	c := filled[policychange.Change]()
	c.By, c.Why, c.Signer = "zhang.wei@launch-control-7", longText, "the site's key SHA256:2bf1a0c37d5e"
	return c
}

func longResult() policychange.Result {
	r := filled[policychange.Result]()
	r.Processes[0] = policychange.Process{Process: "launch-control-7/31245/9f8e7d6c5b4a", Why: longText}
	r.Kept = longText
	return r
}

// TestPolicyOutput compares what the commands print with a file of each language.
func TestPolicyOutput(t *testing.T) {
	golden(t, "policy", policyOutput(t, words.English))
	golden(t, "policy.zh", policyOutput(t, words.Chinese))
}

// policyOutput is what the commands print in a language.
func policyOutput(t *testing.T, l words.Language) []byte {
	t.Helper()
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	a.lang = l
	a.width = func() int { return 80 }
	at := time.Date(2026, 11, 30, 2, 31, 0, 0, time.UTC)
	head := func(name string) { a.printf("\n--- %s\n", name) }
	must := func(err error) {
		t.Helper()
		if err != nil && a.report(err) != exitProblem {
			t.Error(err)
		}
	}

	head("history")
	must(a.printHistory("launch-site-2", []policychange.Change{
		{Number: 21, Hash: "3d", At: at, By: "li", Signer: "li", Origin: "confirm", Keeps: 20},
		{Number: 20, Hash: "3b", At: at, By: "li", Signer: "li", Origin: "plan", Ended: []string{"storm"}},
		{Number: 19, Hash: "2b", At: at, By: "li", Signer: "li", Origin: "plan", Why: "queue grows since 02:10",
			Plans: []policychange.Plan{{Name: "storm", For: 7200, Since: 19}}, InForce: true},
		{Number: 18, Hash: "1b", At: at, By: "wang", Signer: "wang", Origin: "undo", Undoes: 16},
		{Number: 18, Hash: "0c", At: at, By: "li", Signer: "li", Origin: "cli", Lost: true},
		{Number: 17, Hash: "0b", At: at, By: "li", Unsigned: "no key", Origin: "cli", Confirm: 600,
			Although: []string{"h3/412"}},
	}))
	must(a.printHistory("launch-site-2", nil))
	head("show")
	must(a.printPolicy(policychange.Change{Number: 19, Hash: "2bf1a0c37d5e", By: "li",
		Plans: []policychange.Plan{{Name: "storm", Since: 19}}}, "policy: 1 # for\tthe hall\nservices: {}"))
	head("show --processes")
	e := policylog.Entry{Number: 19}
	has := sitepolicy.Status{Number: 19, Hash: e.Hash(), Newest: 19}
	lacks := has
	lacks.Lost = []form.Problem{{Key: "services.auth.limits[1].queue", Text: "no such key"}}
	processes := []control.PolicyProcess{
		{Process: "h1/98/a", Status: has},
		{Process: "h2/99/b", Status: lacks},
		{Process: "h3/412/c", Err: errors.New("no answer")},
		{Process: "h4/7/d", Status: sitepolicy.Status{Number: 18, Newest: 18}},
		{Process: "h5/8/e", Status: sitepolicy.Status{Number: 18, Newest: 19, Because: "it was not confirmed"}},
		{Process: "h6/9/f", Status: sitepolicy.Status{Number: 20, Newest: 20}},
		{Process: "h7/9/g", Err: control.ErrNoPolicies},
		{Process: "h9/1/i", Err: &rpc.Error{Code: rpc.Unreachable, Service: "skerry.internal",
			Method: "policies", Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}},
		{Process: "h9/2/j", Err: &rpc.Error{Code: rpc.ConnectionLost}, Ended: true},
		{Process: "h8/9/h", Status: sitepolicy.Status{Newest: 19, Obey: sitepolicy.ObeysNone,
			Because: "it is told to obey no policy"}},
	}
	must(a.printPolicyProcesses("launch-site-2", e, processes))
	head("apply")
	r := policychange.Result{Cluster: "launch-site-2", Number: 19, Confirm: 600, Obeyed: 1,
		Took: 400 * time.Millisecond, Kept: "the database can't be reached"}
	for _, p := range processes[:3] {
		r.Processes = append(r.Processes, policychange.Obeys(p, e))
	}
	r.Protective = true
	must(a.printPolicyResult(r))
	head("diff")
	must(a.printPolicyDiff(18, 19, textdiff.Unified("policy: 1\nservices:\n  auth:\n    timeout: 1s\n",
		"policy: 1\nservices:\n  auth:\n    timeout: 500ms\n")))
	must(a.printPolicyDiff(18, 19, nil))
	head("explain")
	must(a.printPolicyExplained(policyExplained{Service: "auth", Method: "verify", Policy: 19,
		Settings: []policy.Setting{
			{Key: "timeout", Value: "100ms", From: "services.auth.methods.verify.timeout", Line: 12},
			{Key: "retries", Value: "1", From: "default"}},
		Items: []policy.Verdict{
			{Kind: "limits", Key: "services.auth.limits[0]", Line: 20, Applies: true,
				Because: "all its conditions hold"},
			{Kind: "route", Name: "hall 3", Key: "services.auth.route[0]", Line: 14,
				Because: "baggage.tenant is t1, the item wants t7, t9"}},
		Access: policyAccess{Allowed: false, Enforced: false}}, "19 of li"))
	for _, access := range []policyAccess{{true, false, ""}, {true, true, "services.auth.access.allow[0]"},
		{false, true, "services.auth.access.deny[0]"}} {
		a.item("", "%s", access.text("auth", "verify"))
	}
	routed := policyExplained{Service: "auth", Method: "verify", Access: policyAccess{Allowed: true},
		Route: &policyRouted{By: "services.auth.route[0]", Else: "none", Listed: 3}}
	a.item("", "%s", routed.text())
	routed.Route.Reply = "services.auth.fallback[0]"
	a.item("", "%s", routed.text())
	head("try")
	must(a.printPolicyTried(policychange.Trial{Cluster: "launch-site-2", On: 19,
		Faults: []string{"services.auth.route[0]: no instance is at to now"}, Notes: []string{"note: services.x: y"},
		Lines:  []string{"@@ -1,1 +1,1 @@", "-a", "+b"},
		Impact: tryImpact()}))
	must(a.printPolicyTried(policychange.Trial{}))
	head("preview")
	young := tryImpact()
	young.Seconds, young.Shortest, young.Younger, young.Silent = 41, 12, 24, nil
	young.Effects = append(young.Effects, young.Effects...)
	young.Others, young.Cut, young.More, young.NotObeyed = 12_345, 1, 3, []string{"services.auth.limits[3].queue"}
	a.printImpact(young, false)
	a.printImpact(policychange.Impact{Processes: 1, Seconds: 330, Shortest: 330}, false)
	head("access")
	x := policychange.Accessed{Answered: 3, Calls: []rpc.DeniedCalls{
		{Service: "auth", Method: "verify", Caller: "portal", Proof: "certificate", Calls: 1_204_112, Last: time.Now()},
		{Service: "auth", Method: "getToken", Caller: "ip:10.0.0.9", Proof: "address", Calls: 3,
			Last: time.Now().Add(-3 * time.Hour)},
		{Service: "auth", Method: "adminReset", Caller: "legacy", Proof: "name", Calls: 1, Enforced: true,
			Item: "services.auth.access.deny[0]", Last: time.Now()},
	}}
	must(a.printPolicyAccess(x, "auth", false))
	must(a.printPolicyAccess(policychange.Accessed{Answered: 3}, "auth", false))
	must(a.printPolicyAccess(policychange.Accessed{Others: 7, Silent: map[string]string{"h3/412/c": "no answer"},
		Calls: x.Calls[:1]}, "auth", false))
	a.out.Flush()
	a.err.Flush()
	return out.Bytes()
}

// tryImpact has an effect of each kind.
func tryImpact() policychange.Impact {
	some := []policychange.Example{{AgoMS: 71_000, Caller: "web", Method: "placeOrder",
		Trace: strings.Repeat("4bf92f35", 4), TookMS: 12.3}, {AgoMS: 900, Method: "verify", TookMS: 0}}
	web := map[string]int64{"web": 41_212}
	many := map[string]int64{"web": 30_000, "report": 9_000, "batch": 2_000, "h": 200, "": 12}
	effect := func(kind, service, item, what string, hit int64) policychange.Effect {
		return policychange.Effect{Kind: kind, Service: service, Item: item, What: what, Calls: 131_040, Hit: hit}
	}
	rate := effect("limit", "proc", "services.proc.limits[0]", "300/s per site", 41_212)
	rate.Callers, rate.Worst, rate.Estimate, rate.Examples = web, 0.6, "spread", some
	pending := effect("limit", "proc", "services.proc.limits[1]", "500 at a time per instance", 1234)
	pending.Estimate = "chance"
	access := effect("access", "auth", "services.auth.access.deny[0]", "deny (old ones)", 41_212)
	access.Callers, access.Error, access.Estimate = many, 812.4, "sample"
	audit := effect("audit", "auth", "services.auth.access", "no item of allow lets them pass", 3)
	audit.Callers = map[string]int64{"ip:10.0.0.9": 3}
	allow := effect("allow", "auth", "services.auth.access", "passes what is refused now", 96)
	answer := effect("fallback", "rank", "services.rank.fallback[0]", `answer {"items":[]} on always`, 3904)
	answer.Calls, answer.Callers = 3904, map[string]int64{"web": 3904}
	answer.Ended = map[string]int64{"timeout": 190, "breaker_open": 20, "overloaded": 1, "no_instance": 1}
	slow := effect("timeout", "auth", "services.auth.timeout", "155ms", 12)
	slow.Ended, slow.Error, slow.Estimate = map[string]int64{"timeout": 10}, 7, "about"
	return policychange.Impact{Seconds: 330, Shortest: 330, Processes: 23,
		Silent: map[string]string{"h3/412/hoe2y8wk60": "no answer"},
		Effects: []policychange.Effect{rate, pending, access, audit, allow, answer, slow,
			effect("unlimit", "proc", "services.proc.limits[0]", "10/s per instance (night)", 77),
			effect("weights", "auth", "services.auth.weights[0]", "weight 20 of host h3", 40_000),
			effect("mirror", "auth", "services.auth.mirror[0]", "copy to preview", 6_500)}}
}

// TestPolicyIsShownAsItWasWritten: what show prints is the text, byte by byte, when no person reads it.
func TestPolicyIsShownAsItWasWritten(t *testing.T) {
	text := "policy: 1\r\n# a tab\there, \u200b invisible, 中文\r\nservices: {}\n"
	var out, errs bytes.Buffer
	a := newApp(nil, &out, &errs)
	if err := a.printPolicy(policychange.Change{Number: 3, Hash: "2bf1a0c37d5e", By: "li"}, text); err != nil {
		t.Fatal(err)
	}
	a.in = &out
	read, made, err := a.readPolicy("-")
	if err != nil || read != text || made == nil || *made != 3 {
		t.Errorf("%q, %v, %v", read, made, err)
	}
}

// TestOldProcesses: a process that knows no policies may not offer what a policy protects, unless the operator accepts
// it. Elsewhere it is named.
func TestOldProcesses(t *testing.T) {
	limits := "policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 5, per: site}\n"
	access := "policy: 1\nservices:\n  \"*\":\n    access: {default: allow}\n"
	settings := "policy: 1\nservices:\n  auth: {retries: 2}\n"
	inPlan := "policy: 1\nplans:\n  storm:\n    services:\n      auth:\n" +
		"        limits:\n          - {rate: 5, per: site}\n"
	listed := []discovery.Entry{{Service: "auth", Owner: "h3/412/aaaaaaaaaa", State: discovery.OK, Weight: 100,
		Own: 100}}
	old := []control.PolicyProcess{{Process: "h3/412/aaaaaaaaaa", Err: control.ErrNoPolicies},
		{Process: "h4/1/aaaaaaaaaa", Err: errors.New("no answer")}}
	elsewhere := []control.PolicyProcess{{Process: "h5/1/aaaaaaaaaa", Err: control.ErrNoPolicies}}
	for _, c := range []struct {
		name, text    string
		processes     []control.PolicyProcess
		although      []string
		faults, notes int
	}{
		{"limits", limits, old, nil, 1, 0},
		{"limits of a plan", inPlan, old, nil, 1, 0},
		{"access of all services", access, old, nil, 1, 0},
		{"accepted", limits, old, []string{"h3/412"}, 0, 1},
		{"another one is accepted", limits, old, []string{"h3/41"}, 1, 0},
		{"settings", settings, old, nil, 0, 1},
		{"a process that offers nothing", limits, elsewhere, nil, 0, 1},
	} {
		p, problems := form.Read([]byte(c.text))
		if p == nil {
			t.Fatalf("%s: %v", c.name, problems)
		}
		accepted := policychange.Accepts(c.although)
		faults, notes := policychange.Judge(p, listed, c.processes, accepted)
		if len(faults) != c.faults || len(notes) != c.notes {
			t.Errorf("%s: faults %q, notes %q", c.name, faults, notes)
		}
	}
}

// TestProtectivePlans: a plan that is off protects nothing.
func TestProtectivePlans(t *testing.T) {
	p, problems := form.Read([]byte("policy: 1\nplans:\n  storm:\n    services:\n      auth:\n" +
		"        limits:\n          - {rate: 5, per: site}\n"))
	if p == nil {
		t.Fatal(problems)
	}
	for on, want := range map[string]int{"storm": 1, "other": 0} {
		if got := policychange.Protective(p, func(plan string) bool { return plan == on }); len(got) != want {
			t.Errorf("with %s on: %v", on, got)
		}
	}
	if got := policychange.Protective(p, nil); len(got) != 1 {
		t.Errorf("of all plans: %v", got)
	}
}

// TestWeightsMove: the policy in force keeps calls away from one instance. A new one that keeps them away from
// the other instead leaves the service an instance.
func TestWeightsMove(t *testing.T) {
	listed := []discovery.Entry{
		{Service: "auth", Owner: "h3/412/aaaaaaaaaa", Zone: "hall-1", State: discovery.OK, Weight: 100, Own: 100},
		{Service: "auth", Owner: "h4/412/aaaaaaaaaa", Zone: "hall-2", State: discovery.Excluded, Own: 100},
	}
	for zone, want := range map[string]int{"hall-1": 0, `"hall-*"`: 1} {
		p, problems := form.Read([]byte("policy: 1\nservices: {auth: {weights: [{zone: " + zone + ", weight: 0}]}}\n"))
		if p == nil {
			t.Fatal(problems)
		}
		faults, _ := policychange.Judge(p, listed, nil, func(string) bool { return false })
		if len(faults) != want {
			t.Errorf("%s: faults %q, want %d", zone, faults, want)
		}
	}
}
