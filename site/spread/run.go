package spread

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/agentwire"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/site/agent"
	"github.com/skerry/skerry/site/artifact"
)

// Config is that of the part of an agent that talks with other hosts.
type Config struct {
	Agent *agent.Agent
	Open  func(context.Context) (*skerry.Node, error) // of a configuration that Offering has made
	Rate  int64                                       // bytes sent in a second, and fetched; 0: no limit
	Log   *slog.Logger                                // nil: slog.Default
}

// Offering makes a site's configuration the one of its agent on a host: the process offers [Service] alone, on any free
// port, and tells the host's name.
func Offering(c skerry.Config, host string) skerry.Config {
	c.Services = nil
	c.Service = config.Service{Name: Service, Zone: c.Zone, Tags: map[string]string{hostTag: host}}
	return c
}

// againTime is the pause before a node is opened again.
const againTime = 30 * time.Second

// Run offers the agent to the site, and takes plans and artifacts from other hosts, until ctx ends. What fails is
// reported by the agent and tried again.
func Run(ctx context.Context, c Config) error {
	c.Log = cmp.Or(c.Log, slog.Default())
	for {
		err := once(ctx, c)
		if ctx.Err() != nil {
			return nil
		}
		c.Agent.SayNetwork(err)
		c.Log.Warn("this host is not offered to the site; trying again", "in", againTime, "err", err)
		if run.Sleep(ctx, againTime) != nil {
			return nil
		}
	}
}

// once opens a node, and works until ctx ends or the node can't be used.
func once(ctx context.Context, c Config) (err error) {
	n, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	s := NewSite(n)
	defer s.Close()
	fetcher := artifact.NewFetcher(c.Agent.Store())
	defer fetcher.Close()
	server := newServer(c.Agent, fetcher, c.Rate)
	if err := n.HandleMembers(ctx, Service, agentwire.NewAgentProcessor(server)); err != nil {
		return err
	}
	c.Agent.SayNetwork(nil)
	g := run.NewGroup(ctx)
	p := newPuller(c, s)
	g.Go(p.pull)
	g.Go(p.push)
	g.Go(newFetching(c, s, fetcher).run)
	return g.Wait()
}
