package main

import (
	"context"
	"errors"
	"strings"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/internal/sshsig"
)

// consoleSigners is the key that was unlocked at the terminal of a console.
type consoleSigners struct {
	operators *keyfile.Operators
	key       *operatorkey.Signer // nil: none was
}

// consoleSigners unlocks the key of --key. It returns nil where the site names no operators, and the name that the
// terminal's links sign in.
func (a *app) consoleSigners(ctx context.Context, c skerry.Config, f consoleFlags) (*consoleSigners, string, error) {
	name := releaseFlags{by: f.by}.operator()
	if c.Site.Operators == "" {
		if f.key != "" {
			return nil, "", usagef("--key: the configuration names no operators, so the site's key signs: name their " +
				"file in site.operators, on every host, or leave --key out")
		}
		return nil, name, nil
	}
	operators, err := keyfile.OpenOperators(c.Site.Operators)
	if err != nil {
		return nil, "", problemf("site.operators: %w", err)
	}
	s := &consoleSigners{operators: operators}
	if f.key == "" {
		return s, name, nil
	}
	o := operatorkey.Options{File: f.key, Operators: operators.Trusted().List(), Namespace: sshsig.Release, Name: f.by}
	if f.key == "agent" {
		o.File = ""
	}
	if s.key, err = operatorkey.Open(ctx, o); err != nil {
		return nil, "", problemf("%w", err)
	}
	if s.key.Name() == operatorkey.Breakglass {
		return nil, "", usagef("--key: the key of the envelope signs single commands only: --envelope")
	}
	return s, s.key.Name(), nil
}

// Operators implements console.Signers.
func (s *consoleSigners) Operators() bool { return true }

// Signer implements console.Signers. A key that was taken out of the file of operators signs no more.
func (s *consoleSigners) Signer(name string) operator.Signer {
	if s.key == nil || s.key.Name() != name {
		return nil
	}
	for _, o := range s.operators.Trusted().List() {
		if o.Name == name && o.Key == s.key.PublicKey() {
			return terminalSigner{s.key}
		}
	}
	return nil
}

// terminalSigner signs by the key of the terminal.
type terminalSigner struct{ key *operatorkey.Signer }

func (s terminalSigner) Sign(p rollout.Purpose, text string) (rollout.Proof, error) {
	blob, err := s.key.Sign(string(p), []byte(text))
	if err != nil {
		return rollout.Proof{}, errors.Join(errors.New("the key of the console's terminal does not sign"), err)
	}
	key := s.key.PublicKey()
	return rollout.Proof{Kind: rollout.SSHProof, Signature: blob, Key: key[:]}, nil
}

// sameCode fails when a step is not the one that the console has previewed, by the code of --code.
func (a *app) sameCode(f *releaseFlags, code string) error {
	switch {
	case f.code == "":
		return nil
	case !strings.EqualFold(f.code, code):
		return problemf("the console has shown the code %s, and what this would do has the code %s: the site has "+
			"changed meanwhile, or the console has shown something else. Nothing was done. Next: look at the page "+
			"again", f.code, code)
	}
	a.note("the code %s is the one of what this will do", code)
	return nil
}
