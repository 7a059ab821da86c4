package policychange

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/suggest"
	"github.com/skerry/skerry/internal/textdiff"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// Step is a change that is prepared.
type Step struct {
	Entry  policylog.Entry
	Plan   string   // what it will do
	Notes  []string // what the operator should know
	Faults []string // for which it is refused; each begins with the key, or the process, that would accept it
	Same   bool     // the text is in force already: nothing is to be done
}

// Draft is a text that an operator wants to apply.
type Draft struct {
	Text     string
	Policy   *policy.Policy    // of the text
	Remarks  []string          // on the text: what may be meant so
	Replies  map[string][]byte // of fallbacks, as Thrift
	Confirm  time.Duration     // it goes back by itself after that; 0: it stays
	Although []string          // keys and processes that do not fit and are accepted
	Why      string
	Origin   string // cli or console
}

// Bounds of Draft.Confirm.
const (
	ConfirmLeast = 10 * time.Second
	ConfirmMost  = 24 * time.Hour
)

// Accepts returns a function that says of a key or a process whether although accepts it, by its name or a beginning of
// it that ends before a slash.
func Accepts(although []string) func(name string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(although, func(a string) bool {
			return a != "" && strings.HasPrefix(name+"/", a+"/")
		})
	}
}

// Stale reports whether a text was made on another policy than the one in force and the newest.
func (s *Site) Stale(made uint64) bool {
	newest, _ := s.State.Log.Newest()
	return made != newest.Number && made != s.Now.Number
}

// Fits compares a policy with the site; then is its table with the plans that are on. faults are what only an
// acceptance lets pass. A policy that is to be confirmed may cut callers off.
func (s *Site) Fits(
	ctx context.Context, p *policy.Policy, then *policy.Table, listed []discovery.Entry, confirm bool,
	accepted func(string) bool,
) (faults, notes []string, err error) {
	faults, notes = Judge(p, listed, s.State.Processes, accepted)
	cut, warnings, err := s.cutsOff(ctx, then, listed, func(key string) bool { return confirm || accepted(key) })
	if err != nil {
		return nil, nil, err
	}
	return append(faults, cut...), append(append(notes, warnings...), s.asleep(ctx, p)...), nil
}

// ToApply prepares a text as the next policy. listed are the instances of the site.
func (s *Site) ToApply(ctx context.Context, d Draft, listed []discovery.Entry) (Step, error) {
	newest, _ := s.State.Log.Newest()
	e := s.Next(d.Text, d.Origin, d.Why)
	e.Confirm, e.Although = d.Confirm, d.Although
	maps.Copy(e.Replies, d.Replies)
	if s.Now.Number > 0 && s.Now.Number == newest.Number && s.Now.Confirm == 0 && d.Text == s.Now.Text &&
		maps.EqualFunc(e.Replies, s.Now.Replies, bytes.Equal) {
		return Step{Entry: s.Now, Same: true}, nil
	}
	faults, notes, err := s.Fits(ctx, WithPlans(d.Policy, e.On), s.Compile(d.Policy, e.On), listed, d.Confirm > 0,
		Accepts(d.Although))
	if err != nil {
		return Step{}, err
	}
	step := Step{Entry: e, Faults: faults}
	step.Notes = append(append(append(step.Notes, d.Remarks...), s.unconfirmed()...),
		append(uncheckedReplies(d.Policy, e.Replies), notes...)...)
	if d.Confirm == 0 {
		step.Notes = append(step.Notes, s.newlyEnforced(d.Policy)...)
	}
	step.Plan = fmt.Sprintf("make this policy %d of %s", e.Number, s.Cluster)
	if d.Confirm > 0 {
		step.Plan += ", and go back after " + number.Duration(d.Confirm) + " without skerry policy confirm"
	}
	return step, nil
}

// ToConfirm prepares the confirmation of the policy that waits for it.
func (s *Site) ToConfirm(origin, why string) (Step, error) {
	newest, _ := s.State.Log.Newest()
	switch {
	case newest.Number == 0:
		return Step{}, errors.New("the site has no policy, so there is nothing to confirm")
	case newest.Confirm == 0:
		return Step{}, fmt.Errorf("policy %d waits for no confirmation", newest.Number)
	case s.Now.Hash() != newest.Hash():
		return Step{}, fmt.Errorf("policy %d was not confirmed in time, and the site went back to %d; apply it again: "+
			"skerry policy show %d > FILE, then skerry policy apply FILE", newest.Number, s.Now.Number,
			newest.Number)
	}
	return Step{Entry: s.Next(newest.Text, origin, why), Plan: fmt.Sprintf("keep policy %d", newest.Number)}, nil
}

// ToUndo prepares to bring a policy back: that of a number, or for 0 the one before the one in force. Its notes say
// what of it does not fit the site of today; they refuse nothing, as an undo is for trouble.
func (s *Site) ToUndo(ctx context.Context, number uint64, why string, look func() []discovery.Entry) (Step, error) {
	if len(s.State.Log.Entries()) == 0 {
		return Step{}, errors.New("the site has no policy, so there is nothing to undo")
	}
	if newest, _ := s.State.Log.Newest(); number == 0 && newest.Hash() != s.Now.Hash() {
		return Step{}, fmt.Errorf("policy %d was not confirmed, and the site went back to %d by itself; skerry policy "+
			"undo NUMBER names another one", newest.Number, s.Now.Number)
	}
	old, known := s.State.Log.Before(s.Now)
	switch {
	case number > 0:
		var err error
		if old, err = s.Find(number); err != nil {
			return Step{}, err
		}
	case !known:
		return Step{}, fmt.Errorf("the policy before %d is not kept any more; skerry policy history lists those that "+
			"are, for skerry policy undo NUMBER", s.Now.Number)
	}
	e := s.Next(TextOf(old), "undo", why)
	e.Undoes, e.On = old.Number, old.On
	step := Step{Entry: e, Plan: fmt.Sprintf("bring policy %s back, as %d", Title(old), e.Number)}
	if old.Number == 0 {
		step.Plan = fmt.Sprintf("make an empty policy %d, as there was none before %d", e.Number, s.Now.Number)
	}
	p, lost, err := form.Understand([]byte(e.Text))
	if err != nil {
		return Step{}, fmt.Errorf("this skerry can't read that policy, and processes of its version would not "+
			"obey it: %w", err)
	}
	for _, l := range lost {
		step.Notes = append(step.Notes, "note: processes of this version of skerry leave out "+l.String())
	}
	faults, notes := Judge(WithPlans(p, e.On), look(), s.State.Processes, func(string) bool { return true })
	for _, fault := range faults {
		notes = append(notes, "note: "+fault)
	}
	step.Notes = append(step.Notes, notes...)
	return step, nil
}

// Switch is a plan to be switched on or off.
type Switch struct {
	Name     string
	On       bool
	For      time.Duration // 0: until it is switched off
	Although []string
	Why      string
}

// PlanMost is the longest time for which a plan may be switched on.
const PlanMost = 90 * 24 * time.Hour

// ToSwitch prepares to switch a plan on or off.
func (s *Site) ToSwitch(ctx context.Context, to Switch, look func() []discovery.Entry) (Step, error) {
	p, _, err := form.Understand([]byte(TextOf(s.Now)))
	if err != nil {
		return Step{}, fmt.Errorf("policy %d: %w", s.Now.Number, err)
	}
	if s.Now.Number == 0 {
		return Step{}, fmt.Errorf("the site has no policy, so there is no plan %s", to.Name)
	}
	if s.Now.Confirm > 0 {
		return Step{}, fmt.Errorf("policy %s waits for its confirmation, and a plan would keep it for good: first "+
			"skerry policy confirm, or skerry policy undo", Title(s.Now))
	}
	e := s.Next(TextOf(s.Now), "plan", to.Why)
	was := slices.ContainsFunc(e.On, func(o policylog.On) bool { return o.Name == to.Name })
	e.On = slices.DeleteFunc(e.On, func(o policylog.On) bool { return o.Name == to.Name })
	switch {
	case !to.On && !was:
		return Step{}, fmt.Errorf("plan %s is not on", to.Name)
	case !to.On:
		return Step{Entry: e, Plan: "switch plan " + to.Name + " off"}, nil
	case p.Plans[to.Name] == nil:
		names := slices.Sorted(maps.Keys(p.Plans))
		return Step{}, fmt.Errorf("policy %d has no plan %s%s; it has: %s", s.Now.Number, to.Name,
			suggest.DidYouMean(to.Name, names), cmp.Or(strings.Join(names, ", "), "none"))
	}
	e.On = append(e.On, policylog.On{Name: to.Name, For: to.For, Since: e.Number})
	e.Although = to.Although
	listed := look()
	lenient := append(slices.Clone(to.Although), faultsBesides(to.Name, WithPlans(p, s.Now.On), listed)...)
	step := Step{Entry: e, Plan: "switch plan " + to.Name + " on, until skerry policy plan off " + to.Name}
	if to.For > 0 {
		step.Plan += ", or for " + number.Duration(to.For)
	}
	step.Faults, step.Notes, err = s.Fits(ctx, WithPlans(p, e.On), s.Compile(p, e.On), listed, false, Accepts(lenient))
	return step, err
}

// Trial is what a text would change.
type Trial struct {
	Cluster string   `json:"cluster"`
	On      uint64   `json:"made_on"` // number of the policy that it was compared with; 0: none
	Faults  []string `json:"faults"`  // for which apply refuses it
	Notes   []string `json:"notes"`
	Lines   []string `json:"lines"` // of the difference
	Impact  Impact   `json:"impact"`
}

// Trial compares a text with the policy in force, with the site, and with the calls of the last minutes. It changes
// nothing. made is the number of the policy on which the text was made, nil when that is not known.
func (s *Site) Trial(ctx context.Context, d Draft, made *uint64, listed []discovery.Entry) (Trial, error) {
	t := Trial{Cluster: s.Cluster, On: s.Now.Number, Notes: append([]string{}, d.Remarks...),
		Lines: append([]string{}, textdiff.Unified(TextOf(s.Now), d.Text)...), Faults: []string{}}
	e := s.Next(d.Text, "", "")
	faults, notes := Judge(d.Policy, listed, s.State.Processes, Accepts(nil))
	cut, warnings, err := s.cutsOff(ctx, s.Compile(d.Policy, e.On), listed, Accepts(nil))
	if err != nil {
		return t, err
	}
	t.Faults = append(append(t.Faults, faults...), cut...)
	t.Notes = append(append(append(t.Notes, notes...), warnings...), s.asleep(ctx, WithPlans(d.Policy, e.On))...)
	if newest, _ := s.State.Log.Newest(); made != nil && s.Stale(*made) {
		t.Faults = append(t.Faults, "the text was made on another policy than "+Title(newest)+", the newest")
	}
	tried, err := s.Try(ctx, d.Text, PlanNames(e))
	if err != nil {
		return t, unreachablef("find the processes: %w", err)
	}
	t.Impact = ImpactOf(tried)
	return t, nil
}
