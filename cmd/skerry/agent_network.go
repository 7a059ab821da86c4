package main

import (
	"context"
	"fmt"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/spread"
)

// agentNetwork returns what an agent does beside its local work: nothing, unless its configuration names the site's.
func agentNetwork(a *agent.Agent) []func(context.Context) error {
	c := a.Config()
	if c.Site == "" {
		return nil
	}
	open := func(ctx context.Context) (*skerry.Node, error) { return openAgentNode(ctx, c) }
	return []func(context.Context) error{func(ctx context.Context) error {
		return spread.Run(ctx, spread.Config{Agent: a, Open: open, Rate: c.Rate})
	}}
}

// openAgentNode reads the site's configuration anew, as it may have been mended.
func openAgentNode(ctx context.Context, c agent.Config) (*skerry.Node, error) {
	site, err := config.Read(c.Site)
	if err != nil {
		return nil, err
	}
	if site.Cluster != c.Cluster {
		return nil, fmt.Errorf("%q is for the cluster %q, and the agent is of %q", c.Site, site.Cluster, c.Cluster)
	}
	return skerry.Open(ctx, spread.Offering(site, c.Host))
}
