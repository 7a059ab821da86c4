//go:build linux

package consistency

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// fault is a time in which requests may fail, only with these codes.
type fault struct {
	from, to time.Time // to is zero while it lasts
	of       string    // users with requests that may fail; "" = all
	codes    []string
}

// fault begins a time in which requests may fail with the given codes; over
// ends it. A request that was under way then may fail, too.
func (s *site) fault(codes ...string) (over func()) { s.t.Helper(); return s.faultOf("", codes...) }

// faultOf is a fault that affects only some users.
func (s *site) faultOf(users string, codes ...string) (over func()) {
	f := &fault{from: time.Now(), of: users, codes: codes}
	s.faults = append(s.faults, f)
	return func() { f.to = time.Now() }
}

func (s *site) explained(trace string, from, to time.Time, code string) bool {
	return slices.ContainsFunc(s.faults, func(f *fault) bool {
		return slices.Contains(f.codes, code) && (f.of == "" || strings.HasPrefix(trace, f.of+"/")) &&
			!to.Before(f.from) && (f.to.IsZero() || !from.After(f.to))
	})
}

// verdict is the result of a site.
type verdict struct {
	history  rollouttest.History
	requests int
	failed   int // with a fault as its reason
}

// judge stops the load after so many requests, reads the log, and runs the checker.
func (s *site) judge(requests int) verdict {
	s.t.Helper()
	s.await(fmt.Sprintf("there are %d requests", requests), func() bool { return s.book.count(asked, nil) >= requests })
	s.quiet()
	s.policy.ends()
	v := s.history(s.log())
	for i, f := range v.history.Check() {
		if i == 10 {
			s.t.Errorf("and more")
			break
		}
		s.t.Errorf("%v", f)
	}
	s.freshRoots(v.history)
	for i, n := range s.book.of(asked, func(n note) bool {
		return n.Code != "" && !s.explained(n.Trace, n.At, n.At.Add(n.Took), n.Code) && !s.policy.explains(n)
	}) {
		if i == 10 {
			s.t.Errorf("and more")
			break
		}
		s.t.Errorf("request %s failed at %s after %v: %s: %s", n.Trace, n.At.Format("15:04:05.000"),
			n.Took.Round(time.Millisecond), n.Code, n.Text)
	}
	s.t.Logf("%d requests, %d of them failed by the faults; %d spans, %d entries", v.requests, v.failed,
		len(v.history.Spans), len(v.history.Entries))
	s.policy.judge(v)
	return v
}

// quiet stops users and jobs, and waits until no call runs.
func (s *site) quiet() {
	s.t.Helper()
	for _, p := range s.members {
		if (p.Role == "users" || p.Role == "job") && s.book.over(p.Name).IsZero() {
			p.stop()
		}
	}
	s.await("all errands are done", func() bool {
		return !slices.ContainsFunc(s.book.open(), func(id string) bool {
			name, _, _ := strings.Cut(id, "#")
			return s.book.over(name).IsZero()
		})
	})
}

// history builds the checker's input.
func (s *site) history(entries []rollout.Entry) verdict {
	s.t.Helper()
	requests := map[string]note{} // by trace
	for _, n := range s.book.of(asked, nil) {
		requests[n.Trace] = n
	}
	copies := map[string]time.Time{} // begin of each trace of a copy, of which no user asks
	for _, n := range s.book.of(began, func(n note) bool { return strings.Contains(n.Trace, copied) }) {
		if at, known := copies[n.Trace]; !known || n.At.Before(at) {
			copies[n.Trace] = n.At
		}
	}
	spans, err := s.book.spans(func(n note) bool { // of a request that a fault may abort, or of messages when one lasts
		r := requests[n.Trace]
		if at, copied := copies[n.Trace]; copied {
			return s.explained(n.Trace, at, n.At, n.Code)
		}
		return s.explained(n.Trace, n.At, n.At, n.Code) || r.Code == n.Code &&
			s.explained(r.Trace, r.At, r.At.Add(r.Took), r.Code)
	})
	must(s.t, err)
	h := rollouttest.History{Spans: spans, Entries: entries, Others: s.others}
	for _, e := range entries {
		for _, r := range e.Retire {
			h.Events = append(h.Events, rollouttest.Event{When: e.At, Kind: rollouttest.EventDrained,
				Service: r.Service, Version: r.Version, Since: r.Floor})
			if when := s.stopped(r.Service, r.Version); !when.IsZero() {
				h.Events = append(h.Events, rollouttest.Event{When: when, Kind: rollouttest.EventStopped,
					Service: r.Service, Version: r.Version})
			}
		}
	}
	return verdict{history: h, requests: s.book.count(asked, nil),
		failed: s.book.count(asked, func(n note) bool { return n.Code != "" && !s.policy.explains(n) })}
}

// stopped returns when the last process of a version ended, zero while one runs.
func (s *site) stopped(service, version string) (last time.Time) {
	for _, p := range s.members {
		if p.Service != service || p.Version != version || p.Role != "hop" {
			continue
		}
		over := s.book.over(p.Name)
		if over.IsZero() {
			return time.Time{}
		}
		if over.After(last) {
			last = over
		}
	}
	return last
}

// freshRoots checks the other half of C4: a root that begins a trace reads the newest rules that
// its process is known to have applied before.
func (s *site) freshRoots(h rollouttest.History) {
	s.t.Helper()
	requested := map[string]time.Time{}
	for _, n := range s.book.of(asked, nil) {
		requested[n.Trace] = n.At
	}
	byProcess := map[string][]rollouttest.Span{}
	for _, span := range h.Spans {
		if !span.Begin.IsZero() {
			byProcess[span.Process] = append(byProcess[span.Process], span)
		}
	}
	for _, spans := range byProcess {
		slices.SortFunc(spans, func(a, b rollouttest.Span) int { return a.Begin.Compare(b.Begin) })
		for _, root := range spans {
			at, known := requested[root.Trace]
			if !root.Entry || !known {
				continue
			}
			i, _ := slices.BinarySearchFunc(spans, at, func(o rollouttest.Span, t time.Time) int {
				return cmp.Or(o.Begin.Compare(t), 1)
			})
			if i > 0 && root.Token.Generation.Before(spans[i-1].Applied) {
				s.t.Errorf("C4: root %s reads generation %v; its process had applied %v before it was asked", root.ID,
					root.Token.Generation, spans[i-1].Applied)
				return
			}
		}
	}
}

// versions returns the versions of a service that traces have met, with their numbers.
func (v verdict) versions(service string) string {
	count := map[string]int{}
	for _, span := range v.history.Spans {
		if span.Service == service && !span.Begin.IsZero() {
			count[span.Version]++
		}
	}
	return fmt.Sprint(count)
}

// entry returns the last entry of a step.
func (v verdict) entry(step string) (e rollout.Entry) {
	for _, o := range v.history.Entries {
		if strings.HasPrefix(o.Step, step) {
			e = o
		}
	}
	return e
}
