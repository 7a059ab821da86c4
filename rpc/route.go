package rpc

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
)

// internalPrefix begins the names of the framework's own services. A plain client without a service
// name never gets one of them while the server has another service.
const internalPrefix = "skerry."

// served is one service of a server.
type served struct {
	name, version string
	processor     thrift.TProcessor
	methods       map[string]*method
	streams       map[string]*StreamMethod // nil: it has none
	learned       learned                  // when methods is empty
	missing       method                   // stands for unknown methods in statistics
	anyAdmission  *admission               // of learned methods; nil: tokens are ignored
	internal      bool                     // only members of the site may call it, except for the methods in open
	open          []string                 // methods that every peer may call
}

// A removed service is remembered while callers may still list it here. Their calls are refused
// like those of a leaving server, and no other service gets them.
const (
	departedFor  = 10 * time.Minute
	departedMost = 256
)

// departed is a service that is no longer served here.
type departed struct {
	at      time.Time
	methods map[string]bool // methods by which a caller without a service name could mean it
	any     bool            // its methods are unknown: a method that no other service has may be its own
}

// routes finds the service of a call. Readers take no lock.
type routes struct {
	mu    sync.Mutex // held to change table
	table atomic.Pointer[routeTable]
}

// routeTable is immutable.
type routeTable struct {
	byName   map[string]*served
	departed map[string]departed // services that have left, by names that byName lacks
}

func (r *routes) load() *routeTable {
	if t := r.table.Load(); t != nil {
		return t
	}
	return &routeTable{}
}

// add lists a service and returns the function that removes it.
func (r *routes) add(s *served) (remove func(), err error) {
	switch {
	case s.name == "" || strings.Contains(s.name, thrift.MULTIPLEXED_SEPARATOR):
		return nil, fmt.Errorf(
			"rpc server: %q can't name a service: it must not be empty or have a %q",
			s.name,
			thrift.MULTIPLEXED_SEPARATOR,
		)
	case s.processor == nil:
		return nil, fmt.Errorf("rpc server: service %q has no processor", s.name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.load().byName[s.name] != nil {
		return nil, fmt.Errorf("rpc server: service %q is served already", s.name)
	}
	r.change(func(t *routeTable) {
		t.byName[s.name] = s
		delete(t.departed, s.name)
	})
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.load().byName[s.name] == s {
			r.change(func(t *routeTable) { t.depart(s) })
		}
	}, nil
}

// change replaces the table by an edited copy. The caller holds mu.
func (r *routes) change(edit func(*routeTable)) {
	old := r.load()
	t := &routeTable{byName: map[string]*served{}, departed: map[string]departed{}}
	maps.Copy(t.byName, old.byName)
	maps.Copy(t.departed, old.departed)
	maps.DeleteFunc(t.departed, func(_ string, d departed) bool { return d.over() })
	edit(t)
	r.table.Store(t)
}

func (d departed) over() bool { return time.Since(d.at) >= departedFor }

// depart removes a service. When it is also served under another name, its callers move there.
func (t *routeTable) depart(s *served) {
	delete(t.byName, s.name)
	d := departed{at: time.Now(), methods: map[string]bool{}}
	if !t.serves(s.processor) {
		d.any = len(s.methods) == 0
		for name := range s.methods {
			d.methods[name] = true
		}
	}
	if len(t.departed) >= departedMost {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(t.departed)), func(a, b string) int {
			return t.departed[a].at.Compare(t.departed[b].at)
		})
		delete(t.departed, oldest)
	}
	t.departed[s.name] = d
}

func (t *routeTable) serves(p thrift.TProcessor) bool {
	if !reflect.TypeOf(p).Comparable() {
		return false
	}
	for _, s := range t.byName {
		if reflect.TypeOf(s.processor) == reflect.TypeOf(p) && s.processor == p {
			return true
		}
	}
	return false
}

var (
	errNoService = errors.New("no such service here")
	errDeparted  = errors.New("the service has left this process")
)

// find returns the service of a call and the method's own name. service comes from the info header.
// Without it, name may be Thrift's multiplexed "service:method". Otherwise find takes the only
// service with such a method, or the only service of the server.
func (r *routes) find(service, name string) (*served, string, error) {
	t := r.load()
	if service == "" {
		prefix, rest, ok := strings.Cut(name, thrift.MULTIPLEXED_SEPARATOR)
		if !ok {
			s, err := t.guess(name)
			return s, name, err
		}
		service, name = prefix, rest
	}
	if s := t.byName[service]; s != nil {
		return s, name, nil
	}
	if d, known := t.departed[service]; known && !d.over() {
		return nil, name, fmt.Errorf("%w: %q", errDeparted, service)
	}
	return nil, name, fmt.Errorf("%w: %q; served are %v", errNoService, service, slices.Sorted(maps.Keys(t.byName)))
}

// lastRoute is the route of a connection's latest call, which the next one nearly always takes as
// well.
type lastRoute struct {
	table  *routeTable // as it was then: a change replaces it
	served *served
	kind   *method
}

// route returns the service and the method of a call, and the method's own name. method is nil when
// the service does not have it. Only the reader calls it.
func (c *serverConn) route(info *CallInfo, name string) (*served, *method, string, error) {
	service := info.Service
	if c.s.unknown != nil {
		return c.routeUnknown(info, name)
	}
	table, last := c.s.routes.table.Load(), &c.routed
	if last.served != nil && last.table == table && service == last.served.name && name == last.kind.name {
		return last.served, last.kind, last.kind.name, nil
	}
	v, name, err := c.s.routes.find(service, name)
	if err != nil {
		return nil, nil, name, err
	}
	kind := v.method(name)
	if kind != nil && len(v.methods) > 0 { // of learned methods many may share one *method
		*last = lastRoute{table, v, kind}
	}
	return v, kind, name, nil
}

// guess finds the service that a plain client means.
func (t *routeTable) guess(method string) (*served, error) {
	var public, having []*served
	for name, s := range t.byName {
		if strings.HasPrefix(name, internalPrefix) && len(t.byName) > 1 {
			continue
		}
		public = append(public, s)
		if s.methods[method] != nil {
			having = append(having, s)
		}
	}
	for name, d := range t.departed {
		if (d.methods[method] || d.any && len(having) == 0) && !d.over() { // the call may mean d: no other may get it
			return nil, fmt.Errorf("%w: %q, which may be meant by %q", errDeparted, name, method)
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
	return nil, fmt.Errorf(
		"%d services have a method %q: name one as \"service:%s\" (Thrift's multiplexed protocol)",
		len(having),
		method,
		method,
	)
}
