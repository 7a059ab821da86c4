package broadcast

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

// sim is a LAN in virtual time: cores, and datagrams between them that are delayed or lost. A group
// datagram travels three ways, as on a real network: by broadcast, and by multicast of both
// families.
type sim struct {
	t       testing.TB
	now     time.Time
	rand    *rand.Rand
	nodes   []*simNode
	flights flights
	loss    float64
	jitter  time.Duration // the longest extra delay of a datagram
	blocked func(from, to *simNode, group bool) bool
	tape    [][]byte // every datagram sent, for replays
	untaped bool
	sent    int
	drops   int // departures of living nodes that a core reported
}

type simNode struct {
	*core
	addr       netip.AddrPort
	second     netip.AddrPort // address of the other protocol, if valid; one of a broadcast's three ways
	alive      bool
	killed     bool          // dead on a living host, which refuses packets to its port
	cost       time.Duration // time to handle or send a datagram; 0: no other load
	free       time.Time     // when it has handled all of them
	inbox      int           // datagrams that wait for it
	dedup      dedup
	out        int               // packets sent; a broadcast counts three
	suspicions int               // datagrams of that kind sent
	in         int               // packets that arrived
	met        map[*simNode]bool // the nodes with known hardware addresses
	gone       map[registry.ID]registry.DepartureKind
}

type flight struct {
	at    time.Time
	to    *simNode
	data  []byte
	from  netip.AddrPort
	group bool
	asked *registry.Owner // as in outbound
	by    *simNode        // the sender
	read  bool            // it was in the inbox
}

// flights is a heap by the time of arrival.
type flights []*flight

func (f flights) Len() int           { return len(f) }
func (f flights) Less(i, j int) bool { return f[i].at.Before(f[j].at) }
func (f flights) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)        { *f = append(*f, x.(*flight)) }
func (f *flights) Pop() any {
	last := (*f)[len(*f)-1]
	(*f)[len(*f)-1] = nil
	*f = (*f)[:len(*f)-1]
	return last
}

// inboxMost is the number of small datagrams that a socket's buffer holds.
const inboxMost = 1000

func newSim(t testing.TB, n int, seed uint64) *sim {
	s := &sim{t: t, now: time.Unix(1_700_000_000, 0), rand: rand.New(rand.NewPCG(seed, 1))}
	for range n {
		s.add()
	}
	return s
}

// add makes a node without starting it.
func (s *sim) add() *simNode {
	i := len(s.nodes)
	owner := registry.Owner{Host: fmt.Sprintf("h%d", i), PID: 1, Epoch: int64(1000 + i)}
	n := &simNode{core: newCore("sim", ring("k"), owner, defaultAnnounce, rand.New(rand.NewPCG(s.rand.Uint64(), 2))),
		addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 9000),
		gone: map[registry.ID]registry.DepartureKind{}, met: map[*simNode]bool{}}
	n.replay = true
	s.nodes = append(s.nodes, n)
	return n
}

// TestSeedDecides: playing a site again by the same seed gives the same result, so that a draw that
// failed a test can be examined.
func TestSeedDecides(t *testing.T) {
	play := func(seed uint64) string {
		c := newTown(t, 32, 0.1, seed)
		c.bootAll()
		took := c.agree(time.Minute, "cold start")
		half := func(n *simNode) bool { return slices.Index(c.nodes, n) < 16 }
		c.blocked = func(from, to *simNode, _ bool) bool { return half(from) != half(to) }
		c.run(2 * time.Minute)
		c.blocked = nil
		c.nodes[3].alive = false
		c.run(time.Minute)
		return fmt.Sprint(took, c.sent, c.said(), c.drops, c.busiest(), c.now)
	}
	seed := seeded(t, 5)
	first, again := play(seed), play(seed)
	if first != again {
		t.Errorf("seed %d: once %s, once %s", seed, first, again)
	}
	if other := play(seed + 1); other == first {
		t.Errorf("seeds %d and %d play the same", seed, seed+1)
	}
}

// start brings a node up with a registration of each service; it watches
// watched.
func (s *sim) start(n *simNode, watched []string, services ...string) {
	n.alive = true
	n.token = []byte(n.self.String())
	n.linksChanged(s.now, 1, true)
	all := slices.Contains(watched, registry.AllServices)
	if all {
		watched = nil
	}
	n.want(s.now, watched, all)
	if len(services) > 0 {
		n.put(s.now, n.offers(s.now, services...))
	}
	s.flush(n)
}

func (n *simNode) offers(now time.Time, services ...string) []registry.Instance {
	var out []registry.Instance
	for _, svc := range services {
		out = append(
			out,
			registry.Instance{
				Service: svc,
				Version: "v1",
				Host:    n.addr.Addr().String(),
				Port:    7000,
				Owner:   n.self,
				Started: now,
			},
		)
	}
	return out
}

// flush carries out a core's output.
func (s *sim) flush(n *simNode) {
	for _, o := range n.outbox {
		if !s.untaped {
			s.tape = append(s.tape, o.data)
		}
		if len(o.data) > MaxPacket {
			s.t.Fatalf("datagram of %d bytes", len(o.data))
		}
		if o.data[5] == byte(alarm) {
			n.suspicions++
		}
		n.out += len(o.to)
		if o.group {
			n.out += 3
		}
		n.free = maxTime(n.free, s.now).Add(n.cost)
		for _, to := range s.nodes {
			for way := range 3 {
				if o.group {
					s.fly(to, flight{data: o.data, by: n, from: n.source(way == 2), group: true})
				}
			}
			for _, p := range o.to {
				if second := p.addr == to.second; second || p.addr == to.addr {
					s.fly(to, flight{data: o.data, by: n, from: n.source(second), asked: o.probeOf})
				}
			}
		}
	}
	n.outbox = nil
	for service, gone := range n.dirty {
		for _, d := range gone {
			n.gone[d.ID] = d.Kind
			for _, owner := range s.nodes {
				if owner.alive && owner.self.Epoch == d.ID.Epoch && d.Kind == registry.Silent {
					s.drops++
				}
			}
		}
		n.showable(service, n.list(service))
	}
	clear(n.dirty)
}

// source is the source address of a packet.
func (n *simNode) source(second bool) netip.AddrPort {
	if second && n.second.IsValid() {
		return n.second
	}
	return n.addr
}

// resolve plays ARP: before the first unicast to a node, a packet to all resolves its address, and
// is answered.
func (s *sim) resolve(from, to *simNode) {
	if from.met[to] {
		return
	}
	from.met[to], to.met[from] = true, true
	for _, n := range s.nodes {
		n.in++
	}
	to.out++
}

func (s *sim) fly(to *simNode, f flight) {
	s.sent++
	if !f.by.alive || s.rand.Float64() < s.loss || s.blocked != nil && s.blocked(f.by, to, f.group) {
		return
	}
	delay := time.Duration(200+s.rand.IntN(1800)) * time.Microsecond
	if s.jitter > 0 {
		delay += time.Duration(s.rand.Int64N(int64(s.jitter)))
	}
	if !f.group {
		s.resolve(f.by, to)
	}
	f.at, f.to = s.now.Add(delay), to
	s.schedule(f)
}

func (s *sim) schedule(f flight) {
	heap.Push(&s.flights, &f)
}

// until runs the network until ok holds, at most for d, and returns how long
// it took.
func (s *sim) until(d time.Duration, ok func() bool) (time.Duration, bool) {
	begin, end := s.now, s.now.Add(d)
	for !ok() {
		next := end
		for _, n := range s.nodes {
			if at, any := n.next(); any && n.alive && maxTime(at, n.free).Before(next) {
				next = maxTime(at, n.free)
			}
		}
		if len(s.flights) > 0 && !s.flights[0].at.After(next) {
			f := heap.Pop(&s.flights).(*flight)
			s.now = maxTime(s.now, f.at)
			s.deliver(*f)
			continue
		}
		s.now = maxTime(s.now, next)
		for _, n := range s.nodes {
			if n.alive && !n.free.After(s.now) {
				n.wake(s.now)
				s.flush(n)
			}
		}
		if !s.now.Before(end) {
			return d, ok()
		}
	}
	return s.now.Sub(begin), true
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *sim) deliver(f flight) {
	if !f.to.alive {
		if f.to.killed && f.asked != nil {
			f.by.refused(s.now, *f.asked, path{addr: f.to.addr, link: 1})
			s.flush(f.by)
		}
		return
	}
	if f.to.cost > 0 && !s.take(&f) {
		return
	}
	f.to.in++
	p, err := f.to.open(f.data)
	if err != nil {
		s.t.Fatalf("node can't open its fellow's packet: %v", err)
	}
	f.to.receive(s.now, p, path{addr: f.from, link: 1}, f.group)
	s.flush(f.to)
}

// take delays a datagram until its receiver has the time, and reports whether that is now.
func (s *sim) take(f *flight) bool {
	switch n := f.to; {
	case f.read:
		n.inbox--
		return true
	case n.inbox >= inboxMost:
	default:
		n.inbox++
		cost := n.cost
		if n.dedup.seen(f.data, s.now) {
			cost /= 8 // a copy
		}
		n.dedup.add(f.data, f.by.self, s.now)
		n.free = maxTime(n.free, s.now).Add(cost)
		f.at, f.read = n.free, true
		s.schedule(*f)
	}
	return false
}

func (s *sim) run(d time.Duration) { s.until(d, func() bool { return false }) }

// within runs until ok and fails the test when that takes longer.
func (s *sim) within(d time.Duration, what string, ok func() bool) time.Duration {
	s.t.Helper()
	took, done := s.until(d, ok)
	if !done {
		s.t.Fatalf("%s: not within %v", what, d)
	}
	return took
}

// know reports whether every living node lists exactly n instances of svc.
func (s *sim) know(svc string, n int) func() bool {
	return func() bool {
		return !slices.ContainsFunc(s.nodes, func(node *simNode) bool { return node.alive && len(node.list(svc)) != n })
	}
}

var svc = []string{"svc"}
