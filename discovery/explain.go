package discovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/registry"
)

// Entry is one member of a service's list and all decisions about it, as plain values for tables
// and JSON.
type Entry struct {
	Service  string            `json:"service"`
	Version  string            `json:"version,omitempty"`
	Addr     string            `json:"addr"`
	Protocol string            `json:"protocol,omitempty"`
	TLS      bool              `json:"tls,omitempty"`
	Zone     string            `json:"zone,omitempty"`
	Weight   int               `json:"weight"` // as registered, or by the site's policy; 0: no calls
	Own      int               `json:"-"`      // as registered, whatever the policy says; 0: no calls
	Tags     map[string]string `json:"tags,omitempty"`
	Owner    string            `json:"owner"` // host/pid/epoch
	Started  time.Time         `json:"started,omitzero"`
	Heard    time.Time         `json:"heard,omitzero"` // last heartbeat, as known when the list was read

	Standing  string          `json:"standing,omitempty"` // why the release log bars its version; set by Node.Explain
	State     State           `json:"state"`
	Since     time.Time       `json:"since,omitzero"` // begin of the state, if it has one
	Until     time.Time       `json:"until,omitzero"` // latest end of an ejection or a protection
	Why       string          `json:"why,omitempty"`
	Protected bool            `json:"protected,omitempty"` // no source lists it; kept while it is probed or answers
	Stale     bool            `json:"stale,omitempty"`     // no live source lists it
	Share     float64         `json:"share"`               // part of the weight that it gets: below 1 while warming up
	Pending   int64           `json:"pending"`             // calls of this process in flight
	Sources   []SourceListing `json:"sources"`
}

// SourceListing states that a source lists an entry.
type SourceListing struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`         // when this process heard it first
	Read  time.Time `json:"read"`          // when it was confirmed last
	Lost  string    `json:"lost,omitzero"` // reason for which the source can't be reached now
}

// SourceStatus is the state of one source for one service.
type SourceStatus struct {
	Name     string    `json:"name"`
	Answered bool      `json:"answered"` // has given a list since the service was resolved
	Partial  bool      `json:"partial"`  // the source can't vouch that its list is complete
	Lost     string    `json:"lost,omitempty"`
	Read     time.Time `json:"read,omitzero"`
	Listed   int       `json:"listed"`
}

// Explain shows the list of a service, in the order of registry.Compare. It is empty for a service
// that this process has not resolved.
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

// Sources shows the state of each source for a service, in the order of Config, the disk last. It
// is nil for a service that this process has not resolved. With WatchAll the name
// registry.AllServices means all services together, without the disk.
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
		if i < len(site) && !src.answered { // the source lists no instance of this service
			status.Answered, status.Lost, status.Read = site[i].Answered, site[i].Lost, site[i].Read
		}
		out = append(out, status)
	}
	return out
}

// siteStatus is the state of the sources for all services, nil without WatchAll.
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
		Zone: m.in.Zone, Weight: m.weight(), Own: m.in.EffectiveWeight(), Tags: maps.Clone(m.in.Tags),
		Owner: m.in.Owner.String(), Started: m.in.Started, State: state, Share: share, Pending: m.ep.Pending(),
		Stale: true, Sources: []SourceListing{},
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
	case Drained:
		d := drain.MarkOf(m.in.Tags)
		e.Since, e.Why = d.Since, d.String()
	case Excluded:
		e.Why = "the rules ask for " + s.opts.String()
		if m.weight() == 0 {
			e.Why = "its weight is none"
			if m.ruled {
				e.Why = "the site's policy gives it the weight 0"
			}
		}
	case Suspect, Ejected, Leaving:
		_, e.Since, e.Until = m.cond.state(now)
		e.Why = m.cond.why
		if m.leaving && m.cond.leavingSince.IsZero() {
			e.Since, e.Until, e.Why = time.Time{}, time.Time{}, "is stopping, as it has told the registry"
		}
	}
	if g := m.guard; g != nil {
		e.Protected = true
		e.Since = g.since
		e.Until = g.until
		e.Why = g.why + "; being asked"
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
			if m.shown == Drained && s.opts.admits(*m.in) {
				return fmt.Sprintf("%d of %s listed, and of those that the rules admit none is left: %s", listed,
					s.name, drain.MarkOf(m.in.Tags))
			}
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
	text := fmt.Sprintf("no process has registered %s (%s)", s.name, s.heardLocked())
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

// heardLocked says in few words what each source has said. s.mu is held.
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
