package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// policyFlags are the options of the commands that change the policy.
type policyFlags struct {
	releaseFlags
	why      string
	although []string
}

// policySite is the policy of the configured site as one operator sees and changes it.
type policySite struct {
	*control.Policies
	node    *skerry.Node
	cluster string
	state   control.PolicyState
	now     policylog.Entry // in force; number 0: none
}

// openPolicy joins the site as a guest and reads its policy.
func (a *app) openPolicy(ctx context.Context, f *policyFlags) (*policySite, func(), error) {
	n, c, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return nil, nil, err
	}
	leave := func() { n.Close() }
	signer, err := a.signer(ctx, c, &f.releaseFlags)
	if err != nil {
		leave()
		return nil, nil, err
	}
	by := control.Operator{Name: f.author()}
	if signer != nil {
		signer.options.Namespace = sshsig.Policy
		signer.used = func(key *operatorkey.Signer) {
			if key.Name() == operatorkey.Breakglass {
				a.note("signed by the key of the envelope; skerry policy history shows that. When this is over: take " +
					"its line out of the file of operators, and make another one (skerry operator envelope)")
			}
		}
		by.Signer = signer
		leave = func() { signer.Close(); n.Close() }
	}
	s := &policySite{Policies: control.NewPolicies(n, by), node: n, cluster: c.WithDefaults().Cluster}
	look := func() (err error) {
		if s.state, err = s.Look(ctx); err != nil {
			return unreachablef("find the processes: %w", err)
		}
		return s.reached()
	}
	recalled := false
	err = untilReached(ctx, a.flags.timeout, func() error {
		err := look()
		if err != nil && s.state.Away != nil && !recalled {
			recalled = true
			a.recall(n)
			err = look()
		}
		return err
	})
	if err != nil {
		leave()
		return nil, nil, err
	}
	s.now = s.state.Current()
	if s.state.Away != nil {
		a.note("the database does not answer; the policy is that of the processes: %v", s.state.Away)
	}
	if s.state.Doubt != nil {
		a.note("not all entries of the policy's log are believed, and these do not count: %v", s.state.Doubt)
	}
	return s, leave, nil
}

// recall has the node ask the processes that those of this host knew last, as the database lists none.
func (a *app) recall(n *skerry.Node) {
	if c, err := a.config(); err == nil {
		n.Membership().Recall(c.WithDefaults().StateDir)
	}
}

// untilReached looks again while no process answers: on a host without spare time their answers come late.
func untilReached(ctx context.Context, limit time.Duration, look func() error) error {
	for begun := time.Now(); ; {
		var e *exitError
		err := look()
		if !errors.As(err, &e) || e.code != exitUnreachable || time.Since(begun) >= limit ||
			run.Sleep(ctx, lookPeriod) != nil {
			return err
		}
	}
}

// reached fails when neither the database nor a process has said anything about the policy.
func (s *policySite) reached() error {
	if s.node.Membership().Database() != nil && s.state.Away == nil {
		return nil
	}
	if slices.ContainsFunc(s.state.Processes, func(p control.PolicyProcess) bool { return p.Err == nil }) {
		return nil
	}
	if len(s.state.Processes) > 0 && errors.Is(s.state.Processes[0].Err, control.ErrNoPolicies) {
		return problemf("%s: %w", s.state.Processes[0].Process, control.ErrNoPolicies)
	}
	if s.state.Away != nil {
		return unreachablef("no process of the site answers, nor does the database: %w", s.state.Away)
	}
	return unreachablef("no process of the site answers; see skerry ls and skerry doctor")
}

// find returns an entry by its number: of several the one that won.
func (s *policySite) find(number uint64) (policylog.Entry, error) {
	entries := s.state.Log.Entries()
	for _, e := range entries { // the winning one first
		if e.Number == number {
			return e, nil
		}
	}
	if len(entries) == 0 {
		return policylog.Entry{}, problemf("the site has no policy yet")
	}
	return policylog.Entry{}, problemf("there is no policy %d in the log, which has %d to %d; skerry policy history "+
		"lists them", number, entries[len(entries)-1].Number, entries[0].Number)
}

// noPolicy is the text that stands for none.
const noPolicy = "policy: " + form.Version + "\n"

// textOf returns the text of an entry; that of no entry is a policy that says nothing.
func textOf(e policylog.Entry) string {
	if e.Number == 0 {
		return noPolicy
	}
	return e.Text
}

// next returns an entry with a text that continues the log. Plans that the text still has stay on.
func (s *policySite) next(text, origin string, f *policyFlags) policylog.Entry {
	e := s.state.Log.Next(text)
	e.At, e.Why, e.Origin = time.Now().UTC().Truncate(time.Second), f.why, origin
	e.On = nil
	if p, _, err := form.Understand([]byte(text)); err == nil {
		e.On = slices.DeleteFunc(slices.Clone(s.now.On), func(on policylog.On) bool { return p.Plans[on.Name] == nil })
		e.Replies = s.replies(p)
	}
	return e
}

// replies are the Thrift bytes of the policy's fallbacks that a policy of the log has.
func (s *policySite) replies(p *policy.Policy) map[string][]byte {
	out := map[string][]byte{}
	sitepolicy.EachFallback(p, func(i *policy.Item) {
		for _, e := range s.state.Log.Entries() {
			if b, known := e.Replies[sitepolicy.ReplyID(i)]; known {
				out[sitepolicy.ReplyID(i)] = b
				return
			}
		}
	})
	return out
}

// protectiveServices are the services for which a policy has limits or access lists, itself or in the plans that
// counts says; nil: in all.
func protectiveServices(p *policy.Policy, counts func(plan string) bool) map[string]bool {
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

// accepted reports whether the operator accepts by --although what a process or an item can't do.
func (f *policyFlags) accepted(name string) bool {
	return slices.ContainsFunc(f.although, func(a string) bool {
		return a != "" && strings.HasPrefix(name+"/", a+"/")
	})
}
