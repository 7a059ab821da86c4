package broadcast

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/listing"
	"github.com/skerry/skerry/registry"
)

// The protocol's times and limits. Those that depend on the announcement
// period are in core.
const (
	burst          = 3                      // announcements and queries after a start: at 0, 1 and 2 s
	burstGap       = time.Second            //
	lateAsk        = 20 * time.Second       // at most, between a burst of queries and the last one
	goodbyeGap     = 80 * time.Millisecond  // between the three goodbyes
	askGather      = 15 * time.Millisecond  // in which a new process gathers services for one query
	settleTime     = 250 * time.Millisecond // after the first query, before an empty list is shown
	nonceLife      = 10 * time.Second       // how long answers to a query are believed
	maxDelay       = 500 * time.Millisecond // longest random delay of an answer
	delayPerPeer   = 2 * time.Millisecond   //
	maxPeers       = 4096                   // senders remembered, of any state
	maxUnproven    = 512                    // of them, those that have not answered yet
	maxFromPeer    = 4096                   // registrations kept of one peer
	goneLife       = 10 * time.Minute       // how long a departed peer is remembered
	probeSilentGap = 5 * time.Second        // between two rounds of probes to all silent peers
)

// path is the way to a peer: an address, and the interface on which it was heard (0: the host's
// routes).
type path struct {
	addr netip.AddrPort
	link int
}

// outbound is one datagram to send.
type outbound struct {
	data  []byte
	group bool   // to all, on every interface
	to    []path // and to these

	// probeOf is set for a probe of a peer that may be dead. The shell calls refused when the host
	// reports that no process has the port.
	probeOf *registry.Owner
}

// fetchOrder asks the shell for a listing that did not fit in a datagram.
type fetchOrder struct {
	owner     registry.Owner
	addr      string // "": request the parts by datagrams
	hash      string
	from      path // source of the packet that named the listing
	solicited bool // the peer was asked for it
	cut       bool // its answer was cut for an address that has not answered yet
}

// core is the protocol without its sockets. Events enter by its methods, each with the time.
// Datagrams, fetches and changed lists leave in the fields at the end. It is not safe for
// concurrent use.
type core struct {
	codec
	self      registry.Owner
	muted     bool          // nothing is sent: the site's key is awaited
	period    time.Duration // of announcements
	fetchAddr func() string
	canFetch  bool
	rand      *rand.Rand
	replay    bool // every random choice uses rand: for tests
	nonce     func() int64
	log       *slog.Logger

	offered       map[registry.ID]registry.Instance
	offeredHash   []byte
	seq           uint64
	links         int
	leaving       bool
	token         []byte // shown by the next goodbye of the whole process
	goodbyesLeft  int    // goodbyes still to be sent
	announceRound int    // number of the current schedule of announcements
	announcesLeft int    // announcements left of a burst
	seedRound     int    // number of the current schedule of queries to the seeds

	wanted        map[string]bool // services watched here; true when its list has settled
	all           bool
	asks          map[string]int // queries still to be sent for a service
	asking        bool           // a query is scheduled
	gathering     bool           // it is the first one, and gathers services until it is sent
	rounds        int            // bursts of queries that have ended
	queries       map[int64]sentQuery
	recent        [2]map[queryKey]int // queries seen lately, in this period and the last one
	recentRotated time.Time
	probed        [2]map[int64]*awaitedProbe // by the nonce of the probe, for the same periods
	probesRotated time.Time                  // when the periods of probed changed

	pending      []pendingQuery // queries to all, not answered yet
	queriers     queriers
	strangers    strangers
	queriedBack  time.Time // when answers last carried a query
	groupQueried bool      // a query to all was sent
	groupHeard   bool      // a broadcast of another process was heard

	peers        map[registry.Owner]*peer
	hosts        map[netip.Addr]int // peers by the address that they were first heard from
	unproven     unprovenSet
	probedSilent time.Time                   // when all silent peers were last asked at once
	seeds        []netip.AddrPort            // get packets by unicast, always
	visited      map[netip.AddrPort]struct{} // addresses that were queried because a peer named them

	candidates  map[candidateKey]*pathCandidate // addresses that will be probed whether a known peer is there
	validAddrs  map[netip.Addr]time.Time        // addresses that have answered a nonce of their own, and when
	heldQueries map[netip.AddrPort]pendingQuery // queries that wait until their address is valid

	answers, probes            bucket
	hints, hintsAll            bucket    // probes of unproven senders: of addresses with few of them, and of the others
	visits                     bucket    // queries to addresses that peers have named
	returns                    bucket    // senders that are probed several times because they have probed
	groupAnswers               bucket    // broadcast answers to queries of unproven senders
	raises, repeats            bucket    // suspicions raised for the first time, and again
	heededKnown, heededUnknown bucket    // suspicions that cause probes: of known processes, and of unknown ones
	refutedAt                  time.Time // when this process last refuted a suspicion
	otherKeys                  otherKeys // hosts of this cluster with another key
	notices                    bucket    // notices to them
	timers                     timers

	stats   Stats
	refuse  func(now time.Time, reason error, from netip.AddrPort) // warns of a refusal, at a bounded rate
	outbox  []outbound
	fetches []fetchOrder
	dirty   map[string][]registry.Departure
	confirm bool // all processes have had the time to name every service
}

// sentQuery is a query that answers may refer to.
type sentQuery struct {
	group bool // it went to all, so a process that answers hears broadcasts of this one
	until time.Time
}

// awaitedProbe is a probe under way, or a query to one peer alone.
type awaitedProbe struct {
	owner registry.Owner
	at    []path
	used  bool // an answer has come
}

// queryKey identifies a query, which arrives by several ways.
type queryKey struct {
	owner registry.Owner
	nonce int64
}

// newToken makes a token of two nonces, so that it can't be guessed.
func (c *core) newToken() []byte {
	token := binary.BigEndian.AppendUint64(nil, uint64(c.nonce()))
	return binary.BigEndian.AppendUint64(token, uint64(c.nonce()))
}

func newCore(cluster string, ring [][]byte, self registry.Owner, period time.Duration, r *rand.Rand) *core {
	return &core{
		codec:         newCodec(cluster, ring),
		self:          self,
		period:        period,
		fetchAddr:     func() string { return "" },
		rand:          r,
		nonce:         r.Int64,
		log:           slog.New(slog.DiscardHandler),
		offered:       map[registry.ID]registry.Instance{},
		offeredHash:   listing.Hash(nil),
		wanted:        map[string]bool{},
		asks:          map[string]int{},
		queries:       map[int64]sentQuery{},
		recent:        [2]map[queryKey]int{{}, {}},
		probed:        [2]map[int64]*awaitedProbe{{}, {}},
		peers:         map[registry.Owner]*peer{},
		hosts:         map[netip.Addr]int{},
		unproven:      newPlaces(),
		visited:       map[netip.AddrPort]struct{}{},
		candidates:    map[candidateKey]*pathCandidate{},
		validAddrs:    map[netip.Addr]time.Time{},
		heldQueries:   map[netip.AddrPort]pendingQuery{},
		answers:       newBucket(500, 1000),
		probes:        newBucket(500, 1000),
		hints:         newBucket(500, 1000),
		hintsAll:      newBucket(500, 1000),
		visits:        newBucket(40, 40),
		returns:       newBucket(2, 64),
		groupAnswers:  newBucket(4, 20),
		refuse:        func(time.Time, error, netip.AddrPort) {},
		raises:        newBucket(suspicionRate, suspicionBurst),
		repeats:       newBucket(suspicionRate, suspicionBurst),
		heededKnown:   newBucket(suspicionRate, suspicionBurst),
		heededUnknown: newBucket(unknownRate, suspicionBurst),
		notices:       newBucket(noticeRate, 4),
		dirty:         map[string][]registry.Departure{},
	}
}

// send seals a body once for all its destinations. Copies of one datagram have one sequence number,
// and the receiver takes the first.
func (c *core) send(k kind, body thrift.TStruct, o outbound) {
	if c.muted {
		return
	}
	c.seq++
	data, err := c.seal(packet{kind: k, sender: c.self, seq: c.seq, body: body})
	if err != nil {
		c.stats.Unsendable++
		c.log.Error("LAN packet not sent", "err", err)
		return
	}
	o.data = data
	c.outbox = append(c.outbox, o)
}

func (c *core) touch(service string, gone ...registry.Departure) {
	c.dirty[service] = append(c.dirty[service], gone...)
}

// wake runs the timers that are due.
func (c *core) wake(now time.Time) {
	for len(c.timers) > 0 && !c.timers[0].at.After(now) {
		heap.Pop(&c.timers).(timer).f(now)
	}
}

// next returns the time of the next timer.
func (c *core) next() (at time.Time, ok bool) {
	if len(c.timers) == 0 {
		return time.Time{}, false
	}
	return c.timers[0].at, true
}

// at schedules f. Timers are never removed: f checks whether it is still needed.
func (c *core) at(when time.Time, f func(now time.Time)) {
	heap.Push(&c.timers, timer{at: when, f: f})
}

// spread is a random delay that grows with the number of peers, so that they do not all send at
// once. Unproven senders of one address count as one.
func (c *core) spread() time.Duration {
	n := len(c.peers) - c.unproven.n + len(c.unproven.by)
	return c.random(min(time.Duration(n)*delayPerPeer, maxDelay))
}

func (c *core) random(most time.Duration) time.Duration {
	return time.Duration(c.rand.Float64() * float64(most))
}

// jitter returns d, shortened at random by up to this share of it.
func (c *core) jitter(d time.Duration, share float64) time.Duration {
	return d - c.random(time.Duration(share*float64(d)))
}

type timer struct {
	at time.Time
	f  func(now time.Time)
}

// timers is a heap by time.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	last := (*t)[len(*t)-1]
	(*t)[len(*t)-1] = timer{}
	*t = (*t)[:len(*t)-1]
	return last
}

// everyPeer visits the peers in random order.
func (c *core) everyPeer() iter.Seq[*peer] {
	if !c.replay {
		return maps.Values(c.peers)
	}
	all := slices.SortedFunc(maps.Values(c.peers), func(a, b *peer) int {
		return cmp.Or(
			cmp.Compare(a.owner.Host, b.owner.Host),
			cmp.Compare(a.owner.PID, b.owner.PID),
			cmp.Compare(a.owner.Epoch, b.owner.Epoch),
		)
	})
	c.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return slices.Values(all)
}
