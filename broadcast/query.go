package broadcast

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// want changes the services that this process watches, and queries for new ones.
func (c *core) want(now time.Time, services []string, all bool) {
	var fresh []string
	set := map[string]bool{}
	for _, s := range services {
		settled, known := c.wanted[s]
		set[s] = settled
		if !known {
			fresh = append(fresh, s)
		}
	}
	if all && !c.all {
		fresh = append(fresh, registry.AllServices)
	}
	for _, s := range fresh {
		c.asks[s] = burst
	}
	c.wanted, c.all = set, all
	for _, p := range c.peers {
		if len(fresh) > 0 && p.partial {
			p.hash, p.parts = "", "" // only the wanted services were kept
		}
		for id := range p.list {
			if !c.wants(id.Service) {
				delete(p.list, id)
			}
		}
	}
	for s := range c.known() {
		c.touch(s) // new watchers get the list
	}
	switch {
	case len(fresh) == 0, c.gathering:
	case c.asking: // not with the next round, which is up to a second away
		c.ask(now, fresh)
	case c.rounds == 0: // a starting process wants one service after the other
		c.asking, c.gathering = true, true
		c.at(now.Add(askGather), c.query)
	default:
		c.query(now)
	}
}

func (c *core) wants(service string) bool {
	_, ok := c.wanted[service]
	return ok || c.all
}

// querySeeds queries the seeds, and those without a known peer every ten seconds. A site without
// broadcast thus connects in any order of its hosts' starts.
func (c *core) querySeeds(now time.Time, schedule int) {
	if c.leaving || schedule != c.seedRound {
		return
	}
	known := map[netip.Addr]bool{}
	for _, p := range c.peers {
		if p.state == live {
			for _, w := range p.paths {
				known[w.addr.Addr()] = true
			}
		}
	}
	var lost []netip.AddrPort
	for _, s := range c.seeds {
		if !known[s.Addr()] {
			lost = append(lost, s)
		}
	}
	c.exchange(now, lost...)
	c.at(now.Add(c.jitter(min(10*burstGap, c.period), 0.2)), func(now time.Time) { c.querySeeds(now, schedule) })
}

// askEverything repeats the queries of the start on a new interface.
func (c *core) askEverything(now time.Time) {
	for s := range c.wanted {
		c.asks[s] = burst
	}
	if c.all {
		c.asks[registry.AllServices] = burst
	}
	if len(c.asks) > 0 && !c.asking {
		c.asking = true
		c.query(now)
	}
}

// query queries for all services with queries left, until none has.
func (c *core) query(now time.Time) {
	c.asking, c.gathering = false, false
	if c.leaving || len(c.asks) == 0 {
		return
	}
	c.ask(now, slices.Sorted(maps.Keys(c.asks)))
	c.asking = true
	c.at(now.Add(burstGap), c.query)
	if len(c.asks) == 0 {
		c.rounds++
		round := c.rounds
		c.at(now.Add(c.jitter(lateAsk, 0.5)), func(now time.Time) { c.askOnceMore(now, round) })
	}
}

// askOnceMore queries for everything a while after the last burst of queries, each host at another
// time. After the return of power the hosts may have been too busy to receive packets.
func (c *core) askOnceMore(now time.Time, round int) {
	if services := c.wantedAll(); round == c.rounds && len(services) > 0 {
		c.ask(now, services)
	}
}

func (c *core) newQuery(now time.Time, group bool) int64 {
	for n, q := range c.queries {
		if now.After(q.until) {
			delete(c.queries, n)
		}
	}
	n := c.nonce()
	c.queries[n] = sentQuery{group: group, until: now.Add(nonceLife)}
	return n
}

// await records the nonce of a probe, or of a query to one peer, with its destination. A late
// answer, from a busy host, is as good a proof as an early one.
func (c *core) await(nonce int64, of registry.Owner, at []path, now time.Time) {
	c.rotateProbes(now)
	c.probed[0][nonce] = &awaitedProbe{owner: of, at: at}
}

// awaited returns the probe of this peer with the nonce, or nil.
func (c *core) awaited(nonce int64, of registry.Owner, now time.Time) *awaitedProbe {
	c.rotateProbes(now)
	for _, period := range c.probed {
		if q := period[nonce]; q != nil && q.owner == of {
			return q
		}
	}
	return nil
}

// rotateProbes drops probes after one to two lives of a nonce. Their rate bounds the memory.
func (c *core) rotateProbes(now time.Time) {
	switch since := now.Sub(c.probesRotated); {
	case since > 2*nonceLife:
		clear(c.probed[0])
		clear(c.probed[1])
	case since > nonceLife:
		c.probed[0], c.probed[1] = c.probed[1], c.probed[0]
		clear(c.probed[0])
	default:
		return
	}
	c.probesRotated = now
}

// settle: the providers of the service have had the time to answer.
func (c *core) settle(service string) {
	if service == registry.AllServices && c.all {
		c.confirm = true
	}
	if settled, ok := c.wanted[service]; ok && !settled {
		c.wanted[service] = true
		c.touch(service)
	}
}

// exchange queries by unicast for everything wanted, and for the peers of the other process.
func (c *core) exchange(now time.Time, addrs ...netip.AddrPort) {
	if len(addrs) == 0 {
		return
	}
	body := &wire.Query{Nonce: c.newQuery(now, false), Exchange: new(true), Services: c.wantedNames()}
	body.Pad = c.pad(body, c.directQuerySize())
	o := outbound{}
	for _, a := range addrs {
		o.to = append(o.to, path{addr: a})
	}
	c.send(query, body, o)
}

// wantedNames returns nil for everything, or when the names take too much room.
func (c *core) wantedNames() []string {
	if c.all {
		return nil
	}
	var names []string
	used := 0
	for _, s := range slices.Sorted(maps.Keys(c.wanted)) {
		names = append(names, s)
		used += len(s) + 1
	}
	if used > c.room(c.self)-32 {
		return nil
	}
	return names
}

// ask queries all for services, once.
func (c *core) ask(now time.Time, services []string) {
	if c.leaving {
		return
	}
	body, names := &wire.Query{Services: services}, 0
	for _, s := range services {
		names += len(s) + 1
		if c.asks[s]--; c.asks[s] <= 0 {
			delete(c.asks, s)
		}
		if c.wanted[s] {
			continue
		}
		c.at(now.Add(settleTime), func(time.Time) { c.settle(s) })
	}
	if slices.Contains(services, registry.AllServices) || names > c.room(c.self)-32 {
		body.Services = nil
	}
	if !c.groupHeard && c.groupQueried {
		body.Direct = new(true)
	}
	c.groupQueried = true
	body.Nonce = c.newQuery(now, true)
	body.Pad = c.pad(body, padQuery)
	c.send(query, body, outbound{group: true})
	c.exchange(now, c.seeds...)
}
