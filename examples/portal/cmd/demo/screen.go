package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/examples/internal/site"
)

// row is one instance in the table.
type row struct {
	name, service, version string
	state                  site.State
	rate                   int // calls in the last second
	numbers                    // of all calls since the start, except the percentiles, which are of the last second
}

// table returns the rows at a moment.
func table(s *site.Site, seen *tally, now time.Time) []row {
	all := seen.between(time.Time{}, now)
	recent := seen.between(now.Add(-time.Second), now)
	var rows []row
	for _, p := range s.Processes() {
		total, latest := count(of(all, p.Addr)), count(of(recent, p.Addr))
		total.p50, total.p99 = latest.p50, latest.p99
		if total.calls > total.failures {
			p.Answered()
		}
		rows = append(rows, row{
			name: p.Name, service: p.Service, version: p.Version,
			state: p.State(), rate: latest.calls, numbers: total,
		})
	}
	// Instances of one service stand together, in the order of their start.
	slices.SortStableFunc(rows, func(a, b row) int { return strings.Compare(a.service, b.service) })
	return rows
}

// screen prints the demo: on a terminal a table that is refreshed in place under the text,
// otherwise plain lines.
type screen struct {
	w     io.Writer
	live  bool
	began time.Time
	drawn int // lines of the table that stand on the terminal
}

func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" &&
		os.Getenv("TERM") != ""
	return &screen{w: f, live: terminal, began: time.Now()}
}

// say prints a line of text, above the table.
func (s *screen) say(format string, args ...any) {
	s.erase()
	fmt.Fprintf(s.w, "%5.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// show draws the table. Only a terminal shows every update.
func (s *screen) show(rows []row) {
	if !s.live {
		return
	}
	s.erase()
	text := format(rows)
	s.drawn = strings.Count(text, "\n")
	fmt.Fprint(s.w, text)
}

// endScene leaves the last table of a scene on the screen.
func (s *screen) endScene(rows []row) {
	s.erase()
	fmt.Fprint(s.w, format(rows))
}

func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.w, "\x1b[%dA\x1b[J", s.drawn) // up, and clear to the end
		s.drawn = 0
	}
}

func format(rows []row) string {
	var b strings.Builder
	const cells = "  %-8s %-9s %-7s %-9s %7s %7s %6s %9s %9s\n" // 80 columns
	fmt.Fprintf(&b, cells, "service", "instance", "version", "state", "calls/s", "calls", "failed", "p50", "p99")
	for _, r := range rows {
		p50, p99 := "-", "-"
		if r.p50 > 0 {
			p50, p99 = ms(r.p50), ms(r.p99)
		}
		fmt.Fprintf(&b, cells, r.service, r.name, r.version, r.state,
			fmt.Sprint(r.rate), fmt.Sprint(r.calls), fmt.Sprint(r.failures), p50, p99)
	}
	return b.String()
}

// summary prints promises and measurements, and reports whether all promises were kept.
func (s *screen) summary(results []result) bool {
	fmt.Fprint(s.w, "\nSummary\n")
	kept, calls, failures, broken := true, 0, 0, 0
	for i, r := range results {
		fmt.Fprintf(s.w, "  %d. %s\n", i+1, r.title)
		for _, l := range r.lines {
			mark := "kept  "
			if !l.kept {
				mark, kept = "BROKEN", false
			}
			fmt.Fprintf(s.w, "     %s  %s: %s\n", mark, l.promise, l.measured)
		}
		if r.breaks {
			broken += r.failures
			continue
		}
		calls, failures = calls+r.calls, failures+r.failures
	}
	fmt.Fprintf(s.w,
		"  All in all: %d calls, %d failed; %d requests broke where two versions were mixed without a release.", calls,
		failures, broken)
	if kept {
		fmt.Fprintln(s.w, " Every promise was kept.")
	} else {
		fmt.Fprintln(s.w, " A promise was broken.")
	}
	return kept
}
