package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
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

// report gathers events until a test or package has ended.
type report struct {
	out    io.Writer
	output map[string]string // by package and test, what it has printed
	tests  map[string]int    // by package, tests that have ended

	passed, failed, skipped, packages int

	why []string // of each failed test, its name and the first lines that its checks have printed
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string]string{}, tests: map[string]int{}}
}

func (r *report) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
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

// complaint is what t.Error and t.Log print, or a race or a panic.
var complaint = regexp.MustCompile(`\w+\.go:\d+: .*|WARNING: DATA RACE|panic: .*`)

func (r *report) endTest(e event, key string) {
	r.tests[e.Package]++
	switch e.Action {
	case "pass":
		r.passed++
		if !strings.Contains(e.Test, "/") {
			fmt.Fprintf(r.out, "--- PASS: %s (%.2fs)\n", e.Test, e.Elapsed)
		}
	case "fail":
		r.failed++
		fmt.Fprint(r.out, r.output[key])
		for _, said := range complaint.FindAllString(r.output[key], 5) {
			r.why = append(r.why, e.Test+": "+said)
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
		fmt.Fprint(r.out, r.output[key])
		fmt.Fprintf(r.out, "FAIL\t%s\t%.1fs\t%d tests\n", e.Package, e.Elapsed, n)
	case n > 0:
		fmt.Fprintf(r.out, "ok  \t%s\t%.1fs\t%d tests\n", e.Package, e.Elapsed, n)
	default:
		return // no test files
	}
	r.packages++
}

func (r *report) summary(took time.Duration) string {
	return fmt.Sprintf("tests: %d passed, %d failed, %d skipped, in %d packages, %.0f s",
		r.passed, r.failed, r.skipped, r.packages, took.Seconds())
}

func main() {
	began := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
	r := newReport(os.Stdout)
	for in := bufio.NewReader(stdout); ; {
		line, err := in.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			r.add(e)
		} else {
			os.Stdout.Write(line)
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	for _, line := range r.why {
		fmt.Println(line)
	}
	fmt.Println(r.summary(time.Since(began)))
	if err != nil || r.failed > 0 || r.skipped > 0 || r.passed == 0 {
		os.Exit(1)
	}
}
