//go:build linux

package polyglot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/examples/polyglot/internal/hosts"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// journal is what programs write when a call begins: milliseconds since 1970, request, method.
var journal = regexp.MustCompile(`(?m)^(\d{13}) (r\d+) \w+$`)

// spans reads the calls that the programs have begun. A request is a trace, which begins at Portal.
func (c *company) spans() (all []rollouttest.Span) {
	c.t.Helper()
	for name, p := range c.programs() {
		for i, line := range journal.FindAllStringSubmatch(string(c.journal(name)), -1) {
			millis, err := strconv.ParseInt(line[1], 10, 64)
			must(c.t, err)
			span := rollouttest.Span{Trace: line[2], ID: name + "#" + strconv.Itoa(i), Parent: "portal",
				Service: p.Service, Version: p.Version, Process: name, Begin: time.UnixMilli(millis)}
			if p.Service == "portal" {
				span.Parent, span.Entry = "", true
			}
			all = append(all, span)
		}
	}
	return all
}

// programs returns one process for each name of a program that has run.
func (c *company) programs() map[string]hosts.Program {
	all := map[string]hosts.Program{}
	for _, p := range c.site.Processes() {
		if p.Service != "" {
			all[p.Name] = hosts.Program{Service: p.Service, Version: p.Version}
		}
	}
	return all
}

// log reads the log of the releases.
func (c *company) log() (entries []rollout.Entry) {
	c.t.Helper()
	out, err := hosts.Release(c.t.Context(), c.site, "log", "--json")
	must(c.t, err)
	var steps []struct{ Record rollout.Record }
	must(c.t, json.Unmarshal(out, &steps))
	for _, step := range steps {
		e, err := step.Record.Open()
		must(c.t, err)
		entries = append(entries, e)
	}
	return entries
}

// candidate is a token that some trace may have read, with the versions that it names.
type candidate struct {
	token    rollout.Token
	from     time.Time // its rules were written
	versions map[string]string
}

func (d candidate) names(s rollouttest.Span) bool {
	version, named := d.versions[s.Service]
	return !named || version == s.Version
}

// candidates returns tokens for all that traces can have read after the first rules of Auth and Proc: one for each
// pair of versions that the rules of a generation name for some seed.
func candidates(t *testing.T, entries []rollout.Entry) (all []candidate) {
	t.Helper()
	log := &rollout.Log{}
	for _, e := range entries {
		next, err := log.Apply(e)
		must(t, err)
		log = next
		seen := map[string]bool{}
		for seed := range uint64(200) {
			token := log.Token(rollout.SeedOf(strconv.FormatUint(seed, 10)), "")
			d := candidate{token: token, from: e.At, versions: map[string]string{}}
			for _, service := range []string{"auth", "proc"} {
				version, named, err := log.Resolve(service, token)
				must(t, err)
				if named {
					d.versions[service] = version
				}
			}
			if pair := d.versions["auth"] + " " + d.versions["proc"]; len(d.versions) == 2 && !seen[pair] {
				seen[pair] = true
				all = append(all, d)
			}
		}
	}
	return all
}

// history builds the input of the checker. A program of another language does not know the token of its trace. Each
// trace gets one whose rules name all versions that it met. A trace that no rules explain gets some other, and the
// checker finds what does not fit.
func (c *company) history() rollouttest.History {
	c.t.Helper()
	entries := c.log()
	h := rollouttest.History{Spans: c.spans(), Entries: entries}
	for _, e := range entries {
		for _, r := range e.Retire {
			h.Events = append(h.Events, rollouttest.Event{When: e.At, Kind: rollouttest.EventDrained,
				Service: r.Service, Version: r.Version, Since: r.Floor})
		}
	}
	slices.SortFunc(h.Spans, func(a, b rollouttest.Span) int {
		return cmp.Or(strings.Compare(a.Trace, b.Trace), a.Begin.Compare(b.Begin))
	})
	tokens := candidates(c.t, entries)
	if len(tokens) == 0 {
		c.t.Fatal("the log of the releases has no rules of auth and proc")
	}
	for rest := h.Spans; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Trace == rest[0].Trace {
			n++
		}
		trace, after := rest[:n], rest[n:]
		token := tokens[0].token
		for _, d := range tokens {
			// The clock of the lines has milliseconds.
			written := !d.from.After(trace[n-1].Begin.Add(time.Millisecond))
			if written && !slices.ContainsFunc(trace, func(s rollouttest.Span) bool { return !d.names(s) }) {
				token = d.token
				break
			}
		}
		for i := range trace {
			trace[i].Token = token
			if trace[i].Entry {
				trace[i].Minted = token.Generation
			}
		}
		rest = after
	}
	return h
}

// mixed returns the traces that met two versions among Auth and Proc, which are released together.
func mixed(h rollouttest.History) map[string]bool {
	met, twice := map[string]string{}, map[string]bool{}
	for _, s := range h.Spans {
		if s.Service != "auth" && s.Service != "proc" {
			continue
		}
		if first := cmp.Or(met[s.Trace], s.Version); first != s.Version {
			twice[s.Trace] = true
		}
		met[s.Trace] = s.Version
	}
	return twice
}

// tell reports all that is known of a request that met two versions.
func (c *company) tell(h rollouttest.History, trace string) {
	c.t.Helper()
	const clock = "15:04:05.000"
	var b strings.Builder
	fmt.Fprintf(&b, "%s met two versions:\n", trace)
	for _, s := range h.Spans {
		if s.Trace == trace {
			fmt.Fprintf(&b, "  %s %s %s\n", s.Begin.Format(clock), s.ID, s.Version)
		}
	}
	for _, r := range c.load.Since(time.Time{}) {
		if r.ID == trace {
			fmt.Fprintf(&b, "  asked at %s, answered at %s: %v\n", r.Began.Format(clock), r.Ended.Format(clock), r.Err)
		}
	}
	for _, f := range c.faults {
		fmt.Fprintf(&b, "  %s was killed at %s\n", f.victim, f.from.Format(clock))
	}
	c.t.Error(b.String())
}

// met counts the calls by service and version.
func met(h rollouttest.History) map[string]int {
	n := map[string]int{}
	for _, s := range h.Spans {
		n[s.Service+" "+s.Version]++
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
