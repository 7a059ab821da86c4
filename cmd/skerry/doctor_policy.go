package main

import (
	"errors"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/sitepolicy"
)

// policy reports which processes do not obey the policy of the site, and changes that were made at once.
func (f *findings) policy(state control.PolicyState) {
	f.obeyNone(state)
	newest, some := state.Log.Newest()
	if !some {
		return
	}
	now := state.Current()
	obeyed, answered := 0, 0
	for _, p := range state.Processes {
		if p.Err != nil && !errors.Is(p.Err, control.ErrNoPolicies) {
			continue // silent processes are named elsewhere
		}
		if p.Err == nil && p.Status.Obey == sitepolicy.ObeysNone {
			answered++
			continue
		}
		answered++
		said := policychange.Obeys(p, now)
		if said.Obeys {
			obeyed++
			continue
		}
		f.problem("skerry policy show --processes looks again; a process that knows too little needs a later version "+
			"of skerry", "%s does not obey policy %d: %s", p.Process, now.Number, said.Why)
	}
	if obeyed > 0 {
		f.fine("policy %s is obeyed by %d of %s that answered", policychange.Title(now), obeyed,
			count(answered, "process", "es"))
	}
	switch {
	case newest.Confirm > 0 && now.Hash() == newest.Hash():
		f.hint("skerry policy confirm keeps it, skerry policy undo ends it at once",
			"policy %s goes back by itself, as it is not confirmed", policychange.Title(newest))
	case newest.Confirm > 0:
		f.hint("apply it again when it was meant to stay", "policy %s was not confirmed, so policy %d is in force",
			policychange.Title(newest), now.Number)
	}
	for _, l := range state.Log.Lost() {
		if l.To.Hash() == newest.Hash() { // older ones are history
			f.hint("skerry policy history shows both; make what is lacking once more",
				"two operators changed the policy at once: %s lost to %s", policychange.Title(l.Entry),
				policychange.Title(l.To))
		}
	}
	if state.Lost {
		f.problem("skerry policy show | skerry policy apply - writes it there again",
			"the database lacks policy %s, as after a restore: a process that starts may obey an older one",
			policychange.Title(newest))
	}
	if state.Doubt != nil {
		f.problem("compare the site's keys and the file of operators of this host with those of the others",
			"entries of the policy's log are not believed here: %v", state.Doubt)
	}
}

// obeyNone names the processes that are told to obey no policy.
func (f *findings) obeyNone(state control.PolicyState) {
	for _, p := range state.Processes {
		if p.Err == nil && p.Status.Obey == sitepolicy.ObeysNone {
			f.problem(quote.Safe("when the emergency is over: "+membership.ObeyAgain),
				"%s obeys no policy of the site, its access lists and limits neither: %s", p.Process, p.Status.Because)
		}
	}
}
