package policychange

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// Judge compares a policy with what is listed, and with what the processes understand. accepted says of a key or
// a process that the operator has accepted it.
func Judge(
	p *policy.Policy, listed []discovery.Entry, processes []control.PolicyProcess, accepted func(string) bool,
) (faults, notes []string) {
	for _, found := range policy.CheckSite(p, InstancesOf(listed)) {
		switch text := found.Key + ": " + found.Text; {
		case found.Note || accepted(found.Key):
			notes = append(notes, "note: "+text)
		default:
			faults = append(faults, text)
		}
	}
	for _, process := range processes {
		if process.Err == nil && process.Status.Obey == sitepolicy.ObeysNone {
			notes = append(notes, "note: "+process.Process+" will not obey it: "+process.Status.Because)
		}
	}
	guarded := Protective(p, nil)
	for _, process := range processes {
		if !errors.Is(process.Err, control.ErrNoPolicies) {
			continue
		}
		weak := slices.ContainsFunc(listed, func(e discovery.Entry) bool {
			return e.Owner == process.Process && (guarded[e.Service] || guarded[policy.Every])
		})
		text := process.Process + ": " + process.Err.Error()
		if weak && !accepted(process.Process) {
			faults = append(faults, text+"; it offers a service with limits or access, which it would not enforce")
		} else {
			notes = append(notes, "note: "+text)
		}
	}
	return faults, notes
}

// unconfirmed warns that a further change ends the wait for a confirmation.
func (s *Site) unconfirmed() []string {
	if s.Now.Confirm == 0 {
		return nil
	}
	return []string{"note: policy " + Title(s.Now) + " waits for its confirmation; this takes its place, and " +
		"then the site does not go back by itself to what was before it"}
}

// uncheckedReplies names the replies that are to keep calls away and were compared with no .thrift file: where such a
// reply does not fit its method, the call is sent.
func uncheckedReplies(p *policy.Policy, checked map[string][]byte) (notes []string) {
	sitepolicy.EachFallback(p, func(i *policy.Item) {
		if _, fits := checked[sitepolicy.ReplyID(i)]; !fits && slices.Contains(i.On, "always") {
			notes = append(notes, "note: "+i.Key+": calls are sent all the same where the reply does not fit the "+
				"method; --idl "+i.Service+"=FILE checks it")
		}
	})
	slices.Sort(notes)
	return notes
}

// newlyEnforced names the access lists that begin to refuse calls.
func (s *Site) newlyEnforced(p *policy.Policy) (notes []string) {
	now, _, err := form.Understand([]byte(TextOf(s.Now)))
	if err != nil {
		now = &policy.Policy{}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		was := now.Services[name]
		if access := p.Services[name].Access; access == nil || !access.Enforce ||
			was != nil && was.Access != nil && was.Access.Enforce {
			continue
		}
		notes = append(notes, "note: services."+name+".access begins to refuse calls; with --confirm 10m the site "+
			"goes back by itself when that cuts off too much")
	}
	return notes
}

// faultsBesides are the keys of what does not fit the site already, without a plan: they are no reason to leave it off.
func faultsBesides(plan string, p *policy.Policy, listed []discovery.Entry) (keys []string) {
	for _, found := range policy.CheckSite(p, InstancesOf(listed)) {
		if !found.Note && !strings.HasPrefix(found.Key, "plans."+plan+".") {
			keys = append(keys, found.Key)
		}
	}
	return keys
}
