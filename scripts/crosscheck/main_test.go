package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFaults: each package of a module has one fault for one system, in its code, in its tests or beside it.
func TestFaults(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":             "module m\n\ngo 1.26\n",
		"a/a.go":             "package a\n\nvar _ int = of\n",
		"a/a_linux.go":       "package a\n\nconst of = 1\n",
		"a/a_windows.go":     "package a\n\nconst of = \"1\"\n",
		"b/b.go":             "package b\n\nfunc B() int { return most }\n",
		"b/b_amd64.go":       "package b\n\nconst most = 1 << 40\n",
		"b/b_386.go":         "package b\n\nconst most = 1 << 40\n",
		"c/c.go":             "package c\n\nimport \"m/b\"\n\nfunc C() int { return b.B() }\n",
		"c/c_linux_test.go":  "package c\n\nvar _ = C() + 1\n",
		"c/c_darwin_test.go": "package c\n\nfunc of() int { return C() + \"1\" }\n",
		"c/beside_test.go":   "package c_test\n\nimport \"m/c\"\n\nvar _ uint = c.C()\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "")
	err := run(dir, []string{"linux/amd64", "linux/386", "windows/amd64", "darwin/amd64", "linux"})
	if err == nil {
		t.Fatal("it finds nothing")
	}
	const beside = "beside_test.go:5:14: cannot use c.C() (value of type int) as uint value"
	for target, faults := range map[string][]string{
		"linux/amd64":   {beside},
		"linux/386":     {"b.go:3:23: cannot use most", beside},
		"windows/amd64": {"a.go:3:13: cannot use of", beside},
		"darwin/amd64":  {"a.go:3:13: undefined: of", "c_darwin_test.go:3:24: invalid operation: C() + ", beside},
		"linux":         {"not a target like linux/arm64"},
	} {
		_, said, _ := strings.Cut("\n"+err.Error(), "\n"+target+": ")
		for _, other := range []string{"\nlinux", "\nwindows", "\ndarwin"} {
			said, _, _ = strings.Cut(said, other)
		}
		for _, fault := range faults {
			if !strings.Contains(said, fault) {
				t.Errorf("%s: want %q in\n%s", target, fault, said)
			}
		}
		if n := strings.Count(said, "\n") + 1; n != len(faults) {
			t.Errorf("%s: %d faults, want %d:\n%s", target, n, len(faults), said)
		}
	}
}
