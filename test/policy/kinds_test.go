//go:build linux

package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/testsite"
)

// bound is how long a change may take until callers see it.
const bound = time.Second

// enough is the number of calls of each caller that must show nothing else than the new state.
const enough = 25

// evidence is what a call says of a policy.
type evidence int

const (
	unsaid  evidence = iota // the call can be of both
	without                 // the call shows that the policy is not obeyed
	with                    // the call shows that it is
)

func (e evidence) String() string {
	return []string{"either", "without the policy", "with the policy"}[e]
}

// scene is the change of one kind of item, and what calls say of it.
type scene struct {
	kind, rules string
	wish        wish
	judged      []string                      // processes with the calls that are judged; nil: the callers
	hidden      evidence                      // the state that no call shows; unsaid: calls show both
	says        func(before, c call) evidence // of a call and the one before it
}

func whether(shown bool) evidence {
	if shown {
		return with
	}
	return without
}

func failsAs(code string) func(_, c call) evidence {
	return func(_, c call) evidence { return whether(c.code == code) }
}

// sometimes is for failures that not every call has.
func sometimes(code string) func(_, c call) evidence {
	return func(_, c call) evidence {
		if c.code == code {
			return with
		}
		return unsaid
	}
}

// spares is for a provider that gets no calls by the policy.
func spares(who string) func(_, c call) evidence {
	return func(_, c call) evidence {
		if c.who == who {
			return without
		}
		return unsaid
	}
}

// scenes are those in which a text is applied and undone.
var scenes = []scene{
	{kind: "timeout", rules: `{timeout: 80ms}`, wish: wish{Arg: "hold:200ms"}, says: failsAs("deadline_exceeded")},
	{kind: "retries", rules: `{retries: 2, attempt_timeout: 60ms, idempotent: [verify]}`,
		wish: wish{Arg: "hold:2s@b", Workers: 4}, hidden: without, judged: []string{"a"}, says: failsAs("again")},
	{kind: "balancer", rules: `{balancer: hash}`, wish: wish{Key: "k"}, says: alternates},
	{kind: "breaker", rules: `{breaker: {off: false, ratio: 50, calls: 5, window: 10s}}`,
		wish: wish{Arg: "hold:1s", Workers: 8}, hidden: without, says: sometimes("breaker_open")},
	{kind: "weights", rules: `{weights: [{zone: hall-2, weight: 0}]}`, hidden: with, says: spares("b")},
	{kind: "route", rules: `{route: [{match: {zone: hall-1}, to: {zone: hall-2}, else: none}]}`, hidden: with,
		judged: []string{"near"}, says: spares("a")},
	{kind: "limits", rules: `{limits: [{rate: 5, burst: 1, per: instance}]}`, hidden: without,
		says: sometimes("limited")},
	{kind: "shared", rules: `{limits: [{rate: 40, burst: 4, per: site}]}`, hidden: without, says: sometimes("limited")},
	{kind: "access", rules: `{access: {mode: enforce, default: allow, deny: [{caller: near}]}}`,
		judged: []string{"near"}, says: failsAs("access_denied")},
	{kind: "fallback", rules: `{fallback: [{on: [always], reply: "of the policy", expires: 1h}]}`,
		says: func(_, c call) evidence { return whether(c.who == "of the policy") }},
	{kind: "faults", rules: `{faults: [{error: overloaded, expires: 1h}]}`, says: failsAs("overloaded")},
	{kind: "delay", rules: `{faults: [{delay: 100ms, expires: 1h}]}`,
		says: func(_, c call) evidence { return whether(c.took >= 100*time.Millisecond) }},
	{kind: "mirror", hidden: without,
		rules:  `{idempotent: [verify], mirror: [{match: {method: verify}, to: {mark: drill}, expires: 1h}]}`,
		judged: []string{"a", "b"}, says: failsAs("copy")},
}

// alternates: without the policy providers are called in turn.
func alternates(before, c call) evidence {
	if before.who == "" {
		return unsaid
	}
	return whether(before.who == c.who)
}

// TestEveryKindIsObeyed: an operator changes the policy while callers run. They obey within a second of the answer, and
// no longer a second after the undo, with each kind of item, on the LAN and with a database.
func TestEveryKindIsObeyed(t *testing.T) {
	inBothModes(t, func(t *testing.T, lines string) {
		s := newSite(t, lines)
		for _, sc := range scenes {
			s.begins(sc)
			applied := s.sees(sc, with, s.apply(sc.kind, sc.rules))
			if sc.kind == "shared" {
				s.countsShared()
			}
			s.said(sc.kind, applied, s.sees(sc, without, s.changes("undo")))
		}
		s.lanes()
		s.plans()
		s.expires()
		s.audits()
		s.ejects()
	})
}

func (s *site) said(kind string, applied, undone time.Duration) {
	s.t.Helper()
	s.t.Logf("%s: obeyed after %v, undone after %v", kind, applied.Round(time.Millisecond),
		undone.Round(time.Millisecond))
}

// begins lets the callers call the service of a scene until they show that it has no policy.
func (s *site) begins(sc scene) {
	s.t.Helper()
	begun := time.Now()
	sc.wish.Service = sc.kind
	s.call(sc.wish)
	s.settles(sc, without, begun)
}

// sees waits until all judged calls show a state, and returns how long after an instant that began.
func (s *site) sees(sc scene, want evidence, at time.Time) time.Duration {
	s.t.Helper()
	took := s.settles(sc, want, at)
	if took > bound {
		s.t.Errorf("%s: callers saw calls %v only after %v, want %v at most", sc.kind, want, took, bound)
	}
	return took
}

// settles is sees without a bound.
func (s *site) settles(sc scene, want evidence, at time.Time) time.Duration {
	s.t.Helper()
	judged, last := sc.judged, at
	if judged == nil {
		judged = callers
	}
	lab.Eventually(s.t, patience, func() bool {
		last = at
		for _, name := range judged {
			from, shown := sc.since(s.journal.of(name, sc.kind, at), want, at)
			if !shown {
				return false
			}
			if from.After(last) {
				last = from
			}
		}
		for _, name := range callers {
			if len(s.journal.of(name, sc.kind, last.Add(1))) < enough {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("%s: callers see calls %v", sc.kind, want) })
	return last.Sub(at)
}

// since returns the instant from which on calls show a state and never the other one, not before at.
func (sc scene) since(calls []call, want evidence, at time.Time) (from time.Time, shown bool) {
	from, shown = at, sc.hidden == want
	var before call
	for _, c := range calls {
		switch said := sc.says(before, c); {
		case said == want && !shown:
			from, shown = c.start, true
		case said != want && said != unsaid:
			from, shown = c.start, sc.hidden == want
		}
		before = c
	}
	return from, shown
}

// countsShared looks at what two instances execute of a limit of the site.
func (s *site) countsShared() {
	s.t.Helper()
	from := time.Now()
	time.Sleep(time.Second)
	to, executed := time.Now(), 0 // a busy machine sleeps longer
	for _, name := range callers {
		for _, c := range s.journal.of(name, "shared", from) {
			if c.code == "ok" && c.start.Before(to) {
				executed++
			}
		}
	}
	share := int(to.Sub(from) * 40 / time.Second)
	if executed > share+4+2 || executed < share/2 {
		s.t.Errorf("all instances executed %d calls in %v; the policy says %d", executed, to.Sub(from), share)
	}
}

// lanes: a header of a user's request leads the trace to the other hall.
func (s *site) lanes() {
	s.t.Helper()
	thrift, err := filepath.Abs("../../examples/portal/idl/auth.thrift")
	must(s.t, err)
	edge := s.on(hostFar, s.tool, "gateway", "--config", s.configure("gateway", s.lines, fmt.Sprintf(
		"gateway: {listen: \":8080\", routes: [{path: /auth, service: lanes, thrift: %q}]}\n", thrift)))
	testsite.Start(s.t, s.dir, "gateway", edge, func(string) {})
	url := fmt.Sprintf("http://%s:8080/auth/verify", s.lan.Host(hostFar).IP(0))
	sc := scene{kind: "lanes", wish: wish{URL: url, Drill: true}, hidden: with, says: spares("a")}
	s.begins(sc)
	applied := s.sees(sc, with, s.apply("lanes", `{route: [{match: {mark: drill}, to: {zone: hall-2}, else: none}]}`,
		`lanes: [{name: drill, match: {header: {X-Drill: "1"}}}]`))
	s.said("lanes", applied, s.sees(sc, without, s.changes("undo")))
}

// plans: a plan has no effect until it is switched on, and ends when it is switched off, or by itself.
func (s *site) plans() {
	s.t.Helper()
	sc := scene{kind: "plans", hidden: with, says: spares("b")}
	s.begins(sc)
	s.sees(sc, without, s.apply("plain", "{timeout: 4s}",
		`plans: {storm: {services: {plans: {weights: [{zone: hall-2, weight: 0}]}}}}`))
	on := s.sees(sc, with, s.changes("plan", "on", "storm"))
	s.said("plans", on, s.sees(sc, without, s.changes("plan", "off", "storm")))
	const lasts = 2 * time.Second
	begun := s.changes("plan", "on", "storm", "--for", lasts.String())
	s.sees(sc, with, begun)
	s.ends(sc, begun, lasts)
}

// expires: an item ends by itself.
func (s *site) expires() {
	s.t.Helper()
	sc := scene{kind: "expires", hidden: with, says: spares("b")}
	s.begins(sc)
	const lasts = 2 * time.Second
	begun := s.apply("expires", fmt.Sprintf(`{weights: [{zone: hall-2, weight: 0, expires: %v}]}`, lasts))
	s.sees(sc, with, begun)
	s.ends(sc, begun, lasts)
}

// ends waits until what was begun for some time has ended by itself.
func (s *site) ends(sc scene, begun time.Time, lasts time.Duration) {
	s.t.Helper()
	took := s.settles(scene{kind: sc.kind, judged: sc.judged, says: sc.says}, without, begun.Add(bound))
	if took += bound; took < lasts || took > lasts+bound {
		s.t.Errorf("%s: what lasts %v ended after %v", sc.kind, lasts, took)
	}
	s.t.Logf("%s: what lasts %v ended after %v", sc.kind, lasts, took.Round(time.Millisecond))
}

// audits: calls that an access list would refuse go on while it audits.
func (s *site) audits() {
	s.t.Helper()
	begun := time.Now()
	s.call(wish{Service: "audit"})
	s.apply("audit", `{access: {mode: audit, default: deny}}`)
	changed := time.Now()
	s.await("calls go on", func() bool {
		return !slices.ContainsFunc(callers, func(name string) bool {
			return len(s.journal.of(name, "audit", changed)) < enough
		})
	})
	for _, name := range callers {
		for _, c := range s.journal.of(name, "audit", begun) {
			if c.code != "ok" {
				s.t.Fatalf("audit: a call of %s fails as %s: %s", name, c.code, c.text)
			}
		}
	}
	s.changes("undo")
}

// ejects: the policy says after how many failed connections an instance is ejected.
func (s *site) ejects() {
	s.t.Helper()
	s.call(wish{Service: "outlier"})
	list := func(port int) {
		s.tell("a", wish{Service: "outlier", Host: s.lan.Host(hostA).IP(0), Listed: port})
	}
	sees := func(port int, state string) {
		s.t.Helper()
		s.await(fmt.Sprintf("callers see port %d as %s", port, state), func() bool {
			return s.journal.saw("near", port, state) && s.journal.saw("far", port, state)
		})
	}
	list(7101)
	sees(7101, "suspect")
	s.apply("outlier", `{outlier: {failures: 1, eject: 1h}}`)
	list(7102)
	sees(7102, "ejected")
	s.changes("undo")
	list(7103)
	sees(7103, "suspect")
}
