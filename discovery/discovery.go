package discovery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Discovery is one consumer's view of the site. Create it with [New]; its methods may be called
// from any goroutine.
type Discovery struct {
	cfg      Config
	services atomic.Pointer[map[string]*service] // copied on write
	kick     run.Signal                          // set when a view is out of date
	probes   chan struct{}                       // one element for each running probe
	stopped  atomic.Bool
	feed     feed

	mu         sync.Mutex // guards writes of services and the fields below
	stops      []func()   // of the sources' watches
	remembers  bool       // the state file has been read
	unsaved    bool       // the last write of the state file has failed
	disk       run.Disk   // of the state file
	saveFailed bool       // and the log has a line about it

	saved savedList      // content of the state file, also of services that this process has not resolved
	site  []SourceStatus // with WatchAll: the answer of each source for all services together
}

var (
	_ rpc.Resolver = (*Discovery)(nil)
	_ rpc.Watcher  = (*Discovery)(nil)
)

// New makes a Discovery. It does no I/O. A service is subscribed when it is first resolved; views
// are renewed only while Run runs.
func New(cfg Config) (*Discovery, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d := &Discovery{cfg: cfg, kick: run.NewSignal(), probes: make(chan struct{}, maxProbes)}
	for _, s := range cfg.Sources {
		d.site = append(d.site, SourceStatus{Name: s.Name})
	}
	d.services.Store(&map[string]*service{})
	return d, nil
}

// Resolve implements rpc.Resolver: one map lookup. The first call for a service also subscribes it.
func (d *Discovery) Resolve(name string) rpc.Picker { return d.service(name) }

func (d *Discovery) service(name string) *service {
	s := (*d.services.Load())[name]
	if s == nil {
		s = d.addService(name)
	}
	s.subscribe.Do(func() { d.subscribe(s) })
	return s
}

func (d *Discovery) addService(name string) *service {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := *d.services.Load()
	if s := old[name]; s != nil {
		return s
	}
	s := newService(d, name)
	d.remind(s, name)
	next := maps.Clone(old)
	next[name] = s
	d.services.Store(&next)
	return s
}

// subscribe watches a service at every source. With WatchAll, Run has already done so for all
// services.
func (d *Discovery) subscribe(s *service) {
	d.wake()
	if d.cfg.WatchAll {
		return
	}
	for i, src := range d.cfg.Sources {
		d.keep(src.Registry.Watch(s.name, func(snap registry.Snapshot) { s.heardFrom(i, snap) }))
	}
}

// keep stores the function that ends a watch, or ends the watch when Run is over.
func (d *Discovery) keep(stop func()) {
	d.mu.Lock()
	over := d.stopped.Load()
	if !over {
		d.stops = append(d.stops, stop)
	}
	d.mu.Unlock()
	if over {
		stop()
	}
}

// Reload asks Config.Options for the rules of each service again. They hold from the next view on, a
// moment later; no connection and no state of a member is lost by it.
func (d *Discovery) Reload() {
	d.mu.Lock() // a service that is added meanwhile has the new rules
	for name, s := range *d.services.Load() {
		s.obey(d.cfg.optionsOf(name))
	}
	d.mu.Unlock()
	d.wake()
}

// Run keeps the views up to date until ctx ends: it applies the lists of sources, probes members,
// ends time limits, and saves the last known list. It returns nil; pickers then use the last view.
func (d *Discovery) Run(ctx context.Context) error {
	d.restore()
	if d.cfg.WatchAll {
		for i, src := range d.cfg.Sources {
			d.keep(src.Registry.Watch(registry.AllServices, func(snap registry.Snapshot) {
				d.heardSite(i, snap)
				if snap.Service != registry.AllServices && snap.Service != "" {
					d.service(snap.Service).heardFrom(i, snap)
				}
			}))
		}
	}
	g := run.NewGroup(ctx)
	g.Go(func(ctx context.Context) error { return d.loop(ctx, g) })
	g.Go(d.saveLoop)
	err := g.Wait()
	d.stop()
	return err
}

// heardSite notes the answer of a source for all services. A source that can vouch for its lists
// has answered when it sends the mark that everything was read.
func (d *Discovery) heardSite(i int, snap registry.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.site[i]
	s.Partial, s.Lost = snap.Partial, text(snap.Lost)
	s.Answered = s.Answered || snap.Lost == nil && (snap.Partial || snap.Service == registry.AllServices)
	if snap.Read.After(s.Read) {
		s.Read = snap.Read
	}
}

// stop ends the watches, wakes callers that wait for a first list, and saves.
func (d *Discovery) stop() {
	d.mu.Lock()
	d.stopped.Store(true)
	stops := d.stops
	d.stops = nil
	d.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	for _, s := range *d.services.Load() {
		s.tick(time.Now())
	}
	d.save()
}

// wake makes the loop check every service.
func (d *Discovery) wake() { d.kick.Set() }

// loop ticks each service that is out of date or due.
func (d *Discovery) loop(ctx context.Context, g *run.Group) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.kick:
		case <-timer.C:
		}
		var next time.Time
		for _, s := range *d.services.Load() {
			now := time.Now()
			if due := s.nextTick(); s.stale.Load() || !due.IsZero() && !due.After(now) {
				for _, m := range s.tick(now) {
					g.Go(func(ctx context.Context) error { return d.probe(ctx, s, m) })
				}
			}
			next = run.Earliest(next, s.nextTick())
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

func (s *service) nextTick() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.due
}

// probe asks one member. Its error ends the loop; an error of the member is not returned.
func (d *Discovery) probe(ctx context.Context, s *service, m *member) error {
	select {
	case d.probes <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-d.probes }()
	asking, cancel := context.WithTimeout(ctx, probeTimeout)
	err := d.cfg.Probe(asking, m.ep)
	cancel()
	if ctx.Err() != nil {
		return nil
	}
	suspect := false
	s.change(m, func(now time.Time) bool {
		suspect = s.u.asked(m, err, now)
		return true
	})
	if suspect {
		d.tellSuspect(m, fmt.Sprint(err))
	}
	return nil
}

// Down implements rpc.Watcher.
func (d *Discovery) Down(e *rpc.Endpoint, dial bool, err error) {
	if s, m := d.find(e); m != nil {
		s.down(m, dial, err)
	}
}

// Up implements rpc.Watcher.
func (d *Discovery) Up(e *rpc.Endpoint) {
	if s, m := d.find(e); m != nil {
		s.up(m)
	}
}

// Leaving implements rpc.Watcher.
func (d *Discovery) Leaving(e *rpc.Endpoint) {
	if s, m := d.find(e); m != nil {
		s.leaving(m)
	}
}

// Tags are the current tags of the endpoint's instance. The caller must not write to them.
func (d *Discovery) Tags(e *rpc.Endpoint) map[string]string {
	s, m := d.find(e)
	if m == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.in.Tags
}

func (d *Discovery) find(e *rpc.Endpoint) (*service, *member) {
	s := (*d.services.Load())[e.Service]
	if s == nil {
		return nil, nil
	}
	return s, s.member(e)
}

// suspecter is a registry that can check an instance: it probes the instance, or drops it. Suspect
// must not block.
type suspecter interface {
	Suspect(id registry.ID, why string)
}

// tellSuspect passes a suspicion to the registries that can check an instance.
func (d *Discovery) tellSuspect(m *member, why string) {
	for _, src := range d.cfg.Sources {
		if r, ok := src.Registry.(suspecter); ok {
			r.Suspect(m.id(), why)
		}
	}
}

// known lists services that have instances, except without, sorted.
func (d *Discovery) known(without string) []string {
	var names []string
	for name, s := range *d.services.Load() {
		if name != without && s.size.Load() > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Offers reports whether a known instance offers the service.
func (d *Discovery) Offers(name string) bool {
	s := (*d.services.Load())[name]
	return s != nil && s.size.Load() > 0
}

// Living is the number of instances of a service that are listed here. From the first call on the service is watched,
// as if this process called it.
func (d *Discovery) Living(service string) int { return int(d.service(service).size.Load()) }

// Watched reports whether the list of a service is kept here.
func (d *Discovery) Watched(service string) bool { return (*d.services.Load())[service] != nil }

// Services lists the services that were resolved or, with WatchAll, that an instance offers or has
// offered. It leaves out the hidden ones; the list is sorted.
func (d *Discovery) Services() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(*d.services.Load())), d.cfg.Hidden)
}
