//go:build linux

package consistency

import (
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// The schedules of rule logs that part: two operators commit without a view of each other. No
// request may meet two versions, whatever it calls.

// parted is a site with a network that was cut into two halves, each with all services, an
// operator, users and its own database, or none.
type parted struct {
	*site
	halves [2]half
	healed time.Time
	whole  time.Time // when one of the logs became the only one
}

// half is one side of a parted site. The names of its processes end with its letter.
type half struct {
	letter string
	hosts  []int // the operator's first, then that of the entry
	lines  string
}

// partedSite is a site with an open release of auth and proc, of which a share of 30 % is
// committed.
func partedSite(s *site, halves [2]half) *parted {
	s.t.Helper()
	p := &parted{site: s, halves: halves}
	for _, h := range halves {
		s.serve(h.hosts[0], "portal-"+h.letter, "portal", "v1", how{entry: true})
		p.version(h, "auth", "v1")
		p.version(h, "proc", "v1")
		p.version(h, "only"+h.letter, "v1") // in this half alone: the other one's calls cross the cut
	}
	for i, h := range halves {
		far := "only" + halves[1-i].letter
		s.users(h.hosts[1], "far-users-"+h.letter, part{Workers: 2, Plans: []plan{
			call("portal", call("auth"), call(far, call("auth"), call("proc"))),
			call("portal", call(far, call("proc", call("auth"))), call("auth")),
		}}, h.hosts[0])
		s.users(h.hosts[1], "users-"+h.letter, part{Plans: []plan{
			call("portal", call("auth"), call("proc", call("auth"))),
			atOnce("portal", call("auth"), call("proc", call("auth"))),
			call("portal", call("proc", call("auth")), call("auth")).rested(300 * time.Millisecond),
		}}, h.hosts[0])
		s.job(h.hosts[1], "job-"+h.letter, part{Workers: 2, Plans: []plan{
			call("", call("auth"), call("proc", call("auth")).held(time.Second), call("auth")),
		}})
	}
	s.await("requests and jobs", func() bool {
		return s.book.count(asked, ofUsers("job-b")) > 0 && s.book.count(asked, ofUsers("far-users-b")) > 20
	})
	s.open("ann")
	s.await("proc has kept the first rules", func() bool {
		return len(s.kept("proc-v1-b", ".rules.json")) > 0
	})
	s.keeps("proc-v1-b", "old")
	for _, h := range halves {
		p.version(h, "auth", "v2")
		p.version(h, "proc", "v2")
	}
	s.insist("ship", "auth", "--version", "v2")
	s.insist("ship", "proc", "--version", "v2")
	ramp := s.operator(0, "commit", "--ramp", "30,100", "--every", "1h")
	s.await("the share", func() bool { return ramp.over() || newest(s.log()).State == rollout.Ramping })
	ramp.Kill()
	return p
}

// ofUsers selects the notes of the requests of one source.
func ofUsers(name string) func(note) bool {
	return func(n note) bool { return strings.HasPrefix(n.Trace, name+"/") }
}

// version starts a version of a service in one half.
func (p *parted) version(h half, service, version string, special ...how) *process {
	p.t.Helper()
	return p.serve(h.hosts[1], service+"-"+version+"-"+h.letter, service, version, special...)
}

// by gives a step to the operator of one half, which declares the other half dead.
func (p *parted) by(i int, args ...string) {
	p.t.Helper()
	mine, other := p.halves[i], p.halves[1-i]
	for _, host := range other.hosts {
		args = append(args, "--dead", hostName(host))
	}
	p.as(mine, func() { p.insistOn(mine.hosts[0], args...) })
}

// as runs do with the configuration of a half.
func (p *parted) as(h half, do func()) {
	usual := p.lines
	if h.lines != "" {
		p.lines = h.lines
	}
	defer func() { p.lines = usual }()
	do()
}

// heals ends the partition, and waits until calls have crossed the cut.
func (p *parted) heals() {
	p.t.Helper()
	p.healed = time.Now()
	p.lan.Partition()
	p.await("refused calls of both halves", func() bool {
		seam := map[string]int{}
		for _, n := range p.book.of(refused, func(n note) bool {
			return n.Code == "rules_forked" && n.At.After(p.healed)
		}) {
			seam[sideOf(n.Parent)]++
		}
		return seam["a"] > 30 && seam["b"] > 30
	})
}

// sideOf returns the half of a span's process.
func sideOf(span string) string {
	name, _, _ := strings.Cut(span, "#")
	return name[strings.LastIndex(name, "-")+1:]
}

// shown checks that an operator sees two logs, and that no step is done.
func (p *parted) shown(logs [2][]rollout.Entry) {
	p.t.Helper()
	status, err := p.operator(0, "status").done()
	if err == nil {
		p.t.Error("status of two logs is exit code 0")
	}
	validate, err := p.operator(0, "validate").done()
	if err == nil {
		p.t.Error("validate found nothing")
	}
	for _, entries := range logs {
		tip := entries[len(entries)-1]
		for command, text := range map[string]string{"status": status, "validate": validate} {
			if !strings.Contains(text, tip.Hash()[:8]) || !strings.Contains(text, tip.Step) {
				p.t.Errorf("%s does not show the log that ends with %s, %q:\n%s", command, tip.Hash()[:8],
					tip.Step, text)
			}
		}
		if !strings.Contains(validate, "adopt --keep "+tip.Hash()[:8]) {
			p.t.Errorf("validate does not say how %s goes on:\n%s", tip.Hash()[:8], validate)
		}
	}
	var steps []*operator
	for _, step := range [][]string{
		{"start", "--by", "eve", "--reason", "none"}, {"ship", "auth", "--version", "v2"},
		{"commit"}, {"rollback"}, {"clean"}, {"adopt"},
	} {
		steps = append(steps, p.operator(0, step...))
	}
	for _, o := range steps {
		if said, err := o.done(); err == nil || !strings.Contains(said, "forked") ||
			!strings.Contains(said, "adopt --keep") {
			p.t.Errorf("%s with two logs: %v\n%s", o.args, err, said)
		}
	}
	if n := p.book.count(began, func(n note) bool {
		return n.Log != logs[0][len(logs[0])-1].Hash() && n.Applied == "1:1"
	}); n > 0 {
		p.t.Errorf("%d spans by a log that no operator has adopted", n)
	}
}

// adopts makes the log of one half the only one while requests run, and waits until calls cross the
// cut again.
func (p *parted) adopts(log []rollout.Entry, args ...string) {
	p.t.Helper()
	p.insistOn(0, append([]string{"adopt", "--keep", log[len(log)-1].Hash()[:10]}, args...)...)
	p.whole = time.Now()
	p.await("calls across the seam, both ways", func() bool {
		a, b := p.crossed(p.whole, time.Now())
		return a > 30 && b > 30
	})
}

// crossed counts the executed calls from one half to the other in a time.
func (p *parted) crossed(from, to time.Time) (fromA, fromB int) {
	for _, n := range p.book.of(began, func(n note) bool {
		return n.At.After(from) && n.At.Before(to) && n.Parent != ""
	}) {
		caller, callee := sideOf(n.Parent), sideOf(n.ID)
		switch {
		case caller == "a" && callee == "b":
			fromA++
		case caller == "b" && callee == "a":
			fromB++
		}
	}
	return fromA, fromB
}

// goesOn does one more release over both halves, and judges everything. ended is the log that was
// ended.
func (p *parted) goesOn(ended []rollout.Entry) verdict {
	p.t.Helper()
	if newest(p.log()).State != rollout.Stopped {
		p.insist("clean")
	}
	p.insist("start", "--by", "bob", "--reason", "a release after")
	for _, h := range p.halves {
		p.version(h, "auth", "v3")
	}
	p.insist("ship", "auth", "--version", "v3")
	p.insist("commit")
	p.insist("clean")
	p.more(100)
	p.others = append(p.others, ended)
	v := p.judge(1000)
	for _, letter := range []string{"a", "b"} {
		if p.book.count(began, func(n note) bool {
			return n.Service == "auth" && n.Version == "v3" && sideOf(n.Parent) == letter
		}) == 0 {
			p.t.Errorf("no call of half %s met the version of the release after", letter)
		}
	}
	return v
}

// unexecuted checks that no refused call was executed: the users' plans call no service twice from
// one span.
func (p *parted) unexecuted() {
	p.t.Helper()
	executed := map[[2]string]bool{}
	for _, n := range p.book.of(began, nil) {
		executed[[2]string{n.Parent, n.Service}] = true
	}
	for _, n := range p.book.of(refused, func(n note) bool { return n.Code == "rules_forked" }) {
		if !strings.Contains(n.Text, "not executed") {
			p.t.Errorf("the refusal does not say that nothing was executed: %s", n.Text)
			return
		}
		if strings.Contains(n.Trace, "users-") && executed[[2]string{n.Parent, n.Service}] {
			p.t.Errorf("%s was executed for %s, which heard that it was not: %s", n.Service, n.Parent, n.Text)
			return
		}
	}
}

// numbers logs the outcomes of the requests, and checks that there were enough of them.
func (p *parted) numbers(v verdict) {
	p.t.Helper()
	mixed := 0
	for _, f := range v.history.Check() {
		if f.Rule == "C1" {
			mixed++
		}
	}
	p.unexecuted()
	apart := func(n note) bool { return n.At.After(p.healed) && n.At.Before(p.whole) }
	seam := p.book.count(refused, func(n note) bool { return n.Code == "rules_forked" })
	forked := p.book.count(asked, func(n note) bool { return n.Code == "rules_forked" })
	near := p.book.count(asked, func(n note) bool {
		return n.Code != "" && !strings.HasPrefix(n.Trace, "far-") && apart(n)
	})
	crossed, back := p.crossed(p.healed, p.whole)
	p.t.Logf("%d requests; %d while the halves saw each other with two logs, for %v; %d calls across the seam "+
		"refused, "+
		"%d requests failed for it (%d for everything; %d that needed nothing of the other half); "+
		"%d calls crossed with what both logs hold; mixed: %d", v.requests, p.book.count(asked, apart),
		p.whole.Sub(p.healed).Round(100*time.Millisecond),
		seam, forked, v.failed, near, crossed+back, mixed)
	for letter, version := range map[string]string{"a": "v2", "b": "v1"} { // by the rules of each half's log
		if p.book.count(began, func(n note) bool {
			return met("auth", version)(n) && sideOf(n.Parent) == letter && apart(n)
		}) < 50 {
			p.t.Errorf("hardly a request of half %s met auth %s while there were two logs: the scene proves nothing",
				letter, version)
		}
	}
}

// TestTwoPrimaries: the primary of the database is cut off with half of the site, and the standby
// of the other half is promoted. One operator commits on one, another rolls back on the other. Then
// the network is whole again. Calls across the cut are refused without execution until an operator
// adopts one of the logs: the one in that operator's database, or the other one.
func TestTwoPrimaries(t *testing.T) {
	t.Parallel()
	t.Run("its own log is kept", func(t *testing.T) {
		t.Parallel()
		p, logs := twoPrimaries(t)
		p.shown(logs)
		for _, h := range p.halves { // with no rules of its own, where there are two
			p.serve(h.hosts[1], "proc-new-"+h.letter, "proc", map[string]string{"a": "v2", "b": "v1"}[h.letter],
				how{lines: h.lines})
		}
		p.more(200)
		p.adopts(logs[0])
		p.over(3 * time.Second)
		p.numbers(p.goesOn(logs[1]))
	})
	t.Run("the other log is kept", func(t *testing.T) {
		t.Parallel()
		p, logs := twoPrimaries(t)
		p.adopts(logs[1])
		p.over(3 * time.Second)
		p.numbers(p.goesOn(logs[0]))
	})
}

// TestHalvesOfTheLAN: the LAN is cut into two halves, and each operator declares the other half
// dead. One commits. The other rolls back, ends the release, and releases a service that the first
// log never names. When the halves meet, calls across the cut are refused until one log is adopted.
// A process of the log that ends is frozen from its first own step until then.
func TestHalvesOfTheLAN(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, onTheLAN)
	p := partedSite(s, [2]half{{letter: "a", hosts: []int{0, 1}}, {letter: "b", hosts: []int{2, 3, 4}}})
	for _, h := range p.halves { // the release began before, so no rule names it
		p.version(h, "gate", "v1")
		s.users(h.hosts[1], "gate-users-"+h.letter, part{Workers: 2, Plans: []plan{
			call("portal", call("gate"), call("auth").rested(50*time.Millisecond), call("proc", call("gate"))),
		}}, h.hosts[0])
	}
	hangs := s.serve(4, "portal-lag-b", "portal", "v1", how{entry: true})
	s.users(4, "users-of-the-hanging", part{Workers: 2,
		Plans: []plan{call("portal", call("auth"), call("proc", call("gate")))}}, 4)
	s.await("requests of the gate", func() bool { return s.book.count(began, met("gate", "v1")) > 20 })

	s.fault(append(lost, "version_unavailable", "rules_needed", "canceled", "rules_forked")...)
	s.lan.Partition(0, 1)
	p.by(0, "commit")
	p.by(1, "rollback")
	hangs.freeze()
	p.by(1, "--dead", hostName(4), "clean")
	p.by(1, "--dead", hostName(4), "start", "--by", "bob", "--reason", "the gate")
	p.version(p.halves[1], "gate", "v2")
	p.by(1, "--dead", hostName(4), "ship", "gate", "--version", "v2")
	p.by(1, "--dead", hostName(4), "commit")
	logs := p.logs()
	p.heals()
	s.await("calls of the new gate", func() bool { return s.book.count(began, met("gate", "v2")) > 20 })
	p.shown(logs)
	p.adopts(logs[0], "--dead", hostName(4))
	hangs.thaw()
	p.over(4 * time.Second)
	s.await("the process that hung goes by the log that was kept", func() bool {
		return s.book.count(began, func(n note) bool {
			return strings.HasPrefix(n.ID, hangs.Name+"#") && strings.HasPrefix(n.Applied, "1:")
		}) > 10
	})
	v := p.goesOn(logs[1])
	p.numbers(v)
	if rule, ok := lastRule(v.history.Entries, "gate"); !ok || rule.Version != "v1" {
		t.Errorf("the gate, of which only the log that ended spoke, has the rule %+v", rule)
	}
}

// lastRule is the newest rule of a service.
func lastRule(entries []rollout.Entry, service string) (rule rollout.Rule, ok bool) {
	for _, e := range entries {
		if r, named := e.Rules[service]; named {
			rule, ok = r, true
		}
	}
	return rule, ok
}
