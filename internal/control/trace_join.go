package control

import (
	"cmp"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/spans"
)

// Trace is a request on its way through the site: the calls that belong to one trace id, of those that processes have
// kept.
type Trace struct {
	ID      string
	Began   time.Time // by this process's clock
	Took    time.Duration
	Service string // of the first call
	Method  string
	From    string // service in which it begins
	Failure string // of the first call; "": none
	Retried bool   // some call was made again, or failed within
	Calls   int    // attempts
	Mark    string
	Release string // generation that it reads

	Services  []string // in the order of their names
	Processes []string // that have told of it
	Spans     []TraceSpan
}

// TraceSpan is one attempt of a call, as both sides have told it. Times are after the begin of the trace.
type TraceSpan struct {
	ID, Parent uint64
	Depth      int // of the tree
	Service    string
	Method     string
	Version    string
	Caller     string
	Attempt    int
	Instance   string // address of the callee

	Began time.Duration // within what the parent took
	Took  time.Duration
	Shown time.Duration // part of Took that lies within the parent
	Own   time.Duration // part of Shown in which no call that it made is under way
	Wait  time.Duration // before it was sent, or before its handler began
	Limit time.Duration // that was left when it began; 0: not known
	Parts []TracePart   // of Shown in which it waits for calls that it made, in order

	Failure string // as the caller says, else as the callee says
	Rules   string
	Mark    string
	Release string
	Notes   string

	CallerProcess string // "": that side has told nothing
	CalleeProcess string
	Edge          bool // a request from outside
	Lost          bool // no process has kept it; the calls that it made name it as their parent

	caller, callee *told
}

// TracePart is a part of the time of a span.
type TracePart struct{ Began, Took time.Duration }

// knot is a span while a trace is put together.
type knot struct {
	TraceSpan
	at       time.Time // by the estimate of this process's clock
	begun    time.Time // where it is shown
	handled  time.Time // where its handler is shown to begin
	children []*knot
	done     bool
}

// join puts traces together of what processes have told, in the order of ids. A call is shown within the one that made
// it, whatever the clocks say.
func join(found []told, ids [][16]byte) (list []Trace) {
	of := map[[16]byte][]told{}
	for _, s := range found {
		of[s.Trace] = append(of[s.Trace], s)
	}
	for _, id := range ids {
		if len(of[id]) > 0 {
			list = append(list, joined(id, of[id]))
		}
	}
	return list
}

// mostJoined bounds the spans of one trace that are looked at.
const mostJoined = 2000

func joined(id [16]byte, list []told) Trace {
	knots := knotsOf(list[:min(len(list), mostJoined)])
	roots := planted(knots)
	t := Trace{ID: hex.EncodeToString(id[:])}
	end := time.Time{}
	for _, r := range roots {
		r.place(r.at, time.Time{})
		if t.Began.IsZero() || r.begun.Before(t.Began) {
			t.Began = r.begun
		}
		if e := r.begun.Add(r.Took); e.After(end) {
			end = e
		}
	}
	t.Took = end.Sub(t.Began)
	for _, r := range roots {
		r.write(&t, 0)
	}
	t.sum(roots)
	return t
}

// knotsOf joins the two sides of each attempt.
func knotsOf(list []told) map[uint64]*knot {
	knots := map[uint64]*knot{}
	for i := range list {
		s := &list[i]
		k := knots[s.ID]
		if k == nil {
			k = &knot{TraceSpan: TraceSpan{ID: s.ID}}
			knots[s.ID] = k
		}
		switch {
		case s.Side != spans.Callee && k.caller == nil:
			k.caller = s
		case s.Side == spans.Callee && k.callee == nil:
			k.callee = s
		}
	}
	for _, k := range knots {
		k.fill()
	}
	return knots
}

// fill takes over what the sides say; the caller knows how the attempt ended.
func (k *knot) fill() {
	first, other := k.caller, k.callee
	if first == nil {
		first, other = other, nil
	}
	k.Service, k.Method, k.Version, k.Caller = first.Service, first.Method, first.Version, first.Caller
	k.Attempt, k.Took, k.Wait, k.Limit = first.Attempt, first.Took, first.Wait, first.Limit
	k.Failure, k.Rules, k.Mark, k.Release, k.Notes = first.Failure, first.Rules, first.Mark, first.Release, first.Notes
	k.at = first.at
	if k.caller != nil {
		k.Parent, k.Instance, k.CallerProcess = first.Parent, first.Peer, first.process
		k.Edge = first.Side == spans.Edge
	}
	if k.callee != nil {
		k.CalleeProcess = k.callee.process
	}
	if other == nil {
		return
	}
	k.Version, k.Mark, k.Release = cmp.Or(k.Version, other.Version), cmp.Or(k.Mark, other.Mark),
		cmp.Or(k.Release, other.Release)
	k.Caller, k.Rules = cmp.Or(k.Caller, other.Caller), joinWords(k.Rules, other.Rules)
	k.Wait += other.Wait
}

func joinWords(a, b string) string {
	if a == "" || b == "" || a == b {
		return cmp.Or(a, b)
	}
	return a + ", " + b
}

// planted makes a tree of the knots and returns its roots. Parents that no process has kept get a knot of their own.
func planted(knots map[uint64]*knot) (roots []*knot) {
	for _, id := range slices.Sorted(maps.Keys(knots)) {
		k := knots[id]
		if k.Parent == 0 {
			continue
		}
		parent := knots[k.Parent]
		if parent == nil {
			parent = &knot{TraceSpan: TraceSpan{ID: k.Parent, Service: k.Caller, Lost: true, Attempt: 1}, at: k.at}
			knots[k.Parent] = parent
		}
		if !parent.below(k, knots) {
			parent.children = append(parent.children, k)
			if end := k.at.Add(k.Took); parent.Lost {
				if k.at.Before(parent.at) {
					parent.Took += parent.at.Sub(k.at)
					parent.at = k.at
				}
				parent.Took = max(parent.Took, end.Sub(parent.at))
			}
			k.done = true
		}
	}
	for _, k := range knots {
		if !k.done {
			roots = append(roots, k)
		}
	}
	slices.SortFunc(roots, byTime)
	return roots
}

// below reports whether k is the other knot, or descends from it. Then k can't be its parent: the answers of processes
// may form a circle.
func (k *knot) below(of *knot, knots map[uint64]*knot) bool {
	for at, n := k, 0; at != nil && n <= len(knots); at, n = knots[at.Parent], n+1 {
		if at == of {
			return true
		}
		if at.Parent == 0 {
			return false
		}
	}
	return false
}

func byTime(a, b *knot) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.ID, b.ID)) }

// place shows a span from a time on, and cuts it at until, where its parent ends. Without a parent, until is zero.
func (k *knot) place(at, until time.Time) {
	k.begun, k.Shown = at, k.Took
	if !until.IsZero() && at.Add(k.Took).After(until) {
		k.Shown = max(until.Sub(at), 0)
	}
	k.handled = k.begun
	if k.caller != nil && k.callee != nil {
		late := k.callee.at.Sub(k.caller.at)
		k.handled = k.begun.Add(min(max(late, 0), max(k.caller.Took-k.callee.Took, 0)))
	}
	slices.SortFunc(k.children, byTime)
	end := k.begun.Add(k.Shown)
	for _, c := range k.children {
		from := c.at
		if k.callee != nil && c.caller != nil && c.caller.process == k.callee.process {
			from = k.handled.Add(c.caller.at.Sub(k.callee.at)) // one clock: the distance is exact
		}
		if latest := end.Add(-c.Took); from.After(latest) {
			from = latest
		}
		if from.Before(k.begun) {
			from = k.begun
		}
		c.place(from, end)
	}
	k.parts()
}

// parts finds the time in which calls are under way.
func (k *knot) parts() {
	slices.SortStableFunc(k.children, func(a, b *knot) int { return a.begun.Compare(b.begun) })
	k.Own = k.Shown
	for _, c := range k.children {
		from, took := c.begun.Sub(k.begun), c.Shown
		if n := len(k.Parts); n > 0 {
			last := &k.Parts[n-1]
			if end := last.Began + last.Took; from <= end {
				last.Took = max(last.Took, from+took-last.Began)
				continue
			}
		}
		k.Parts = append(k.Parts, TracePart{from, took})
	}
	for _, p := range k.Parts {
		k.Own -= p.Took
	}
	if k.Lost {
		k.Own = 0
	}
}

// deepest bounds the depth that is shown; deeper calls are shown at it.
const deepest = 32

// write appends the tree in its order.
func (k *knot) write(t *Trace, depth int) {
	s := k.TraceSpan
	s.Depth, s.Began = min(depth, deepest), k.begun.Sub(t.Began)
	for i := range s.Parts {
		s.Parts[i].Began += s.Began
	}
	t.Spans = append(t.Spans, s)
	for _, c := range k.children {
		c.write(t, depth+1)
	}
}

// sum says what the whole trace was.
func (t *Trace) sum(roots []*knot) {
	services, processes := map[string]bool{}, map[string]bool{}
	for i := range t.Spans {
		s := &t.Spans[i]
		if !s.Lost {
			t.Calls++
			services[s.Service] = true
		}
		t.Retried = t.Retried || s.Attempt > 1 || s.Failure != ""
		t.Mark, t.Release = cmp.Or(t.Mark, s.Mark), cmp.Or(t.Release, s.Release)
		for _, p := range []string{s.CallerProcess, s.CalleeProcess} {
			if p != "" {
				processes[p] = true
			}
		}
	}
	t.Services, t.Processes = slices.Sorted(maps.Keys(services)), slices.Sorted(maps.Keys(processes))
	first := roots[0]
	t.From = first.Caller
	last := roots[len(roots)-1]
	if first.Lost {
		t.From = first.Service
		first, last = first.children[0], first.children[len(first.children)-1]
	}
	t.Service, t.Method, t.Failure = first.Service, first.Method, last.Failure
	if strings.Contains(last.Notes, spans.Fallback) {
		t.Failure = ""
	}
}

// OwnTimes sums the own time of each service up, the longest first.
func (t *Trace) OwnTimes() (list []OwnTime) {
	sums := map[string]time.Duration{}
	failed := map[string]bool{}
	for i := range t.Spans {
		s := &t.Spans[i]
		sums[s.Service] += s.Own
		failed[s.Service] = failed[s.Service] || s.Failure != ""
	}
	for service, d := range sums {
		list = append(list, OwnTime{service, d, failed[service]})
	}
	slices.SortFunc(list, func(a, b OwnTime) int {
		return cmp.Or(cmp.Compare(b.Took, a.Took), strings.Compare(a.Service, b.Service))
	})
	return list
}

// OwnTime is the time that a service took itself in a trace.
type OwnTime struct {
	Service string
	Took    time.Duration
	Failed  bool
}

// Longest is the place of the span with the longest own time in Spans.
func (t *Trace) Longest() int {
	longest := 0
	for i := range t.Spans {
		if t.Spans[i].Own > t.Spans[longest].Own {
			longest = i
		}
	}
	return longest
}
