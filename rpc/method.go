package rpc

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/flat"
)

const (
	maxMethodName = 1 << 10 // bytes of the name that a message begins with, the service's included
	maxLearned    = 256     // methods that are counted apart of a processor that lists none
)

// method is one method of a service that is served. Its name is the
// processor's own string, so that keeping it keeps no message.
type method struct {
	name      string
	admission *admission  // nil: tokens mean nothing
	shape     *flat.Shape // of its arguments; nil = not known
	silent    atomic.Bool // it was seen to answer nothing
}

// methodsOf are the methods that a processor lists.
func methodsOf(p thrift.TProcessor) map[string]*method {
	methods := map[string]*method{}
	for name, f := range p.ProcessorMap() {
		methods[name] = &method{name: name, shape: argumentsOf(f, name)}
	}
	return methods
}

// learned are the methods of a processor that lists none, by their calls.
type learned struct {
	mu    sync.Mutex
	known map[string]*method
	rest  method // all that find no room
}

func (l *learned) find(name string, door *admission) *method {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.known[name]; m != nil {
		return m
	}
	if len(l.known) >= maxLearned || !validName(name) {
		l.rest.name, l.rest.admission = health.Overflow, door
		return &l.rest
	}
	if l.known == nil {
		l.known = map[string]*method{}
	}
	m := &method{name: strings.Clone(name), admission: door}
	l.known[m.name] = m
	return m
}

// method finds a method; nil is one that the processor does not have.
func (s *served) method(name string) *method {
	if len(s.methods) == 0 {
		return s.learned.find(name, s.anyAdmission)
	}
	return s.methods[name]
}
