package discovery

import (
	"fmt"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/registry"
)

// settleVanished decides about members that no source lists any more and that have not said
// goodbye. It drops them, or probes them when they are sharply many, of the service or of their
// version: requests that belong to a version go to no other one. doubt makes it probe all of them.
func (u *union) settleVanished(lost []*member, source string, doubt bool, now time.Time) {
	u.vanished = slices.DeleteFunc(u.vanished, func(v vanishing) bool { return now.Sub(v.at) > vanishWindow })
	if len(lost) == 0 {
		return
	}
	for _, m := range lost {
		u.vanished = append(u.vanished, vanishing{m: m, source: source, at: now})
	}
	all := u.loss(func(*member) bool { return true })
	why := fmt.Sprintf("%v vanished from %s within a minute without a goodbye", all, source)
	if doubt {
		why = fmt.Sprintf("listed by %s only, and no source that answers can vouch for its list", source)
	}
	versions := map[string]loss{}
	for i := range u.vanished {
		v := &u.vanished[i]
		if v.asked {
			continue
		}
		version := v.m.in.Version
		same, counted := versions[version]
		if !counted {
			same = u.loss(func(m *member) bool { return m.in.Version == version })
			versions[version] = same
		}
		switch {
		case doubt || all.sharp():
			v.asked, v.m = true, u.protect(v.m, why, now)
		case version != "" && same.sharp():
			v.asked, v.m = true, u.protect(
				v.m,
				fmt.Sprintf("%v of version %s vanished from %s within a minute without a goodbye", same, version,
					source),
				now,
			)
		case slices.Contains(lost, v.m):
			u.notes = append(u.notes, note{v.m, Dropped, "no longer listed by " + source})
			u.members.Delete(v.m.key())
		}
	}
}

// loss is the number of vanished members and the number before.
type loss struct{ vanished, before int }

func (l loss) sharp() bool    { return sharply(l.vanished, l.before) }
func (l loss) String() string { return fmt.Sprintf("%d of %d", l.vanished, l.before) }

// loss counts the members that have vanished and those that a source lists.
func (u *union) loss(counts func(*member) bool) (l loss) {
	for _, v := range u.vanished {
		if counts(v.m) {
			l.vanished++
		}
	}
	l.before = l.vanished
	for _, m := range u.order {
		if m.buried == nil && m.sources() > 0 && counts(m) {
			l.before++
		}
	}
	return l
}

// protect keeps a member that no source lists until it has been probed. Calls avoid it meanwhile,
// unless all members are avoided.
func (u *union) protect(m *member, why string, now time.Time) *member {
	if _, at, ok := u.find(m.in); !ok { // it was dropped, and its endpoint retired
		m = u.admit(*m.in, at)
	}
	limit := unaskedProtect
	if u.cfg.Probe != nil {
		limit = askTries*probeTimeout + vanishWindow // a probe ends it sooner
		m.question.reset()
		m.ask(now)
		m.cond.silence(now, why+"; being asked")
	}
	m.guard = &guard{why: why, since: now, until: now.Add(limit)}
	u.keepFor(m, limit)
	u.notes = append(u.notes, note{m, Protected, why})
	return m
}

// asked applies the result of a probe. It reports whether the member becomes suspect by it.
func (u *union) asked(m *member, err error, now time.Time) (suspect bool) {
	m.asking = false
	if _, known := u.byEndpoint.Load(m.ep); !known {
		return false // it has left meanwhile
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
		u.members.Delete(m.key())
		return false
	case m.guard == nil && m.buried == nil:
		suspect = m.cond.silence(now, fmt.Sprintf("does not answer: %v", err))
	}
	m.ask(now.Add(m.pause.Next()))
	return suspect
}

// alive applies an answered probe.
func (u *union) alive(m *member, now time.Time) {
	m.question.reset()
	if now.Sub(m.cond.leavingSince) >= leavingLimit {
		m.cond.leavingSince = time.Time{} // it is no longer stopping
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
		u.keepFor(m, max(g.until.Sub(now), 1))
		m.ask(now.Add(reaskPeriod))
	}
}

// lapse applies the time limits that are over and returns the time of the next one, zero for none.
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
			next = run.Earliest(next, at)
		} else if u.cfg.Probe == nil {
			c.leavingSince = time.Time{}
		} else if m.askAt.IsZero() {
			m.ask(now)
		}
	}
	if m.guard != nil {
		next = run.Earliest(next, m.guard.until.Add(time.Millisecond))
	}
	return next
}
