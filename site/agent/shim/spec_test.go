package shim

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// privateDir is a directory that statedir accepts.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func goodSpec() *Spec {
	return &Spec{V: version, Instance: "auth/v1#1", Command: "/bin/true", Dir: "/", Stop: Stop{Signal: "term"}}
}

func TestSpecIsChecked(t *testing.T) {
	for mistake, change := range map[string]func(*Spec){
		"version":       func(s *Spec) { s.V = 2 },
		"command":       func(s *Spec) { s.Command = "true" },
		"zero byte":     func(s *Spec) { s.Args = []string{"a\x00b"} },
		"env":           func(s *Spec) { s.Env = []string{"=x"} },
		"stop.signal":   func(s *Spec) { s.Stop.Signal = "kill" },
		"stop.grace_ms": func(s *Spec) { s.Stop.GraceMS = 3_600_001 },
		"limits.files":  func(s *Spec) { s.Limits.Files = 3 },
		"negative":      func(s *Spec) { s.Limits.Memory = -1 },
		"cgroup":        func(s *Spec) { s.Cgroup = "../x" },
		"instance":      func(s *Spec) { s.Instance = "" },
	} {
		s := goodSpec()
		change(s)
		if err := s.check(); err == nil || !strings.Contains(err.Error(), mistake) {
			t.Errorf("%s: %v", mistake, err)
		}
	}
	dir := privateDir(t)
	if err := goodSpec().Write(dir); err != nil {
		t.Fatal(err)
	}
	if s, err := ReadSpec(dir); err != nil || s.Instance != "auth/v1#1" {
		t.Errorf("%v, %v", s, err)
	}
}

// FuzzFiles: whatever stands in the files of a directory, nothing but a checked value comes out.
func FuzzFiles(f *testing.F) {
	text, _ := json.Marshal(goodSpec())
	f.Add(text)
	f.Add([]byte(`{"v":1,"token":"../../etc/passwd"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseSpec("x", text); err == nil && s.check() != nil {
			t.Error("a Spec with a mistake was read")
		}
		if s, err := parseState("x", text); err == nil && !tokenForm.MatchString(s.Token) {
			t.Error("a malformed token was read")
		}
	})
}
