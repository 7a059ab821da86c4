package broadcast

import (
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

// TestCutListsAreAskedFor: power returns to a site. Its hosts first list themselves and then their
// services, as nodes do. Some answers are cut because their address has not answered, and none of
// these lists is fetched by TCP.
func TestCutListsAreAskedFor(t *testing.T) {
	cut, fetched := uint64(0), 0
	for seed := range uint64(3) {
		s := newTown(t, 16, 0, seed)
		clear(s.offered)
		s.offered[processes], s.offered["station"] = len(s.nodes), len(s.nodes)
		tags := map[string]string{"skerry.rules": "0"}
		for _, n := range s.nodes {
			n.canFetch, n.fetchAddr = true, func() string { return ":7000" }
			s.start(n, []string{processes, "station"})
			n.put(s.now, []registry.Instance{listedAt(n, processes, tags, s.now)})
			s.sim.run(time.Millisecond)
		}
		for _, n := range s.nodes {
			n.put(s.now, []registry.Instance{listedAt(n, "station", nil, s.now)})
		}
		s.agree(10*time.Second, "cold start")
		s.sim.run(time.Second)
		for _, n := range s.nodes {
			cut += n.stats.Cut
			fetched += len(n.fetches)
		}
	}
	if cut == 0 {
		t.Error("no answer was cut: the test shows nothing")
	}
	if fetched > 0 {
		t.Errorf("%d lists were fetched by TCP, of %d that were cut", fetched, cut)
	}
}

func listedAt(n *simNode, service string, tags map[string]string, now time.Time) registry.Instance {
	return registry.Instance{
		Service: service,
		Version: "v1",
		Host:    n.addr.Addr().String(),
		Port:    7000,
		Tags:    tags,
		Started: now,
	}
}
