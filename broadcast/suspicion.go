package broadcast

import (
	"time"

	"github.com/skerry/skerry/internal/wire"
)

// The times and limits of suspicions.
const (
	suspicionGap    = 2 * time.Second        // in which one suspicion of a peer is enough
	suspicionSecond = 100 * time.Millisecond // from the first packet of a suspicion to the second one
	suspicionThird  = 300 * time.Millisecond // from the first packet to the third and last one
	suspicionRate   = 20                     // suspicions raised in a second, and peers probed because of suspicions
	suspicionBurst  = 60                     // the same at once: as many as a switch may take away
	unknownRate     = 10                     // peers probed in a second because of suspicions of unknown processes
	maxIgnored      = time.Minute            // how long the suspicions of a peer are ignored at most, after false ones

	// suspicionSpread is the least time over which processes spread their probes
	// after a suspicion: more processes may hear it than this one knows.
	suspicionSpread = 40 * time.Millisecond
)

// suspicion is the suspicion of a peer, and the state of the suspicions that the peer has raised
// itself.
type suspicion struct {
	raised       time.Time     // when a suspicion of the peer was last raised; zero once the peer has answered
	repeated     bool          // another process has raised it since this one did
	apart        bool          // it came by unicast from one process: other processes of this LAN may lack it
	by           *peer         // that other process; nil for this one and for an unknown one
	ignoredUntil time.Time     // until then the suspicions that the peer raises are ignored
	pause        time.Duration // how long they were ignored last time
}

// clear ends the suspicion because the peer lives. The suspicions of the process that raised it are
// ignored for a while.
func (s *suspicion) clear(now time.Time) {
	if by := s.by; by != nil && now.After(by.ignoredUntil) {
		if now.Sub(by.ignoredUntil) > maxIgnored {
			by.pause = 0
		}
		by.pause = min(max(2*by.pause, suspicionGap), maxIgnored)
		by.ignoredUntil = now.Add(by.pause)
	}
	s.raised, s.by = time.Time{}, nil
}

// told reports whether the other processes of this LAN have lately received the suspicion.
func (s *suspicion) told(now time.Time) bool { return !s.apart && now.Sub(s.raised) < suspicionGap }

// raiseSuspicion tells all other processes that a peer does not answer, or that
// its host refuses the port. Processes without traffic to the peer would find out
// one by one. Of many processes that find out at the same time few speak. Each of
// the others probes the peer itself, so a suspicion removes no living process. It
// is sent three times, since a host that misses it lists the dead process until
// the entry's life ends.
func (c *core) raiseSuspicion(p *peer, now time.Time) {
	begun := now
	c.at(now.Add(c.suspicionDelay()), func(now time.Time) {
		if c.leaving || p.heard.After(begun) || p.told(now) {
			return
		}
		if !c.raises.take(now) {
			c.stats.Rate++
			return
		}
		p.raised, p.by, p.apart = now, nil, false
		c.sendSuspicion(p, now)
		for _, wait := range []time.Duration{suspicionSecond, suspicionThird} {
			c.at(now.Add(wait+c.spread()/2), func(now time.Time) { c.repeatSuspicion(p, begun, now) })
		}
	})
}

func (c *core) sendSuspicion(p *peer, now time.Time) {
	p.repeated = false
	o := &wire.Owner{Host: p.owner.Host, Pid: int32(p.owner.PID), Epoch: p.owner.Epoch}
	c.send(alarm, &wire.Alarm{Owner: o}, outbound{group: true, to: c.unicasts(now)})
}

// repeatSuspicion sends a suspicion again, unless another process has just sent
// the same one. Of very many suspicions at once not all are repeated.
func (c *core) repeatSuspicion(p *peer, begun, now time.Time) {
	switch {
	case c.leaving || p.heard.After(begun):
	case p.repeated:
		p.repeated = false
	case !c.repeats.take(now):
		c.stats.Rate++
	default:
		c.sendSuspicion(p, now)
	}
}

// suspicionDelay is the random delay before a packet about a peer, or to it; the
// first such packets make the others unnecessary. A process that offers nothing
// does not know how many others there are, so there is a least spread.
func (c *core) suspicionDelay() time.Duration {
	return max(c.spread(), c.random(suspicionSpread))
}

// onSuspicion probes the suspected peer, at a random delay. A process that only calls is known to
// its providers and to no other caller, so suspicions of unknown processes count as well. One of
// those may be a recording, so they cause fewer probes and must have come by broadcast or
// multicast.
//
// A suspicion by unicast was raised where broadcast does not pass, for example behind a router, by
// a process that has this one among its seeds. When the peer does not answer this process either,
// the suspicion is raised here again, unless a second process has raised it meanwhile.
func (c *core) onSuspicion(now time.Time, from *peer, a *wire.Alarm, group bool) {
	known := from != nil && from.state == live
	if !known && !group {
		c.stats.Unwanted++
		return
	}
	owner := ownerFrom(a.Owner)
	if owner == c.self {
		c.refute(now)
		return
	}
	p := c.peers[owner]
	if p == nil {
		return
	}
	if now.Sub(p.raised) < suspicionGap {
		if group || from != p.by { // others have received it as well
			p.repeated, p.apart = true, false
		}
		return
	}
	limit := &c.heededKnown
	if !known {
		from, limit = nil, &c.heededUnknown
	}
	if !from.heeded(now) || p.state == live && !limit.take(now) {
		c.stats.Rate++
		return
	}
	p.raised, p.by, p.apart = now, from, !group
	begun := now
	c.at(now.Add(c.suspicionDelay()), func(now time.Time) {
		if p.state == live && !p.heard.After(begun) && from.heeded(now) {
			series := suspicionSeries
			series.raises = p.apart
			c.beginProbes(p, series, now)
		}
	})
}

// heeded reports whether the suspicions that the peer raises count; nil is an
// unknown process.
func (p *peer) heeded(now time.Time) bool { return p == nil || !now.Before(p.ignoredUntil) }

// refute announces at once that this process lives, before other processes probe it.
func (c *core) refute(now time.Time) {
	if c.leaving || now.Sub(c.refutedAt) < suspicionGap {
		return
	}
	c.refutedAt = now
	c.announceOnce(now)
}
