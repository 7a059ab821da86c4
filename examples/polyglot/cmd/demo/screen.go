package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
)

var languages = map[string]string{"portal": "Node.js", "auth": "Java", "proc": "Python", "db": "C++"}

// screen prints the demo.
type screen struct {
	w      io.Writer
	began  time.Time
	scenes int // begun so far
}

func newScreen(w io.Writer) *screen { return &screen{w: w, began: time.Now()} }

// say prints a line of text.
func (s *screen) say(format string, args ...any) {
	fmt.Fprintf(s.w, "%5.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// table prints the programs and the calls that requests since the begin of a scene took.
func (s *screen) table(st *stage, began time.Time) {
	calls, recent := map[string]int{}, map[string]int{}
	now := time.Now()
	for _, r := range st.load.Since(began) {
		for _, m := range r.Met {
			calls[m.Program]++
			if now.Sub(r.Ended) < time.Second {
				recent[m.Program]++
			}
		}
	}
	const cells = "  %-10s %-9s %-8s %-9s %8s %8s\n"
	fmt.Fprintf(s.w, cells, "program", "language", "version", "state", "calls/s", "calls")
	for _, service := range append([]string{""}, all...) {
		for _, p := range st.site.Processes() {
			if p.Service != service || st.site.Find(p.Name) != p { // another one has its name now
				continue
			}
			if service == "" {
				fmt.Fprintf(s.w, cells, p.Name, "-", "-", state(p), "", "")
				continue
			}
			if calls[p.Name] > 0 {
				p.Answered()
			}
			fmt.Fprintf(s.w, cells, p.Name, languages[service], p.Version, state(p), fmt.Sprint(recent[p.Name]),
				fmt.Sprint(calls[p.Name]))
		}
	}
}

// state is the state of a process in a word. A proxy answers no requests, so none has said that it serves.
func state(p *site.Process) string {
	if p.Service == "" && p.State() == site.Starting {
		return "running"
	}
	return string(p.State())
}

// summary prints promises and measurements, and reports whether all promises were kept.
func (s *screen) summary(results []result) bool {
	var b strings.Builder
	b.WriteString("\nSummary\n")
	kept, requests, failed, broken := true, 0, 0, 0
	for i, r := range results {
		fmt.Fprintf(&b, "  %d. %s\n", i+1, r.title)
		for _, l := range r.lines {
			mark := "kept  "
			if !l.kept {
				mark, kept = "BROKEN", false
			}
			fmt.Fprintf(&b, "     %s  %s: %s\n", mark, l.promise, l.measured)
		}
		if r.breaks {
			broken += r.failed
			continue
		}
		requests, failed = requests+r.requests, failed+r.failed
	}
	fmt.Fprintf(&b, "  All in all: %d requests, %d failed; %d broke in a release without the helper.",
		requests, failed, broken)
	if kept {
		b.WriteString(" Every promise was kept.\n")
	} else {
		b.WriteString(" A promise was broken.\n")
	}
	fmt.Fprint(s.w, b.String())
	return kept
}

// ms formats a duration.
func ms(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
