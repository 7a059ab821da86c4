package main

import (
	"context"
	"os"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/operatorkey"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/order"
	"github.com/skerry/skerry/site/plan"
	"github.com/skerry/skerry/site/spread"
)

// hands are the agents of the site for the steps of releases, nil where no file names keys that sign plans: agents
// would obey none then. signer is nil where the site names no operators.
func (a *app) hands(ctx context.Context, n *skerry.Node, c skerry.Config, f *releaseFlags, signer *operatorSigner) (
	releases.Hands, func()) {
	desk, leave := a.desk(ctx, n, c, f, signer)
	if desk == nil {
		return nil, leave
	}
	return &order.Hands{Desk: desk, Artifacts: a.artifacts}, leave
}

// desk gives plans to the agents of a site; nil without a file of operators.
func (a *app) desk(ctx context.Context, n *skerry.Node, c skerry.Config, f *releaseFlags, signer *operatorSigner) (
	*order.Desk, func()) {
	file := c.Site.Operators
	if file == "" {
		file = systemFile("operators")
	}
	if _, err := os.Stat(file); err != nil {
		return nil, func() {}
	}
	own := signer
	if own == nil {
		own = &operatorSigner{ctx: ctx, options: operatorkey.Options{File: f.key, Namespace: plan.Namespace},
			used: func(*operatorkey.Signer) {}}
	}
	agents := spread.NewSite(n)
	return order.New(order.Config{Agents: agents, Cluster: n.Membership().Agent().Cluster(), Operators: file,
			Sign: func(_ context.Context, text []byte) ([]byte, error) {
				if own.operators == nil {
					operators, err := keyfile.OpenOperators(file)
					if err != nil {
						return nil, problemf("the keys that sign plans: %w", err)
					}
					own.operators = operators
				}
				return own.plan(text)
			}}), func() {
			agents.Close()
			if signer == nil {
				own.Close()
			}
		}
}

// plan returns the armored signature of a plan.
func (s *operatorSigner) plan(text []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	blob, err := s.signer.Sign(plan.Namespace, text)
	if err != nil {
		return nil, problemf("%w", err)
	}
	return sshsig.Armor(blob), nil
}

// artifacts returns the digests of a version by platform, as this host's store has them.
func (a *app) artifacts(service, version string) (map[string]string, error) {
	store, err := (&storeFlags{floor: "0"}).open()
	if err != nil {
		return nil, err
	}
	all, err := store.List()
	if err != nil {
		return nil, problemf("%w", err)
	}
	return platformsOf(all, service, version), nil
}

// platformsOf are the digests of a version by platform.
func platformsOf(all []artifact.Artifact, service, version string) map[string]string {
	found := map[string]string{}
	for _, x := range all {
		if m := x.Manifest; m.Service == service && m.Version == version {
			found[m.Platform] = string(x.Digest)
		}
	}
	return found
}
