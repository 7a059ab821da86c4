package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/statedir"
)

// version is that of spec.json, state.json and the protocol. It grows only when an old reader would err.
const version = 1

// The bounds of a Spec.
const (
	maxSpec  = 1 << 20
	maxGrace = time.Hour
	minFiles = 64
)

// Spec says what a shim runs.
type Spec struct {
	V        int      `json:"v"`
	Instance string   `json:"instance"` // as people name it, such as auth/v15#1
	Command  string   `json:"command"`  // absolute path
	Args     []string `json:"args,omitempty"`
	Dir      string   `json:"dir"` // absolute path of the working directory
	Env      []string `json:"env"` // the whole environment, as NAME=value
	User     *User    `json:"user,omitempty"`
	Stop     Stop     `json:"stop"`
	Limits   Limits   `json:"limits"`
	Cgroup   string   `json:"cgroup,omitempty"` // directory of a delegated control group (v2); "": none
}

// User is the user of the program, in place of the shim's. Windows has no use for it.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
}

// Stop is how the program is asked to end.
type Stop struct {
	Signal  string `json:"signal"`   // term, int, hup, quit, usr1 or usr2; on Windows int is ctrl-c, others ctrl-break
	GraceMS int64  `json:"grace_ms"` // until the whole tree is killed
}

// Limits bound the instance with all its descendants. 0: no limit.
type Limits struct {
	Memory    int64 `json:"memory,omitempty"`    // bytes
	CPU       int   `json:"cpu,omitempty"`       // percent of one core
	Processes int   `json:"processes,omitempty"` // with threads
	Files     int   `json:"files,omitempty"`     // open files of each process
}

var stopSignals = []string{"term", "int", "hup", "quit", "usr1", "usr2"}

func (s *Spec) grace() time.Duration { return time.Duration(s.Stop.GraceMS) * time.Millisecond }

// check returns every mistake of a Spec, joined.
func (s *Spec) check() error {
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if s.V != version {
		say("v: %d: this shim knows version %d", s.V, version)
	}
	if s.Instance == "" || len(s.Instance) > 256 {
		say("instance: a name of 1 to 256 bytes is needed")
	}
	if !filepath.IsAbs(s.Command) {
		say("command: %q is no absolute path", s.Command)
	}
	if !filepath.IsAbs(s.Dir) {
		say("dir: %q is no absolute path", s.Dir)
	}
	if s.Cgroup != "" && !filepath.IsAbs(s.Cgroup) {
		say("cgroup: %q is no absolute path", s.Cgroup)
	}
	for _, text := range slices.Concat([]string{s.Command, s.Dir}, s.Args, s.Env) {
		if strings.ContainsRune(text, 0) {
			say("%q has a zero byte", text)
		}
	}
	for _, v := range s.Env {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" {
			say("env: %q is not NAME=value", v)
		}
	}
	if !slices.Contains(stopSignals, s.Stop.Signal) {
		say("stop.signal: %q is none of %s", s.Stop.Signal, strings.Join(stopSignals, ", "))
	}
	if s.Stop.GraceMS < 0 || s.Stop.GraceMS > maxGrace.Milliseconds() {
		say("stop.grace_ms: %d is not between 0 and an hour", s.Stop.GraceMS)
	}
	l := s.Limits
	if l.Memory < 0 || l.CPU < 0 || l.Processes < 0 || l.Files < 0 {
		say("limits: a limit is negative")
	}
	if l.Files > 0 && l.Files < minFiles {
		say("limits.files: %d is less than %d, which the shim itself needs", l.Files, minFiles)
	}
	return errors.Join(wrong...)
}

// Write puts the Spec into a directory, for the next shim there.
func (s *Spec) Write(dir string) error {
	s.V = version
	if err := s.check(); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if len(text) > maxSpec {
		return fmt.Errorf("the specification of %s has %d bytes, more than %d", s.Instance, len(text), maxSpec)
	}
	return statedir.WriteFile(filepath.Join(dir, "spec.json"), text)
}

// ReadSpec returns the Spec of a directory.
func ReadSpec(dir string) (*Spec, error) {
	path := filepath.Join(dir, "spec.json")
	text, err := statedir.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseSpec(path, text)
}

func parseSpec(path string, text []byte) (*Spec, error) {
	if len(text) > maxSpec {
		return nil, fmt.Errorf("%q has %d bytes, more than %d", path, len(text), maxSpec)
	}
	s := &Spec{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	return s, nil
}
