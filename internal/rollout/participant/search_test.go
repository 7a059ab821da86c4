package participant

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/rollout"
)

// The small model: three processes that know the new rules, one old trace that
// moves between them by one-way calls, and one or two controllers that collect
// their rounds. The search runs the real ledger, Graph and Drain through every
// order of events. It looks for a state in which the drain is declared over
// while the trace can still call the old version.

const processes = 3

var names = [processes]string{"a", "b", "c"}

// target is, as a callee, the service with the old version that goes.
const target = processes

// modelSite holds which process serves and may call what.
type modelSite struct {
	serves [processes]string
	calls  [processes][]int // by caller: processes, or target
}

// In this site every process may call the others and the target.
var everybody = modelSite{[processes]string{"a", "b", "c"},
	[processes][]int{{1, 2, target}, {0, 2, target}, {0, 1, target}}}

// In this site c can't reach the target, and a reaches it through b.
var oneWay = modelSite{[processes]string{"a", "b", "c"}, [processes][]int{{1, 2}, {0, 2, target}, {}}}

// In this site b and c serve the same service, and only b calls the target.
var replicas = modelSite{[processes]string{"a", "x", "x"}, [processes][]int{{1, 2}, {target}, {0}}}

// mutant switches off one rule of the protocol.
type mutant struct {
	noWindow  bool // a report covers only its instant
	noHandOff bool // a sender's span ends before its call is accepted
	rootOnly  bool // only the trace's first process counts spans
	latest    bool // a second report in a round replaces the first
	anyWindow bool // a window may begin with any controller's question
	forgotten bool // b does not report that it calls the target
	subset    bool // b's calls do not count for its service
	late      bool // b makes its client of the target during the run
}

// node is one state of the model. Each span is in at most one place, so a few
// slices describe the state.
type node struct {
	site    modelSite
	ledgers [processes]*ledger
	drain   rollout.Drain
	spans   []modelSpan
	calls   []modelCall     // sent, not yet delivered
	acks    []int           // spans with an acceptance on its way
	hops    int             // remaining sends
	rival   [processes]bool // processes that another controller will still ask, once
	learnt  bool            // b has made its late client
	givesUp bool            // once, the controller will open a round before the last is complete
	step    string
	from    *node
}

type modelSpan struct {
	at      int
	holds   int
	running bool
}

type modelCall struct{ sender, to int }

var oldToken, switched = rollout.Generation{N: 1}, rollout.Generation{N: 2}

func (n *node) clone(step string) *node {
	c := &node{
		site: n.site, rival: n.rival, learnt: n.learnt, givesUp: n.givesUp, drain: n.drain.Clone(),
		spans: slices.Clone(n.spans), calls: slices.Clone(n.calls), acks: slices.Clone(n.acks), hops: n.hops,
		step: step, from: n,
	}
	for i, l := range n.ledgers {
		c.ledgers[i] = l.clone()
	}
	return c
}

func (l *ledger) clone() *ledger {
	c := &ledger{
		round: l.round, after: l.after, cells: map[class]*cell{}, held: maps.Clone(l.held),
		carried: maps.Clone(l.carried),
	}
	for k, v := range l.cells {
		copied := &cell{ledger: c, class: k}
		copied.live.Store(v.live.Load())
		copied.ended.Store(v.ended.Load())
		c.cells[k] = copied
	}
	return c
}

// begin counts a new span at a process and returns its index.
func (n *node) begin(at int, m mutant) int {
	n.spans = append(n.spans, modelSpan{at: at, holds: 1, running: true})
	if !m.rootOnly || at == 0 {
		n.ledgers[at].Begin(oldToken, "")
	}
	return len(n.spans) - 1
}

// release ends one hold of a span in the real ledger.
func (n *node) release(i int, m mutant) {
	s := &n.spans[i]
	if !m.rootOnly || s.at == 0 {
		real := &span{cell: n.ledgers[s.at].cells[class{generation: oldToken}]}
		real.holds.Store(int32(s.holds))
		real.release()
	}
	s.holds--
}

// next returns every state that one event leads to.
func (n *node) next(m mutant) []*node {
	var out []*node
	for i, s := range n.spans {
		if !s.running {
			continue
		}
		c := n.clone("the handler at " + names[s.at] + " ends")
		c.spans[i].running = false
		c.release(i, m)
		out = append(out, c)
		if n.hops == 0 {
			continue
		}
		for _, to := range n.site.calls[s.at] {
			if to == target {
				continue
			}
			c := n.clone(names[s.at] + " sends one way to " + names[to])
			c.hops--
			c.calls = append(c.calls, modelCall{i, to})
			if !m.noHandOff {
				c.spans[i].holds++
			}
			out = append(out, c)
		}
	}
	for i, call := range n.calls {
		c := n.clone(names[call.to] + " accepts")
		c.calls = slices.Delete(c.calls, i, i+1)
		c.begin(call.to, m)
		if !m.noHandOff {
			c.acks = append(c.acks, call.sender)
		}
		out = append(out, c)
	}
	for i, span := range n.acks {
		c := n.clone(names[n.spans[span].at] + " hears of the acceptance")
		c.acks = slices.Delete(c.acks, i, i+1)
		c.release(span, m)
		out = append(out, c)
	}
	return append(out, n.reports(m)...)
}

// reports returns the states after each event of the controllers' rounds.
func (n *node) reports(m mutant) []*node {
	var out []*node
	if m.late && !n.learnt {
		c := n.clone("b makes a client of the target")
		c.learnt = true
		out = append(out, c)
	}
	if n.givesUp {
		c := n.clone("the controller gives round " + strconv.FormatUint(n.drain.Round(), 10) + " up")
		c.givesUp = false
		c.drain.Open(c.drain.Round()+1, names[:])
		out = append(out, c)
	}
	for p, name := range names {
		if n.rival[p] {
			c := n.clone(name + " reports to another controller")
			c.rival[p] = false
			c.ledgers[p].report(rivalRound, switched)
			out = append(out, c)
		}
		if r, _ := n.drain.Answer(name); r != nil && !m.latest {
			continue
		}
		c := n.clone(name + " reports in round " + strconv.FormatUint(n.drain.Round(), 10))
		l := c.ledgers[p]
		if m.noWindow {
			for _, cell := range l.cells {
				cell.ended.Store(false)
			}
		}
		if m.latest {
			l.round, l.held = 0, nil // drop the answer before
			c.drain = c.drain.Clone(name)
		}
		held, round, after := l.report(c.drain.Round(), switched)
		if m.anyWindow || m.latest {
			after = 0
		}
		c.drain.Add(n.report(p, m, rollout.Report{
			Process: name, Round: round, After: after, Applied: switched, Inflight: held,
		}))
		out = append(out, c)
	}
	return out
}

// report adds the process's services and calls to a report.
func (n *node) report(p int, m mutant, r rollout.Report) rollout.Report {
	r.Serves, r.Calls = []string{n.site.serves[p]}, []string{}
	for _, to := range n.site.calls[p] {
		switch {
		case to != target:
			r.Calls = append(r.Calls, n.site.serves[to])
		case !(p == 1 && (m.forgotten || m.late && !n.learnt)):
			r.Calls = append(r.Calls, "s")
		}
	}
	if p == 1 && m.subset {
		r.Serves = nil
	}
	return r
}

// alive reports whether the trace can still call the target.
func (n *node) alive() bool {
	return slices.ContainsFunc(n.calls, func(c modelCall) bool { return n.reaches(c.to, 0) }) ||
		slices.ContainsFunc(n.spans, func(s modelSpan) bool { return s.running && n.reaches(s.at, 0) })
}

func (n *node) reaches(p, depth int) bool {
	return p == target ||
		depth < processes && slices.ContainsFunc(n.site.calls[p], func(to int) bool { return n.reaches(to, depth+1) })
}

// numbered returns a byte that stands for a round: its distance to the present one.
func (n *node) numbered(round uint64) byte {
	switch round {
	case 0:
		return 'n' // no round
	case rivalRound:
		return 'r'
	}
	return byte('0' + min(n.drain.Round()-round, 2))
}

// key identifies a state, whatever the order in which equal things were made.
func (n *node) key() string {
	b := make([]byte, 0, 128)
	flag := func(set bool) {
		if set {
			b = append(b, '1')
		} else {
			b = append(b, '0')
		}
	}
	for i, l := range n.ledgers {
		live, ended := 0, false
		for _, c := range l.cells {
			live, ended = live+int(c.live.Load()), ended || c.ended.Load()
		}
		answer, before := n.drain.Answer(names[i])
		b = strconv.AppendInt(b, int64(live), 10)
		flag(ended)
		flag(answer != nil)
		flag(answer != nil && len(answer.Inflight) > 0)
		flag(answer != nil && slices.Contains(answer.Calls, "s"))
		flag(answer != nil && answer.After > before)
		flag(len(l.held) > 0)
		flag(len(l.carried) > 0)
		flag(n.rival[i])
		b = append(b, n.numbered(l.round), n.numbered(l.after), n.numbered(before))
	}
	spans := make([]string, 0, len(n.spans))
	for i, s := range n.spans {
		if k := n.spanKey(i, s); k != "" {
			spans = append(spans, k)
		}
	}
	slices.Sort(spans)
	flag(n.learnt)
	flag(n.givesUp)
	b = append(b, strings.Join(spans, ",")...)
	return string(strconv.AppendInt(append(b, '/'), int64(n.hops), 10))
}

// spanKey returns "" for a span without further effect.
func (n *node) spanKey(i int, s modelSpan) string {
	waiting := byte('0')
	for _, a := range n.acks {
		if a == i {
			waiting++
		}
	}
	var to []byte
	for _, c := range n.calls {
		if c.sender == i {
			to = append(to, byte('0'+c.to))
		}
	}
	if s.holds == 0 && !s.running && len(to) == 0 {
		return ""
	}
	slices.Sort(to)
	state := byte('e')
	if s.running {
		state = 'r'
	}
	return string(append([]byte{byte('0' + s.at), state, waiting}, to...))
}

// rivalRound is the number of the other controller's round.
const rivalRound = 1

// search explores all states and returns their number. If the drain was wrong,
// it also returns the shortest schedule that shows it.
func search(site modelSite, hops int, rival, givesUp bool, m mutant) (states int, counterexample []string) {
	start := &node{
		site: site, hops: hops, givesUp: givesUp, rival: [processes]bool{rival, rival, rival},
		drain: rollout.Drain{Service: "s", Old: "v1", Since: switched},
	}
	for i := range start.ledgers {
		start.ledgers[i] = &ledger{}
	}
	start.drain.Open(rivalRound+1, names[:])
	start.begin(0, m)
	seen := map[string]bool{start.key(): true}
	for queue := []*node{start}; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		states++
		for _, c := range n.next(m) {
			if c.drain.Complete() {
				if c.drain.Close() {
					if c.alive() {
						return states, c.schedule()
					}
					continue
				}
				c.drain.Open(c.drain.Round()+1, names[:])
			}
			if k := c.key(); !seen[k] {
				seen[k] = true
				queue = append(queue, c)
			}
		}
	}
	return states, nil
}

func (n *node) schedule() []string {
	var out []string
	for ; n.from != nil; n = n.from {
		out = append(out, n.step)
	}
	slices.Reverse(out)
	return out
}

func TestDrainIsSoundInEverySchedule(t *testing.T) {
	for name, tc := range map[string]struct {
		site  modelSite
		hops  int
		rival bool
		up    bool
	}{
		"everybody may call everybody":               {everybody, 2, false, false},
		"everybody may call everybody, another asks": {everybody, 1, true, false},
		"everybody calls, and a round is given up":   {everybody, 1, false, true},
		"c leads nowhere":                            {oneWay, 2, false, false},
		"c leads nowhere, another asks":              {oneWay, 1, true, false},
		"c leads nowhere, and a round is given up":   {oneWay, 1, false, true},
		"replicas that call different ones":          {replicas, 2, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			states, bad := search(tc.site, tc.hops, tc.rival, tc.up, mutant{})
			if bad != nil {
				t.Fatalf("drained while the trace could still call the old version:\n  %s", strings.Join(bad, "\n  "))
			}
			if states < 300 {
				t.Fatalf("only %d states: the search is broken", states)
			}
			t.Logf("%d states", states)
		})
	}
}

func TestSearchCatchesEveryMutant(t *testing.T) {
	for _, tc := range []struct {
		name  string
		site  modelSite
		rival bool
		m     mutant
	}{
		{"no window", everybody, false, mutant{noWindow: true}},
		{"no hand-off acknowledgement", everybody, false, mutant{noHandOff: true}},
		{"only the root reports", everybody, false, mutant{rootOnly: true}},
		{"the latest report wins", everybody, false, mutant{latest: true}},
		{"another controller cut the window short", everybody, true, mutant{anyWindow: true}},
		{"an edge is forgotten", oneWay, false, mutant{forgotten: true}},
		{"the graph of some processes only", replicas, false, mutant{subset: true}},
		{"an edge is learnt after the round", oneWay, false, mutant{late: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			states, bad := search(tc.site, 2, tc.rival, false, tc.m)
			if bad == nil {
				t.Fatalf("%d states and no counterexample: the search does not see this rule", states)
			}
			t.Logf("caught after %d states by %d steps:\n  %s", states, len(bad), strings.Join(bad, "\n  "))
		})
	}
}
