package broadcast

import (
	"errors"
	"net/netip"
	"time"

	"github.com/skerry/skerry/registry"
)

// linkOf finds the interface of a datagram, by the source's network where the
// system does not tell, and whether the interface was chosen. An answer leaves
// where its question came in.
func (r *Registry) linkOf(a arrival) (index int, ok bool) {
	switch a.link {
	case 0:
		return 0, true
	case unknownLink:
	default:
		_, ok = r.links[a.link]
		return a.link, ok
	}
	for i, l := range r.links {
		if l.holds(a.from.Addr()) {
			return i, true
		}
	}
	return 0, !a.group
}

// advice says what to do about a refused packet.
var advice = map[error]string{
	errForeign: "another system shares this network and UDP port; that is harmless, give it a port of its own, more than 100 away, to silence this",
	errMAC:     "set lan.key to the same secret on every host of the cluster; or somebody forges packets",
	errVersion: "the sender runs a release of skerry that speaks another packet version",
}

// arrived checks a datagram, the cheapest things first, and gives it to the
// core.
func (r *Registry) arrived(data []byte, a arrival) {
	r.mu.Lock()
	r.core.stats.Received++
	link, ok := r.linkOf(a)
	switch {
	case !ok:
		r.core.stats.Elsewhere++
	case len(data) < len(magic) || string(data[:len(magic)]) != magic:
		r.core.stats.Malformed++
		ok = false
	case r.echoes.heard(data, time.Now()):
		sender := r.echoes.sender(data)
		r.hear(sender, link, a.group)
		r.core.otherWay(sender, path{addr: a.from, link: link})
		ok = false
	case !r.checks.take(time.Now()):
		r.core.stats.Rate++
		ok = false
	}
	c := r.core.codec
	r.mu.Unlock()
	if !ok {
		return
	}
	p, err := c.open(data)
	if err != nil {
		r.refuse(err, a.from)
		return
	}
	r.do(func(now time.Time) {
		r.echoes.note(data, p.sender, now)
		r.hear(p.sender, link, a.group)
		r.core.receive(now, p, path{addr: a.from, link: link}, a.group)
	})
}

// hear counts for the interface. r.mu is held.
func (r *Registry) hear(sender registry.Owner, link int, group bool) {
	s := r.perLink[link]
	switch {
	case s == nil:
	case sender == r.cfg.Owner:
		s.HeardOwn++
	case group:
		s.HeardGroup++
	default:
		s.HeardDirect++
	}
}

// refuse counts a datagram that is not ours, and warns once of what somebody
// should look into.
func (r *Registry) refuse(err error, from netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.core.stats
	reason := errMalformed
	switch {
	case errors.Is(err, errForeign):
		reason = errForeign
		s.Foreign++
	case errors.Is(err, errMAC):
		reason = errMAC
		s.WrongKey++
	case errors.Is(err, errVersion):
		reason = errVersion
		s.Version++
	default:
		s.Malformed++
	}
	if reason != errMalformed && r.warner.due(time.Now(), reason, from.Addr()) {
		r.cfg.Logger.Warn("LAN packet ignored", "why", err, "from", from.String(), "cluster", r.cfg.Cluster, "do", advice[reason])
	}
}
