package console

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/recent"
)

// Calls over an edge are slow when their p99 is clearly above the usual one: the lower quartile of the p99 in the
// minutes of the last hour. Trouble of up to three quarters of that hour does not pass for usual.
const (
	slowTimes  = 3                     // the usual p99
	slowMore   = 20 * time.Millisecond // above the usual p99
	slowCalls  = 10                    // that take so long; fewer may be chance
	slowMuch   = 10                    // times the usual p99: much worse
	slowGrave  = time.Second           // a p99 with which users notice that
	usualLeast = 5                     // minutes with enough calls; of fewer nothing is usual
)

// usualOf is the usual p99 of each edge. Minutes with few calls say nothing.
func usualOf(minutes []minute) map[[2]string]time.Duration {
	seen := map[[2]string][]float64{}
	for _, m := range minutes {
		for _, e := range m.Edges {
			if e.P99 > 0 && e.Rate*flowTime.Seconds() >= fewCalls {
				seen[e.pair()] = append(seen[e.pair()], e.P99)
			}
		}
	}
	usual := map[[2]string]time.Duration{}
	for pair, list := range seen {
		if len(list) >= usualLeast {
			slices.Sort(list)
			usual[pair] = time.Duration(list[len(list)/4] * float64(time.Millisecond))
		}
	}
	return usual
}

// slow reports whether calls are slow against a usual p99; 0: nothing is usual.
func slow(now figures, usual time.Duration) bool {
	limit := max(slowTimes*usual, usual+slowMore)
	return usual > 0 && now.Calls >= fewCalls && now.P99() >= limit && over(now.Latency, limit) >= slowCalls
}

// over is the number of calls that took longer than a limit, or about as long.
func over(s recent.Steps, limit time.Duration) (calls int64) {
	for i, n := range s {
		if i == len(s)-1 || recent.StepBound(i) > limit {
			calls += n
		}
	}
	return calls
}

// tellSlow marks an edge that is slow.
func (e *edgeRow) tellSlow(now figures, usual time.Duration) {
	if e.Slow = slow(now, usual); !e.Slow {
		return
	}
	e.Usual = ms(usual)
	e.Worse = max(e.Worse, little)
	if e.times() >= slowMuch && now.P99() >= slowMuch*slowMore {
		e.Worse = much
	}
}

// times is how many times the usual p99 the calls of a slow edge take.
func (e edgeRow) times() float64 { return e.P99 / e.Usual }

// slowest is the edge of several that took most times its usual p99, nil when none is slow.
func slowest(edges []edgeRow) (worst *edgeRow) {
	for i := range edges {
		if e := &edges[i]; e.Slow && (worst == nil || e.times() > worst.times()) {
			worst = e
		}
	}
	return worst
}

// passesOn reports whether the callee of a slow edge only waits for slow calls of its own: these took at least half of
// what the edge takes more than usual.
func passesOn(e edgeRow, edges []edgeRow) bool {
	return slices.ContainsFunc(edges, func(o edgeRow) bool {
		return o.Slow && o.From == e.To && o.To != e.From && o.To != o.From && 2*(o.P99-o.Usual) >= e.P99-e.Usual
	})
}

// waitingFor are the services that wait for a slow one, over any number of slow edges.
func waitingFor(service string, edges []edgeRow) []string {
	waits := map[string]bool{service: true}
	for grown := true; grown; {
		grown = false
		for _, e := range edges {
			if e.Slow && waits[e.To] && e.From != "" && !waits[e.From] {
				waits[e.From], grown = true, true
			}
		}
	}
	delete(waits, service)
	return sorted(waits)
}

// findSlow judges the latencies of all services: a finding for each service where slow calls begin.
func (s *snapshot) findSlow() (list []finding) {
	edges := s.edges()
	into := map[string][]edgeRow{}
	for _, e := range edges {
		if e.Slow && !passesOn(e, edges) {
			into[e.To] = append(into[e.To], e)
		}
	}
	for _, service := range sorted(into) {
		list = append(list, s.slowService(service, *slowest(into[service]), edges))
	}
	slices.SortStableFunc(list, func(a, b finding) int { return cmp.Compare(b.scale, a.scale) })
	return list
}

// slowService is the finding of a service with its slowest edge.
func (s *snapshot) slowService(service string, e edgeRow, edges []edgeRow) finding {
	f := finding{Kind: "slow", About: []string{service}, Severity: warning, Do: "skerry stats " + shellWord(service) +
		" --last 1m --by peer", Link: "/services/" + url.PathEscape(service),
		LinkText: say("finding.open-service", "service", service), scale: e.times()}
	if e.Worse == much && e.P99 >= ms(slowGrave) {
		f.Severity = grave
	}
	f.What = say("finding.slow", "service", service, "caller", callerName(e.From), "p99", millis(e.P99), "usual",
		millis(e.Usual))
	f.Why = s.slowCause(service, e)
	if up := waitingFor(service, edges); len(up) > 1 || len(up) == 1 && up[0] != e.From {
		f.Why = say("finding.slow-up", "cause", f.Why, "services", strings.Join(up, ", "))
	}
	f.Proof = []fact{{Name: say("finding.p99-now"), Value: millis(e.P99) + " ms", Bad: true},
		{Name: say("finding.p99-usual"), Value: millis(e.Usual) + " ms"},
		{Name: say("finding.calls-now"), Value: rateText(e.Rate)}}
	return f
}

// slowCause says where a slow service spends the time, by the counts of its instances.
func (s *snapshot) slowCause(service string, e edgeRow) phrase {
	type told struct {
		name string
		p99  float64
	}
	var list []told
	for i := range s.Entries {
		at := &s.Entries[i]
		own := s.Own[place{at.Owner, service, at.Version}]
		if at.Service == service && own != nil && own.Calls >= slowCalls {
			list = append(list, told{hostOf(at.Owner) + " " + at.Addr, ms(own.P99())})
		}
	}
	if len(list) == 0 {
		return say("finding.slow-untold")
	}
	slices.SortStableFunc(list, func(a, b told) int { return cmp.Compare(b.p99, a.p99) })
	worst := list[0]
	switch others := list[1:]; {
	case 2*worst.p99 < e.P99:
		return say("finding.slow-way", "p99", millis(worst.p99))
	case len(others) > 0 && worst.p99 >= slowTimes*others[len(others)/2].p99:
		return say("finding.slow-one", "instance", worst.name, "p99", millis(worst.p99), "others",
			millis(others[len(others)/2].p99))
	}
	return say("finding.slow-all", "n", len(list), "p99", millis(worst.p99))
}

// callerName is a caller in a text; what comes from outside has no name.
func callerName(name string) any {
	if name == "" {
		return say("topology.outside")
	}
	return name
}
