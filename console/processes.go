package console

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/doctor"
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

	RulesBehind, PolicyBehind bool `json:"-"`
}

// bad reports whether a process is not as it should be.
func (r processRow) bad() bool { return r.Silent != "" || r.RulesBehind || r.PolicyBehind }

func (s *snapshot) processesPage(r *http.Request) (any, error) {
	p := processesPage{Filter: r.URL.Query().Get("state"), Counts: map[string]int{}}
	var zero rollout.Generation
	var list []processRow
	for _, m := range s.Processes {
		row := processRow{Name: m.Name, Addr: m.Addr, Runs: m.Runs, Release: m.Release, Rules: m.Applied.String(),
			Policy: m.Policy, Up: m.Up, Memory: m.Memory, Sources: m.Sources, Silent: m.Silent, Why: m.Why}
		if m.Silent == "" {
			row.RulesBehind = s.Rollout.Generation != zero && m.Applied != s.Rollout.Generation
			row.PolicyBehind = m.Policy != s.Policy.Current.Number
		}
		p.Counts[""]++
		switch {
		case row.Silent != "":
			p.Counts["silent"]++
		case row.bad():
			p.Counts["behind"]++
		}
		if p.Filter == "" || p.Filter == "silent" && row.Silent != "" ||
			p.Filter == "behind" && row.Silent == "" && row.bad() {
			list = append(list, row)
		}
	}
	bad := map[string]int{}
	for _, row := range list {
		if row.bad() {
			bad[hostOf(row.Name)]++
		}
	}
	slices.SortStableFunc(list, func(a, b processRow) int {
		return cmp.Or(cmp.Compare(bad[hostOf(b.Name)], bad[hostOf(a.Name)]),
			cmp.Compare(hostOf(a.Name), hostOf(b.Name)), compareBool(b.bad(), a.bad()), cmp.Compare(a.Name, b.Name))
	})
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
	}
	return p, nil
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
			all-counts["silent"]-counts["behind"])
	case first.PolicyBehind:
		return say("processes.one-policy", "process", first.Name, "has", first.Policy, "site", s.Policy.Current.Number,
			"rest", all-counts["silent"]-counts["behind"])
	case first.RulesBehind:
		return say("processes.one-rules", "process", first.Name, "has", first.Rules, "site",
			s.Rollout.Generation.String(), "rest", all-counts["silent"]-counts["behind"])
	}
	return say("processes.all-well", "n", all)
}
