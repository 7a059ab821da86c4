package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/textdiff"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// policyChangePage is one change of the policy: what it did, and what bringing it back would do.
type policyChangePage struct {
	Change  change     `json:"change"`
	Number  uint64     `json:"number"`
	Now     uint64     `json:"in_force"`
	NowHash string     `json:"in_force_hash"`
	InForce bool       `json:"-"`
	Before  uint64     `json:"before"` // number of the entry that it was made on; 0: none, or not kept
	Made    []diffLine `json:"-"`      // what it changed
	MadeMay bool       `json:"-"`      // the entry before is kept
	Undoing []diffLine `json:"-"`      // what bringing it back would change
	Left    int        `json:"-"`
	Plans   []string   `json:"plans_on"`
}

// plansOf are the plans of a text, none when it is not understood.
func plansOf(text string) map[string]*policy.Plan {
	p, _, err := form.Understand([]byte(text))
	if err != nil {
		return nil
	}
	return p.Plans
}

func (s *snapshot) policyChangePage(r *http.Request) (any, error) {
	e, ok := s.policyNumbered(r.PathValue("number"))
	if !ok {
		return nil, &notFound{say("policy.unknown", "number", short(r.PathValue("number"), 20))}
	}
	p := &policyChangePage{Number: e.Number, Now: s.Policy.Current.Number, Plans: []string{}}
	if p.Now > 0 {
		p.NowHash = s.Policy.Current.Hash()
		p.InForce = p.NowHash == e.Hash()
	}
	for _, c := range s.changes() {
		if c.Hash == e.Hash() {
			p.Change = c
		}
	}
	for _, on := range e.On {
		p.Plans = append(p.Plans, on.Name)
	}
	before := policylog.Entry{}
	for _, o := range s.Policy.Log {
		if e.Previous != "" && o.Hash() == e.Previous {
			before = o
		}
	}
	p.Before, p.MadeMay = before.Number, before.Number > 0 || e.Previous == ""
	var left int
	if p.MadeMay {
		p.Made, p.Left = diffOf(textdiff.Unified(policychange.TextOf(before), policychange.TextOf(e)))
	}
	p.Undoing, left = diffOf(textdiff.Unified(policychange.TextOf(s.Policy.Current), policychange.TextOf(e)))
	p.Left = max(p.Left, left)
	return p, nil
}

// current reads the policy of the site for a step that its page was made for: the form says on which policy.
func (c *handler) current(ctx context.Context, by actor, v url.Values) (s *policychange.Site, signs bool, err error) {
	op, signs := c.operator(by)
	if s, err = c.policySite(ctx, op); err != nil {
		return nil, false, err
	}
	hash := ""
	if s.Now.Number > 0 {
		hash = s.Now.Hash()
	}
	if v.Get("hash") != hash {
		return nil, false, refuse("edit.moved", "number", s.Now.Number, "by", s.Now.By)
	}
	return s, signs, nil
}

// step makes a prepared change, or shows the command for an operator whose key is elsewhere.
func (c *handler) step(ctx context.Context, s *policychange.Site, step policychange.Step, signs bool, command string) (
	outcome, error,
) {
	if len(step.Faults) > 0 {
		return outcome{To: "/policy"}, refuse("edit.faults", "faults", strings.Join(step.Faults, "; "))
	}
	if !signs {
		return outcome{To: "/policy", Before: policychange.Title(s.Now), Confirm: &confirmation{Command: command,
			Code: PolicyCode(s.Now, step.Entry)}}, nil
	}
	return c.makePolicy(ctx, s, step)
}

func (c *handler) listed() []discovery.Entry { return c.node.Explain("") }
