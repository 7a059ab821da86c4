package rollouttest

import (
	"errors"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// ErrVersionUnavailable marks a Span that was refused because its version had
// no instance left.
var ErrVersionUnavailable = errors.New("no instance of the version")

// noEarlyEnd is C6: without faults, no span is refused because its version was
// taken away too early.
func (c *checker) noEarlyEnd() {
	if c.h.Faults {
		return
	}
	for _, s := range c.h.Spans {
		if s.Faulted || s.Refused == nil || s.Entry {
			continue
		}
		if errors.Is(s.Refused, rollout.ErrRetired) || errors.Is(s.Refused, ErrVersionUnavailable) {
			c.fail("C6", "span %s of trace %s was refused (%v): the version was taken away too early",
				s.ID, s.Trace, s.Refused)
		}
	}
}

// horizon is C9: a version that was declared drained begins no further span.
func (c *checker) horizon() {
	for _, e := range c.h.Events {
		if e.Kind != EventDrained {
			continue
		}
		for _, s := range c.h.Spans {
			if s.Service == e.Service && s.Version == e.Version && s.executed() && s.Begin.After(e.When) {
				c.fail("C9", "span %s of generation %v met %s %s after that was declared drained",
					s.ID, s.Token.Generation, s.Service, s.Version)
			}
		}
	}
}

// byBegin returns the spans in the order in which they began.
func byBegin(spans []Span) []Span {
	out := slices.Clone(spans)
	slices.SortStableFunc(out, func(a, b Span) int { return a.Begin.Compare(b.Begin) })
	return out
}

// Share is C10. Of the traces that met the service in [from, to), it returns
// the part that met the version, 0 to 1, and their number.
func (h History) Share(service, version string, from, to time.Time) (part float64, traces int) {
	met := map[string]bool{}
	for _, s := range h.Spans {
		if s.Service == service && s.executed() && !s.Begin.Before(from) && s.Begin.Before(to) {
			met[s.Trace] = s.Version == version
		}
	}
	n := 0
	for _, m := range met {
		if m {
			n++
		}
	}
	if len(met) == 0 {
		return 0, 0
	}
	return float64(n) / float64(len(met)), len(met)
}
