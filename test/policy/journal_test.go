//go:build linux

package policy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// call is one call of a caller, or what a provider has executed: a copy, or a call that is sent again.
type call struct {
	start time.Time
	took  time.Duration
	code  string // "ok" or the rpc.Code; of a provider "copy" or "again"
	who   string // name of the provider that answered, or another answer
	text  string // of the failure
}

// answered says of a call whether a provider has answered it.
func answered(who string) func(call) bool {
	return func(c call) bool { return c.code == "ok" && c.who == who }
}

// journal is what the processes of a site have written.
type journal struct {
	mu        sync.Mutex
	calls     map[[2]string][]call // by process and service
	states    []string             // "near 7101 ejected"
	fatal     []string
	processes map[string]*process
}

func (j *journal) put(name string, p *process) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.processes == nil {
		j.processes = map[string]*process{}
	}
	j.processes[name] = p
}

func (j *journal) process(name string) *process {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.processes[name]
}

// line takes in a line of a process.
func (j *journal) line(name, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var service string
	var c call
	var start, took int64
	kind, rest, _ := strings.Cut(line, " ")
	var err error
	switch kind {
	case "call":
		_, err = fmt.Sscanf(rest, "%s %d %d %s %q %q", &service, &start, &took, &c.code, &c.who, &c.text)
	case "copy", "again":
		c.code = kind
		_, err = fmt.Sscanf(rest, "%d %s", &start, &service)
	case "state":
		j.states = append(j.states, name+" "+rest)
		return
	default:
		err = fmt.Errorf("it is no call")
	}
	if err != nil {
		j.fatal = append(j.fatal, fmt.Sprintf("%s: %q: %v", name, line, err))
		return
	}
	c.start, c.took = time.Unix(0, start), time.Duration(took)
	if j.calls == nil {
		j.calls = map[[2]string][]call{}
	}
	key := [2]string{name, service}
	j.calls[key] = append(j.calls[key], c)
}

// of returns the calls of a process to a service that began at a time or later, in the order of their begin.
func (j *journal) of(name, service string, from time.Time) (out []call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.calls[[2]string{name, service}] {
		if !c.start.Before(from) {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b call) int { return a.start.Compare(b.start) })
	return out
}

// saw reports whether a process has seen a port in a state.
func (j *journal) saw(name string, port int, state string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Contains(j.states, fmt.Sprintf("%s %d %s", name, port, state))
}

func (j *journal) fatals() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.fatal)
}
