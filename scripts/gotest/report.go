package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is one line of "go test -json"; see "go doc test2json".
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// taken is how long a top-level test took, in seconds, with the wait for its turn beside other
// tests.
type taken struct {
	failure
	seconds float64
}

// failure is a top-level test that failed.
type failure struct{ Package, Test string }

// report gathers events until a test or package has ended.
type report struct {
	out    io.Writer
	output map[string]string // by package and test, the printed output
	tests  map[string]int    // by package, tests that have ended

	passed, failed, skipped, packages int

	why  []string             // of each failed test, its name and the first lines that its checks have printed
	said map[failure][]string // the same by top-level test

	running   map[failure]bool    // top-level tests that have begun and not ended
	failures  []failure           // in the order of their end
	times     []taken             // of top-level tests that have ended
	crashes   map[string][]string // by package, lines that report more than a failed test
	raced     bool                // anywhere
	worse     []string            // why nothing runs again, of packages that have ended
	brokenOff bool                // a package did not build
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string]string{}, tests: map[string]int{}, said: map[failure][]string{},
		running: map[failure]bool{}, crashes: map[string][]string{}}
}

func (r *report) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.brokenOff = true
	case "run":
		if !strings.Contains(e.Test, "/") {
			r.running[failure{e.Package, e.Test}] = true
		}
	case "output":
		r.watch(e)
		if !strings.HasPrefix(e.Output, "=== ") && !strings.HasPrefix(e.Output, "FAIL") {
			r.output[key] += e.Output
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e, key)
		} else {
			r.endTest(e, key)
		}
		delete(r.output, key)
	}
}

// crash matches a line by which the test binary or the go command reports another end than a failed
// test.
var crash = regexp.MustCompile(
	`^(panic: |fatal error: |SIG[A-Z]+: |\*\*\* Test killed|signal: |exit status ([02-9]|1\d))`)

// watch looks for events that forbid a second run.
func (r *report) watch(e event) {
	r.raced = r.raced || strings.Contains(e.Output, "WARNING: DATA RACE") ||
		strings.Contains(e.Output, "race detected during execution")
	if crash.MatchString(e.Output) {
		r.crashes[e.Package] = append(r.crashes[e.Package], strings.TrimSpace(e.Output))
	}
}

// complaint matches the output of t.Error and t.Log with the lines that continue it, of a race or a panic.
var complaint = regexp.MustCompile(`\w+\.go:\d+: .*(?:\n {8,}\S.*){0,4}|WARNING: DATA RACE|panic: .*`)

func (r *report) endTest(e event, key string) {
	r.tests[e.Package]++
	name, _, sub := strings.Cut(e.Test, "/")
	top := failure{e.Package, name}
	if !sub {
		delete(r.running, top)
		r.times = append(r.times, taken{top, e.Elapsed})
	}
	switch e.Action {
	case "pass":
		r.passed++
		if !sub {
			fmt.Fprintf(r.out, "--- PASS: %s (%.2fs)\n", e.Test, e.Elapsed)
		}
	case "fail":
		r.failed++
		fmt.Fprint(r.out, r.output[key])
		for _, said := range complaint.FindAllString(r.output[key], 5) {
			r.why = append(r.why, e.Test+": "+said)
			r.said[top] = append(r.said[top], e.Test+": "+said)
		}
		if !sub {
			r.failures = append(r.failures, top)
		}
	case "skip":
		r.skipped++
		fmt.Fprint(r.out, r.output[key])
	}
}

func (r *report) endPackage(e event, key string) {
	n := r.tests[e.Package]
	switch {
	case e.Action == "fail":
		if n == 0 {
			r.failed++ // it did not build, or died before its first test
		}
		r.judge(e.Package)
		fmt.Fprint(r.out, r.output[key])
		fmt.Fprintf(r.out, "FAIL\t%s\t%.1fs\t%d tests\n", e.Package, e.Elapsed, n)
	case n > 0:
		fmt.Fprintf(r.out, "ok  \t%s\t%.1fs\t%d tests\n", e.Package, e.Elapsed, n)
	default:
		return // no test files
	}
	r.packages++
}

// judge finds faults worse than a failed test in a failed package.
func (r *report) judge(name string) {
	if lines := r.crashes[name]; len(lines) > 0 {
		r.worse = append(r.worse, name+": "+lines[0])
	}
	if !slices.ContainsFunc(r.failures, func(f failure) bool { return f.Package == name }) {
		r.worse = append(r.worse, name+" failed and names no failed test")
	}
	for f := range r.running {
		if f.Package == name {
			r.worse = append(r.worse, fmt.Sprintf("%s: %s did not end", name, f.Test))
		}
	}
}

// suspectsMost is the largest number of failed tests that may have failed because of other tests.
const suspectsMost = 3

// suspects returns the failed tests that should run alone, or why none should.
func (r *report) suspects() (list []failure, why string) {
	switch {
	case r.raced:
		return nil, "there was a data race"
	case r.brokenOff:
		return nil, "a package did not build"
	case len(r.worse) > 0:
		return nil, strings.Join(r.worse, "; ")
	case r.skipped > 0:
		return nil, fmt.Sprintf("%d tests were skipped", r.skipped)
	case len(r.failures) == 0:
		return nil, "no test is named that failed"
	case len(r.failures) > suspectsMost:
		return nil, fmt.Sprintf("%d tests failed, at most %d do by chance", len(r.failures), suspectsMost)
	}
	return r.failures, ""
}

// holds reports whether a test ran and none failed.
func (r *report) holds(err error) bool {
	return err == nil && r.failed == 0 && r.skipped == 0 && r.passed > 0
}

// longest are lines with the tests that took longest, up to ten, of a second or more each.
func (r *report) longest() (lines []string) {
	slices.SortStableFunc(r.times, func(a, b taken) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, t := range r.times[:min(10, len(r.times))] {
		if t.seconds >= 1 {
			lines = append(lines, fmt.Sprintf("took: %6.1f s: %s (%s)", t.seconds, t.Test, t.Package))
		}
	}
	return lines
}

func (r *report) summary(took time.Duration) string {
	return fmt.Sprintf("tests: %d passed, %d failed, %d skipped, in %d packages, %.0f s",
		r.passed, r.failed, r.skipped, r.packages, took.Seconds())
}
