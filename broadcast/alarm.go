package broadcast

import (
	"time"

	"github.com/skerry/skerry/internal/wire"
)

const (
	alarmGap   = 2 * time.Second // in which one alarm about a peer is enough
	alarmRate  = 20              // alarms told in a second, and peers asked because of alarms
	alarmBurst = 60              // the same, at once: as many as a switch may take away
	pauseMost  = time.Minute     // how long somebody whose alarms were false is not listened to, at most
)

// accusation is what alarms say of a peer, and what became of its own.
type accusation struct {
	alarmed time.Time     // when somebody last told that it does not answer; zero once it has
	accuser *peer         // who did, nil for this process
	unheard time.Time     // until then its own alarms are not listened to
	pause   time.Duration // how long that was, the last time
}

// acquit: the peer lives. Who said that it does not is believed a while later.
func (a *accusation) acquit(now time.Time) {
	if by := a.accuser; by != nil && now.After(by.unheard) {
		if now.Sub(by.unheard) > pauseMost {
			by.pause = 0
		}
		by.pause = min(max(2*by.pause, alarmGap), pauseMost)
		by.unheard = now.Add(by.pause)
	}
	a.alarmed, a.accuser = time.Time{}, nil
}

// alarm tells everybody that a suspect does not answer, or that its host
// refuses: those who have no business with it at this moment would find out
// one by one. Of many who find out at the same time few speak. The others ask
// for themselves, so an alarm ends nobody who lives.
func (c *core) alarm(p *peer, now time.Time) {
	begun := now
	c.at(now.Add(c.spread()), func(now time.Time) {
		if c.leaving || p.heard.After(begun) || now.Sub(p.alarmed) < alarmGap {
			return
		}
		if !c.alarms.take(now) {
			c.stats.Rate++
			return
		}
		p.alarmed, p.accuser = now, nil
		o := &wire.Owner{Host: p.owner.Host, Pid: int32(p.owner.PID), Epoch: p.owner.Epoch}
		c.send(alarm, &wire.Alarm{Owner: o}, outbound{group: true, to: c.unicasts(now)})
	})
}

// onAlarm asks whom an alarm is about, a little later than others do. Only
// somebody who is known to live is listened to: a recording is not.
func (c *core) onAlarm(now time.Time, from *peer, a *wire.Alarm) {
	if from == nil || from.state != live {
		c.stats.Unwanted++
		return
	}
	owner := ownerFrom(a.Owner)
	if owner == c.self {
		c.refute(now)
		return
	}
	p := c.peers[owner]
	if p == nil || now.Sub(p.alarmed) < alarmGap {
		return
	}
	if now.Before(from.unheard) || !c.alarmed.take(now) {
		c.stats.Rate++
		return
	}
	p.alarmed, p.accuser = now, from
	begun := now
	c.at(now.Add(c.spread()), func(now time.Time) {
		if p.state == live && !p.heard.After(begun) && now.After(from.unheard) {
			c.begin(p, askAlarm, now)
		}
	})
}

// refute tells everybody at once that this process lives, before they ask.
func (c *core) refute(now time.Time) {
	if c.leaving || now.Sub(c.refuted) < alarmGap {
		return
	}
	c.refuted = now
	c.announceOnce(now)
}
