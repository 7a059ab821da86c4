package broadcast

import (
	"time"

	"github.com/skerry/skerry/internal/wire"
)

const (
	suspicionGap    = 2 * time.Second        // in which one alarm about a peer is enough
	suspicionSecond = 100 * time.Millisecond // after the first word of an alarm comes the second one
	suspicionThird  = 300 * time.Millisecond // the same, the third and last one
	suspicionRate   = 20                     // alarms told in a second, and peers asked because of alarms
	suspicionBurst  = 60                     // the same, at once: as many as a switch may take away
	unknownRate     = 10                     // peers asked in a second because of alarms of unknown processes
	suspicionSpread = 40 * time.Millisecond  // the least time over which processes spread their questions after an alarm: more may hear it than are known
	maxIgnored      = time.Minute            // how long alarms of a peer are ignored at most, after false ones
)

// accusation is what alarms say of a peer, and what became of its own.
type suspicion struct {
	raised       time.Time     // when an alarm last said that it does not answer; zero once it has
	repeated     bool          // another process has said so since this one did
	by           *peer         // that other process, nil for this one and for an unknown one
	ignoredUntil time.Time     // until then its own alarms are not listened to
	pause        time.Duration // how long that was, the last time
}

// acquit: the peer lives. The process that said otherwise is believed a while later.
func (a *suspicion) clear(now time.Time) {
	if by := a.by; by != nil && now.After(by.ignoredUntil) {
		if now.Sub(by.ignoredUntil) > maxIgnored {
			by.pause = 0
		}
		by.pause = min(max(2*by.pause, suspicionGap), maxIgnored)
		by.ignoredUntil = now.Add(by.pause)
	}
	a.raised, a.by = time.Time{}, nil
}

// alarm tells everybody that a suspect does not answer, or that its host
// refuses: those who have no business with it at this moment would find out
// one by one. Of many who find out at the same time few speak. The others ask
// for themselves, so an alarm ends nobody who lives. It is said three times, as
// a host that misses it lists the dead until the life of the entry ends.
func (c *core) raiseSuspicion(p *peer, now time.Time) {
	begun := now
	c.at(now.Add(c.suspicionDelay()), func(now time.Time) {
		if c.leaving || p.heard.After(begun) || now.Sub(p.raised) < suspicionGap {
			return
		}
		if !c.raises.take(now) {
			c.stats.Rate++
			return
		}
		p.raised, p.by = now, nil
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

// accuseAgain repeats an alarm, unless another process has just said the same.
// Of very many alarms at once not all are repeated.
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

// alarmSpread is the random delay before a word about a peer, or to it, which
// the first ones save the others. Processes that offer nothing do not know how
// many of them there are.
func (c *core) suspicionDelay() time.Duration {
	return max(c.spread(), c.random(suspicionSpread))
}

// onAlarm asks the peer that an alarm is about, a little later than others do.
// A process that only calls is known to its providers and to no other caller,
// so alarms of unknown processes count, too. One of them may be a recording:
// fewer peers are asked because of those, and they must have come to everyone.
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
		p.repeated = true
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
	p.raised, p.by = now, from
	begun := now
	c.at(now.Add(c.suspicionDelay()), func(now time.Time) {
		if p.state == live && !p.heard.After(begun) && from.heeded(now) {
			c.beginProbes(p, suspicionSeries, now)
		}
	})
}

// listened reports whether alarms of the peer are listened to; nil is an
// unknown process.
func (p *peer) heeded(now time.Time) bool { return p == nil || !now.Before(p.ignoredUntil) }

// refute tells everybody at once that this process lives, before they ask.
func (c *core) refute(now time.Time) {
	if c.leaving || now.Sub(c.refutedAt) < suspicionGap {
		return
	}
	c.refutedAt = now
	c.announceOnce(now)
}
