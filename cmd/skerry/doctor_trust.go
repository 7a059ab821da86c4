package main

import (
	"context"
	"strings"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/keyfile"
)

// examineTrust says by which keys the site is believed, and whose word changes
// its rules.
func (a *app) examineTrust(ctx context.Context, c skerry.Config) []finding {
	f := &findings{area: "Trust"}
	k, err := a.keyPlaces()
	switch {
	case err != nil:
		f.problem("mend the file, or store the key again: skerry key set", "the site's key: %v", err)
	case len(k.found) > 0:
		f.fine("site key %s, from %s", k.found[0].Key.Fingerprint(), k.found[0].Place())
	}
	if c.Site.Operators == "" {
		f.hint("name who may release, on every host: skerry operator add NAME KEY.pub, and site.operators",
			"no operators are named: any process of the site can change its rules")
		return f.list
	}
	operators, err := keyfile.OpenOperators(c.Site.Operators)
	if err != nil {
		f.problem("mend the file; see skerry operator ls", "site.operators: %v", err)
		return f.list
	}
	f.fine("operators in %s: %s", c.Site.Operators, strings.Join(operators.Trusted().Names(), ", "))
	return append(f.list, a.examineSteps(ctx)...)
}

// examineSteps says whether the newest steps of the release log are obeyed.
func (a *app) examineSteps(ctx context.Context) []finding {
	f := &findings{area: "Trust"}
	to, leave, err := a.openReleases(ctx, &releaseFlags{})
	if err != nil {
		return nil // said elsewhere
	}
	defer leave()
	s, err := to.State(ctx)
	if err != nil {
		return nil
	}
	unvouched := 0
	for i := range s.Entries {
		if s.unvouched(i) {
			unvouched++
		}
	}
	if unvouched > 0 {
		f.problem("look at them (skerry release log --verify), then take them over: skerry release vouch",
			"the last %d of %d steps of the release log are signed by no key that is trusted now: processes that start anew stop before them", unvouched, len(s.Entries))
	}
	return f.list
}
