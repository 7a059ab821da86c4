package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRealRuns checks this program's assumptions about the go command's output against the go
// command: a module with packages that fail in every way.
func TestRealRuns(t *testing.T) {
	t.Setenv("GOFLAGS", "-trimpath")
	t.Setenv("GOWORK", "off")
	dir := t.TempDir()
	t.Chdir(dir)
	const head = "package p\nimport (\"os\"; \"testing\"; \"time\")\nvar _ = os.Exit\nvar _ = time.Sleep\n" +
		"func TestGood(t *testing.T) {}\n"
	files := map[string]string{ // each is a program for gotest to judge: one is skipped, which must fail the run
		"go.mod": "module m\n\ngo 1.26\n",
		// It leaves a file where it has run.
		"once/p_test.go": head +
			"func TestA(t *testing.T) { if f, err := os.OpenFile(\"ran\", os.O_CREATE|os.O_EXCL, 0o600); err == nil " +
			"{ f.Close(); t.Error(\"first\") } }",
		"often/p_test.go": head + "func TestA(t *testing.T) { t.Error(\"always\") }",
		"panic/p_test.go": head + "func TestA(t *testing.T) { panic(\"at the disco\") }",
		"other/p_test.go": head +
			"func TestA(t *testing.T) { go func() { panic(\"elsewhere\") }(); time.Sleep(time.Minute) }",
		"late/p_test.go":    head + "func TestA(t *testing.T) { time.Sleep(time.Minute) }",
		"exit/p_test.go":    head + "func TestA(t *testing.T) { os.Exit(3) }",
		"exit1/p_test.go":   head + "func TestA(t *testing.T) { os.Exit(1) }",
		"main/p_test.go":    head + "func TestMain(m *testing.M) { m.Run(); os.Exit(1) }",
		"broken/p_test.go":  head + "func TestA(t *testing.T) { undefined() }",
		"skipped/p_test.go": head + "func TestA(t *testing.T) { t.Skip() }",
		"race/p_test.go": head +
			"func TestA(t *testing.T) { n, c := 0, make(chan int); go func() { n++; close(c) }(); n++; <-c }",
		"none/p_test.go": "package p",
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		packages, flags string
		says            string // why nothing runs again; "": it does
		holds           bool
		unsteady        int
	}{
		{packages: "./once", holds: true, unsteady: 2},
		{packages: "./once", holds: true}, // the second time, nothing failed
		{packages: "./often"},
		{packages: "./panic", says: "panic: at the disco"},
		{packages: "./other", says: "panic: elsewhere"},
		{packages: "./late", flags: "-timeout=1s", says: "test timed out"},
		{packages: "./exit", says: "TestA did not end"},
		{packages: "./exit1", says: "TestA did not end"},
		{packages: "./main", says: "names no failed test"},
		{packages: "./broken", says: "did not build"},
		{packages: "./often ./broken", says: "did not build"},
		{packages: "./often ./panic", says: "panic: at the disco"},
		{packages: "./skipped", says: "1 tests were skipped"},
		{packages: "./race", flags: "-race", says: "data race"},
		{packages: "./none", says: "no test is named"},
		{packages: "./absent", says: "did not build"},
	} {
		t.Run(c.packages, func(t *testing.T) {
			var out strings.Builder
			l := lane{out: &out, test: goTest, packages: strings.Fields(c.packages),
				flags: append([]string{"-count=1", "-vet=off"}, strings.Fields(c.flags)...)}
			holds := l.run()
			if holds != c.holds || len(l.unsteady) != c.unsteady {
				t.Errorf("holds %v, want %v; unsteady %q, want %d lines", holds, c.holds, l.unsteady, c.unsteady)
			}
			_, why, stopped := strings.Cut(out.String(), "nothing runs again: ")
			if why, _, _ = strings.Cut(why, "\n"); stopped != (c.says != "") || !strings.Contains(why, c.says) {
				t.Errorf("why nothing runs again: %q, want %q", why, c.says)
			}
			if again := strings.Contains(out.String(), " again, alone, 1 of 3\n"); again == (c.says != "" || holds &&
				c.unsteady == 0) {
				t.Errorf("runs again: %v", again)
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}
