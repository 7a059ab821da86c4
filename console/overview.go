package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/words"
)

// overviewPage answers: does anything need an operator, and what first?
type overviewPage struct {
	Findings []finding    `json:"findings"`
	Silenced []silenced   `json:"silenced"`
	Now      point        `json:"now"`
	Points   []point      `json:"last_hour"`
	Changes  []change     `json:"changes"`
	UnderWay []underWay   `json:"under_way"`
	Hosts    int          `json:"hosts"`
	Well     int          `json:"instances_well"`
	All      int          `json:"instances"`
	Services []serviceRow `json:"-"`
}

// underWay is what goes on, or ends by itself.
type underWay struct {
	What phrase
	Why  phrase
	Link string
	Ends time.Duration // 0: it does not end by itself
}

// changesShown is the number of changes on the first page.
const changesShown = 8

func (s *snapshot) overviewPage(*http.Request) (any, error) {
	p := overviewPage{Findings: s.Findings, Silenced: s.Silenced, Points: s.Hour, Services: s.services(),
		UnderWay: s.underWay(),
		Now:      s.now()}
	hosts := map[string]bool{}
	for _, m := range s.Processes {
		hosts[m.Host] = true
	}
	p.Hosts = len(hosts)
	for _, r := range p.Services {
		p.Well, p.All = p.Well+r.Well, p.All+r.All
	}
	p.Changes = slices.Concat(s.changes(), s.comings(func(e memberEvent) bool { return e.Kind == memberLost }))
	newestFirst(p.Changes)
	p.Changes = p.Changes[:min(len(p.Changes), changesShown)]
	return p, nil
}

// now are the figures of the last minute.
func (s *snapshot) now() point {
	var f figures
	for _, flow := range s.Flows {
		f.add(flow)
	}
	return point{At: s.At, Calls: f.Rate(), Failed: f.Share() / 100, P99: f.P99(), Instances: s.instances()}
}

func (s *snapshot) underWay() (list []underWay) {
	if r := s.Rollout.Session; r != nil && !r.Finished() {
		list = append(list, underWay{What: say("overview.release", "name", r.Name, "reason", r.Reason),
			Why: say("overview.release-state", "state", r.State, "share", percent(float64(r.Share)/100), "by", r.By)})
	}
	if e := s.Policy.Current; e.Confirm > 0 && e.Hash() == s.Policy.Newest.Hash() {
		list = append(list, underWay{What: say("overview.unconfirmed", "number", e.Number), Why: plain(e.Why),
			Link: "/policy", Ends: max(e.Confirm-s.At.Sub(e.At), time.Second)})
	}
	for _, on := range s.Policy.Current.On {
		w := underWay{What: say("overview.plan", "name", on.Name), Link: "/policy"}
		if on.For > 0 {
			w.Ends = max(on.For-s.At.Sub(s.Policy.Current.At), 0)
		}
		list = append(list, w)
	}
	return list
}

// change is one line of the history.
type change struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"` // release, policy, and those of historyKinds
	What   phrase    `json:"-"`
	Line   string    `json:"what"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
	Signer string    `json:"signed_by,omitempty"`
	Number string    `json:"number"`
	Hash   string    `json:"hash"`
	Cause  phrase    `json:"-"` // of what no operator did
	Causes string    `json:"cause,omitempty"`
	Bad    bool      `json:"-"`

	Unknown bool `json:"unknown,omitempty"` // it has begun, and the console was killed before it could say how it ended
}

// changes are all changes that the site keeps, the newest first.
func (s *snapshot) changes() (list []change) {
	for _, e := range s.Rollout.Trail {
		c := change{At: e.At, Kind: "release", What: phrase{Step: e.Step}, By: e.By, Number: e.Generation.String(),
			Hash: e.Hash()}
		if e.Session != nil {
			c.Reason = e.Session.Reason
			c.What.Step = strings.Replace(e.Step, ": "+c.Reason, "", 1) // the reason has a column of its own
		}
		list = append(list, c)
	}
	for _, e := range s.Policy.Log {
		c := change{At: e.At, Kind: "policy", What: say("history.policy", "number", e.Number), By: e.By, Reason: e.Why,
			Number: words.Grouped(int64(e.Number)), Hash: e.Hash(), Signer: s.Policy.Signers[e.Hash()]}
		if e.Undoes > 0 {
			c.What = say("history.undo", "number", e.Number, "undone", e.Undoes)
		} else if e.Origin == "plan" {
			c.What = say("history.plan", "number", e.Number)
		}
		list = append(list, c)
	}
	for i := range list {
		list[i].Line = list[i].What.In(english)
	}
	newestFirst(list)
	return list
}

// comings are the processes that have come and gone, where wanted.
func (s *snapshot) comings(wanted func(memberEvent) bool) (list []change) {
	for i := range s.Members {
		if wanted(s.Members[i]) {
			list = append(list, s.Members[i].change())
		}
	}
	return list
}

func newestFirst(list []change) {
	slices.SortStableFunc(list, func(a, b change) int { return cmp.Compare(b.At.UnixNano(), a.At.UnixNano()) })
}
