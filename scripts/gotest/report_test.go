package main

import (
	"strings"
	"testing"
	"time"
)

func TestReportShowsOnlyWhatFailed(t *testing.T) {
	var out strings.Builder
	r := newReport(&out)
	for _, e := range []event{
		{Action: "output", Package: "p", Test: "TestGood", Output: "quiet\n"},
		{Action: "pass", Package: "p", Test: "TestGood", Elapsed: 0.5},
		{Action: "output", Package: "p", Test: "TestBad", Output: "=== RUN   TestBad\n"},
		{Action: "output", Package: "p", Test: "TestBad", Output: "    bad_test.go:7: loud\n"},
		{Action: "output", Package: "p", Test: "TestBad", Output: "        and clear\n"},
		{Action: "output", Package: "p", Test: "TestBad", Output: "--- FAIL: TestBad (0.50s)\n"},
		{Action: "fail", Package: "p", Test: "TestBad"},
		{Action: "fail", Package: "p", Elapsed: 1},
		{Action: "pass", Package: "q", Test: "TestOne/sub"},
		{Action: "pass", Package: "q", Test: "TestOne"},
		{Action: "pass", Package: "q", Elapsed: 2},
		{Action: "skip", Package: "empty"},
		{Action: "build-output", ImportPath: "broken", Output: "does not compile\n"},
		{Action: "fail", Package: "broken"},
	} {
		r.add(e)
	}
	want := "--- PASS: TestGood (0.50s)\n    bad_test.go:7: loud\n        and clear\n" +
		"--- FAIL: TestBad (0.50s)\nFAIL\tp\t1.0s\t2 tests\n" +
		"--- PASS: TestOne (0.00s)\nok  \tq\t2.0s\t2 tests\n" +
		"does not compile\nFAIL\tbroken\t0.0s\t0 tests\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
	if len(r.why) != 1 || r.why[0] != "TestBad: bad_test.go:7: loud\n        and clear" {
		t.Errorf("complaints %q", r.why)
	}
	if got, want := r.summary(3*time.Second), "tests: 3 passed, 2 failed, 0 skipped, in 3 packages, 3 s"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
}
