package broadcast

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
)

// A host with another key of the site hears nobody and is heard by nobody. It
// still learns of the others, and they of it: senders of the own cluster whose
// packets do not prove the site's key are noted, and a question to everyone from
// one of them is answered, at times, by a word that says nothing and bears this
// site's MAC.
const (
	otherKeyMost = 64              // processes with another key that are remembered
	noticeGap    = 5 * time.Second // between two such words to one address
	noticeRate   = 1               // such words in a second
	noticeShare  = 8               // about so many of all hosts answer
)

// KeyHolder is a process that sends packets of this cluster that no key of this
// process proves. What it says of itself is not proved either.
type KeyHolder struct {
	Host    string     `json:"host"`    // as its packets say; "" when that is no name
	Addr    netip.Addr `json:"address"` // where they come from; of several the first IPv4 one
	Packets uint64     `json:"packets"` // so far
	Last    time.Time  `json:"last"`    // when the newest came
}

// strays are the processes with another key. Those that bear no name share one
// entry for each address.
type otherKeys struct {
	by      map[otherKeyName]*KeyHolder
	noticed map[netip.Addr]time.Time
}

type otherKeyName struct {
	owner registry.Owner
	addr  netip.Addr // of one without a name
}

// note counts a packet. Of too many processes those go that have been silent
// for longer than a life; if there are none, the new one is not remembered.
func (s *otherKeys) add(owner registry.Owner, from netip.Addr, life time.Duration, now time.Time) {
	if s.by == nil {
		s.by = map[otherKeyName]*KeyHolder{}
	}
	name := otherKeyName{owner: owner}
	if owner.Host == "" {
		name.addr = from
	}
	k := s.by[name]
	if k == nil {
		if len(s.by) >= otherKeyMost && !s.makeRoom(now.Add(-life)) {
			return
		}
		k = &KeyHolder{Host: owner.Host, Addr: from}
		s.by[name] = k
	}
	if from.Is4() != k.Addr.Is4() && from.Is4() || from.Is4() == k.Addr.Is4() && from.Less(k.Addr) {
		k.Addr = from
	}
	k.Packets++
	k.Last = now
}

// forget takes out a process that has proved the key.
func (s *otherKeys) forget(owner registry.Owner) { delete(s.by, otherKeyName{owner: owner}) }

func (s *otherKeys) makeRoom(before time.Time) bool {
	for name, k := range s.by {
		if k.Last.Before(before) {
			delete(s.by, name)
		}
	}
	return len(s.by) < otherKeyMost
}

// since lists those that were heard since then, by name and address.
func (s *otherKeys) since(then time.Time) (list []KeyHolder) {
	for _, k := range s.by {
		if !k.Last.Before(then) {
			list = append(list, *k)
		}
	}
	slices.SortFunc(list, func(a, b KeyHolder) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), a.Addr.Compare(b.Addr))
	})
	return list
}

// mayMention reports whether the address may be told now.
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

// stray takes a packet of this cluster that no key proves: p is what its header
// says. It reports whether the sender is told. That word is shorter than the
// question, asks nothing, and has no effect on a process that can open it.
func (c *core) onOtherKey(now time.Time, p packet, from path, group bool) (tells bool) {
	addr := from.addr.Addr()
	c.otherKeys.add(p.sender, addr, c.otherKeyLife(), now)
	nobody := &wire.Owner{Host: c.self.Host}
	word := MaxPacket - c.room(c.self) + len(nobody.Host) + 8 // bytes
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
		c.send(alarm, &wire.Alarm{Owner: nobody}, outbound{to: []path{from}})
	})
	return true
}

// strayLife is how long after its last packet a process with another key counts:
// it announces itself once in a period.
func (c *core) otherKeyLife() time.Duration { return c.period * 5 / 4 }

// claimed is the sender that a packet names, if that can be shown.
func claimed(text []byte) registry.Owner {
	o, err := registry.ParseOwner(string(text))
	if err != nil || checkOwner(o) != nil {
		return registry.Owner{}
	}
	return o
}
