package main

import (
	"context"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/releases"
)

// examineTrust reports the keys by which the site is trusted, and the operators that
// may change its rules.
func (a *app) examineTrust(ctx context.Context, c skerry.Config) []finding {
	f := &findings{area: "Trust"}
	if len(c.Site.Keys) != 1 || c.Site.Keys[0] != config.KeysNone && c.Site.Keys[0] != config.KeysCertificates {
		k, err := a.keysInForce(ctx)
		switch {
		case err != nil && k.stored: // examineDatabase reports the error
		case err != nil:
			f.problem("mend the file, or store the key again: skerry key set", "the site's key: %v", err)
		case len(k.found) > 0:
			f.fine("site key %s, from %s; every host has the same", k.found[0].Key.Fingerprint(), k.found[0].Place())
		}
	}
	describeCertificate(f, c.TLS, time.Now())
	describeGateway(f, c.Gateway.TLS, time.Now())
	if describeOperators(f, c.Site.Operators); c.Site.Operators == "" {
		return f.list
	}
	return append(f.list, a.examineSteps(ctx)...)
}

// describeOperators reports the operators that may release.
func describeOperators(f *findings, path string) {
	if path == "" {
		f.hint("let operators sign with keys of their own: skerry operator add, and site.operators on every host",
			"no operators are named: any process of the site can release")
		return
	}
	list, err := keyfile.ReadOperators(path)
	if err != nil {
		what := quote.Safe("a service of this configuration does not start; one that runs goes by the operators that " +
			"it has read last")
		if keyfile.Nobody(err) {
			what = "no operator may release here: no step is obeyed, and a service of this configuration does not start"
		}
		f.problem("mend it, or copy it from another host", "site.operators: %v: %s", err, what)
		return
	}
	var names []string
	for _, op := range list {
		names = append(names, op.Name)
	}
	f.fine("%s: releases of %s are obeyed; every host needs the same file", path, sortedOr(names, "nobody"))
}

// examineSteps reports whether the newest steps of the release log are obeyed.
func (a *app) examineSteps(ctx context.Context) []finding {
	f := &findings{area: "Trust"}
	to, leave, err := a.openReleases(ctx, &releaseFlags{})
	if err != nil {
		return nil // examineSite reports the error
	}
	defer leave()
	s, err := to.State(ctx)
	if err != nil {
		return nil
	}
	if used := s.Envelope(); len(used) > 0 {
		f.problem("see whether an operator did it; then, by another key: skerry release acknowledge",
			"the key of the envelope has signed %s", releases.EnvelopeText(used))
	}
	unvouched := 0
	for i := range s.Trail {
		if s.Unvouched(i) {
			unvouched++
		}
	}
	if unvouched > 0 {
		f.problem("look at them (skerry release log --verify), then take them over: skerry release vouch",
			"the last %d of %d steps of the release log are signed by no key that is trusted now: processes that "+
				"start anew stop before them", unvouched, len(s.Trail))
	}
	return f.list
}
