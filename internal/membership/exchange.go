package membership

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rpc"
)

// exchange gets and gives rules by the internal service of other processes.
type exchange struct {
	m  *Membership
	at func(service string, to *rpc.Endpoint) thrift.TClient
}

// RuleExchange is how calls that meet other rules get and give them. at gives the
// connection that the calls to an endpoint go by.
func (m *Membership) RuleExchange(at func(service string, to *rpc.Endpoint) thrift.TClient) rpc.RuleExchange {
	return exchange{m, at}
}

// Pull is rpc.RuleExchange.Pull: rules that steer this process come by a site
// connection of their own, whatever the call's connection is.
func (x exchange) Pull(ctx context.Context, from *rpc.Endpoint, _ rollout.Generation) error {
	owner, err := registry.ParseOwner(from.Owner)
	if err != nil && from.Owner != "" {
		return err
	}
	return x.m.fetch(ctx, Member{Owner: owner, Addr: from.Addr, TLS: from.TLS})
}

// Push is rpc.RuleExchange.Push. It goes by the connection of the calls: entries
// prove themselves.
func (x exchange) Push(ctx context.Context, to *rpc.Endpoint, after rollout.Generation) error {
	entries := records(x.m.rules.Since(after)...)
	_, err := wire.NewInternalClient(x.at(InternalService, to)).Bring(ctx, entries)
	return refused(err)
}
