package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var errStatus = errors.New("exit status 1")

// passes and fails are the events of a test, and of a package with one test.
func passes(test string) []event {
	return []event{{Action: "run", Package: "m/p", Test: test}, {Action: "pass", Package: "m/p", Test: test}}
}

func fails(test string) []event {
	return []event{{Action: "run", Package: "m/p", Test: test},
		{Action: "output", Package: "m/p", Test: test, Output: "    p_test.go:7: late\n"},
		{Action: "fail", Package: "m/p", Test: test}}
}

func ended(action string, tests ...[]event) []event {
	return append(slices.Concat(tests...),
		event{Action: "output", Package: "m/p", Output: "FAIL\n"},
		event{Action: action, Package: "m/p"})
}

func says(line string) []event {
	return []event{{Action: "output", Package: "m/p", Test: "TestA", Output: line + "\n"}}
}

// play is a lane with runs of "go test" that go as written, and the arguments of each.
func play(t *testing.T, runs ...[]event) (l *lane, args *[]string, printed *strings.Builder) {
	args, printed = new([]string), new(strings.Builder)
	l = &lane{out: printed, flags: []string{"-race", "-count=1", "-run=Test", "-p=2"}, packages: []string{"m/p", "m/q"}}
	l.test = func(with []string, add func(event)) error {
		n := len(*args)
		*args = append(*args, strings.Join(with, " "))
		if n >= len(runs) {
			t.Errorf("run %d of %q, want %d at most", n+1, with, len(runs))
			return errStatus
		}
		var err error
		for _, e := range runs[n] {
			add(e)
			if e.Action == "fail" {
				err = errStatus
			}
		}
		return err
	}
	return l, args, printed
}

func TestFailedTestRunsAgainAlone(t *testing.T) {
	first := ended("fail", passes("TestGood"), fails("TestA"))
	good, bad := ended("pass", passes("TestA")), ended("fail", fails("TestA"))
	for name, c := range map[string]struct {
		runs     [][]event
		holds    bool
		unsteady int
	}{
		"nothing failed":       {[][]event{ended("pass", passes("TestA"))}, true, 0},
		"passes three times":   {[][]event{first, good, good, good}, true, 2},
		"fails at once":        {[][]event{first, bad}, false, 0},
		"fails the third time": {[][]event{first, good, good, bad}, false, 0},
		"is skipped alone": {[][]event{first, ended("pass", []event{{Action: "run", Package: "m/p", Test: "TestA"},
			{Action: "skip", Package: "m/p", Test: "TestA"}})}, false, 0},
		"is not found alone": {[][]event{first, {{Action: "pass", Package: "m/p"}}}, false, 0},
		"races alone":        {[][]event{first, ended("fail", fails("TestA"), says("WARNING: DATA RACE"))}, false, 0},
		"two of them": {[][]event{ended("fail", fails("TestA"), fails("TestB")), good, good, good,
			ended("pass", passes("TestB")), ended("pass", passes("TestB")), ended("pass", passes("TestB"))}, true, 4},
		"the second fails again": {[][]event{ended("fail", fails("TestA"), fails("TestB")), good, good, good,
			ended("fail", fails("TestB"))}, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			l, args, printed := play(t, c.runs...)
			if got := l.run(); got != c.holds {
				t.Errorf("holds %v, want %v", got, c.holds)
			}
			if len(*args) != len(c.runs) {
				t.Errorf("%d runs, want %d: %q", len(*args), len(c.runs), *args)
			}
			if len(l.unsteady) != c.unsteady {
				t.Errorf("unsteady %q, want %d lines", l.unsteady, c.unsteady)
			}
			for _, line := range l.unsteady {
				if !strings.Contains(printed.String(), line+"\n") {
					t.Errorf("%q is not printed", line)
				}
			}
		})
	}
}

func TestRunAloneHasTheSameFlags(t *testing.T) {
	good := ended("pass", passes("TestA"))
	l, args, _ := play(t, ended("fail", fails("TestA")), good, good, good)
	l.run()
	alone := "-race -count=1 -p=2 -count=1 -run=^TestA$ m/p"
	if want := []string{"-race -count=1 -run=Test -p=2 m/p m/q", alone, alone, alone}; !slices.Equal(*args, want) {
		t.Errorf("ran\n%q\nwant\n%q", *args, want)
	}
	want := []string{"UNSTEADY: TestA (m/p) FAILED BESIDE THE OTHERS AND PASSED 3 OF 3 ALONE: MEND IT TODAY",
		"    TestA: p_test.go:7: late"}
	if !slices.Equal(l.unsteady, want) {
		t.Errorf("unsteady\n%q\nwant\n%q", l.unsteady, want)
	}
}

// TestNothingRunsAgainAfterAFault: a fault that is not a matter of chance fails the lane at once.
func TestNothingRunsAgainAfterAFault(t *testing.T) {
	var four [][]event
	for n := range suspectsMost + 1 {
		four = append(four, fails(fmt.Sprint("Test", n)))
	}
	began := []event{{Action: "run", Package: "m/p", Test: "TestB"}}
	for name, c := range map[string]struct {
		events []event
		why    string
	}{
		"race": {ended("fail", says("WARNING: DATA RACE"), fails("TestA")), "data race"},
		"race, passed": {append(ended("pass", says("WARNING: DATA RACE"), passes("TestA")),
			ended("fail", fails("TestB"))...), "data race"},
		"panic":    {ended("fail", fails("TestA"), says("panic: nil map")), "panic: nil map"},
		"time-out": {ended("fail", fails("TestA"), says("panic: test timed out after 10m0s")), "timed out"},
		"runtime": {ended("fail", fails("TestA"), says("fatal error: all goroutines are asleep")),
			"fatal error"},
		"status":  {ended("fail", fails("TestA"), says("exit status 66")), "exit status 66"},
		"killed":  {ended("fail", fails("TestA"), says("signal: killed")), "signal: killed"},
		"cut off": {ended("fail", fails("TestA"), began), "TestB did not end"},
		"build": {append(ended("fail", fails("TestA")), event{Action: "build-fail", ImportPath: "m/q"}),
			"did not build"},
		"package": {append(ended("fail", fails("TestA")), event{Action: "fail", Package: "m/q"}),
			"m/q failed and names no failed test"},
		"only a package": {ended("fail", passes("TestA")), "m/p failed and names no failed test"},
		"skipped": {ended("fail", fails("TestA"), []event{{Action: "skip", Package: "m/p", Test: "TestC"}}),
			"skipped"},
		"too many":       {ended("fail", four...), "4 tests failed"},
		"nothing at all": {nil, "no test is named"},
		"subtest, no top": {ended("fail", []event{{Action: "fail", Package: "m/p", Test: "TestA/x"}}),
			"names no failed test"},
	} {
		t.Run(name, func(t *testing.T) {
			l, args, printed := play(t, c.events)
			if l.run() {
				t.Error("the lane holds")
			}
			if len(*args) != 1 || len(l.unsteady) > 0 {
				t.Errorf("runs %q, unsteady %q", *args, l.unsteady)
			}
			if want := "nothing runs again: "; !strings.Contains(printed.String(), want) ||
				!strings.Contains(printed.String(), c.why) {
				t.Errorf("printed\n%s\nwant %q with %q", printed, want, c.why)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		line            string
		flags, packages int
		wrong           string
	}{
		{line: "-race -count=1 ./a ./b", flags: 2, packages: 2},
		{line: "./a", packages: 1},
		{line: "-run TestA ./a", wrong: "write -run=value"},
		{line: "-race ./a -count=1", wrong: "flags come first"},
	} {
		flags, packages, err := split(strings.Fields(c.line))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v, want %q", c.line, err, c.wrong)
			}
			continue
		}
		if err != nil || len(flags) != c.flags || len(packages) != c.packages {
			t.Errorf("%s: %q, %q, %v", c.line, flags, packages, err)
		}
	}
}

func TestLanesNoteInOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "unsteady")
	for _, lines := range [][]string{{"one", "two"}, {"three"}} {
		if err := note(path, lines); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); string(text) != "one\ntwo\nthree\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if err := note(t.TempDir(), []string{"x"}); err == nil {
		t.Error("a directory took notes")
	}
}
