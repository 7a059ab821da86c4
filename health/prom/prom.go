package prom

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/skerry/skerry/health"
)

// edges are the upper ends of the histogram's buckets.
var edges = []time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Collector shows the counts of a recorder as Prometheus metrics; register it with any
// prometheus.Registerer. Create it with [NewCollector].
type Collector struct {
	recorder *health.Recorder
	calls    *prometheus.Desc
	duration *prometheus.Desc
}

// NewCollector makes a collector of a recorder's counts.
func NewCollector(r *health.Recorder) *Collector {
	return &Collector{
		recorder: r,
		calls: prometheus.NewDesc("skerry_calls_total", "Calls by how they ended.",
			[]string{"side", "service", "version", "method", "peer", "outcome"}, nil),
		duration: prometheus.NewDesc("skerry_call_duration_seconds", "Time of a call, peers together.",
			[]string{"side", "service", "version", "method"}, nil),
	}
}

// Handler serves a recorder's counts, and nothing else, to Prometheus.
func Handler(r *health.Recorder) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewCollector(r))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
}

// Describe names the two metrics.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.calls
	out <- c.duration
}

// method is the key of one histogram.
type method struct{ side, service, version, name string }

type histogram struct {
	count   uint64
	sum     float64
	buckets map[float64]uint64
}

// Collect reads the recorder.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	histograms := map[method]*histogram{}
	c.recorder.Visit(func(row health.Row, within func(time.Duration) int64) {
		m := method{row.Side.String(), row.Service, row.Version, row.Method}
		for o, n := range row.Outcomes {
			if n > 0 {
				out <- prometheus.MustNewConstMetric(c.calls, prometheus.CounterValue, float64(n),
					m.side, m.service, m.version, m.name, row.Peer, health.Outcome(o).String())
			}
		}
		h := histograms[m]
		if h == nil {
			h = &histogram{buckets: make(map[float64]uint64, len(edges))}
			histograms[m] = h
		}
		h.count += uint64(row.Timed())
		h.sum += row.Sum.Seconds()
		for _, edge := range edges {
			h.buckets[edge.Seconds()] += uint64(within(edge))
		}
	})
	for m, h := range histograms {
		out <- prometheus.MustNewConstHistogram(c.duration, h.count, h.sum, h.buckets, m.side, m.service,
			m.version, m.name)
	}
}
