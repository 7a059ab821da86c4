package broadcast

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/skerry/skerry/registry"
)

// linkOf finds the interface of a datagram, by the source's network when the system does not report
// it, and whether it was chosen. An answer leaves on the interface of its query. Without a key only
// loopback is chosen.
func (r *Registry) linkOf(a ingress) (index int, ok bool) {
	if r.loopbackOnly && !a.from.Addr().IsLoopback() {
		return 0, false
	}
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

// advice is the operator's step for a refused packet.
var advice = map[error]string{
	errForeign: "correct the cluster's name when it is misspelt, here or there; else another system shares this " +
		"network and UDP port, which is harmless: give it a lan.port of its own, more than lan.ports away, to " +
		"silence this",
	errMAC: "give every host of the cluster the same key: skerry key set; " +
		"when all have it, another program forges packets",
	errKeyless: "nothing while the database that holds the key is away; else let the user of that process read the " +
		"key: skerry key ls",
	errVersion:  "the sender runs a release of skerry that speaks another packet version: bring both to one release",
	errOld:      "bring the sender to this release; until then neither hears the other on the LAN",
	errSequence: "none, if it stays at one; else a program repeats or forges packets: look at the sender's address",
	errOwnName:  "find the sender: it holds the key of the site; rotate the key when it should not",
	errGoodbye:  "find the sender: it holds the key of the site, or repeats packets",
	errFull:     "find out what sends there: made-up senders, or more than a thousand processes",
	errDeliver:  "check that the sender's TCP port can be reached from here",
}

// ingest checks a datagram, the cheapest checks first, and passes it to the core.
func (r *Registry) ingest(data []byte, a ingress) {
	r.mu.Lock()
	r.core.stats.Received++
	link, ok := r.linkOf(a)
	switch {
	case !ok:
		r.core.stats.Elsewhere++
	case len(data) < len(magic) || string(data[:len(magic)]) != magic:
		r.core.stats.Malformed++
		ok = false
	case r.dedup.seen(data, time.Now()):
		sender := r.dedup.sender(data)
		r.countHeard(sender, link, a.group)
		r.core.onCopy(sender, path{addr: a.from, link: link})
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
		from := path{addr: a.from, link: link}
		if p.isNeighbour(from) {
			err = errKeyless
		}
		r.refuse(err, p.sender, a.from)
		// An own packet was sealed before the key changed.
		if unproved := errors.Is(err, errMAC) || err == errKeyless; unproved && p.sender != r.cfg.Owner {
			r.ingestOtherKey(p, from, a.group)
		}
		return
	}
	r.do(func(now time.Time) {
		r.core.otherKeys.forget(p.sender)
		r.countHeard(p.sender, link, a.group)
		if r.core.receive(now, p, path{addr: a.from, link: link}, a.group) {
			r.dedup.add(data, p.sender, now)
		}
	})
}

// countHeard counts a packet for its interface. r.mu is held.
func (r *Registry) countHeard(sender registry.Owner, link int, group bool) {
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

// ingestOtherKey passes to the core a packet that no key proves. A flood of them does not wake the
// loop.
func (r *Registry) ingestOtherKey(p packet, from path, group bool) {
	r.mu.Lock()
	tells := r.core.onOtherKey(time.Now(), p, from, group)
	r.mu.Unlock()
	if tells {
		r.do(func(time.Time) {})
	}
}

// refuse counts a refused datagram, and warns once when an operator should act. sender is the
// process that its header names, if any.
func (r *Registry) refuse(err error, sender registry.Owner, from netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.core.stats
	for _, kind := range []struct {
		reason error
		count  *uint64
	}{
		{errForeign, &s.Foreign},
		{errMAC, &s.WrongKey},
		{errKeyless, &s.Keyless},
		{errVersion, &s.Version},
		{errOld, &s.Old},
		{errSequence, &s.Sequence},
	} {
		if errors.Is(err, kind.reason) {
			*kind.count++
			r.warn(time.Now(), kind.reason, err, sender, from)
			return
		}
	}
	s.Malformed++
}

// warn logs a refusal: the first one of a reason and host, and later ones at a bounded rate. r.mu
// is held.
func (r *Registry) warn(now time.Time, reason, err error, sender registry.Owner, from netip.AddrPort) {
	if reason == errMAC && r.keyAwaited {
		return // its key may come soon
	}
	if !r.warnings.due(now, reason, sender, from.Addr()) {
		return
	}
	text := "LAN packet ignored"
	if reason == errOld {
		text = "a process of skerry before 0.2 at " + from.Addr().String()
	}
	do := advice[reason]
	if reason == errMAC && r.loopbackOnly {
		err = errNoKey
		do = "take over the key of the other processes: skerry key set --cluster " + r.cfg.Cluster
	}
	level := slog.LevelWarn
	if reason == errKeyless {
		level = slog.LevelInfo // the other process warns, and is not lost: it still uses its other registries
	}
	args := []any{"why", err, "from", from.String()}
	if sender.Host != "" {
		args = append(args, "host", sender.Host)
	}
	args = append(args, "cluster", r.cfg.Cluster, "do", do)
	r.cfg.Logger.Log(context.Background(), level, text, args...)
}
