package console

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
)

// tellFlows joins what callers and callees have counted in the last minute. Counts since the start of each process
// become those of a minute: they alone tell instances, and processes of older releases have no other.
func (l *live) tellFlows(s *snapshot, counts []control.Counts) {
	now := sums{at: s.At, flows: map[flowKey]counted{}}
	callers := servicesOf(s.Entries)
	for _, c := range counts {
		for _, of := range c.Slower {
			for _, r := range of {
				if r.Made && !strings.HasPrefix(r.Service, internalPrefix) {
					k := flowKey{c.Process, callers[c.Process], r.Service, r.Version, r.Peer}
					now.flows[k] = counted{r.Calls, r.Failures, r.Kinds}
				}
			}
		}
	}
	l.past = append(l.past, now)
	for len(l.past) > 2 && s.At.Sub(l.past[1].at) >= flowTime {
		l.past = l.past[1:]
	}
	s.Attempts = between(l.past[0], now, func(flowKey) bool { return true })
	s.Flows, s.Own, s.Trends = slices.Clip(l.flows), l.own, l.recent.Trends
	s.Untold = untold{Kinds: l.recent.KindsLeft, Calls: l.recent.CallsLeft}
	for _, process := range sorted(l.recent.Silent) {
		if errors.Is(l.recent.Silent[process], control.ErrRecentTooOld) {
			s.Untold.Older = append(s.Untold.Older, process)
		}
	}
	s.Flows = append(s.Flows, between(l.past[0], now, l.untold())...)
	l.keep(s)
}

// made are the calls of a process to a service.
type made struct{ process, service string }

func madeBy(calls []control.RecentCalls) map[made]bool {
	m := map[made]bool{}
	for i := range calls {
		if c := &calls[i]; !c.Served {
			m[made{c.Process, c.Service}] = true
		}
	}
	return m
}

// untold reports of counts whether neither their caller nor its callees have told these calls otherwise. So it is with
// calls of older releases.
func (l *live) untold() func(flowKey) bool {
	type edge struct{ from, to string }
	served := map[edge]bool{}
	for _, f := range l.flows {
		if f.Served {
			served[edge{f.Caller, f.Service}] = true
		}
	}
	return func(k flowKey) bool {
		return !l.made[made{k.process, k.service}] && !served[edge{k.caller, k.service}]
	}
}

// keep keeps of a snapshot what the next hour compares itself with.
func (l *live) keep(s *snapshot) {
	if len(l.marks) == 0 || s.At.Sub(l.marks[len(l.marks)-1].point.At) >= pointPeriod {
		m, kept := mark{point: s.now()}, false
		for _, before := range l.marks[max(0, len(l.marks)-keptFlows+1):] {
			kept = kept || before.flows != nil
		}
		if !kept {
			m.flows = byEdge(s.Flows)
		}
		l.marks = append(l.marks, m)
		edges := s.edges()
		l.minutes = append(l.minutes, minute{s.At.Truncate(time.Minute), edges[:min(len(edges), mostEdges)]})
		l.minutes = l.minutes[max(0, len(l.minutes)-keptPoints):]
		l.usual = usualOf(l.minutes)
		l.marks = l.marks[max(0, len(l.marks)-keptPoints):]
	}
	for i := len(l.marks) - 1; i >= 0; i-- {
		if m := l.marks[i]; m.flows != nil && s.At.Sub(m.point.At) > 50*time.Minute {
			s.Before = m.flows
		}
	}
	s.Minutes, s.usual = slices.Clone(l.minutes), l.usual
	if l.cfg.Node != nil && l.cfg.Node.Membership().Database() != nil {
		s.stored = l.storedEdges
	}
	for _, m := range l.marks {
		s.Hour = append(s.Hour, m.point)
	}
}

// byEdge adds flows up by caller and service, without their kinds.
func byEdge(flows []flow) []flow {
	type edge struct{ from, to string }
	sums := tally(flows, func(f flow) (edge, bool) { return edge{f.Caller, f.Service}, true })
	list := make([]flow, 0, len(sums))
	for e, f := range sums {
		list = append(list, flow{Caller: e.from, Service: e.to, Calls: f.Calls, Failed: f.Failed, Latency: f.Latency,
			Rate: f.rate})
	}
	return list
}

// flowsOf joins the counts of all processes: those of callers, and those of callees for callers that have told none.
func flowsOf(calls []control.RecentCalls) []flow {
	type key struct {
		caller, service, version, method string
		served                           bool
	}
	list, at := []flow{}, map[key]int{}
	sums := []figures{}
	for i := range calls {
		c := &calls[i]
		if c.Twice {
			continue
		}
		k := key{c.Caller, c.Service, c.Version, c.Method, c.Served}
		j, known := at[k]
		if !known {
			j = len(list)
			at[k] = j
			list = append(list, flow{Caller: c.Caller, Service: c.Service, Version: c.Version, Method: c.Method,
				Served: c.Served})
			sums = append(sums, figures{})
		}
		sums[j].add(counts(c))
	}
	for i, f := range sums {
		list[i].Calls, list[i].Failed, list[i].Kinds, list[i].Latency, list[i].Rate = f.Calls, f.Failed, f.Kinds,
			f.Latency, f.rate
	}
	return list
}

// ownFigures are what the instances have counted.
func ownFigures(calls []control.RecentCalls) map[place]*figures {
	own := map[place]*figures{}
	for i := range calls {
		c := &calls[i]
		if !c.Served {
			continue
		}
		at := place{c.Process, c.Service, c.Version}
		if own[at] == nil {
			own[at] = &figures{}
		}
		own[at].add(counts(c))
	}
	return own
}

func counts(c *control.RecentCalls) flow {
	return flow{Calls: c.Calls, Failed: c.Failed, Kinds: c.Kinds, Latency: c.Latency, Rate: c.Rate}
}

// servicesOf names each process by the service that it offers: the first by name, of several.
func servicesOf(entries []discovery.Entry) map[string]string {
	m := map[string]string{}
	for i := range entries {
		e := &entries[i]
		if !strings.HasPrefix(e.Service, internalPrefix) && (m[e.Owner] == "" || e.Service < m[e.Owner]) {
			m[e.Owner] = e.Service
		}
	}
	return m
}

// between are the calls between two times, as those of a minute. A process that began between the two counts from its
// start; one with smaller counts than before is another one of its name, and counts from its start, too.
func between(from, to sums, wanted func(flowKey) bool) []flow {
	took := to.at.Sub(from.at)
	if took <= 0 {
		return nil
	}
	scale := func(n int64) int64 { return int64(float64(n)*float64(flowTime)/float64(took) + 0.5) }
	joined := map[flowKey]*flow{}
	for k, c := range to.flows {
		if !wanted(k) {
			continue
		}
		b := from.flows[k]
		if b.calls > c.calls {
			b = counted{}
		}
		if c.calls == b.calls {
			continue
		}
		key := k
		key.process = ""
		f := joined[key]
		if f == nil {
			f = &flow{Caller: k.caller, Service: k.service, Version: k.version, Instance: k.instance,
				Kinds: map[string]int64{}}
			joined[key] = f
		}
		f.Calls += scale(c.calls - b.calls)
		f.Failed += scale(c.failed - b.failed)
		for kind, n := range c.kinds {
			if n > b.kinds[kind] {
				f.Kinds[kind] += scale(n - b.kinds[kind])
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(joined), func(a, b flowKey) int {
		return cmp.Or(cmp.Compare(a.caller, b.caller), cmp.Compare(a.service, b.service),
			cmp.Compare(a.version, b.version), cmp.Compare(a.instance, b.instance))
	})
	list := make([]flow, 0, len(keys))
	for _, k := range keys {
		list = append(list, *joined[k])
	}
	return list
}

var _ site = (*live)(nil)
