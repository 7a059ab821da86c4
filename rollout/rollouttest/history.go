package rollouttest

import (
	"fmt"
	"time"

	"github.com/skerry/skerry/rollout"
)

// Span is one call as the process that received it saw it, or one root.
type Span struct {
	Trace, ID, Parent string
	Entry             bool // a root: may mint a token
	Service, Version  string
	Process           string
	Token             rollout.Token
	Applied           rollout.Generation // of the process, when the span began
	Log               string             // hash of that generation's entry; "" where the site has one log only
	Minted            rollout.Generation // of an entry: applied when it took a fresh token; zero: it kept the one that it began with
	Begin, End        time.Time          // Begin is zero when it was refused before user code
	Refused           error              // one of rollout's errors, nil when it was executed
	Faulted           bool               // the trace was touched by an injected fault that may abort it
}

func (s Span) executed() bool { return !s.Begin.IsZero() }

// Event is something that happened to a version or to a drain.
type Event struct {
	When    time.Time
	Kind    string // EventDrained or EventStopped
	Service string
	Version string
	Since   rollout.Generation // of the switch that the drain waited for
}

// The kinds of events.
const (
	EventDrained = "drained" // a controller declared it
	EventStopped = "stopped" // no instance of the version runs any more
)

// History is one recorded run.
type History struct {
	Spans   []Span
	Entries []rollout.Entry
	Others  [][]rollout.Entry // logs that had parted from Entries, whole
	Events  []Event

	// Faults says that faults were injected that may abort traces other than
	// those marked Faulted; C6 is then not judged.
	Faults bool
}

// Finding is one violation.
type Finding struct {
	Rule string // C1 …
	Text string
}

func (f Finding) String() string { return f.Rule + ": " + f.Text }

// Check judges the history. No finding means that G1 and G2 held.
func (h History) Check() []Finding {
	c := &checker{h: h, logs: map[rollout.Generation][]*rollout.Log{}}
	for _, entries := range append([][]rollout.Entry{h.Entries}, h.Others...) {
		c.replay(entries)
	}
	for _, rule := range []func(){c.oneVersion, c.snapshot, c.oneToken, c.freshness, c.noGhosts, c.noEarlyEnd, c.horizon} {
		rule()
	}
	return c.found
}

type checker struct {
	h     History
	whole []*rollout.Log                        // of Entries first, then of Others
	logs  map[rollout.Generation][]*rollout.Log // of each generation, by each of them
	found []Finding
}

func (c *checker) fail(rule, format string, args ...any) {
	c.found = append(c.found, Finding{rule, fmt.Sprintf(format, args...)})
}

// replay builds one log, and keeps it as it was at every generation.
func (c *checker) replay(entries []rollout.Entry) {
	log := &rollout.Log{}
	for _, e := range entries {
		next, err := log.Apply(e)
		if err != nil {
			c.fail("log", "%v", err)
			break
		}
		log = next
		c.logs[e.Generation] = append(c.logs[e.Generation], log)
	}
	c.whole = append(c.whole, log)
}

// applied is the log that the process of a span went by, nil when it is not known.
func (c *checker) applied(s Span) *rollout.Log {
	for _, log := range c.logs[s.Applied] {
		if s.Log == "" || s.Log == log.Hash() {
			return log
		}
	}
	return nil
}

// read is the version that the rules of a span's token name: by the log that
// holds the very entry of the token. Logs that have parted agree on what they
// share, but for what only one of them came to say of a service.
func (c *checker) read(s Span) (version string, ok bool, err error) {
	for _, log := range c.whole {
		v, named, failed := log.Resolve(s.Service, s.Token)
		if failed != nil {
			err = failed
			continue
		}
		if version, ok = v, named; !named || v == s.Version {
			return version, ok, nil
		}
	}
	if version != "" {
		err = nil
	}
	return version, ok, err
}

// oneVersion is C1, the report's Definition 2.2.
func (c *checker) oneVersion() {
	type key struct{ trace, service string }
	first := map[key]Span{}
	for _, s := range c.h.Spans {
		if !s.executed() {
			continue
		}
		k := key{s.Trace, s.Service}
		if o, ok := first[k]; !ok {
			first[k] = s
		} else if o.Version != s.Version {
			c.fail("C1", "trace %s met %s in versions %s (span %s) and %s (span %s)", s.Trace, s.Service, o.Version, o.ID, s.Version, s.ID)
		}
	}
}

// snapshot is C2: every executed span runs the version that the rules of its
// token's generation name. With one generation a release this is Definition 5.
func (c *checker) snapshot() {
	for _, s := range c.h.Spans {
		if !s.executed() {
			continue
		}
		want, ok, err := c.read(s)
		switch {
		case err != nil:
			c.fail("C2", "span %s of trace %s reads generation %v, which was never written", s.ID, s.Trace, s.Token.Generation)
		case ok && want != s.Version:
			c.fail("C2", "span %s of trace %s ran %s %s; by generation %v it is %s", s.ID, s.Trace, s.Service, s.Version, s.Token.Generation, want)
		}
	}
}

// oneToken is C3: the token of a trace never changes, and only entries have none to inherit.
func (c *checker) oneToken() {
	tokens := map[string]Span{}
	for _, s := range c.h.Spans {
		if !s.executed() {
			continue // a root that was refused takes a fresh token, unseen
		}
		if s.Parent == "" && !s.Entry {
			c.fail("C3", "span %s of %s has no parent and is no entry: the context was lost", s.ID, s.Service)
		}
		if o, ok := tokens[s.Trace]; !ok {
			tokens[s.Trace] = s
		} else if o.Token != s.Token {
			c.fail("C3", "trace %s has two tokens: %v in span %s, %v in span %s", s.Trace, o.Token.Generation, o.ID, s.Token.Generation, s.ID)
		}
	}
}

// freshness is C4: a root reads what its process has applied, and a process never goes back.
func (c *checker) freshness() {
	applied := map[string]Span{}
	for _, s := range byBegin(c.h.Spans) {
		if !s.executed() {
			continue
		}
		if s.Entry && s.Token.Generation.Compare(newer(s.Applied, s.Minted)) > 0 {
			c.fail("C4", "root %s reads generation %v, its process had applied %v", s.ID, s.Token.Generation, s.Applied)
		}
		if o, ok := applied[s.Process]; ok && s.Applied.Before(o.Applied) {
			c.fail("C4", "process %s went back from generation %v to %v", s.Process, o.Applied, s.Applied)
		}
		applied[s.Process] = s
	}
}

func newer(a, b rollout.Generation) rollout.Generation {
	if a.Before(b) {
		return b
	}
	return a
}

// noGhosts is C5: nothing executes on a version that was stopped, nor below its floor.
func (c *checker) noGhosts() {
	type key struct{ service, version string }
	stopped := map[key]time.Time{}
	for _, e := range c.h.Events {
		if e.Kind == EventStopped {
			stopped[key{e.Service, e.Version}] = e.When
		}
	}
	for _, s := range c.h.Spans {
		if !s.executed() {
			continue
		}
		if end, ok := stopped[key{s.Service, s.Version}]; ok && s.Begin.After(end) {
			c.fail("C5", "span %s began on %s %s after that was stopped", s.ID, s.Service, s.Version)
		}
		if log := c.applied(s); log != nil && s.Token.Generation.Before(log.Floor(s.Service, s.Version)) {
			c.fail("C5", "span %s of generation %v began on %s %s, whose floor there was %v", s.ID, s.Token.Generation, s.Service, s.Version, log.Floor(s.Service, s.Version))
		}
	}
}
