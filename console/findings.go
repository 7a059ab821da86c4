package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
)

// find judges a snapshot: what needs an operator, the worst first. Several causes of one kind are one finding.
func (s *snapshot) find() []finding {
	var list []finding
	entries := map[string][]*discovery.Entry{}
	for i := range s.Entries {
		e := &s.Entries[i]
		entries[e.Service] = append(entries[e.Service], e)
	}
	ill := map[string]bool{} // services of which worse is known than that they are slow
	for _, r := range s.services() {
		found := s.findService(r, entries[r.Name])
		ill[r.Name] = len(found) > 0 && found[0].Severity == grave
		list = append(list, found...)
	}
	for _, f := range s.findSlow() {
		if !ill[f.About[0]] {
			list = append(list, f)
		}
	}
	list = append(list, s.findProcesses()...)
	list = append(list, s.findGone()...)
	list = append(list, s.findHosts()...)
	if s.Rollout.Frozen != "" {
		list = append(list, finding{Kind: "frozen", Severity: warning, What: say("finding.frozen"),
			Why: say("finding.frozen-why", "why", s.Rollout.Frozen), Do: "skerry doctor"})
	}
	for _, src := range s.Sources {
		if src.Lost != "" {
			list = append(list, finding{Kind: "lost", About: []string{src.Name}, Severity: warning,
				What: say("finding.lost", "source", src.Name), Why: say("finding.lost-why", "why", src.Lost),
				Do: "skerry doctor"})
		}
	}
	slices.SortStableFunc(list, func(a, b finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(findingOrder(a.Kind), findingOrder(b.Kind)))
	})
	return list
}

// findingOrder puts what harms calls first among findings of one severity.
func findingOrder(kind string) int {
	i := slices.Index([]string{"down", "fails", "slow", "avoided"}, kind)
	if i < 0 {
		return 4
	}
	return i
}

// findService judges one service by its instances.
func (s *snapshot) findService(r serviceRow, entries []*discovery.Entry) (list []finding) {
	f := finding{About: []string{r.Name}, Do: "skerry ls " + shellWord(r.Name),
		Link:     "/services/" + url.PathEscape(r.Name),
		LinkText: say("finding.open-service", "service", r.Name)}
	if r.Calls > 0 {
		f.Proof = []fact{{Name: say("finding.failed-now"), Value: percent(r.Failed) + " %", Bad: r.Failed >= badShare},
			{Name: say("finding.calls-now"), Value: rateText(r.Rate)}}
		if r.Before != nil {
			f.Proof = append(f.Proof, fact{Name: say("finding.failed-before"), Value: percent(r.Before.Failed) + " %"})
		}
	}
	var avoided []discovery.Entry
	states := map[string]int{}
	for _, e := range entries {
		states[string(e.State)]++
		if k := dotOf(*e).Kind; k == "warn" || k == "bad" {
			avoided = append(avoided, *e)
			if !e.Since.IsZero() && (f.Since.IsZero() || e.Since.Before(f.Since)) {
				f.Since = e.Since
			}
		}
	}
	switch {
	case r.Well == 0 && (len(avoided) > 0 || r.All == 0):
		f.Kind, f.Severity, f.What = "down", grave, say("finding.down", "service", r.Name)
		var parts []string
		for _, state := range sorted(states) {
			parts = append(parts, fmt.Sprint(states[state], " ", state))
		}
		f.Why = say("finding.down-why", "all", r.All, "states", cmp.Or(strings.Join(parts, ", "), "–"))
		return append(list, f)
	case r.Calls >= fewCalls && (r.Failed >= muchShare || r.Failed >= badShare && r.Worse > usual && len(avoided) == 0):
		f.Kind, f.Severity, f.What = "fails", grave, say("finding.fails", "service", r.Name, "share", percent(r.Failed))
		if r.Failed < muchShare {
			f.Severity = warning
		}
		all := figures{}
		for _, flow := range s.Flows {
			if flow.Service == r.Name {
				all.add(flow)
			}
		}
		f.Why = say("finding.fails-why", "kinds", cmp.Or(kinds(all.Kinds), "–"))
		return append(list, f)
	case len(avoided) > 0:
		f.Kind, f.Severity, f.About = "avoided", warning, nil
		for _, e := range avoided {
			f.About = append(f.About, r.Name+" "+e.Addr)
		}
		f.What = say("finding.avoided", "n", len(avoided), "all", r.All, "service", r.Name)
		e := avoided[0]
		f.Why = say("finding.avoided-why", "instance", hostOf(e.Owner)+" "+e.Addr, "state", e.State, "why",
			cmp.Or(e.Why, "–"))
		return append(list, f)
	}
	return nil
}

// findProcesses judges whether processes answer and obey.
func (s *snapshot) findProcesses() (list []finding) {
	var silent, others []processInfo
	for _, p := range s.Processes {
		switch {
		case p.Silent != "":
			silent = append(silent, p)
		case p.Policy != s.Policy.Current.Number:
			others = append(others, p)
		}
	}
	f := finding{Severity: warning, Link: "/processes", LinkText: say("finding.open-processes")}
	if len(silent) > 0 {
		f.Kind, f.About = "silent", namesOf(silent)
		f.What = say("finding.silent", "n", len(silent), "all", len(s.Processes))
		f.Why = say("finding.silent-why", "process", silent[0].Name, "why", silent[0].Silent)
		f.Do = "skerry doctor"
		list = append(list, f)
	}
	if len(others) > 0 {
		f.Kind, f.About = "policy", namesOf(others)
		f.What = say("finding.policy", "n", len(others), "all", len(s.Processes), "number", s.Policy.Current.Number)
		f.Why = say("finding.policy-why", "process", others[0].Name, "has", others[0].Policy)
		f.Do = "skerry policy show --processes"
		list = append(list, f)
	}
	return list
}

// goneTime is how long a process that has gone without a goodbye is a finding.
const goneTime = 30 * time.Minute

// findGone names processes that have gone without a goodbye, while nothing on their host runs in their place.
func (s *snapshot) findGone() []finding {
	here := map[string]bool{}
	for i := range s.Entries {
		e := &s.Entries[i]
		here[e.Owner] = true
		here[hostOf(e.Owner)+" "+strings.TrimSuffix(e.Service+"/"+e.Version, "/")] = true
	}
	var gone []memberEvent
	for _, e := range s.Members {
		if e.Kind != memberLost || e.Others > 0 || s.At.Sub(e.At) > goneTime || here[e.Process] {
			continue // many at once are a cut of the console's own network
		}
		replaced := !slices.ContainsFunc(e.Runs, func(run string) bool { return !here[hostOf(e.Process)+" "+run] })
		if !replaced {
			gone = append(gone, e)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Reverse(gone) // the newest first
	f := finding{Kind: "gone", Severity: warning, Since: gone[0].At, Link: "/history?kind=processes",
		LinkText: say("finding.open-history")}
	for _, e := range gone {
		f.About = append(f.About, e.Process)
	}
	e := gone[0]
	runs, host := strings.Join(e.Runs, ", "), hostOf(e.Process)
	f.What = say("finding.gone", "n", len(gone), "runs", runs, "host", host)
	f.Why = say("finding.gone-why", "process", e.Process, "runs", runs, "why", e.reason())
	service, _, _ := strings.Cut(e.Runs[0], "/")
	f.Do = "skerry ls " + shellWord(service)
	return []finding{f}
}

func namesOf(processes []processInfo) (names []string) {
	for _, p := range processes {
		names = append(names, p.Name)
	}
	return names
}

// MarshalJSON implements [json.Marshaler].
func (f finding) MarshalJSON() ([]byte, error) {
	level := map[severity]string{note: "note", warning: "warning", grave: "grave"}
	facts := map[string]string{}
	for _, p := range f.Proof {
		facts[p.Name.In(english)] = p.Value
	}
	return json.Marshal(struct {
		ID       string            `json:"id"`
		Kind     string            `json:"kind"`
		About    []string          `json:"about,omitempty"`
		Severity string            `json:"severity"`
		What     phrase            `json:"what"`
		Why      phrase            `json:"why"`
		Since    time.Time         `json:"since,omitzero"`
		Do       string            `json:"do,omitempty"`
		Link     string            `json:"link,omitempty"`
		Facts    map[string]string `json:"facts,omitempty"`
	}{f.ID(), f.Kind, f.About, level[f.Severity], f.What, f.Why, f.Since, f.Do, f.Link, facts})
}
