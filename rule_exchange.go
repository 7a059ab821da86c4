package skerry

import (
	"context"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rpc"
)

// ruleExchange gets and gives rules by the internal service of other processes.
type ruleExchange struct{ n *Node }

var _ rpc.RuleExchange = ruleExchange{}

// Pull is rpc.RuleExchange's: rules that steer this process come by a site
// connection of their own, whatever the call's connection is.
func (x ruleExchange) Pull(ctx context.Context, from *rpc.Endpoint, _ rollout.Generation) error {
	owner, err := registry.ParseOwner(from.Owner)
	if err != nil && from.Owner != "" {
		return err
	}
	return x.n.fetchRules(ctx, member{Owner: owner, Addr: from.Addr, TLS: from.TLS})
}

// Push is rpc.RuleExchange's. It goes by the connection of the calls: entries
// prove themselves.
func (x ruleExchange) Push(ctx context.Context, to *rpc.Endpoint, after rollout.Generation) error {
	entries := x.n.rules.Since(after)
	records := make([][]byte, len(entries))
	for i, e := range entries {
		records[i] = e.Record().Marshal()
	}
	_, err := wire.NewInternalClient(x.n.calls.At(internalName, to)).Bring(ctx, records)
	return refused(err)
}
