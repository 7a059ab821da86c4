package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary stand for gotest in front of a test binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == measured {
		os.Exit(measure(os.Args[2], os.Args[3:]))
	}
	os.Exit(m.Run())
}

// TestMeasuredBinaries runs packages that pass, fail, burn a processor and run out of time.
func TestMeasuredBinaries(t *testing.T) {
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "off")
	dir := t.TempDir()
	t.Chdir(dir)
	const head = "package p\nimport (\"os\"; \"testing\"; \"time\")\nvar _ = os.Exit\nvar _ = time.Sleep\n"
	for name, body := range map[string]string{
		"waits": "time.Sleep(300 * time.Millisecond)",
		"burns": "for began := time.Now(); time.Since(began) < 300 * time.Millisecond; {}",
		"exit":  "os.Exit(3)",
		"late":  "time.Sleep(time.Minute)",
	} {
		write(t, filepath.Join(dir, name, "p_test.go"), head+"func TestA(t *testing.T) { "+body+" }")
	}
	write(t, filepath.Join(dir, "go.mod"), "module m\n\ngo 1.26\n")
	file := filepath.Join(t.TempDir(), "usage")
	flag, err := measureFlag(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"waits": "ok  ", "burns": "ok  ", "exit": "TestA did not end", "late": "test timed out",
	} {
		var out strings.Builder
		l := lane{out: &out, test: goTest, flags: []string{"-count=1", "-vet=off", "-timeout=1s", flag},
			packages: []string{"./" + name}}
		if holds := l.run(); holds != (want == "ok  ") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: holds %v\n%s", name, holds, out.String())
		}
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	all, err := readUsage(in)
	if err != nil || len(all) != 4 {
		t.Fatalf("%v, %v", all, err)
	}
	by := map[string]usage{}
	for _, u := range all {
		by[filepath.Base(u.dir)] = u
	}
	if u := by["waits"]; u.wall < 300*time.Millisecond || u.cpu >= u.wall {
		t.Errorf("a package that waits: %+v", u)
	}
	if u := by["burns"]; u.cpu <= by["waits"].cpu {
		t.Errorf("a package that burns: %+v", u)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUsageIsSummed(t *testing.T) {
	all, err := readUsage(strings.NewReader("1000 500 /m/a\n3000 200 /m/b\n1500 500 /m/a\n10 10 /m/c\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	printUsage(&out, "/m", all)
	want := "used:    3.0 s,    0.2 s of processor: b\nused:    2.5 s,    1.0 s of processor: a\n" +
		"used:    5.5 s,    1.2 s of processor: all test binaries\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
	if _, err := readUsage(strings.NewReader("x\n")); err == nil {
		t.Error("a line without numbers is read")
	}
}
