package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/doctor"
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
	f.list = append(f.list, doctor.Certificate(c.TLS, time.Now())...)
	f.list = append(f.list, doctor.GatewayCertificate(c.Gateway.TLS, time.Now())...)
	if dir := consoleDir(c); dir != "" {
		f.list = append(f.list, doctor.ConsoleCertificate(filepath.Join(dir, consoleCertFile), time.Now())...)
	}
	f.list = append(f.list, doctor.Operators(c.Site.Operators)...)
	if c.Site.Operators == "" {
		return f.list
	}
	return append(f.list, a.examineSteps(ctx)...)
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
