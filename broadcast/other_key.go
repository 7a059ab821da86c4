package broadcast

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// A host with another key of the site can't read other hosts' packets, nor they its own. Both sides
// still learn of each other: packets of the own cluster that do not prove the site's key are
// recorded. A query to all from such a host gets, at a bounded rate, a notice without content under
// this site's MAC.
const (
	otherKeyMost  = 64              // hosts that are remembered
	otherKeyParts = 64              // addresses, and processes, that are remembered of each host
	noticeGap     = 5 * time.Second // between two notices to one address
	noticeRate    = 1               // notices in a second
	noticeShare   = 8               // about one host in so many answers
)

// KeyHolder is a host that sends packets of this cluster under a key that this process lacks. The
// content of its packets is not proved.
type KeyHolder struct {
	Host    string     `json:"host"`    // as its packets say; "" when that is not a name
	Addr    netip.Addr `json:"address"` // source address; of several the first IPv4 one
	Packets uint64     `json:"packets"` // so far
	Last    time.Time  `json:"last"`    // when the newest came
}

// otherKeys are the hosts with another key. A host is identified by its addresses and by the
// processes that its packets name.
type otherKeys struct {
	hosts   map[*otherKeyHost]struct{}
	byOwner map[registry.Owner]*otherKeyHost
	byAddr  map[netip.Addr]*otherKeyHost
	noticed map[netip.Addr]time.Time
}

// otherKeyHost is one of them, with the keys under which it is found.
type otherKeyHost struct {
	KeyHolder
	owners map[registry.Owner]struct{}
	addrs  map[netip.Addr]struct{}
}

// add counts a packet. When there are too many hosts, it drops those that have been silent for
// longer than life, else it does not remember the new one.
func (s *otherKeys) add(owner registry.Owner, from netip.Addr, life time.Duration, now time.Time) {
	if s.hosts == nil {
		s.reset()
	}
	h := s.byAddr[from]
	if h == nil && owner.Host != "" {
		h = s.byOwner[owner]
	}
	if h == nil {
		if len(s.hosts) >= otherKeyMost && !s.makeRoom(now.Add(-life)) {
			return
		}
		h = &otherKeyHost{KeyHolder: KeyHolder{Host: owner.Host, Addr: from},
			owners: map[registry.Owner]struct{}{}, addrs: map[netip.Addr]struct{}{}}
		s.hosts[h] = struct{}{}
	}
	if len(h.addrs) < otherKeyParts && s.byAddr[from] == nil {
		h.addrs[from] = struct{}{}
		s.byAddr[from] = h
	}
	if len(h.owners) < otherKeyParts && owner.Host != "" && s.byOwner[owner] == nil {
		h.owners[owner] = struct{}{}
		s.byOwner[owner] = h
	}
	h.heard(owner.Host, from, now)
}

// heard counts a packet of the host.
func (h *otherKeyHost) heard(name string, from netip.Addr, now time.Time) {
	if h.Host == "" {
		h.Host = name
	}
	if from.Is4() != h.Addr.Is4() && from.Is4() || from.Is4() == h.Addr.Is4() && from.Less(h.Addr) {
		h.Addr = from
	}
	h.Packets++
	h.Last = now
}

// reset drops all hosts.
func (s *otherKeys) reset() {
	s.hosts = map[*otherKeyHost]struct{}{}
	s.byOwner = map[registry.Owner]*otherKeyHost{}
	s.byAddr = map[netip.Addr]*otherKeyHost{}
}

// forget removes a process that has proved the key, and its host when no other process is left
// there.
func (s *otherKeys) forget(owner registry.Owner) {
	h := s.byOwner[owner]
	if h == nil {
		return
	}
	delete(s.byOwner, owner)
	delete(h.owners, owner)
	if len(h.owners) == 0 {
		s.drop(h)
	}
}

func (s *otherKeys) drop(h *otherKeyHost) {
	delete(s.hosts, h)
	for owner := range h.owners {
		delete(s.byOwner, owner)
	}
	for addr := range h.addrs {
		delete(s.byAddr, addr)
	}
}

func (s *otherKeys) makeRoom(before time.Time) bool {
	for h := range s.hosts {
		if h.Last.Before(before) {
			s.drop(h)
		}
	}
	return len(s.hosts) < otherKeyMost
}

// since returns the hosts that were heard since then, by name and address.
func (s *otherKeys) since(then time.Time) (list []KeyHolder) {
	for h := range s.hosts {
		if !h.Last.Before(then) {
			list = append(list, h.KeyHolder)
		}
	}
	slices.SortFunc(list, func(a, b KeyHolder) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), a.Addr.Compare(b.Addr))
	})
	return list
}

// mayNotify reports whether the address may be sent a notice now.
func (s *otherKeys) mayNotify(to netip.Addr, now time.Time) bool {
	for a, at := range s.noticed {
		if now.Sub(at) >= noticeGap {
			delete(s.noticed, a)
		}
	}
	if _, ok := s.noticed[to]; ok || len(s.noticed) >= otherKeyMost {
		return false
	}
	if s.noticed == nil {
		s.noticed = map[netip.Addr]time.Time{}
	}
	s.noticed[to] = now
	return true
}

// isNeighbour reports whether a packet that no key proves is of a process of this host without a key
// of the site. Such a process uses the loopback interface only, for example while the database that
// holds the key is away: it has no wrong key.
func (p packet) isNeighbour(from path) bool { return p.keyless && from.addr.Addr().IsLoopback() }

// onOtherKey handles a packet of this cluster that no key proves; p has the content of its header.
// It reports whether the sender gets a notice. The notice is shorter than the query, asks nothing,
// and has no effect on a process that can open it.
func (c *core) onOtherKey(now time.Time, p packet, from path, group bool) (tells bool) {
	addr := from.addr.Addr()
	if !p.isNeighbour(from) {
		c.otherKeys.add(p.sender, addr, c.otherKeyLife(), now)
	}
	none := &wire.Owner{Host: c.self.Host}
	word := MaxPacket - c.room(c.self) + len(none.Host) + 8 // bytes
	if p.kind != query || !group || c.leaving || p.size < word {
		return false
	}
	if others := len(c.peers); others > noticeShare && c.rand.IntN(others) >= noticeShare {
		return false
	}
	if !c.otherKeys.mayNotify(addr, now) || !c.notices.take(now) {
		return false
	}
	c.at(now.Add(c.spread()), func(time.Time) {
		c.send(alarm, &wire.Alarm{Owner: none}, outbound{to: []path{from}})
	})
	return true
}

// otherKeyLife is how long a process with another key counts after its last packet. It announces
// itself once in a period.
func (c *core) otherKeyLife() time.Duration { return c.period * 5 / 4 }

// claimed returns the sender that a packet names, when that is a valid name.
func claimed(text []byte) registry.Owner {
	o, err := registry.ParseOwner(string(text))
	if err != nil || checkOwner(o) != nil {
		return registry.Owner{}
	}
	return o
}
