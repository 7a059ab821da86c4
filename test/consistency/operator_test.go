//go:build linux

package consistency

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/testsite"
)

// command builds the operator's command once.
func command(t *testing.T) string {
	t.Helper()
	path, err := built()
	must(t, err)
	return path
}

var built = sync.OnceValues(testsite.Command)

// operator is a running command of an operator.
type operator struct {
	*lab.Process
	site *site
	args string

	mu   sync.Mutex
	text strings.Builder
	end  chan struct{} // closed when all of its output was read
}

// operator begins a step of a release on a host.
func (s *site) operator(host int, args ...string) *operator {
	s.t.Helper()
	s.policy.changes(args[0])
	return s.command(host, append([]string{"release", "--yes"}, args...)...)
}

// command begins a command of an operator on a host.
func (s *site) command(host int, args ...string) *operator {
	s.t.Helper()
	config := s.configure("operator-"+hostName(host), how{})
	c := s.on(host, append([]string{s.tool, "--config", config}, args...)...)
	c.Env = append(os.Environ(), s.env...)
	r, w, err := os.Pipe()
	must(s.t, err)
	c.Stdout, c.Stderr = w, w
	o := &operator{site: s, args: strings.Join(args, " "), end: make(chan struct{})}
	o.Process = s.lan.Host(host).StartCommand(c)
	w.Close()
	go o.read(r)
	return o
}

func (o *operator) read(r io.ReadCloser) {
	defer close(o.end)
	defer r.Close()
	for in := bufio.NewScanner(r); in.Scan(); {
		o.mu.Lock()
		o.text.WriteString(in.Text() + "\n")
		o.mu.Unlock()
	}
}

func (o *operator) said() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// hears waits until the command prints a phrase, or ends.
func (o *operator) hears(phrase string) {
	o.site.t.Helper()
	o.site.await(o.args+" says "+phrase, func() bool { return strings.Contains(o.said(), phrase) || o.over() })
}

// says waits until the command prints a phrase.
func (o *operator) says(phrase string) {
	o.site.t.Helper()
	o.hears(phrase)
	if !strings.Contains(o.said(), phrase) {
		o.site.t.Fatalf("skerry %s ended without a word of %q:\n%s", o.args, phrase, o.said())
	}
}

func (o *operator) over() bool {
	select {
	case <-o.end:
		return true
	default:
		return false
	}
}

// done waits for the end of the step.
func (o *operator) done() (said string, err error) {
	o.site.t.Helper()
	if err = o.Wait(2 * time.Minute); err == nil || errors.As(err, new(*exec.ExitError)) {
		<-o.end
	}
	return o.said(), err
}

// must waits for the end of the step, which must succeed.
func (o *operator) must() string {
	o.site.t.Helper()
	said, err := o.done()
	if err != nil {
		o.site.t.Fatalf("skerry %s: %v\n%s", o.args, err, said)
	}
	return said
}

// release does one step.
func (s *site) release(args ...string) string { s.t.Helper(); return s.operator(0, args...).must() }

// open starts a release.
func (s *site) open(by string) {
	s.t.Helper()
	s.release("start", "--by", by, "--reason", "a test")
}

// ship releases the new version of a service with running instances.
func (s *site) ship(service, version string) {
	s.t.Helper()
	s.release("ship", service, "--version", version)
}

// log reads the log of the releases.
func (s *site) log() []rollout.Entry { s.t.Helper(); return s.logAt(0) }

// logAt reads the log as it is seen on one host.
func (s *site) logAt(host int) (entries []rollout.Entry) {
	s.t.Helper()
	c := s.on(host, s.tool, "--config", s.configure("reader", how{}), "--json", "release", "log")
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("skerry release log: %v\n%s", err, complaint.String())
	}
	var steps []struct{ Record rollout.Record }
	must(s.t, json.Unmarshal(out, &steps))
	for _, step := range steps {
		e, err := step.Record.Open()
		must(s.t, err)
		entries = append(entries, e)
	}
	return entries
}
