package discovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/registry"
)

// Entry is one member of a service's list and everything that was decided
// about it, as plain values for tables and JSON.
type Entry struct {
	Service  string            `json:"service"`
	Version  string            `json:"version,omitempty"`
	Addr     string            `json:"addr"`
	Protocol string            `json:"protocol,omitempty"`
	TLS      bool              `json:"tls,omitempty"`
	Zone     string            `json:"zone,omitempty"`
	Weight   int               `json:"weight"` // as registered, 0 = no calls
	Tags     map[string]string `json:"tags,omitempty"`
	Owner    string            `json:"owner"` // host/pid/epoch
	Started  time.Time         `json:"started,omitzero"`
	Heard    time.Time         `json:"heard,omitzero"` // last heartbeat, as the source that heard it last knew when its list was read

	Standing  string          `json:"standing,omitempty"` // by which the log of releases keeps calls away from its version; Node.Explain fills it in
	State     State           `json:"state"`
	Since     time.Time       `json:"since,omitzero"` // begin of the state, where it has one
	Until     time.Time       `json:"until,omitzero"` // end of an ejection or a protection, at the latest
	Why       string          `json:"why,omitempty"`
	Protected bool            `json:"protected,omitempty"` // listed by nobody, kept because it is asked or answers
	Stale     bool            `json:"stale,omitempty"`     // no live source lists it
	Share     float64         `json:"share"`               // part of the weight that it gets now: under 1 while it warms up
	Pending   int64           `json:"pending"`             // calls of this process in flight
	Sources   []SourceListing `json:"sources"`
}

// SourceListing says that a source lists an entry.
type SourceListing struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`         // this process heard it first
	Read  time.Time `json:"read"`          // confirmed last
	Lost  string    `json:"lost,omitzero"` // why the source can't be reached now
}

// SourceStatus is how one source answers for one service.
type SourceStatus struct {
	Name     string    `json:"name"`
	Answered bool      `json:"answered"` // has given a list since the service was asked for
	Partial  bool      `json:"partial"`  // can't vouch that nobody is missing
	Lost     string    `json:"lost,omitempty"`
	Read     time.Time `json:"read,omitzero"`
	Listed   int       `json:"listed"`
}

// Explain shows the list of a service, in the order of registry.Compare. It
// is empty for a service that nobody has asked for.
func (d *Discovery) Explain(service string) []Entry {
	s := (*d.services.Load())[service]
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	entries := make([]Entry, 0, len(s.u.order))
	for _, m := range s.u.order {
		entries = append(entries, s.entry(m, now))
	}
	return entries
}

// Sources shows how each source answers for a service, in the order of
// Config, the disk last; nil for a service that nobody has asked for. With
// WatchAll the name registry.AllServices means all services together, without
// the disk.
func (d *Discovery) Sources(service string) []SourceStatus {
	site := d.siteStatus()
	if service == registry.AllServices {
		return d.countListed(site)
	}
	s := (*d.services.Load())[service]
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []SourceStatus
	for i, src := range s.u.sources {
		if i == s.u.disk() && len(src.list) == 0 {
			continue
		}
		status := SourceStatus{Name: src.name, Answered: src.answered, Partial: src.partial,
			Lost: text(src.lost), Read: src.read, Listed: len(src.list)}
		if i < len(site) && !src.answered { // it lists none of this service
			status.Answered, status.Lost, status.Read = site[i].Answered, site[i].Lost, site[i].Read
		}
		out = append(out, status)
	}
	return out
}

// siteStatus is how the sources answer for everything, nil without WatchAll.
func (d *Discovery) siteStatus() []SourceStatus {
	if !d.cfg.WatchAll {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.site)
}

func (d *Discovery) countListed(site []SourceStatus) []SourceStatus {
	for name, s := range *d.services.Load() {
		if d.cfg.Hidden(name) {
			continue
		}
		s.mu.Lock()
		for i := range site {
			site[i].Listed += len(s.u.sources[i].list)
		}
		s.mu.Unlock()
	}
	return site
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// entry describes a member. s.mu is held.
func (s *service) entry(m *member, now time.Time) Entry {
	_, state, share, _ := tierOf(m, s.opts, s.d.cfg.Zone, s.d.cfg.WarmUp, now)
	e := Entry{
		Service: m.in.Service, Version: m.in.Version, Addr: m.ep.Addr, Protocol: string(m.in.Protocol), TLS: m.in.TLS,
		Zone: m.in.Zone, Weight: m.in.EffectiveWeight(), Tags: maps.Clone(m.in.Tags), Owner: m.in.Owner.String(),
		Started: m.in.Started, State: state, Share: share, Pending: m.ep.Pending(), Stale: true,
		Sources: []SourceListing{},
	}
	for i, l := range m.listed {
		if l.in == nil {
			continue
		}
		src := &s.u.sources[i]
		if heard := time.Unix(int64(l.in.Heard), 0); i != s.u.disk() && l.in.Heard != 0 && heard.After(e.Heard) {
			e.Heard = heard
		}
		e.Sources = append(e.Sources,
			SourceListing{Name: src.name, Since: time.UnixMicro(l.since), Read: src.read, Lost: text(src.lost)})
		if src.lost == nil && i != s.u.disk() {
			e.Stale = false
		}
	}
	switch state {
	case Gone:
		if m.buried == nil {
			e.Why = "its address belongs to a later process, " + m.heir.in.Owner.String()
		} else {
			e.Since, e.Why = m.buried.when, m.buried.kind.String()+" by "+m.buried.source
		}
	case Elsewhere:
		e.Why = m.away
	case Excluded:
		e.Why = "the rules ask for " + s.opts.String()
		if m.in.EffectiveWeight() == 0 {
			e.Why = "its weight is none"
		}
	case Suspect, Ejected, Leaving:
		_, e.Since, e.Until = m.cond.state(now)
		e.Why = m.cond.why
		if m.leaving && m.cond.leavingSince.IsZero() {
			e.Since, e.Until, e.Why = time.Time{}, time.Time{}, "is stopping, as it has told the registry"
		}
	}
	if g := m.guard; g != nil {
		e.Protected, e.Since, e.Until, e.Why = true, g.since, g.until, g.why+"; being asked"
		if g.confirmed {
			e.Why = g.why + "; it answers"
		}
	}
	return e
}

// whyNone explains an empty view. s.mu is held.
func (s *service) whyNone(listed int) string {
	if listed > 0 {
		for _, m := range s.u.order {
			if m.shown == Excluded && s.opts.admits(*m.in) {
				return fmt.Sprintf("%d of %s listed, but those that the rules admit have the weight none", listed,
					s.name)
			}
		}
		return fmt.Sprintf("%d of %s listed, none with %s", listed, s.name, s.opts)
	}
	for _, m := range s.u.order {
		if m.away != "" {
			return fmt.Sprintf("%s is listed for another host's own processes: %s", s.name, m.away)
		}
	}
	text := fmt.Sprintf("nobody has registered %s (%s)", s.name, s.heardLocked())
	if known := s.d.known(s.name); len(known) > 0 {
		text += "; known services: " + strings.Join(known, ", ")
	}
	return text
}

func (s *service) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heardLocked()
}

// heardLocked says in few words what each source has said.
func (s *service) heardLocked() string {
	var parts []string
	for _, src := range s.u.sources[:s.u.disk()] {
		word := "no answer yet"
		switch {
		case src.lost != nil:
			word = "lost: " + src.lost.Error()
		case src.answered:
			word = fmt.Sprintf("lists %d", len(src.list))
		}
		parts = append(parts, src.name+" "+word)
	}
	if len(parts) == 0 {
		return "no registry is configured"
	}
	return strings.Join(parts, ", ")
}
