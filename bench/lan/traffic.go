package lan

import (
	"time"

	"github.com/skerry/skerry/internal/lab"
)

// traffic is what the hosts' cables carried in a while: per host and second,
// on average, and the most that one host sent and received together. The kinds
// are of what was sent.
type traffic struct {
	Seconds                        float64
	SentPackets, SentBytes         float64
	ReceivedPackets, ReceivedBytes float64
	UDP, TCP, ARP, Neighbour       float64
	Busiest                        uint64
}

// meter counts from now on.
type meter struct {
	lan    *lab.LAN
	at     time.Time
	counts []lab.Count
	kinds  []lab.Kinds
}

func newMeter(l *lab.LAN) *meter {
	l.CountKinds()
	return &meter{lan: l, at: time.Now(), counts: l.Counts(), kinds: l.Kinds()}
}

func (m *meter) read() traffic {
	return between(m.counts, m.lan.Counts(), m.kinds, m.lan.Kinds(), time.Since(m.at))
}

// between is what was carried from one reading of all counters to another.
func between(c0, c1 []lab.Count, k0, k1 []lab.Kinds, took time.Duration) (t traffic) {
	t.Seconds = took.Seconds()
	per := 1 / t.Seconds / float64(len(c1))
	add := func(to *float64, before, after uint64) { *to += float64(after-before) * per }
	for i, c := range c1 {
		add(&t.SentPackets, c0[i].SentPackets, c.SentPackets)
		add(&t.SentBytes, c0[i].SentBytes, c.SentBytes)
		add(&t.ReceivedPackets, c0[i].ReceivedPackets, c.ReceivedPackets)
		add(&t.ReceivedBytes, c0[i].ReceivedBytes, c.ReceivedBytes)
		t.Busiest = max(t.Busiest, c.SentPackets+c.ReceivedPackets-c0[i].SentPackets-c0[i].ReceivedPackets)
		add(&t.UDP, k0[i].UDP, k1[i].UDP)
		add(&t.TCP, k0[i].TCP, k1[i].TCP)
		add(&t.ARP, k0[i].ARP, k1[i].ARP)
		add(&t.Neighbour, k0[i].Neighbour, k1[i].Neighbour)
	}
	return t
}
