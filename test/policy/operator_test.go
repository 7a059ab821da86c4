//go:build linux

package policy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// operator is a running "skerry policy".
type operator struct {
	s    *site
	args []string
	cmd  *exec.Cmd
	in   *os.File // its terminal
	at   time.Time
	done chan struct{}
	err  error

	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes in its output.
func (o *operator) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *operator) said() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// operator begins a command of an operator at a host. at is its configuration, "" for one of the site.
func (s *site) operator(host int, at string, args ...string) *operator {
	s.t.Helper()
	if at == "" {
		at = s.configure(fmt.Sprint("operator", host), s.lines, "")
	}
	o := &operator{s: s, args: args, done: make(chan struct{}),
		cmd: s.on(host, s.tool, append([]string{"--config", at}, args...)...)}
	in, out, err := os.Pipe()
	must(s.t, err)
	defer in.Close()
	o.in = out
	o.cmd.Stdin, o.cmd.Stdout, o.cmd.Stderr = in, o, o
	must(s.t, o.cmd.Start())
	go func() {
		defer close(o.done)
		o.err = o.cmd.Wait()
	}()
	s.t.Cleanup(func() { _ = o.cmd.Process.Kill(); <-o.done; o.in.Close() })
	return o
}

func (o *operator) over() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// asked waits until the command asks, or ends.
func (o *operator) asked() bool {
	o.s.t.Helper()
	o.s.await(strings.Join(o.args, " ")+" asks", func() bool {
		return strings.HasSuffix(o.said(), "[y/N] ") || o.over()
	})
	return !o.over()
}

// yes answers.
func (o *operator) yes() {
	o.s.t.Helper()
	o.at = time.Now()
	_, err := o.in.WriteString("y\n")
	must(o.s.t, err)
}

// end waits for the end of the command.
func (o *operator) end() (said string, code int) {
	o.s.t.Helper()
	lab.Eventually(o.s.t, patience, o.over, func() string { return strings.Join(o.args, " ") + " ends: " + o.said() })
	return o.said(), o.cmd.ProcessState.ExitCode()
}

// runs runs a command to its end; it is answered with yes when it asks.
func (s *site) runs(host int, args ...string) (said string, code int) {
	s.t.Helper()
	o := s.operator(host, "", args...)
	if o.asked() {
		o.yes()
	}
	return o.end()
}

// changes changes the policy by a command, which must succeed. It returns the instant of the operator's answer.
func (s *site) changes(args ...string) time.Time {
	s.t.Helper()
	o := s.operator(hostNear, "", append([]string{"policy"}, args...)...)
	if o.asked() {
		o.yes()
	}
	if said, code := o.end(); code != 0 || o.at.IsZero() {
		s.t.Fatalf("skerry policy %s: exit code %d\n%s", strings.Join(args, " "), code, said)
	}
	return o.at
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// text writes a policy and returns its path. rules are those of a service, in one line; more are further lines.
func (s *site) text(service, rules string, more ...string) string {
	s.t.Helper()
	return s.file("policy: 1\nservices: {" + service + ": " + rules + "}\n" + strings.Join(more, "\n"))
}

func (s *site) file(text string) string {
	s.t.Helper()
	f, err := os.CreateTemp(s.dir, "*.policy.yaml")
	must(s.t, err)
	defer f.Close()
	_, err = f.WriteString(text)
	must(s.t, err)
	return f.Name()
}

// apply makes a policy of the rules of one service.
func (s *site) apply(service, rules string, more ...string) time.Time {
	s.t.Helper()
	return s.changes("apply", s.text(service, rules, more...))
}
