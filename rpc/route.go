package rpc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/thrift/lib/go/thrift"
)

// internalPrefix begins the names of the framework's own services. A plain
// client that names no service never means one of them while there is another.
const internalPrefix = "skerry."

// served is one service of a server.
type served struct {
	name, version string
	processor     thrift.TProcessor
	methods       map[string]*method
	learned       learned  // when methods is empty
	missing       method   // what calls of methods are counted as that it does not have
	anyDoor       *door    // of what is learned; nil: tokens mean nothing
	internal      bool     // for members of the site, but for open
	open          []string // methods
}

// routes finds the service of a call. Readers take no lock.
type routes struct {
	mu     sync.Mutex // for those who change it
	byName atomic.Pointer[map[string]*served]
}

func (r *routes) load() map[string]*served {
	if m := r.byName.Load(); m != nil {
		return *m
	}
	return nil
}

// add lists a service and returns what takes it out again.
func (r *routes) add(s *served) (remove func(), err error) {
	switch {
	case s.name == "" || strings.Contains(s.name, thrift.MULTIPLEXED_SEPARATOR):
		return nil, fmt.Errorf("rpc server: %q can't name a service: it must not be empty or have a %q", s.name, thrift.MULTIPLEXED_SEPARATOR)
	case s.processor == nil:
		return nil, fmt.Errorf("rpc server: service %q has no processor", s.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.load()[s.name] != nil {
		return nil, fmt.Errorf("rpc server: service %q is served already", s.name)
	}
	r.change(func(m map[string]*served) { m[s.name] = s })
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.load()[s.name] == s {
			r.change(func(m map[string]*served) { delete(m, s.name) })
		}
	}, nil
}

// change replaces the table by an edited copy. The caller holds mu.
func (r *routes) change(edit func(map[string]*served)) {
	m := maps.Clone(r.load())
	if m == nil {
		m = map[string]*served{}
	}
	edit(m)
	r.byName.Store(&m)
}

var errNoService = errors.New("no such service here")

// find returns the service of a call and the method's own name. service is
// what the info header says; without one, name may be Thrift's multiplexed
// "service:method"; else it is the service that alone has such a method, or
// the only service.
func (r *routes) find(service, name string) (*served, string, error) {
	all := r.load()
	if service == "" {
		prefix, rest, ok := strings.Cut(name, thrift.MULTIPLEXED_SEPARATOR)
		if !ok {
			s, err := guess(all, name)
			return s, name, err
		}
		service, name = prefix, rest
	}
	if s := all[service]; s != nil {
		return s, name, nil
	}
	return nil, name, fmt.Errorf("%w: %q; served are %v", errNoService, service, slices.Sorted(maps.Keys(all)))
}

// guess finds the service that a plain client means.
func guess(all map[string]*served, method string) (*served, error) {
	var public, having []*served
	for name, s := range all {
		if strings.HasPrefix(name, internalPrefix) && len(all) > 1 {
			continue
		}
		public = append(public, s)
		if s.methods[method] != nil {
			having = append(having, s)
		}
	}
	switch {
	case len(having) == 1:
		return having[0], nil
	case len(having) == 0 && len(public) == 1:
		return public[0], nil
	case len(having) == 0:
		return nil, fmt.Errorf("%w that has a method %q", errNoService, method)
	}
	return nil, fmt.Errorf("%d services have a method %q: name one as \"service:%s\" (Thrift's multiplexed protocol)", len(having), method, method)
}
