package participant_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
)

var partedSites = flag.Int("parted", 60, "random sites with a forked log in each test of them")

// A parted site has a rule log with two committed continuations, by two
// primaries or by two halves of a network that see each other again. Processes
// lag and call processes of the other side. They restart with their saved
// state, an older one, or none. An operator may adopt one of the logs while
// traces are alive. Processes and traces are real agents and traces. One seed
// determines the order of events.
//
// The guarantees do not cover a service that runs in several versions without
// rules. So a second version exists only for a service with rules, and restarts
// with a log that has them. A process without any rules calls no stock server
// that runs in several versions. The last test drops these limits, and finds
// mixed traces.
type parted struct {
	rng    *rand.Rand
	may    may
	broken broken
	procs  []*partedProc
	log    [2]*rollout.Log
	whole  [2][]rollout.Entry // the entries of log
	begun  int                // number of common entries
	kept   int                // the log that goes on after adopt; -1: both stay
	traces []*partedTrace

	all, calls, refused, mixed int
	empty                      int    // traces that began with the empty log
	first                      string // story of the first mixed trace
}

// may lists the events that a parted site may have beside the usual ones.
type may struct {
	adopt bool // an operator adopts one log
	stock bool // some servers and clients are stock, without checks
	empty bool // processes without rules may begin traces and serve
	blind bool // lifts an exclusion: those may also call stock servers
	late  bool // lifts an exclusion: a second version may restart with no rules
	apart bool // lifts an exclusion: a service came up in another version on each side
}

// broken switches off rules of the protocol, for the mutants.
type broken struct {
	hash     bool // tokens' hashes are not checked; absent numbers pass
	absent   bool // an absent number is read by the rules before it
	caller   bool // only callees check
	callee   bool // only callers check
	snapshot bool // check and choice read the log one after the other
	restart  bool // a root restarts after a call was executed
	forget   bool // adopt writes no rule for services that only the other log has rules for
}

// partedProc is an instance of one version of one service.
type partedProc struct {
	service, version string
	side             int
	stock            bool
	run              int // counts its restarts
	agent            *participant.Agent
	saved            []participant.Saved
}

// partedTrace is one outside request. It makes one call at a time, from any of
// its spans.
type partedTrace struct {
	root     *participant.Trace
	at       []partedSpan // the root first
	met      map[string]string
	executed bool
	call     *partedCall
	left     int // number of calls left
	story    []string
}

type partedSpan struct {
	*partedProc
	run   int
	trace *participant.Trace // nil for stock clients
	token rollout.Token      // for stock clients, which pass on the received token
}

func (s partedSpan) alive() bool { return s.run == s.partedProc.run }

type partedCall struct {
	from    partedSpan
	service string
	token   rollout.Token
	checked bool // checked by the caller, or by the callee once to is set
	to      *partedProc
	run     int
}

// Services by their rules: "ruled" has a rule from the start, "both" gets one
// from either log after the fork, "left" and "right" from one of them, "free"
// and "root" never.
var secondVersions = map[string][]string{
	"ruled": {"v2", "v3"}, "both": {"v2"}, "left": {"v2"}, "right": {"v2"}, "free": nil,
}

func (w *parted) chance(percent int) bool { return w.rng.IntN(100) < percent }

// part builds a site and plays it.
func part(seed uint64, may may, broken broken) *parted {
	w := &parted{rng: rand.New(rand.NewPCG(seed, 9)), may: may, broken: broken, kept: -1, log: [2]*rollout.Log{{}, {}}}
	w.append(0, map[string]rollout.Rule{"ruled": {Version: "v1"}})
	for range w.rng.IntN(2) {
		w.append(0, w.rules(0, "ruled"))
	}
	w.log[1], w.whole[1], w.begun = w.log[0], w.whole[0][:len(w.whole[0]):len(w.whole[0])], len(w.whole[0])
	for side := range 2 {
		for _, service := range []string{"root", "ruled", "both", "left", "right", "free"} {
			w.start(service, "v1", side)
		}
		for _, version := range secondVersions["ruled"] {
			w.start("ruled", version, side)
		}
	}
	for rest := 800; rest > 0; rest-- {
		before := w.kept
		if w.act(); w.kept != before {
			rest = min(rest, 250) // most faults of adopt show soon
		}
	}
	return w
}

func (w *parted) start(service, version string, side int) {
	p := &partedProc{service: service, version: version, side: side}
	p.stock = w.may.stock && service == "ruled" && w.chance(35)
	w.procs = append(w.procs, p)
	w.open(p, participant.Saved{})
	if version == "v1" && w.may.empty && w.chance(30) {
		return // it has no rules yet
	}
	n := len(w.whole[side])
	if version == "v1" {
		n = 1 + w.rng.IntN(n)
	}
	w.teach(p, w.whole[side][:n])
}

func (w *parted) open(p *partedProc, saved participant.Saved) {
	p.run++
	a, err := participant.New(participant.Config{Process: "p", Saved: saved, Save: func(s participant.Saved) error {
		p.saved = append(p.saved, s)
		return nil
	}})
	if err != nil {
		panic(err)
	}
	p.agent = a
}

// teach sends a process a log. If it does not follow from the process's own,
// the agent returns an error and nothing changes.
func (w *parted) teach(p *partedProc, entries []rollout.Entry) {
	if err := p.agent.Learn(entries...); err != nil && !errors.Is(err, rollout.ErrFork) &&
		!errors.Is(err, rollout.ErrGap) {
		panic(err)
	}
	if !w.may.empty {
		w.expire(p)
	}
}

// expire plays the end of the traces' maximum age in a process.
func (w *parted) expire(p *partedProc) {
	if since := p.agent.Since(rollout.Generation{}); len(since) > 0 {
		p.agent.Expire(since[0].Generation)
	}
}

func (w *parted) append(side int, rules map[string]rollout.Rule) {
	e, err := w.log[side].Next("r", rules).Seal()
	if err != nil {
		panic(err)
	}
	w.commit(side, e)
}

func (w *parted) commit(side int, e rollout.Entry) {
	next, err := w.log[side].Apply(e)
	if err != nil {
		panic(err)
	}
	w.log[side], w.whole[side] = next, append(w.whole[side], e)
}

// rules returns new rules for a service. Its first rule names the version that
// was found serving.
func (w *parted) rules(side int, service string) map[string]rollout.Rule {
	if _, known := w.log[side].Rule(service); !known {
		first := "v1"
		if w.may.apart && service == "both" && side == 1 {
			first = "v2"
		}
		return map[string]rollout.Rule{service: {Version: first}}
	}
	versions := append([]string{"v1"}, secondVersions[service]...)
	rule := rollout.Rule{Version: versions[w.rng.IntN(len(versions))]}
	if w.chance(30) {
		rule.Split = []rollout.Share{{Version: versions[w.rng.IntN(len(versions))], Release: "r", PerMyr: 5000}}
	}
	return map[string]rollout.Rule{service: rule}
}

func (w *parted) any() *partedProc { return w.procs[w.rng.IntN(len(w.procs))] }

// act performs the next event.
func (w *parted) act() {
	switch n := w.rng.IntN(1000); {
	case n < 780:
		if len(w.traces) > 0 {
			w.proceed(w.rng.IntN(len(w.traces)))
		}
	case n < 900:
		w.begin()
	case n < 950:
		p := w.any()
		w.teach(p, w.any().agent.Since(rollout.Generation{}))
	case n < 978:
		w.decide()
	case n < 992:
		w.restart(w.any())
	case n < 996:
		w.expire(w.any())
	case w.may.adopt && w.kept < 0:
		w.adopt(w.rng.IntN(2))
	}
}

// decide commits rules on one side. Some of its processes receive them at once,
// and second versions start.
func (w *parted) decide() {
	side := w.rng.IntN(2)
	services := []string{"ruled", "both", "left"}
	if side == 1 {
		services[2] = "right"
	}
	if w.kept >= 0 {
		side = w.kept
	}
	service := services[w.rng.IntN(len(services))]
	w.append(side, w.rules(side, service))
	for _, p := range w.procs {
		if p.side == side && w.chance(50) {
			w.teach(p, w.whole[side])
		}
	}
	up := func(p *partedProc) bool { return p.service == service && p.version == "v2" && p.side == side }
	if service != "ruled" && !slices.ContainsFunc(w.procs, up) {
		w.start(service, "v2", side)
	}
}

// restart ends a process and starts it again.
func (w *parted) restart(p *partedProc) {
	saved := participant.Saved{}
	if n := len(p.saved); n > 0 && w.chance(70) {
		saved = p.saved[max(0, n-1-w.rng.IntN(3))]
	}
	if p.version != "v1" && !w.may.late {
		log, err := rollout.Replay(opened(saved))
		if _, ruled := log.Rule(p.service); err != nil || !ruled {
			return
		}
	}
	w.open(p, saved)
	if p.agent.Log().Hash() == "" && !(w.may.empty && w.chance(50)) {
		w.teach(p, w.any().agent.Since(rollout.Generation{})) // a new process asks for rules before it serves
	}
}

func opened(s participant.Saved) (entries []rollout.Entry) {
	for _, r := range s.Records {
		e, err := r.Open()
		if err != nil {
			panic(err)
		}
		entries = append(entries, e)
	}
	return entries
}

// adopt lets one log go on and ends the other, as operator.Controller does.
func (w *parted) adopt(keep int) {
	mine, other := w.log[keep], w.log[1-keep]
	e := mine.Next("adopt", map[string]rollout.Rule{})
	e.Generation = rollout.Generation{Timeline: 1, N: max(mine.Last().N, other.Last().N) + 1}
	for _, x := range w.whole[1-keep][w.begun:] {
		e.Ends = append(e.Ends, x.Position())
	}
	for _, service := range other.Services() {
		if _, ruled := mine.Rule(service); !ruled && !w.broken.forget {
			first, _ := other.First(service)
			e.Rules[service] = rollout.Rule{Version: first}
		}
	}
	e, err := e.Seal()
	if err != nil {
		panic(err)
	}
	w.kept = keep
	w.commit(keep, e)
	for _, p := range w.procs { // reachable processes; the others learn it from them
		if w.chance(70) {
			w.teach(p, w.whole[keep])
		}
	}
}

// begin starts a trace at a process of a service without rules, or of "ruled"
// if the rules let it begin.
func (w *parted) begin() {
	p := w.any()
	if p.stock || p.service != "root" && p.service != "ruled" {
		return
	}
	if p.agent.Log().Hash() == "" && !w.may.empty {
		return
	}
	t := &partedTrace{met: map[string]string{}, left: 6}
	running := ""
	if p.service == "ruled" {
		running = p.service + "/" + p.version
	}
	t.root = &participant.Trace{}
	p.agent.Origin("entry", running).Begin(t.root, w.rng.Uint64(), "")
	if running != "" && p.agent.Log().Admit(p.service, p.version, t.root.Token()) != nil {
		t.root.End()
		return
	}
	if w.all++; t.root.Token().Generation == (rollout.Generation{}) {
		w.empty++
	}
	t.at = []partedSpan{{partedProc: p, run: p.run, trace: t.root}}
	w.meet(t, p)
	w.traces = append(w.traces, t)
}

// meet is the checker: no trace is executed by two versions of one service.
func (w *parted) meet(t *partedTrace, p *partedProc) {
	token := t.at[len(t.at)-1].token
	if tr := t.at[len(t.at)-1].trace; tr != nil {
		token = tr.Token()
	}
	t.story = append(t.story,
		fmt.Sprintf("%s %s (log %v %.4s) by %v/%08x",
			p.service, p.version, p.agent.Log().Last(), p.agent.Log().Hash(), token.Generation, token.Entry))
	if old, met := t.met[p.service]; met && old != p.version && old != "" {
		w.mixed++
		t.met[p.service] = "" // count it once
		if w.first == "" {
			w.first = fmt.Sprint(t.story)
		}
	} else if !met {
		t.met[p.service] = p.version
	}
}

// proceed lets a trace perform its next step.
func (w *parted) proceed(i int) {
	t := w.traces[i]
	switch c := t.call; {
	case t.left == 0 || !t.at[0].alive():
		w.traces = slices.Delete(w.traces, i, i+1)
	case c == nil:
		t.left--
		w.calls++
		from := t.at[w.rng.IntN(len(t.at))]
		services := []string{"ruled", "ruled", "both", "left", "right", "free"}
		t.call = &partedCall{from: from, service: services[w.rng.IntN(len(services))], token: from.token}
		if !from.alive() {
			t.call = nil
		} else if from.trace != nil {
			t.call.token, _, _ = from.trace.Send(t.call.service)
		}
	case !c.from.alive():
		t.call = nil // the calling span has ended; the call may or may not be executed
	case c.to == nil:
		w.choose(t, c)
	default:
		w.deliver(t, c)
	}
}

// choose plays the caller: it reads its rules and picks an instance.
func (w *parted) choose(t *partedTrace, c *partedCall) {
	version, ok := "", false
	if c.from.trace != nil { // a stock client picks any instance
		if !c.checked && !w.broken.caller {
			_, err := w.read(c.from.partedProc, c, false)
			if errors.Is(err, rollout.ErrStale) {
				w.teach(c.from.partedProc, w.any().agent.Since(rollout.Generation{}))
				_, err = w.read(c.from.partedProc, c, false)
			}
			if err != nil {
				w.refuse(t, c)
				return
			}
			if c.checked = w.broken.snapshot; c.checked {
				return // it chooses later
			}
		}
		log := c.from.agent.Log()
		token, _ := w.read(c.from.partedProc, c, w.broken.caller || w.broken.snapshot)
		var err error
		if version, ok, err = log.Resolve(c.service, token); err != nil {
			w.refuse(t, c)
			return
		}
	}
	var fit []*partedProc
	for _, p := range w.procs {
		blind := p.stock && (c.from.trace == nil || c.from.agent.Log().Hash() == "" && !w.may.blind)
		if p.service == c.service && (!ok || p.version == version) && !blind {
			fit = append(fit, p)
		}
	}
	if len(fit) == 0 {
		w.refuse(t, c)
		return
	}
	c.to = fit[w.rng.IntN(len(fit))]
	c.run, c.checked = c.to.run, false
}

// read returns the token as a process reads it, changed by the mutants. An
// error means that the process's log does not allow reading it.
func (w *parted) read(p *partedProc, c *partedCall, loose bool) (rollout.Token, error) {
	t, log := c.token, p.agent.Log()
	same := log.TokenAt(t.Generation, t.Seed, t.Mark)
	absent := same.Entry == 0 && t.Generation != (rollout.Generation{})
	switch {
	case (loose || w.broken.hash) && !absent:
		t = same
	case (loose || w.broken.hash || w.broken.absent) && absent && !log.Last().Before(t.Generation):
		before := rollout.Generation{}
		for _, e := range p.agent.Since(before) {
			if e.Generation.Before(t.Generation) {
				before = e.Generation
			}
		}
		t = log.TokenAt(before, t.Seed, t.Mark)
	}
	_, _, err := log.Resolve(c.service, t)
	return t, err
}

// deliver plays the callee: it fetches missing rules, checks, and executes.
func (w *parted) deliver(t *partedTrace, c *partedCall) {
	p := c.to
	if p.run != c.run { // it has restarted: the call may or may not have been executed
		w.end(t, c, true)
		return
	}
	if !p.stock && !w.broken.callee {
		token, err := w.read(p, c, c.checked)
		if errors.Is(err, rollout.ErrStale) {
			w.teach(p, c.from.agent.Since(rollout.Generation{}))
			token, err = w.read(p, c, false)
		}
		if err == nil && w.broken.snapshot && !c.checked {
			c.checked = true
			return
		}
		if err == nil {
			err = p.agent.Log().Admit(p.service, p.version, token)
		}
		if err != nil {
			w.refuse(t, c)
			return
		}
	}
	t.executed = true
	w.end(t, c, true)
	span := partedSpan{partedProc: p, run: p.run, token: c.token}
	switch {
	case p.stock: // its calls carry no token: they begin another trace
	case w.may.stock && w.chance(15): // a stock client passes on the received token
		t.at = append(t.at, span)
	default:
		span.trace = &participant.Trace{}
		p.agent.Origin("call", p.service+"/"+p.version).Join(span.trace, c.token, "", "")
		t.at = append(t.at, span)
	}
	w.meet(t, p)
}

// end reports the end of a call to the caller's trace.
func (w *parted) end(t *partedTrace, c *partedCall, settled bool) {
	if t.call = nil; c.from.trace != nil {
		c.from.trace.Returned(settled)
	}
}

// refuse ends a call that was not executed. A root may restart, once.
func (w *parted) refuse(t *partedTrace, c *partedCall) {
	w.refused++
	w.end(t, c, false)
	if c.from.trace != t.root || c.from.trace == nil {
		return
	}
	if t.root.Refresh(context.Background(), c.token) || !w.broken.restart || !t.executed {
		return
	}
	root := c.from.agent.Begin("entry", c.token.Seed, "")
	t.root.End()
	t.root, t.at[0].trace = root, root
}

// sums plays sites until one mixes a trace, or all are played.
func sums(t *testing.T, may may, broken broken, sites int, mutant bool) (sum parted, found string) {
	for seed := range uint64(sites) {
		w := part(seed, may, broken)
		sum.all += w.all
		sum.calls += w.calls
		sum.refused += w.refused
		sum.mixed += w.mixed
		sum.empty += w.empty
		if w.mixed > 0 && found == "" {
			found = fmt.Sprintf("site %d: %s", seed, w.first)
			if mutant {
				break
			}
		}
	}
	t.Logf("%d traces (%d by the empty log), %d calls, %.1f %% refused, %d mixed",
		sum.all, sum.empty, sum.calls, 100*float64(sum.refused)/float64(sum.calls), sum.mixed)
	return sum, found
}

// partedKinds are the kinds of sites in the table of the model.
var partedKinds = map[string]may{
	"both logs stay":                  {},
	"both logs stay, stock processes": {stock: true},
	"one is adopted":                  {adopt: true},
	"one is adopted, stock processes": {adopt: true, stock: true},
	"newcomers without rules":         {adopt: true, empty: true},
	"newcomers and stock processes":   {adopt: true, empty: true, stock: true},
}

func TestPartedLogsMixNothing(t *testing.T) {
	for name, may := range partedKinds {
		t.Run(name, func(t *testing.T) {
			sum, found := sums(t, may, broken{}, *partedSites, false)
			if sum.mixed > 0 {
				t.Errorf("%d of %d traces met two versions of a service, the first: %s", sum.mixed, sum.all, found)
			}
			if (sum.empty > 0) != may.empty || sum.all < 5**partedSites || sum.refused == 0 ||
				sum.refused > sum.calls/2 {
				t.Errorf("%d traces, %d by the empty log, %d of %d calls refused: the model is broken",
					sum.all, sum.empty, sum.refused, sum.calls)
			}
		})
	}
}

func TestPartedLogsCatchEveryMutant(t *testing.T) {
	for name, tc := range map[string]struct {
		may may
		broken
	}{
		"the token's hash is not looked at":        {may{}, broken{hash: true}},
		"absent numbers pass":                      {may{adopt: true}, broken{absent: true}},
		"callees check alone":                      {may{adopt: true, stock: true}, broken{caller: true}},
		"callers check alone":                      {may{stock: true}, broken{callee: true}},
		"check and choice on two snapshots":        {may{adopt: true, stock: true}, broken{snapshot: true}},
		"a root starts over after an execution":    {may{}, broken{restart: true}},
		"adopt forgets what only the other rules":  {may{adopt: true}, broken{forget: true}},
		"exclusion: no rules, and stock processes": {may{adopt: true, stock: true, empty: true, blind: true}, broken{}},
		"exclusion: no rule, and two versions":     {may{adopt: true, late: true}, broken{}},
		"exclusion: each side found another one":   {may{apart: true}, broken{}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, found := sums(t, tc.may, tc.broken, 3000, true); found == "" {
				t.Fatal("no trace was mixed: the model does not see this rule")
			} else {
				t.Log(found)
			}
		})
	}
}
