package rollouttest

import (
	"fmt"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// Span is one call, as the receiving process saw it, or one root.
type Span struct {
	Trace, ID, Parent string
	Entry             bool // a root, which may mint a token
	Service, Version  string
	Process           string
	Token             rollout.Token
	Applied           rollout.Generation // by the process when the span began
	Log               string             // hash of that generation's entry; "" if the site has one log
	Minted            rollout.Generation // of a root with a fresh token: applied then; zero: it kept its first token
	Begin, End        time.Time          // Begin is zero if the call was refused before user code ran
	Refused           error              // an error of package rollout; nil: executed
	Faulted           bool               // an injected fault that may abort the trace has touched it
}

func (s Span) executed() bool { return !s.Begin.IsZero() }

// Event is a change of a version or of a drain.
type Event struct {
	When    time.Time
	Kind    string // EventDrained or EventStopped
	Service string
	Version string
	Since   rollout.Generation // generation of the switch that the drain waited for
}

// The kinds of events.
const (
	EventDrained = "drained" // a controller declared the version drained
	EventStopped = "stopped" // no instance of the version runs from here on
)

// History is one recorded run.
type History struct {
	Spans   []Span
	Entries []rollout.Entry
	Others  [][]rollout.Entry // complete logs that had forked from Entries
	Events  []Event

	// Faults tells that injected faults may abort traces other than those
	// marked Faulted. C6 is then not checked.
	Faults bool
}

// Finding is one violation.
type Finding struct {
	Rule string // C1 …
	Text string
}

func (f Finding) String() string { return f.Rule + ": " + f.Text }

// Check returns all violations. None means that G1 and G2 held.
func (h History) Check() []Finding {
	c := &checker{h: h, logs: map[rollout.Generation][]*rollout.Log{}}
	for _, entries := range append([][]rollout.Entry{h.Entries}, h.Others...) {
		c.replay(entries)
	}
	for _, rule := range []func(){
		c.oneVersion, c.snapshot, c.oneToken, c.freshness, c.noGhosts, c.noEarlyEnd, c.horizon,
	} {
		rule()
	}
	return c.found
}

type checker struct {
	h     History
	whole []*rollout.Log                        // the log of Entries, then those of Others
	logs  map[rollout.Generation][]*rollout.Log // each log as of each generation
	found []Finding
}

func (c *checker) fail(rule, format string, args ...any) {
	c.found = append(c.found, Finding{rule, fmt.Sprintf(format, args...)})
}

// replay builds one log, and stores its state at every generation.
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

// applied returns the log that the span's process had applied, nil when it is
// unknown.
func (c *checker) applied(s Span) *rollout.Log {
	for _, log := range c.logs[s.Applied] {
		if s.Log == "" || s.Log == log.Hash() {
			return log
		}
	}
	return nil
}

// read returns the version that the rules of the span's token name, by a log
// that holds the token's entry. If several logs hold it, they agree, except for
// a service that gets its first rule later and in one of them only.
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

// oneVersion is C1: no trace is executed by two versions of one service (G1).
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
			c.fail("C1", "trace %s met %s in versions %s (span %s) and %s (span %s)",
				s.Trace, s.Service, o.Version, o.ID, s.Version, s.ID)
		}
	}
}

// snapshot is C2: every executed span runs the version that the rules of its
// token's generation name. With one generation per release, G2 follows.
func (c *checker) snapshot() {
	for _, s := range c.h.Spans {
		if !s.executed() {
			continue
		}
		want, ok, err := c.read(s)
		switch {
		case err != nil:
			c.fail("C2", "span %s of trace %s reads generation %v, which was never written",
				s.ID, s.Trace, s.Token.Generation)
		case ok && want != s.Version:
			c.fail("C2", "span %s of trace %s ran %s %s; by generation %v it is %s",
				s.ID, s.Trace, s.Service, s.Version, s.Token.Generation, want)
		}
	}
}

// oneToken is C3: the token of a trace never changes, and every span but a root
// inherits one.
func (c *checker) oneToken() {
	tokens := map[string]Span{}
	for _, s := range c.h.Spans {
		if !s.executed() {
			continue // a refused root takes a fresh token, which the history does not show
		}
		if s.Parent == "" && !s.Entry {
			c.fail("C3", "span %s of %s has no parent and is no entry: the context was lost", s.ID, s.Service)
		}
		if o, ok := tokens[s.Trace]; !ok {
			tokens[s.Trace] = s
		} else if o.Token != s.Token {
			c.fail("C3", "trace %s has two tokens: %v in span %s, %v in span %s",
				s.Trace, o.Token.Generation, o.ID, s.Token.Generation, s.ID)
		}
	}
}

// freshness is C4: a root reads no newer rules than its process has applied,
// and a process never goes back.
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

// noGhosts is C5: no span begins on a stopped version, nor on a version that was
// retired for the generation of its token.
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
			c.fail("C5", "span %s of generation %v began on %s %s, whose floor there was %v",
				s.ID, s.Token.Generation, s.Service, s.Version, log.Floor(s.Service, s.Version))
		}
	}
}
