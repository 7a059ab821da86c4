package registrytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// Harness makes registries for one case and holds their bounds.
type Harness struct {
	// Open returns the registry of a new process in the cluster. The suite calls Run on it.
	Open func(t *testing.T, owner registry.Owner) registry.Registry
	// OpenOther is Open for another cluster in the same database or on the same network.
	OpenOther func(t *testing.T, owner registry.Owner) registry.Registry

	// Kill makes the process vanish as by kill -9. After it has returned, the end of Run must
	// withdraw nothing. Optional.
	Kill func(t *testing.T, r registry.Registry)
	// Cut cuts all registries off from their database or network, and Heal connects them again.
	// Optional, both or none.
	Cut, Heal func(t *testing.T)
	// Forget makes the registry lose all registrations without telling the owners, as a restored
	// backup does. Optional.
	Forget func(t *testing.T)

	Seen    time.Duration // bound until every watcher sees a change
	Dead    time.Duration // bound until a killed process is seen to be gone
	Lost    time.Duration // bound until a cut is noticed
	Back    time.Duration // bound after Heal or Forget until everything is listed again
	Partial bool          // expected value of Snapshot.Partial
	Apart   bool          // cases are independent: run them at the same time
	Bubble  bool          // run the cases in virtual time
}

// Run runs every case that the harness has hooks for, each as a subtest with a
// harness of its own.
func Run(t *testing.T, harness func(t *testing.T) *Harness) {
	probe := harness(t)
	for _, c := range cases {
		if !c.possible(probe) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if probe.Apart {
				t.Parallel()
			}
			if !probe.Bubble {
				c.run(newSite(t, harness(t)))
				return
			}
			synctest.Test(t, func(t *testing.T) { c.run(newSite(t, harness(t))) })
		})
	}
}

// site is the cluster of one case.
type site struct {
	*testing.T
	h     *Harness
	hosts int
}

func newSite(t *testing.T, h *Harness) *site { return &site{T: t, h: h} }

// process is one running registry.
type process struct {
	registry.Registry
	s     *site
	owner registry.Owner
	stop  func() // ends Run and joins it; may be called twice
}

func (s *site) owner() registry.Owner {
	s.hosts++
	return registry.Owner{
		Host:  fmt.Sprintf("host%d", s.hosts),
		PID:   100 + s.hosts,
		Epoch: time.Now().UnixMicro() + int64(s.hosts),
	}
}

// start opens a registry and runs it until the case ends.
func (s *site) start() *process { return s.startWith(s.h.Open, s.owner()) }

func (s *site) startWith(open func(*testing.T, registry.Owner) registry.Registry, owner registry.Owner) *process {
	p := s.open(open, owner)
	p.begin()
	return p
}

func (s *site) open(open func(*testing.T, registry.Owner) registry.Registry, owner registry.Owner) *process {
	return &process{Registry: open(s.T, owner), s: s, owner: owner}
}

func (p *process) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	g := run.NewGroup(ctx)
	ended := make(chan error, 1)
	g.Go(func(ctx context.Context) error {
		ended <- p.Run(ctx)
		return nil
	})
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				p.s.Errorf("Run of %v: %v; want nil after the end of its context", p.owner, err)
			}
		case <-time.After(10 * time.Second):
			p.s.Fatalf("Run of %v has not ended 10 s after its context", p.owner)
		}
		_ = g.Wait()
	}
	p.s.Cleanup(p.stop)
}

// instance is a valid registration of the process.
func (p *process) instance(service, version string) registry.Instance {
	return registry.Instance{Service: service, Version: version, Owner: p.owner,
		Host: fmt.Sprintf("192.0.2.%d", p.owner.PID-100), Port: 7000}
}

// register fails the case when the registry takes longer than a change may.
func (p *process) register(instances ...registry.Instance) {
	p.s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.s.h.Seen+p.s.h.Back)
	defer cancel()
	if err := p.Register(ctx, instances...); err != nil {
		p.s.Fatalf("Register: %v", err)
	}
}

// view collects the snapshots of a watcher.
type view struct {
	s     *site
	shown chan registry.Snapshot
	last  map[string]registry.Snapshot
	stop  func()
}

func (p *process) watch(service string) *view {
	v := &view{s: p.s, shown: make(chan registry.Snapshot, 1000), last: map[string]registry.Snapshot{}}
	stop := p.Watch(service, func(s registry.Snapshot) { v.shown <- s })
	stopped := false
	v.stop = func() {
		if !stopped {
			stopped = true
			stop()
		}
	}
	p.s.Cleanup(v.stop)
	return v
}

// until waits for a snapshot of the service that meets the condition.
func (v *view) until(within time.Duration, what, service string, met func(registry.Snapshot) bool) registry.Snapshot {
	v.s.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	if s, ok := v.last[service]; ok && met(s) {
		return s
	}
	for {
		select {
		case s := <-v.shown:
			v.check(s)
			v.last[s.Service] = s
			if s.Service == service && met(s) {
				return s
			}
		case <-deadline.C:
			v.s.Fatalf("not within %v: %s; last list of %s: %s", within, what, service, show(v.last[service]))
		}
	}
}

// lists waits until exactly the given instances are listed.
func (v *view) lists(within time.Duration, service string, want ...registry.Instance) registry.Snapshot {
	v.s.Helper()
	slices.SortFunc(want, registry.Compare)
	return v.until(within, "list "+names(want), service, func(s registry.Snapshot) bool {
		return slices.EqualFunc(s.Instances, want, registry.Instance.Equal)
	})
}

// quiet fails when a snapshot within the time meets the condition.
func (v *view) quiet(during time.Duration, what string, met func(registry.Snapshot) bool) {
	v.s.Helper()
	end := time.NewTimer(during)
	defer end.Stop()
	for {
		select {
		case s := <-v.shown:
			v.check(s)
			v.last[s.Service] = s
			if met(s) {
				v.s.Fatalf("%s: %s", what, show(s))
			}
		case <-end.C:
			return
		}
	}
}

// check checks every snapshot of every case.
func (v *view) check(s registry.Snapshot) {
	v.s.Helper()
	if !slices.IsSortedFunc(s.Instances, registry.Compare) {
		v.s.Fatalf("list is not in the order of Compare: %s", show(s))
	}
	if s.Source == "" || s.Partial != v.s.h.Partial {
		v.s.Fatalf("source %q, partial %v; want a name and %v", s.Source, s.Partial, v.s.h.Partial)
	}
	for _, d := range s.Gone {
		if slices.ContainsFunc(s.Instances, func(in registry.Instance) bool { return in.ID() == d.ID }) {
			v.s.Fatalf("%v is both listed and gone", d.ID)
		}
	}
}

func departed(s registry.Snapshot, id registry.ID) registry.DepartureKind {
	for _, d := range s.Gone {
		if d.ID == id {
			return d.Kind
		}
	}
	return 0
}

func show(s registry.Snapshot) string {
	out := names(s.Instances)
	for _, d := range s.Gone {
		out += fmt.Sprintf(", %v %v", d.ID, d.Kind)
	}
	if s.Lost != nil {
		out += ", lost: " + s.Lost.Error()
	}
	return out
}

func names(list []registry.Instance) string {
	var out []string
	for _, in := range list {
		out = append(out, in.ID().String())
	}
	return "[" + strings.Join(out, " ") + "]"
}
