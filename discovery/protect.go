package discovery

import (
	"fmt"
	"slices"
	"time"

	"github.com/skerry/skerry/registry"
)

// settleVanished decides about members that no source lists any more and
// that did not say goodbye: dropped, or asked when they are sharply many.
// doubt asks all of them.
func (u *union) settleVanished(lost []*member, source string, doubt bool, now time.Time) {
	u.vanished = slices.DeleteFunc(u.vanished, func(v vanishing) bool { return now.Sub(v.at) > vanishWindow })
	if len(lost) == 0 {
		return
	}
	for _, m := range lost {
		u.vanished = append(u.vanished, vanishing{m: m, source: source, at: now})
	}
	before := u.believed() + len(u.vanished)
	if !doubt && !sharply(len(u.vanished), before) {
		for _, m := range lost {
			u.notes = append(u.notes, note{m, Dropped, "no longer listed by " + source})
			u.members.Delete(m.key)
		}
		return
	}
	why := fmt.Sprintf("%d of %d vanished from %s within a minute without a goodbye", len(u.vanished), before, source)
	if doubt {
		why = fmt.Sprintf("listed by %s only, and no source that answers can vouch for its list", source)
	}
	for i := range u.vanished {
		if v := &u.vanished[i]; !v.asked {
			v.asked = true
			v.m = u.protect(v.m, why, now)
		}
	}
}

// believed counts the members that a source lists.
func (u *union) believed() (n int) {
	for _, m := range u.order {
		if m.buried == nil && m.sources() > 0 {
			n++
		}
	}
	return n
}

// protect keeps a member that nobody lists until it has been asked. It is
// avoided meanwhile, unless all are.
func (u *union) protect(m *member, why string, now time.Time) *member {
	if _, at, ok := u.find(&m.in); !ok { // it was dropped, and its endpoint retired
		m = u.admit(m.in, at)
	}
	limit := unaskedProtect
	if u.cfg.Probe != nil {
		limit = askTries*probeTimeout + vanishWindow // asking ends it sooner
		m.question.reset()
		m.ask(now)
		m.cond.silence(now, why+"; being asked")
	}
	m.guard = &guard{why: why, since: now, until: now.Add(limit)}
	u.members.Set(m.key, m, limit)
	u.notes = append(u.notes, note{m, Protected, why})
	return m
}

// asked takes in the answer to a question. It reports whether the member has
// become suspect by it.
func (u *union) asked(m *member, err error, now time.Time) (suspect bool) {
	m.asking = false
	if _, known := u.byEndpoint.Load(m.ep); !known {
		return false // it left meanwhile
	}
	if err == nil {
		u.alive(m, now)
		return false
	}
	m.tries++
	switch {
	case m.guard != nil && m.tries >= askTries:
		u.notes = append(u.notes, note{m, Dropped, fmt.Sprintf("asked %d times, no answer: %v", m.tries, err)})
		m.guard = nil
		u.members.Delete(m.key)
		return false
	case m.guard == nil && m.buried == nil:
		suspect = m.cond.silence(now, fmt.Sprintf("does not answer: %v", err))
	}
	m.ask(now.Add(m.pause.Next()))
	return suspect
}

// alive takes in a sign of life that was asked for.
func (u *union) alive(m *member, now time.Time) {
	m.question.reset()
	if now.Sub(m.cond.leavingSince) >= leavingLimit {
		m.cond.leavingSince = time.Time{} // it changed its mind
	}
	m.cond.answered()
	m.timeouts.Store(0)
	if m.buried != nil && m.buried.kind == registry.Silent {
		u.unbury(m, fmt.Sprintf("%s said it is silent, but it answers", m.buried.source))
	}
	if g := m.guard; g != nil {
		if by := u.vouched(); !g.confirmed || by == "" {
			g.until = now.Add(u.cfg.Protect)
		}
		g.confirmed = true
		u.members.Set(m.key, m, max(g.until.Sub(now), 1))
		m.ask(now.Add(reaskPeriod))
	}
}

// lapse ends what ends by time alone and returns when to look again, zero
// for never.
func (u *union) lapse(m *member, now time.Time) (next time.Time) {
	c := &m.cond
	if now.Before(c.ejectedUntil) {
		next = c.ejectedUntil
	} else if u.cfg.Probe == nil && !c.suspectSince.IsZero() {
		if next = c.suspectSince.Add(unaskedSuspect); !now.Before(next) {
			next = time.Time{}
			c.trust()
		}
	}
	if !c.leavingSince.IsZero() {
		if at := c.leavingSince.Add(leavingLimit); now.Before(at) {
			next = sooner(next, at)
		} else if u.cfg.Probe == nil {
			c.leavingSince = time.Time{}
		} else if m.askAt.IsZero() {
			m.ask(now)
		}
	}
	if m.guard != nil {
		next = sooner(next, m.guard.until.Add(time.Millisecond))
	}
	return next
}

// sooner is the earlier of two times of which zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
