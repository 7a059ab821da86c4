package rate

import (
	"cmp"
	"slices"
	"time"
)

// Limits are the durations by which calls are counted, in growing order.
var Limits = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 3 * time.Second, 10 * time.Second,
}

// Counter is one process's count of the calls of one version of a service, since
// the start of the process.
type Counter struct {
	Service string
	Version string
	Made    bool   // calls that the process made to Peer; else calls that it served
	Peer    string // the address of an instance

	Calls    int64
	Failures int64
	Slower   []int64 // for each of Limits, the calls that took longer
}

type key struct {
	process, service, version, peer string
	made                            bool
}

// Meter computes rates from successive readings. One goroutine uses it. The
// zero value has read no process.
type Meter struct {
	last map[key]Counter
	met  map[string]bool // processes
	at   time.Time
}

// Rate is the rate of calls of one version of a service between two readings.
type Rate struct {
	Service string
	Version string
	Calls   float64       // per second
	Failed  float64       // per second
	P99     time.Duration // upper bound, one of Limits; 0: no call, or longer than all of them
	Beyond  bool          // longer than the last of Limits
}

// Read takes the counters of the processes that have answered, and returns their
// growth since the last reading, by service and version. Where both callers and
// providers have counted, it uses the side with more calls.
func (m *Meter) Read(now time.Time, processes map[string][]Counter) []Rate {
	type sides struct{ served, made sum }
	grown := map[[2]string]*sides{}
	last, met := map[key]Counter{}, map[string]bool{}
	for process, counters := range processes {
		met[process] = true
		for _, c := range counters {
			k := key{process, c.Service, c.Version, c.Peer, c.Made}
			last[k] = c
			if !m.met[process] {
				continue
			}
			name := [2]string{c.Service, c.Version}
			if grown[name] == nil {
				grown[name] = &sides{}
			}
			side := &grown[name].served
			if c.Made {
				side = &grown[name].made
			}
			side.add(c, m.last[k])
		}
	}
	took := now.Sub(m.at).Seconds()
	m.last, m.met, m.at = last, met, now
	var rates []Rate
	for name, s := range grown {
		more := &s.served
		if s.made.calls > more.calls {
			more = &s.made
		}
		rates = append(rates, more.rate(name[0], name[1], took))
	}
	slices.SortFunc(rates, func(a, b Rate) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Version, b.Version))
	})
	return rates
}

// sum is the growth of the counters of one side.
type sum struct {
	calls, failures int64
	slower          []int64
}

func (s *sum) add(now, before Counter) {
	if now.Calls < before.Calls {
		return
	}
	s.calls += now.Calls - before.Calls
	s.failures += max(0, now.Failures-before.Failures)
	if s.slower == nil {
		s.slower = make([]int64, len(Limits))
	}
	for i := range min(len(Limits), len(now.Slower)) {
		old := int64(0)
		if i < len(before.Slower) {
			old = before.Slower[i]
		}
		s.slower[i] += max(0, now.Slower[i]-old)
	}
}

func (s *sum) rate(service, version string, seconds float64) Rate {
	r := Rate{Service: service, Version: version}
	if seconds <= 0 || s.calls == 0 {
		return r
	}
	r.Calls = float64(s.calls) / seconds
	r.Failed = float64(s.failures) / seconds
	for i, slower := range s.slower {
		if slower*100 <= s.calls {
			r.P99 = Limits[i]
			return r
		}
	}
	r.Beyond = true
	return r
}
