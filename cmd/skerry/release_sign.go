package main

import (
	"context"
	"sync"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sshsig"
)

// operatorSigner signs the steps of one command. It loads the key and asks for its
// passphrase at the first signature, because a command that only reads needs no key.
type operatorSigner struct {
	ctx       context.Context
	options   operatorkey.Options
	operators *keyfile.Operators
	used      func(*operatorkey.Signer) // called with the key that is used

	mu     sync.Mutex
	signer *operatorkey.Signer
}

// signer returns the signer of the command, nil where the site names no operators.
func (a *app) signer(ctx context.Context, c skerry.Config, f *releaseFlags) (*operatorSigner, error) {
	if c.Site.Operators == "" {
		if f.key != "" || f.envelope {
			return nil, usagef("the configuration names no operators, so the site's key signs: name their file in " +
				"site.operators, on every host, or leave --key and --envelope out")
		}
		return nil, nil
	}
	operators, err := keyfile.OpenOperators(c.Site.Operators)
	if err != nil {
		return nil, problemf("site.operators: %w", err)
	}
	return &operatorSigner{ctx: ctx, operators: operators,
		options: operatorkey.Options{File: f.key, Envelope: f.envelope, Namespace: sshsig.Release},
		used: func(s *operatorkey.Signer) {
			if s.Name() == operatorkey.Breakglass {
				a.note("signed by the key of the envelope; status and doctor show that until another operator " +
					"acknowledges it.\n" +
					"When this is over: skerry release acknowledge, then take its line out of the file of operators, " +
					"and make another one (skerry operator envelope)")
			}
		}}, nil
}

// Sign implements operator.Signer.
func (s *operatorSigner) Sign(p rollout.Purpose, text string) (rollout.Proof, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return rollout.Proof{}, err
	}
	blob, err := s.signer.Sign(string(p), []byte(text))
	if err != nil {
		return rollout.Proof{}, problemf("%w", err)
	}
	key := s.signer.PublicKey()
	return rollout.Proof{Kind: rollout.SSHProof, Signature: blob, Key: key[:]}, nil
}

// open loads the key at the first signature. The caller holds mu.
func (s *operatorSigner) open() error {
	if s.signer != nil {
		return nil
	}
	s.options.Operators = s.operators.Trusted().List()
	signer, err := operatorkey.Open(s.ctx, s.options)
	if err != nil {
		return problemf("%w", err)
	}
	s.signer = signer
	s.used(signer)
	return nil
}

// Close closes the connection to an agent.
func (s *operatorSigner) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signer != nil {
		s.signer.Close()
	}
}
