package policychange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/registry"
)

// Site is the policy of a site as one operator sees and changes it.
type Site struct {
	*control.Policies
	Node    *skerry.Node
	Cluster string
	Limit   time.Duration // for questions beside the policy itself; 0: 5 s
	State   control.PolicyState
	Now     policylog.Entry // in force; number 0: none
}

// New returns the policy of the node's site. [Site.Read] reads it.
func New(n *skerry.Node, by control.Operator, cluster string) *Site {
	return &Site{Policies: control.NewPolicies(n, by), Node: n, Cluster: cluster}
}

// unreachable is an error of a site that does not answer.
type unreachable struct{ error }

func (e unreachable) Unwrap() error { return e.error }

func unreachablef(format string, args ...any) error { return unreachable{fmt.Errorf(format, args...)} }

// Unreachable reports whether an error of this package means that the site did not answer.
func Unreachable(err error) bool {
	_, is := errors.AsType[unreachable](err)
	return is
}

// Read reads the log, and what the processes obey. It fails when neither the database nor a process has said anything.
func (s *Site) Read(ctx context.Context) (err error) {
	if s.State, err = s.Look(ctx); err != nil {
		return unreachablef("find the processes: %w", err)
	}
	s.Now = s.State.Current()
	return s.reached()
}

// reached fails when neither the database nor a process has said anything about the policy.
func (s *Site) reached() error {
	if s.Node.Membership().Database() != nil && s.State.Away == nil {
		return nil
	}
	if slices.ContainsFunc(s.State.Processes, func(p control.PolicyProcess) bool { return p.Err == nil }) {
		return nil
	}
	if len(s.State.Processes) > 0 && errors.Is(s.State.Processes[0].Err, control.ErrNoPolicies) {
		return fmt.Errorf("%s: %w", s.State.Processes[0].Process, control.ErrNoPolicies)
	}
	if s.State.Away != nil {
		return unreachablef("no process of the site answers, nor does the database: %w", s.State.Away)
	}
	return unreachablef("no process of the site answers; see skerry ls and skerry doctor")
}

// Find returns an entry by its number: of several the one that won.
func (s *Site) Find(number uint64) (policylog.Entry, error) {
	entries := s.State.Log.Entries()
	for _, e := range entries { // the winning one first
		if e.Number == number {
			return e, nil
		}
	}
	if len(entries) == 0 {
		return policylog.Entry{}, errors.New("the site has no policy yet")
	}
	return policylog.Entry{}, fmt.Errorf("there is no policy %d in the log, which has %d to %d; skerry policy history "+
		"lists them", number, entries[len(entries)-1].Number, entries[0].Number)
}

// NoPolicy is the text that stands for none.
const NoPolicy = "policy: " + form.Version + "\n"

// TextOf returns the text of an entry; that of no entry is a policy that says nothing.
func TextOf(e policylog.Entry) string {
	if e.Number == 0 {
		return NoPolicy
	}
	return e.Text
}

// Next returns an entry with a text that continues the log. Plans that the text still has stay on.
func (s *Site) Next(text, origin, why string) policylog.Entry {
	e := s.State.Log.Next(text)
	e.At, e.Why, e.Origin = time.Now().UTC().Truncate(time.Second), why, origin
	e.On = nil
	if p, _, err := form.Understand([]byte(text)); err == nil {
		e.On = slices.DeleteFunc(slices.Clone(s.Now.On), func(on policylog.On) bool { return p.Plans[on.Name] == nil })
		e.Replies = s.replies(p)
	}
	return e
}

// replies are the Thrift bytes of the policy's fallbacks that a policy of the log has.
func (s *Site) replies(p *policy.Policy) map[string][]byte {
	out := map[string][]byte{}
	sitepolicy.EachFallback(p, func(i *policy.Item) {
		for _, e := range s.State.Log.Entries() {
			if b, known := e.Replies[sitepolicy.ReplyID(i)]; known {
				out[sitepolicy.ReplyID(i)] = b
				return
			}
		}
	})
	return out
}

// Protective are the services for which a policy has limits or access lists, itself or in the plans that
// counts says; nil: in all.
func Protective(p *policy.Policy, counts func(plan string) bool) map[string]bool {
	out := map[string]bool{}
	see := func(services map[string]*policy.Service) {
		for name, s := range services {
			protects := func(i policy.Item) bool { return i.Kind.Protective() }
			if s.Access != nil || slices.ContainsFunc(s.Items, protects) {
				out[name] = true
			}
		}
	}
	see(p.Services)
	for name, plan := range p.Plans {
		if counts == nil || counts(name) {
			see(plan.Services)
		}
	}
	return out
}

// Table compiles the policy in force, without what has expired in a process.
func (s *Site) Table() (*policy.Table, error) {
	if s.Now.Number == 0 {
		return nil, nil
	}
	p, lost, err := form.Understand([]byte(s.Now.Text))
	if err != nil || len(lost) > 0 {
		return nil, fmt.Errorf("policy %d has what this command does not know; take a later version of skerry",
			s.Now.Number)
	}
	return s.Compile(p, s.Now.On), nil
}

// Compile makes the table of a policy with plans that are on.
func (s *Site) Compile(p *policy.Policy, plans []policylog.On) *policy.Table {
	return Compile(p, plans, s.State.Ages)
}

// Compile makes the table of a policy with plans that are on, without what has ended. applied is how long what ends by
// itself has applied.
func Compile(p *policy.Policy, plans []policylog.On, applied map[uint64]time.Duration) *policy.Table {
	p = WithPlans(p, plans)
	const now = 10_000 * time.Hour // on a clock that began before any item applied
	ages := policy.Ages{}.At(p, now)
	for id, age := range applied {
		if since, timed := ages[id]; timed {
			ages[id] = min(since, now-age)
		}
	}
	return policy.Compile(p, ages, now)
}

// Title names an entry with its author and reason.
func Title(e policylog.Entry) string {
	text := strconv.FormatUint(e.Number, 10)
	if e.By != "" {
		text += " of " + e.By
	}
	if e.Why != "" {
		text += " (" + e.Why + ")"
	}
	return text
}

// WithPlans is a policy with the plans that are on.
func WithPlans(p *policy.Policy, on []policylog.On) *policy.Policy {
	with := *p
	with.On = nil
	for _, o := range on {
		with.On = append(with.On, policy.On(o))
	}
	return &with
}

// InstancesOf returns the living instances of the lists, with the weights that they have without a policy.
func InstancesOf(entries []discovery.Entry) (out []registry.Instance) {
	for _, e := range entries {
		owner, err := registry.ParseOwner(e.Owner)
		if err != nil || !e.State.Here() {
			continue
		}
		weight := e.Own
		if weight == 0 {
			weight = -1 // it gets no calls
		}
		out = append(out, registry.Instance{Service: e.Service, Version: e.Version, Zone: e.Zone, Tags: e.Tags,
			Weight: weight, Owner: owner})
	}
	return out
}
