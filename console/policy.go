package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// policyPage answers: what holds, which processes do not obey it, and what ends?
type policyPage struct {
	Number   uint64        `json:"number"`
	Hash     string        `json:"hash"`
	By       string        `json:"by"`
	Why      string        `json:"why"`
	At       time.Time     `json:"at"`
	Lead     []phrase      `json:"-"`
	Query    string        `json:"-"` // only this service
	Groups   []ruleGroup   `json:"rules"`
	Ending   []ruleRow     `json:"ending"`
	Pager    pager         `json:"-"`
	Lines    []string      `json:"-"`
	Cut      int           `json:"-"` // lines of the text that are not shown
	Text     string        `json:"text"`
	Obeyed   int           `json:"obeyed_by"`
	Of       int           `json:"processes"`
	Others   []notObeying  `json:"not_obeyed_by"`
	More     int           `json:"-"` // further ones
	Plans    []planRow     `json:"plans"`
	History  []change      `json:"history"`
	Confirm  time.Duration `json:"-"`                   // until it goes back by itself; 0: it stays
	ConfirmS float64       `json:"confirm_s,omitempty"` // the same
	Back     uint64        `json:"-"`                   // number of the policy to which it goes back
	Newest   uint64        `json:"newest"`
	Unread   bool          `json:"unread,omitempty"` // this console can't read the text
	Ask      *policyAsk    `json:"-"`                // a change that waits for an answer
}

// notObeying is a process that does not obey the policy in force.
type notObeying struct {
	Process string `json:"process"`
	Policy  uint64 `json:"policy,omitempty"` // that it obeys
	Why     string `json:"why"`
	Silent  bool   `json:"silent,omitempty"`
}

type planRow struct {
	Name string        `json:"name"`
	Why  string        `json:"why"`
	On   bool          `json:"on"`
	Ends time.Duration `json:"-"`
	EndS float64       `json:"ends_s,omitempty"`
}

// Bounds of the page.
const (
	shownOthers = 10
	shownLines  = 400
)

// table is the policy in force as the processes obey it, nil when there is none, or it can't be read.
func (p *policyState) table() *policy.Table {
	if p.Table != nil || p.Current.Text == "" {
		return p.Table
	}
	read, _, err := form.Understand([]byte(p.Current.Text))
	if err != nil {
		return nil
	}
	return policychange.Compile(read, p.Current.On, p.Applied)
}

func (s *snapshot) policyPage(r *http.Request) (any, error) { return s.policyContent(r) }

func (s *snapshot) policyContent(r *http.Request) (*policyPage, error) {
	e := s.Policy.Current
	p := &policyPage{Number: e.Number, By: e.By, Why: e.Why, At: e.At, Text: e.Text, Of: len(s.Processes),
		Newest: s.Policy.Newest.Number, Plans: []planRow{}, History: []change{}, Others: []notObeying{},
		Query: r.URL.Query().Get("service")}
	if e.Number > 0 {
		p.Hash = e.Hash()
		p.Lines = splitLines(e.Text)
		p.Cut = max(0, len(p.Lines)-shownLines)
		p.Lines = p.Lines[:len(p.Lines)-p.Cut]
	}
	s.tellObeying(p)
	table := s.Policy.table()
	p.Unread = table == nil && e.Number > 0
	groups := inForce(table, s.Policy.Applied)
	p.Ending = ending(groups)
	if p.Query != "" {
		groups = slices.DeleteFunc(groups, func(g ruleGroup) bool { return !strings.Contains(g.Service, p.Query) })
	}
	p.Groups, p.Pager = paged(groups, r)
	for i := range p.Groups {
		g := &p.Groups[i]
		g.More = max(0, len(g.Rules)-shownRules)
		g.Rules = g.Rules[:len(g.Rules)-g.More]
	}
	p.Plans = append(p.Plans, s.plans(table)...)
	if e.Confirm > 0 && e.Hash() == s.Policy.Newest.Hash() {
		p.Confirm = max(e.Confirm-s.At.Sub(e.At), time.Second)
		p.ConfirmS = p.Confirm.Seconds()
	}
	p.Back = s.goesBackTo(e)
	for _, c := range s.changes() {
		if c.Kind == "policy" {
			p.History = append(p.History, c)
		}
	}
	p.History = p.History[:min(len(p.History), changesShown)]
	p.Lead = p.lead()
	return p, nil
}

// tellObeying counts the processes that obey the policy in force, and names the others.
func (s *snapshot) tellObeying(p *policyPage) {
	for _, m := range s.Processes {
		o := notObeying{Process: m.Name, Policy: m.Policy, Why: cmp.Or(m.Silent, m.NotObeyed), Silent: m.Silent != ""}
		switch {
		case m.Silent == "" && m.NotObeyed == "" && m.Policy == p.Number:
			p.Obeyed++
			continue
		case len(p.Others) >= shownOthers:
			p.More++
			continue
		}
		p.Others = append(p.Others, o)
	}
}

// goesBackTo is the number of the entry to which the site goes back from one that is not confirmed, as
// [policylog.Log.Before] has it: 0 for none, or when it is not kept.
func (s *snapshot) goesBackTo(e policylog.Entry) uint64 {
	for range s.Policy.Log {
		i := slices.IndexFunc(s.Policy.Log, func(o policylog.Entry) bool {
			return e.Previous != "" && o.Hash() == e.Previous
		})
		if i < 0 {
			return 0
		}
		if e = s.Policy.Log[i]; e.Confirm == 0 {
			return e.Number
		}
	}
	return 0
}

// plans are the plans of a policy, in the order of their names.
func (s *snapshot) plans(t *policy.Table) (list []planRow) {
	p := t.Policy()
	if p == nil {
		return nil
	}
	on := plansOn(p, s.Policy.Applied)
	for _, name := range sorted(p.Plans) {
		row := planRow{Name: name, Why: p.Plans[name].Why, On: on[name] != nil}
		for _, o := range p.On {
			if o.Name == name && row.On {
				row.Ends = o.Left(s.Policy.Applied)
				row.EndS = row.Ends.Seconds()
			}
		}
		list = append(list, row)
	}
	return list
}

// ending is what ends by itself, the soonest first.
func ending(groups []ruleGroup) []ruleRow {
	list := []ruleRow{}
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.Ends > 0 {
				list = append(list, r)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b ruleRow) int { return cmp.Compare(a.Ends, b.Ends) })
	return list[:min(len(list), shownEnding)]
}

// lead answers the page's question.
func (p *policyPage) lead() (list []phrase) {
	if p.Number == 0 {
		return []phrase{say("policy.none")}
	}
	list = []phrase{say("policy.obeyed", "n", p.Obeyed, "all", p.Of)}
	ends, first := len(p.Ending), time.Duration(0)
	if ends > 0 {
		first = p.Ending[0].Ends
	}
	for _, plan := range p.Plans {
		if plan.Ends > 0 {
			ends++
			if first == 0 || plan.Ends < first {
				first = plan.Ends
			}
		}
	}
	if ends > 0 {
		list = append(list, say("policy.ends", "n", ends, "time", lasting(first)))
	}
	return list
}

// lasting is a length of time within a phrase.
type lasting time.Duration

func splitLines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }
