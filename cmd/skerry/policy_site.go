package main

import (
	"context"
	"errors"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/sshsig"
)

// policyFlags are the options of the commands that change the policy.
type policyFlags struct {
	releaseFlags
	why      string
	although []string
}

// openPolicy joins the site as a guest and reads its policy.
func (a *app) openPolicy(ctx context.Context, f *policyFlags) (*policychange.Site, func(), error) {
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
	s := policychange.New(n, by, c.WithDefaults().Cluster)
	s.Limit = a.flags.timeout
	recalled := false
	err = untilReached(ctx, a.flags.timeout, func() error {
		err := s.Read(ctx)
		if err != nil && s.State.Away != nil && !recalled {
			recalled = true
			a.recall(n)
			err = s.Read(ctx)
		}
		return policyFailure(err)
	})
	if err != nil {
		leave()
		return nil, nil, err
	}
	if s.State.Away != nil {
		a.note("the database does not answer; the policy is that of the processes: %v", s.State.Away)
	}
	if s.State.Doubt != nil {
		a.note("not all entries of the policy's log are believed, and these do not count: %v", s.State.Doubt)
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

// policyFailure is an error of package policychange with its exit code.
func policyFailure(err error) error {
	switch {
	case err == nil:
		return nil
	case policychange.Unreachable(err):
		return unreachablef("%w", err)
	}
	return problemf("%w", err)
}
