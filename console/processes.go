package console

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/doctor"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/rollout"
)

// processesPage answers: which process lags behind, and why?
type processesPage struct {
	Lead   phrase         `json:"-"`
	Filter string         `json:"-"`
	Counts map[string]int `json:"-"`
	Hosts  []hostGroup    `json:"hosts"`
	Pager  pager          `json:"-"`

	Doctor *examination  `json:"doctor"` // the last one; null: none yet
	Ill    []doctor.Host `json:"-"`      // hosts with findings, as many as are shown
	More   int           `json:"-"`      // further ones
	Sound  int           `json:"-"`      // hosts without
}

// illShown bounds the hosts with findings of doctor on the page.
const illShown = 50

// hostGroup is the processes of a host.
type hostGroup struct {
	Host      string       `json:"host"`
	Dot       dot          `json:"-"`
	Bad       int          `json:"-"`
	Processes []processRow `json:"processes"`
	Serves    bool         `json:"-"` // a service runs there
}

// processRow is one process.
type processRow struct {
	Name    string        `json:"process"`
	Addr    string        `json:"address,omitempty"`
	Runs    []string      `json:"runs"`
	Release string        `json:"skerry,omitempty"`
	Rules   string        `json:"release_rules"`
	Policy  uint64        `json:"policy"`
	Up      time.Duration `json:"-"`
	Memory  int64         `json:"memory_bytes,omitempty"`
	Sources []string      `json:"listed_by"`
	Silent  string        `json:"silent,omitempty"`
	Why     string        `json:"why,omitempty"`

	Clock    *clockState  `json:"clock,omitempty"`    // absent: not told
	LAN      *sourceState `json:"lan,omitempty"`      // absent: not told, or it uses none
	Database *sourceState `json:"database,omitempty"` // the same

	RulesBehind, PolicyBehind bool `json:"-"`
}

// clockState is by how much the clock of a process is ahead of the console's.
type clockState struct {
	Offset float64 `json:"offset_s"`
	Doubt  float64 `json:"doubt_s"`
	Wrong  bool    `json:"wrong"` // logs can't be compared
}

// sourceState is a registry as a process sees it.
type sourceState struct {
	Lost   string        `json:"lost,omitempty"`
	Others int           `json:"other_processes"` // that it lists, or that are heard there
	Heard  time.Duration `json:"-"`
	HeardS float64       `json:"heard_s,omitempty"` // since one of these was heard
}

// late reports whether a process has older rules, or another policy, than the site.
func (r processRow) late() bool { return r.Silent == "" && (r.RulesBehind || r.PolicyBehind) }

// ill reports whether the clock of a process is wrong, or it has lost a registry.
func (r processRow) ill() bool {
	return r.Silent == "" && (r.Clock != nil && r.Clock.Wrong || r.LAN != nil && r.LAN.Lost != "" ||
		r.Database != nil && r.Database.Lost != "")
}

// bad reports whether a process is not as it should be.
func (r processRow) bad() bool { return r.Silent != "" || r.late() || r.ill() }

// Warned reports whether a row of a process that answers is marked.
func (r processRow) Warned() bool { return r.late() || r.ill() }

// tellCondition tells what a process says of itself.
func (r *processRow) tellCondition(c *control.Condition) {
	if c == nil {
		return
	}
	off := c.Clock
	if off.Abs() <= c.Doubt {
		off = 0
	}
	r.Memory = c.Memory
	r.Clock = &clockState{off.Seconds(), c.Doubt.Seconds(), off.Abs()-c.Doubt > doctor.ClockTolerance}
	for _, s := range c.Sources {
		st := &sourceState{s.Lost, s.Others, s.Heard, s.Heard.Seconds()}
		switch s.Name {
		case broadcast.Source:
			r.LAN = st
		case membership.Database:
			r.Database = st
		}
	}
}

func (s *snapshot) processesPage(r *http.Request) (any, error) {
	p := processesPage{Filter: r.URL.Query().Get("state"), Counts: map[string]int{}}
	var zero rollout.Generation
	var list []processRow
	for _, m := range s.Processes {
		row := processRow{Name: m.Name, Addr: m.Addr, Runs: m.Runs, Release: m.Release, Rules: m.Applied.String(),
			Policy: m.Policy, Up: m.Up, Sources: m.Sources, Silent: m.Silent, Why: m.Why}
		row.tellCondition(m.Condition)
		if m.Silent == "" {
			row.RulesBehind = s.Rollout.Generation != zero && m.Applied != s.Rollout.Generation
			row.PolicyBehind = m.Policy != s.Policy.Current.Number
		}
		p.Counts[""]++
		is := map[string]bool{"": true, "silent": row.Silent != "", "behind": row.late(), "ill": row.ill()}
		for state := range is {
			if state != "" && is[state] {
				p.Counts[state]++
			}
		}
		if row.bad() {
			p.Counts["bad"]++
		}
		if is[p.Filter] {
			list = append(list, row)
		}
	}
	bad := worstProcesses(list)
	p.Lead = processesLead(s, list, p.Counts)
	p.tellDoctor(s.Doctor)
	list, p.Pager = paged(list, r)
	for _, row := range list {
		host := hostOf(row.Name)
		if n := len(p.Hosts); n == 0 || p.Hosts[n-1].Host != host {
			g := hostGroup{Host: host, Dot: dot{"ok"}, Bad: bad[host]}
			if g.Bad > 0 {
				g.Dot = dot{"warn"}
			}
			p.Hosts = append(p.Hosts, g)
		}
		g := &p.Hosts[len(p.Hosts)-1]
		g.Processes = append(g.Processes, row)
		g.Serves = g.Serves || len(row.Runs) > 0
	}
	return p, nil
}

// grade is how bad a process is: one that does not answer is the worst.
func (r processRow) grade() int {
	switch {
	case r.Silent != "":
		return 3
	case r.ill():
		return 2
	case r.late():
		return 1
	}
	return 0
}

// worstProcesses orders processes by host: hosts with the worst process first, then those with most that are not as
// they should be. It returns the number of these by host.
func worstProcesses(list []processRow) (bad map[string]int) {
	worst := map[string]int{}
	bad = map[string]int{}
	for _, row := range list {
		host := hostOf(row.Name)
		worst[host] = max(worst[host], row.grade())
		if row.bad() {
			bad[host]++
		}
	}
	slices.SortFunc(list, func(a, b processRow) int {
		x, y := hostOf(a.Name), hostOf(b.Name)
		return cmp.Or(cmp.Compare(worst[y], worst[x]), cmp.Compare(bad[y], bad[x]), cmp.Compare(x, y),
			cmp.Compare(b.grade(), a.grade()), cmp.Compare(a.Name, b.Name))
	})
	return bad
}

// tellDoctor shows the last examination.
func (p *processesPage) tellDoctor(e *examination) {
	if p.Doctor = e; e == nil {
		return
	}
	for _, h := range e.Hosts {
		switch {
		case h.Fine() == len(h.Findings):
			p.Sound++
		case len(p.Ill) == illShown:
			p.More++
		default:
			p.Ill = append(p.Ill, h)
		}
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// processesLead answers the page's question in a sentence.
func processesLead(s *snapshot, list []processRow, counts map[string]int) phrase {
	all := len(s.Processes)
	var first processRow
	for _, row := range list {
		if row.bad() {
			first = row
			break
		}
	}
	switch {
	case all == 0:
		return say("processes.none")
	case first.Silent != "":
		return say("processes.one-silent", "process", first.Name, "why", first.Silent, "rest",
			all-counts["bad"])
	case first.PolicyBehind:
		return say("processes.one-policy", "process", first.Name, "has", first.Policy, "site", s.Policy.Current.Number,
			"rest", all-counts["bad"])
	case first.RulesBehind:
		return say("processes.one-rules", "process", first.Name, "has", first.Rules, "site",
			s.Rollout.Generation.String(), "rest", all-counts["bad"])
	case first.Database != nil && first.Database.Lost != "":
		return say("processes.one-lost", "process", first.Name, "source", say("processes.the-database"), "why",
			plain(first.Database.Lost), "rest", all-counts["bad"])
	case first.LAN != nil && first.LAN.Lost != "":
		return say("processes.one-lost", "process", first.Name, "source", "LAN", "why", plain(first.LAN.Lost), "rest",
			all-counts["bad"])
	case first.Clock != nil && first.Clock.Wrong:
		return say("processes.one-clock", "process", first.Name, "offset", offsetText(first.Clock.Offset), "rest",
			all-counts["bad"])
	}
	return say("processes.all-well", "n", all)
}
