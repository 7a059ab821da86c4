package rollout

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The small model: three processes that know the new rules, and one old trace
// which hops between them by one-way calls while the controller collects its
// rounds. The search runs the real Ledger and Drain through every
// interleaving and looks for a state in which the drain is declared over
// while the trace is still alive.

const processes = 3

var names = [processes]string{"a", "b", "c"}

// mutant switches off one rule of the protocol.
type mutant struct {
	noWindow  bool // a report tells only what is alive at its instant
	noHandOff bool // a sender's span ends without waiting for acceptance
	rootOnly  bool // only the process that began the trace counts spans
	latest    bool // a second report in a round replaces the first
}

// node is one state of the model. Spans live in at most one place each, so
// that a few slices describe everything.
type node struct {
	ledgers [processes]*Ledger
	drain   Drain
	spans   []modelSpan
	calls   []modelCall // sent and not yet delivered
	acks    []int       // spans to whom an acceptance is under way
	hops    int         // sends left
	step    string
	from    *node
}

type modelSpan struct {
	at      int
	holds   int
	running bool
}

type modelCall struct{ sender, to int }

var oldToken, switched = Generation{N: 1}, Generation{N: 2}

func (n *node) clone(step string) *node {
	c := &node{drain: n.drain, spans: slices.Clone(n.spans), calls: slices.Clone(n.calls), acks: slices.Clone(n.acks), hops: n.hops, step: step, from: n}
	for i, l := range n.ledgers {
		c.ledgers[i] = l.clone()
	}
	c.drain.members = map[string]*state{}
	for m, s := range n.drain.members {
		copied := *s
		c.drain.members[m] = &copied
	}
	return c
}

func (l *Ledger) clone() *Ledger {
	c := &Ledger{round: l.round, cells: map[class]*cell{}}
	for k, v := range l.cells {
		copied := &cell{class: k}
		copied.live.Store(v.live.Load())
		copied.ended.Store(v.ended.Load())
		c.cells[k] = copied
	}
	if l.held != nil {
		c.held = map[class]bool{}
		for k := range l.held {
			c.held[k] = true
		}
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

// release ends one hold of a span, through the real ledger.
func (n *node) release(i int, m mutant) {
	s := &n.spans[i]
	if !m.rootOnly || s.at == 0 {
		real := &Span{cell: n.ledgers[s.at].cells[class{generation: oldToken}]}
		real.holds.Store(int32(s.holds))
		real.Release()
	}
	s.holds--
}

// next lists every state that one event leads to.
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
		for to := range processes {
			if to == s.at {
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

// reports are the events of the controller's round.
func (n *node) reports(m mutant) []*node {
	var out []*node
	for p, name := range names {
		if s := n.drain.members[name]; s.report != nil && !m.latest {
			continue
		}
		c := n.clone(name + " reports in round " + strconv.FormatUint(n.drain.round, 10))
		l := c.ledgers[p]
		if m.noWindow {
			for _, cell := range l.cells {
				cell.ended.Store(false)
			}
		}
		if m.latest {
			l.round, l.held = 0, nil // the answer before is forgotten …
			c.drain.members[name].report = nil
		}
		least, _ := l.Report(c.drain.round, []string{"s"}, Anything)
		c.drain.Take(Report{Process: name, Round: c.drain.round, Applied: switched, Least: least})
		out = append(out, c)
	}
	return out
}

// alive reports whether the trace can still call.
func (n *node) alive() bool {
	return len(n.calls) > 0 || slices.ContainsFunc(n.spans, func(s modelSpan) bool { return s.running })
}

// key identifies a state up to the order in which equal things were made.
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
		s := n.drain.members[names[i]]
		b = strconv.AppendInt(b, int64(live), 10)
		flag(ended)
		flag(s.report != nil)
		flag(s.report != nil && len(s.report.Least) > 0)
		flag(len(l.held) > 0)
	}
	spans := make([]string, 0, len(n.spans))
	for i, s := range n.spans {
		if k := n.spanKey(i, s); k != "" {
			spans = append(spans, k)
		}
	}
	slices.Sort(spans)
	b = append(b, strings.Join(spans, ",")...)
	b = strconv.AppendInt(append(b, '/'), int64(n.hops), 10)
	return string(strconv.AppendInt(append(b, '/'), int64(n.drain.clean), 10))
}

// spanKey is "" for a span that has no effect any more.
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

// search explores everything and returns the number of states and, when the
// drain was wrong, the shortest schedule that shows it.
func search(hops, rounds int, m mutant) (states int, counterexample []string) {
	start := &node{hops: hops, drain: Drain{Service: "s", Old: "v1", Since: switched}}
	for i := range start.ledgers {
		start.ledgers[i] = &Ledger{}
	}
	start.drain.Open(1, names[:])
	start.begin(0, m)
	seen := map[string]bool{start.key(): true}
	for queue := []*node{start}; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		states++
		for _, c := range n.next(m) {
			if c.drain.Complete() {
				c.drain.Close()
				if c.drain.clean >= rounds {
					if c.alive() {
						return states, c.schedule()
					}
					continue
				}
				c.drain.Open(c.drain.round+1, names[:])
				c.drain.clean = min(c.drain.clean, rounds)
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
	states, bad := search(2, 1, mutant{})
	if bad != nil {
		t.Fatalf("drained while the trace was alive:\n  %s", strings.Join(bad, "\n  "))
	}
	if states < 1000 {
		t.Fatalf("only %d states: the search is broken", states)
	}
	t.Logf("%d states, sound with one round", states)
}

func TestSearchCatchesEveryMutant(t *testing.T) {
	for _, tc := range []struct {
		name   string
		m      mutant
		rounds int
	}{
		{"no window", mutant{noWindow: true}, 1},
		{"no window, two rounds", mutant{noWindow: true}, 2},
		{"no hand-off acknowledgement", mutant{noHandOff: true}, 1},
		{"only the root reports", mutant{rootOnly: true}, 2},
		{"the latest report wins", mutant{latest: true}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			states, bad := search(2, tc.rounds, tc.m)
			if bad == nil {
				t.Fatalf("%d states and no counterexample: the search does not see this rule", states)
			}
			t.Logf("caught after %d states by %d steps:\n  %s", states, len(bad), strings.Join(bad, "\n  "))
		})
	}
}
