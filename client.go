package skerry

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// Client is a thrift.TClient that calls the service by name, by the configuration's rules for it and
// those of the site's policy, which win.
// Edits change these rules, and set options that need code:
//
//	node.Client("auth", func(o *rpc.ServiceOptions) { o.Fallback = fromCache })
//
// It is safe for concurrent use; the generated clients made on it are not: see [Stub]. Breaker and
// retry budget belong to the value. Without edits Client always returns the same value. With edits
// it returns a new one, which the caller should make once and keep.
func (n *Node) Client(service string, edits ...func(*rpc.ServiceOptions)) thrift.TClient {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.clients[service]; c != nil && len(edits) == 0 {
		return c
	}
	if err := registry.CheckName("service", service); err != nil {
		return broken{&rpc.Error{Code: rpc.NoInstance, Executed: rpc.NotExecuted, Service: service, Err: err}}
	}
	o := n.ServiceOptions(service)
	for _, edit := range edits {
		edit(&o)
	}
	c, err := n.calls.Service(service, o)
	if err != nil {
		return broken{err}
	}
	if len(edits) == 0 {
		n.clients[service] = c
	}
	return c
}

// Stub returns a maker of generated clients for the service. A generated client keeps the last
// reply's metadata in a plain field, so goroutines must not share one value. Making one for each
// call is cheap, as all share the connections of the node:
//
//	auth := skerry.Stub(node, "auth", authapi.NewAuthClient)
//	token, err := auth().GetToken(ctx, "alice")
func Stub[C any](n *Node, service string, newClient func(thrift.TClient) C,
	edits ...func(*rpc.ServiceOptions)) func() C {
	client := n.Client(service, edits...)
	return func() C { return newClient(client) }
}

// broken fails every call, so that an error of a client's options appears where its calls are
// handled.
type broken struct{ err error }

func (b broken) Call(context.Context, string, thrift.TStruct, thrift.TStruct) (thrift.ResponseMeta, error) {
	return thrift.ResponseMeta{}, b.err
}

// listOptions are the configuration's rules for a service in the form of discovery. The framework's
// own services have none.
func (n *Node) listOptions(service string) discovery.Options {
	if membership.Hidden(service) {
		return discovery.Options{}
	}
	c := n.cfg.ConsumerOf(service)
	o := discovery.Options{
		Version: c.Version, Zone: c.Zone, Tags: c.Tags,
		Balancer: discovery.Balancer(c.Balancer), ZoneFirst: c.ZoneFirst,
	}
	if o.Policy = n.members.Policy().Table().Rules(service, ""); o.Policy != nil {
		p := &o.Policy.Settings
		if p.Balancer != nil {
			o.Balancer = discovery.Balancer(*p.Balancer)
		}
		setFrom(&o.ZoneFirst, p.ZoneFirst)
		setFrom(&o.Failures, p.OutlierFailures)
		setFrom(&o.Eject, p.OutlierEject)
		setFrom(&o.MaxEjected, p.OutlierMaxEjected)
	}
	return o
}

func setFrom[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// followPolicy gives the lists the rules of each new policy until ctx ends, and begins to count the
// instances that share a limit with this one. Calls read the table in force by themselves.
func (n *Node) followPolicy(ctx context.Context) error {
	held := n.members.Policy()
	for last := (*policy.Table)(nil); ; {
		changed := held.Changed()
		if now := held.Table(); now != last {
			last = now
			n.lists.Reload()
			n.countPeers(now)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// countPeers looks for the other instances of the services that this process offers, where the policy has limits for
// them: the first call then meets this process's share of a limit of the whole site.
func (n *Node) countPeers(table *policy.Table) {
	for _, s := range n.cfg.Services {
		table.Each(s.Name, func(_ string, r *policy.Rules) {
			if r.Protects() {
				n.lists.Living(s.Name)
			}
		})
	}
}

// ServiceOptions are the configuration's rules for calls to a service, as used by [Node.Client]. The
// site's policy wins over them, value by value, while calls are made.
func (n *Node) ServiceOptions(service string) rpc.ServiceOptions {
	c := n.cfg.ConsumerOf(service)
	return rpc.ServiceOptions{
		Timeout:    c.Timeout,
		Wait:       c.Wait,
		Attempt:    c.AttemptTimeout,
		Retries:    c.Retries,
		Idempotent: c.Idempotent,
		Prefix:     c.Prefix,
		Breaker: rpc.Breaker{Off: c.Breaker.Off, Ratio: c.Breaker.Ratio, Calls: c.Breaker.Calls,
			Window: c.Breaker.Window},
		Limits: rpc.Limits{Limit: rpc.Limit{Pending: c.MaxPending, Rate: float64(c.MaxRate)}},
	}
}
