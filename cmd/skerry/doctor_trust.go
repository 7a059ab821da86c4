package main

import (
	"context"
	"strings"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/registry/postgres"
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

// describeKeys says which way the site's key takes from the database, and which
// users may read it there.
func describeKeys(f *findings, p postgres.Report) {
	if p.Keys < 0 {
		return
	}
	switch l := p.Link; {
	case l.Socket || l.Loopback:
		f.fine("the connection stays on this host")
	case l.Encrypted && l.Verified:
		f.fine("the connection is encrypted (%s), and the server has proved its name", l.TLS)
	case l.Encrypted:
		f.hint("sslmode=verify-full in database.url, and sslrootcert", "the connection is encrypted (%s), but the server has proved nothing: another one could stand between", l.TLS)
	case p.Keys > 0:
		f.hint("sslmode=verify-full in database.url; or keep the site's key in files (skerry key set)",
			"the connection is not encrypted: a listener on the network reads the site's key along")
	}
	if len(p.KeyReaders) > 0 {
		f.fine("besides superusers, these users may read the site's key: %s", strings.Join(p.KeyReaders, ", "))
	}
}
