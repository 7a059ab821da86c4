package main

import (
	"context"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/site/spread"
)

// open opens a node that offers nothing.
func (a *app) open(ctx context.Context, opts ...skerry.Option) (*skerry.Node, skerry.Config, error) {
	c, err := a.config()
	if err != nil {
		return nil, c, err
	}
	c = consumer(c)
	n, err := skerry.Open(ctx, c, append(opts, skerry.AsObserver())...)
	if err != nil {
		return nil, c, problemf("%w", err)
	}
	return n, c, nil
}

const (
	lookPeriod = 25 * time.Millisecond
	quietTime  = 500 * time.Millisecond  // without a change, until a LAN is complete
	emptyTime  = 1500 * time.Millisecond // the same without any instance: the LAN is asked again after 1 s
)

// look waits until each source has answered: a database by its list, a LAN by a quiet
// time. It waits at most --timeout.
func (a *app) look(ctx context.Context, n *skerry.Node, service string) listing {
	ctx, cancel := context.WithTimeout(ctx, a.flags.timeout)
	defer cancel()
	var l listing
	size, changed := -1, time.Now()
	for {
		l.Instances, l.Sources = n.Explain(service), n.Sources(service)
		if len(l.Instances) != size {
			size, changed = len(l.Instances), time.Now()
		}
		if settled(l, time.Since(changed)) || run.Sleep(ctx, lookPeriod) != nil {
			return l
		}
	}
}

// rulesTime is how long a look waits for the rules of the site after it has its list.
const rulesTime = time.Second

// lookWithRules is look with the standing of each version by the log of releases.
func (a *app) lookWithRules(ctx context.Context, n *skerry.Node, service string) listing {
	l := a.look(ctx, n, service)
	if len(l.Instances) > 0 {
		limited, cancel := context.WithTimeout(ctx, rulesTime)
		defer cancel()
		n.Membership().AwaitRules(limited)
		l.Instances = n.Explain(service)
	}
	return l
}

// settled reports whether a longer wait is useless.
func settled(l listing, quiet time.Duration) bool {
	for _, s := range l.Sources {
		switch {
		case s.Name == broadcast.Source: // a LAN never reports that its list is complete
			if quiet < emptyTime && (quiet < quietTime || len(l.Instances) == 0) {
				return false
			}
		case s.Name != discovery.Disk && !s.Answered && s.Lost == "":
			return false
		}
	}
	return len(l.Sources) > 0
}

func (a *app) ls(ctx context.Context, service string, wide bool) error {
	n, c, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	l := a.lookWithRules(ctx, n, service)
	if len(l.Instances) > 0 {
		a.lookAtPolicy(ctx, n, service, &l)
	} else if service == "" {
		l.agents = len(n.Explain(spread.Service))
	}
	l.Cluster, l.Mode = c.WithDefaults().Cluster, string(c.WithDefaults().Mode)
	return a.printListing(l, service, wide)
}

func (a *app) watch(ctx context.Context, service string) error {
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return err
	}
	defer n.Close()
	events, stop := n.Subscribe(1024)
	defer stop()
	begun := time.Now()
	for _, e := range n.Explain("") { // the entries that came before Subscribe
		if service == "" || service == e.Service {
			a.printEvent(discovery.Event{When: begun, Kind: discovery.Listed, Entry: e})
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			if e.When.Before(begun) {
				continue
			}
			if service == "" && !strings.HasPrefix(e.Entry.Service, "skerry.") || service == e.Entry.Service {
				a.printEvent(e)
			}
			if e.Missed > 0 {
				a.note("%d changes came too fast and are not shown", e.Missed)
			}
			if err := a.out.Err(); err != nil {
				return err
			}
		}
	}
}

// clientFor returns a client of the service by name, or of one address.
func (a *app) clientFor(ctx context.Context, r callRequest) (thrift.TClient, func(), error) {
	if r.instance != "" {
		c, err := a.config()
		if err != nil {
			return nil, nil, err
		}
		conf, err := c.TLS.Client()
		if err != nil {
			return nil, nil, usagef("%w", err)
		}
		return a.direct(r, conf)
	}
	n, _, err := a.open(ctx, skerry.WithCaller(callerName))
	if err != nil {
		return nil, nil, err
	}
	client := n.Client(r.service, func(o *rpc.ServiceOptions) { o.Timeout = a.flags.timeout })
	return rooted{client, n}, func() { n.Close() }, nil
}

// rooted begins a trace for each call, because the operator is outside the site.
type rooted struct {
	thrift.TClient
	n *skerry.Node
}

func (r rooted) Call(ctx context.Context, method string, args, result thrift.TStruct) (thrift.ResponseMeta, error) {
	ctx, end := r.n.Begin(ctx, callerName)
	defer end()
	return r.TClient.Call(ctx, method, args, result)
}
