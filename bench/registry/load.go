package registry

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// load is the site that every system plays.
type load struct {
	instances, consumers int
	pace                 time.Duration // of heartbeats and reads
	leases               bool          // processes keep their leases, and watch nothing
}

// processes is how many there are: ten instances in each, and at least the
// consumers.
func (l load) processes() int { return max(l.consumers, l.instances/10, 1) }

// services is how many there are, of ten instances each.
func (l load) services() int { return max(l.instances/10, 1) }

func service(i int) string { return fmt.Sprintf("service-%04d", i) }

// changing is the service in which changes take place and that all consumers use.
const changing = "changing"

// offered are the services of the instances of a process.
func (l load) offered(process int) []string {
	var names []string
	for i := process; i < l.instances; i += l.processes() {
		names = append(names, service((i+i/l.processes()*17)%l.services())) // 17: ten different ones
	}
	return names
}

// used are ten services of a consumer, and the changing one.
func (l load) used(consumer int) []string {
	names := []string{changing}
	for k := range min(10, l.services()) {
		names = append(names, service((consumer*7+k)%l.services()))
	}
	return names
}

// arrivals collects when consumers got to know of a change.
type arrivals struct {
	mu    sync.Mutex
	want  int
	sent  time.Time
	now   int // number of the change under way
	took  []time.Duration
	whole chan struct{} // closed when all have it
}

func newArrivals(consumers int) *arrivals { return &arrivals{want: consumers} }

// begin starts the clock of change k.
func (a *arrivals) begin(k int) (all <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now, a.sent, a.took, a.whole = k, time.Now(), nil, make(chan struct{})
	return a.whole
}

// arrived is called by a consumer that knows of change k, once.
func (a *arrivals) arrived(k int) {
	at := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if k != a.now || a.whole == nil || len(a.took) == a.want {
		return
	}
	if a.took = append(a.took, at.Sub(a.sent)); len(a.took) == a.want {
		close(a.whole)
	}
}

func (a *arrivals) result() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.took)
}

// quantile of durations, which it sorts.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// listed is how many instances each service has at least.
func (l load) listed() int { return l.instances / l.services() }
