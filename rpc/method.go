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
	maxMethodName = 1 << 10 // bytes of the name at the beginning of a message, including the service's
	maxLearned    = 256     // methods that are counted separately for a processor that lists none
)

// method is one method of a served service. Its name is not a part of a message, so keeping it does
// not keep a message in memory.
type method struct {
	name      string
	admission *admission  // nil: tokens are ignored
	shape     *flat.Shape // of its arguments; nil = not known
	silent    atomic.Bool // a call of it has sent no answer before
}

// methodsOf returns the methods that a processor lists.
func methodsOf(p thrift.TProcessor) map[string]*method {
	methods := map[string]*method{}
	for name, f := range p.ProcessorMap() {
		methods[name] = &method{name: name, shape: argumentsOf(f, name)}
	}
	return methods
}

// learned holds the methods of a processor that lists none, as calls name them.
type learned struct {
	mu    sync.Mutex
	known map[string]*method
	rest  method // for all methods beyond the limit
}

func (l *learned) find(name string, admit *admission) *method {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.known[name]; m != nil {
		return m
	}
	if len(l.known) >= maxLearned || !validName(name) {
		l.rest.name, l.rest.admission = health.Overflow, admit
		return &l.rest
	}
	if l.known == nil {
		l.known = map[string]*method{}
	}
	m := &method{name: strings.Clone(name), admission: admit}
	l.known[m.name] = m
	return m
}

// method returns a method, or nil when the processor does not have it.
func (s *served) method(name string) *method {
	if len(s.methods) == 0 {
		return s.learned.find(name, s.anyAdmission)
	}
	return s.methods[name]
}
