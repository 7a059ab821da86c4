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

func (m *meter) read() (t traffic) {
	counts, kinds := m.lan.Counts(), m.lan.Kinds()
	t.Seconds = time.Since(m.at).Seconds()
	per := 1 / t.Seconds / float64(len(counts))
	for i, c := range counts {
		b := m.counts[i]
		t.SentPackets += float64(c.SentPackets-b.SentPackets) * per
		t.SentBytes += float64(c.SentBytes-b.SentBytes) * per
		t.ReceivedPackets += float64(c.ReceivedPackets-b.ReceivedPackets) * per
		t.ReceivedBytes += float64(c.ReceivedBytes-b.ReceivedBytes) * per
		t.Busiest = max(t.Busiest, c.SentPackets+c.ReceivedPackets-b.SentPackets-b.ReceivedPackets)
		t.UDP += float64(kinds[i].UDP-m.kinds[i].UDP) * per
		t.TCP += float64(kinds[i].TCP-m.kinds[i].TCP) * per
		t.ARP += float64(kinds[i].ARP-m.kinds[i].ARP) * per
		t.Neighbour += float64(kinds[i].Neighbour-m.kinds[i].Neighbour) * per
	}
	return t
}
