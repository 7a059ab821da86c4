package broadcast

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// town is a site of many hosts. Each offers one of its services, and watches three of them and the
// list of processes, like every node.
type town struct {
	*sim
	services int
	offered  map[string]int // instances of each service
	lacks    *simNode       // the node that lacked an entry at the last look
}

const processes = "skerry.node"

func newTown(t testing.TB, hosts int, loss float64, seed uint64) *town {
	c := &town{sim: newSim(t, hosts, seed), services: max(hosts/5, 1), offered: map[string]int{}}
	c.loss, c.untaped = loss, true
	for i := range hosts {
		c.offered[c.service(i)]++
		c.offered[processes]++
	}
	return c
}

func (c *town) service(i int) string { return fmt.Sprintf("service-%d", i%c.services) }

// boot starts the host at this place.
func (c *town) boot(i int) {
	watched := []string{processes, c.service(i + 1), c.service(i + 2), c.service(i + 3)}
	c.start(c.nodes[i], watched, c.service(i), processes)
}

// bootAll plays the return of power: all hosts within 50 ms.
func (c *town) bootAll() { c.bootIn(50 * time.Millisecond) }

// bootIn starts all hosts, one after the other, in a time.
func (c *town) bootIn(d time.Duration) {
	for i := range c.nodes {
		c.boot(i)
		c.sim.run(d / time.Duration(len(c.nodes)))
	}
}

// agree runs the site until all nodes know everything that they watch, and returns the time that it
// took, to 10 ms.
func (c *town) agree(d time.Duration, what string) time.Duration {
	c.t.Helper()
	const step = 10 * time.Millisecond
	for took := time.Duration(0); took < d; took += step {
		if c.complete() {
			return took
		}
		c.sim.run(step)
	}
	c.t.Fatalf("%s: not within %v", what, d)
	return d
}

func (c *town) complete() bool {
	if c.lacks != nil && !c.knows(c.lacks) {
		return false
	}
	c.lacks = nil
	for _, n := range c.nodes {
		if !c.knows(n) {
			c.lacks = n
			return false
		}
	}
	return true
}

func (c *town) knows(n *simNode) bool {
	for service := range n.wanted {
		if len(n.list(service)) != c.offered[service] {
			return false
		}
	}
	return true
}

// busiest is the largest number of packets that one host sent and received.
func (c *town) busiest() int {
	most := 0
	for _, n := range c.nodes {
		most = max(most, n.in+n.out)
	}
	return most
}

func (c *town) out() int {
	sum := 0
	for _, n := range c.nodes {
		sum += n.out
	}
	return sum
}

// TestColdStarts: power returns to a site, and its hosts are up within 50 ms or little by little.
// ARP packets count.
func TestColdStarts(t *testing.T) {
	for _, c := range []struct {
		hosts   int
		in      time.Duration
		loss    float64
		draws   int
		known   time.Duration // since the last host is up, in nine of ten draws
		busiest int
	}{
		{32, 50 * time.Millisecond, 0, 3, time.Second, 700},
		{32, 50 * time.Millisecond, 0.1, 10, 3 * time.Second, 700},
		{32, 400 * time.Millisecond, 0, 3, time.Second, 700},
		{32, 400 * time.Millisecond, 0.1, 10, 3 * time.Second, 700},
		{100, 400 * time.Millisecond, 0, 1, time.Second, 2000},
		{100, 50 * time.Millisecond, 0.1, 1, 3 * time.Second, 2700}, // mostly about 2,000
	} {
		what := fmt.Sprintf("%d hosts within %v, loss %v: all know what they watch", c.hosts, c.in, c.loss)
		var packets []int
		bounded(t, what, draws(t, 11, c.draws, func(seed uint64) time.Duration {
			s := newTown(t, c.hosts, c.loss, seed)
			s.bootIn(c.in)
			took := s.agree(10*c.known, what)
			packets = append(packets, s.busiest())
			return took
		}), c.known, 10*c.known)
		slices.Sort(packets)
		if p := packets[len(packets)-1-len(packets)/10]; p > c.busiest {
			t.Errorf(
				"the busiest host sent and received %d packets in nine of ten draws, at most %d are allowed",
				p,
				c.busiest,
			)
		}
	}
}

// TestBrokenSwitch: half of a site does not hear the other half for so long that each half counts
// the other as dead and probes it rarely. The first two hosts that hear each other again make all
// others probe.
func TestBrokenSwitch(t *testing.T) {
	for _, loss := range []float64{0, 0.1} {
		c := newTown(t, 32, loss, seeded(t, 7))
		c.bootAll()
		c.agree(9*time.Second, "cold start") // TestColdStarts has the bounds
		half := func(n *simNode) bool { return slices.Index(c.nodes, n) < 16 }
		c.blocked = func(from, to *simNode, _ bool) bool { return half(from) != half(to) }
		c.run(8 * time.Minute)
		if c.complete() {
			t.Fatal("the broken switch was not noticed")
		}
		c.blocked = nil
		t.Logf(
			"loss %v: all know all again %v after the switch is mended",
			loss,
			c.agree(45*time.Second, "the switch is mended"),
		)
	}
}

// BenchmarkSite plays sites in virtual time: the return of power, an hour, a broken switch, and its
// repair. One round suffices.
func BenchmarkSite(b *testing.B) {
	for _, hosts := range []int{8, 32, 100} {
		for _, loss := range []float64{0, 0.1} {
			b.Run(fmt.Sprintf("%d hosts, loss %.0f %%", hosts, 100*loss), func(b *testing.B) {
				for b.Loop() {
					playSite(b, hosts, loss)
				}
			})
		}
	}
}

func playSite(b *testing.B, hosts int, loss float64) {
	c := newTown(b, hosts, loss, uint64(b.N))
	c.bootAll()
	b.ReportMetric(c.agree(10*time.Second, "cold start").Seconds()*1000, "cold-ms")
	b.ReportMetric(float64(c.busiest()), "cold-packets")
	c.run(time.Minute)
	b.ReportMetric(float64(c.busiest()), "start-packets") // until all is quiet

	before := c.out()
	c.run(time.Hour)
	b.ReportMetric(float64(c.out()-before)/float64(hosts)/3600, "sent/s/host")
	b.ReportMetric(float64(c.drops), "wrong-drops/h")
	if !c.complete() {
		b.Error("after an hour a list lacks an instance")
	}

	half := func(n *simNode) bool { return slices.Index(c.nodes, n) < hosts/2 }
	before = c.out()
	c.blocked = func(from, to *simNode, _ bool) bool { return half(from) != half(to) }
	c.run(5 * time.Minute)
	b.ReportMetric(float64(c.out()-before)/float64(hosts)/300, "cut-sent/s/host")
	c.blocked = nil
	b.ReportMetric(c.agree(time.Minute, "the switch is mended").Seconds(), "mended-s")
}

// TestColdStartOfBusyHosts: power returns to hosts that are so busy that packets wait for seconds
// and overflow the sockets. The site still comes together, and drops no process.
func TestColdStartOfBusyHosts(t *testing.T) {
	for _, cost := range []time.Duration{time.Millisecond, 10 * time.Millisecond} {
		c := newTown(t, 32, 0.1, seeded(t, 29))
		for i, n := range c.nodes {
			n.cost = cost * time.Duration(1+i%3)
		}
		c.bootAll()
		took := c.agree(2*time.Minute, "cold start of busy hosts")
		t.Logf(
			"%v a datagram: all know what they watch after %v; the busiest host had %d packets",
			cost,
			took,
			c.busiest(),
		)
		if c.drops > 0 {
			t.Errorf("%d living instances were dropped", c.drops)
		}
	}
}
