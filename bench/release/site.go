package release

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// The old and the new version of every released service.
const (
	old   = "v1"
	fresh = "v2"
)

// The release begins when the site is in full swing; requests come as long as
// it is watched.
const (
	released = 3_000 * sim.Unit
	watched  = 20_000 * sim.Unit
)

// site is one run: processes, requests and an operator with a strategy.
type site struct {
	sim.Clock
	world    *world
	strategy strategy
	procs    []*process
	gateways []*process
	requests []*request
	spans    []rollouttest.Span
	broken   []rollouttest.Finding // by rollouttest, for those with a rule log
	gone     time.Duration         // when the old versions were stopped; 0: not yet
	open     int                   // requests under way
}

// process is an instance of one version of a service, or a gateway.
type process struct {
	name, service, version string
	slow                   time.Duration // added to what it hears from operators
	running                int
	leaving, stopped       bool // no longer offered; no longer there
}

// newSite makes the site, with its old versions only.
func newSite(w *world, s strategy) *site {
	site := &site{world: w, strategy: s}
	for i := range gateways {
		site.gateways = append(site.gateways, site.start("gateway", old, i))
	}
	for _, name := range w.graph.Names {
		for i := range w.replicas {
			site.start(name, old, i)
		}
	}
	return site
}

const gateways = 3

// start starts an instance. Whether it is slow to hear is the site's chance,
// not the strategy's.
func (s *site) start(service, version string, i int) *process {
	p := &process{name: fmt.Sprintf("%s-%s-%d", service, version, i), service: service, version: version}
	p.slow = s.world.slow[fmt.Sprintf("%s-%d", service, i)]
	s.procs = append(s.procs, p)
	return p
}

// startNew starts the new version of a service.
func (s *site) startNew(service string) {
	for i := range s.world.replicas {
		s.start(service, fresh, i)
	}
}

// offered are the instances of a service that callers may choose from; an
// empty version stands for any.
func (s *site) offered(service, version string) (out []*process) {
	for _, p := range s.procs {
		if p.service == service && !p.leaving && !p.stopped && (version == "" || p.version == version) {
			out = append(out, p)
		}
	}
	return out
}

// instances are those of a version that still run.
func (s *site) instances(service, version string) (out []*process) {
	for _, p := range s.procs {
		if p.service == service && p.version == version && !p.stopped {
			out = append(out, p)
		}
	}
	return out
}

// tell lets a process hear something from the operator.
func (s *site) tell(p *process, do func()) { s.After(message+p.slow, do) }

// message is the time of a message between an operator and a process.
const message = 5 * sim.Unit

// retire stops the old version of a service when its instances are idle.
func (s *site) retire(service string, then func()) {
	for _, p := range s.instances(service, old) {
		p.leaving = true
		if p.running > 0 {
			s.After(sim.Unit, func() { s.retire(service, then) })
			return
		}
		p.stopped = true
	}
	then()
}

// retireAll stops the old versions of services, one after the other.
func (s *site) retireAll(services []string) {
	if len(services) == 0 {
		s.finish()
		return
	}
	s.retire(services[0], func() { s.retireAll(services[1:]) })
}

// finish notes that all old versions are gone.
func (s *site) finish() { s.gone = s.Now() }

// run plays the world to the end of its requests.
func (s *site) run() {
	for i, a := range s.world.arrivals {
		s.At(a.at, func() { s.arrive(i, a) })
	}
	s.At(released, s.strategy.release)
	// Work that outlives its request may still be under way when the last one ends.
	s.Run(2*watched, func() bool { return false })
}

// world is what chance has in store: the same for every strategy.
type world struct {
	graph    *sim.Graph
	modules  []string // released together
	replicas int
	slow     map[string]time.Duration // by service-replica
	arrivals []arrival
}

type arrival struct {
	at      time.Duration
	gateway int
	call    *sim.Call
}

// conditions are what a table is about.
type conditions struct {
	name     string
	chance   sim.Chance
	replicas int
	slow     float64 // share of the processes that hear late
}

// interval between two requests to one entry.
const interval = 50 * sim.Unit

// busy is how long after the release requests go on coming.
const busy = 3_000 * sim.Unit

// newWorld draws a world: every other one is the portal.
func newWorld(seed uint64, c conditions) *world {
	rng := rand.New(rand.NewPCG(seed, 11))
	w := &world{graph: sim.Portal(), replicas: c.replicas, slow: map[string]time.Duration{}}
	if seed%2 == 1 {
		w.graph = sim.ScaleFree(rng, 8)
	}
	var called []string
	for i, name := range append([]string{"gateway"}, w.graph.Names...) {
		if i > 0 && len(w.graph.Callers(i-1)) > 0 {
			called = append(called, name)
		}
		for r := range max(w.replicas, gateways) {
			if rng.Float64() < c.slow {
				w.slow[fmt.Sprintf("%s-%d", name, r)] = time.Duration(50+rng.IntN(250)) * sim.Unit
			}
		}
	}
	for _, i := range rng.Perm(len(called))[:2] {
		w.modules = append(w.modules, called[i])
	}
	for _, entry := range w.graph.Entries {
		for at := sim.Poisson(rng, interval); at < released+busy; at += sim.Poisson(rng, interval) {
			w.arrivals = append(w.arrivals, arrival{at, rng.IntN(gateways), c.chance.Request(rng, w.graph, entry)})
		}
	}
	return w
}
