package main

import (
	"context"

	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/project"
	"github.com/skerry/skerry/site/spread"
)

// running is where artifacts run, by what the agents of the site say.
type running map[artifact.Digest][]string

func (r running) Running(d artifact.Digest) []string { return r[d] }

// where asks the agents of the configured site. A host that does not answer is said.
func (a *app) where(ctx context.Context) (project.Where, error) {
	n, _, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	a.look(ctx, n, "")
	site := spread.NewSite(n)
	defer site.Close()
	all, err := site.Statuses(ctx)
	if err != nil {
		return nil, unreachablef("the agents of the site: %w", err)
	}
	if len(all) == 0 {
		a.note("no agent of the site is listed, so it is unknown where artifacts run")
		return nil, nil
	}
	return runningOn(all, func(s spread.HostStatus) {
		a.note("the agent of %s does not answer; what runs there is left out: %v", s.Host, s.Err)
	}), nil
}

// runningOn sorts the instances of hosts by their artifacts.
func runningOn(all []spread.HostStatus, silent func(spread.HostStatus)) running {
	r := running{}
	for _, s := range all {
		if s.Status == nil {
			silent(s)
			continue
		}
		for _, i := range s.Status.Instances {
			if d, err := artifact.ParseDigest(i.Digest); err == nil && i.PID > 0 {
				r[d] = append(r[d], i.Name+"@"+s.Status.Host)
			}
		}
	}
	return r
}
