package skerry

import (
	"context"

	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rpc"
)

// ruleExchange is how calls that meet other rules get and give them.
type ruleExchange struct{ n *Node }

// Fetch is rpc.RuleExchange's: rules that steer this process come by a site
// connection of their own, whatever the call's connection is.
func (x ruleExchange) Fetch(ctx context.Context, from *rpc.Endpoint, _ rollout.Generation) error {
	owner, err := registry.ParseOwner(from.Owner)
	if err != nil && from.Owner != "" {
		return err
	}
	return x.n.fetchRules(ctx, member{Owner: owner, Addr: from.Addr, TLS: from.TLS})
}

// Records is rpc.RuleExchange's.
func (x ruleExchange) Records(after rollout.Generation) ([][]byte, error) {
	entries := x.n.rules.Since(after)
	records := make([][]byte, len(entries))
	for i, e := range entries {
		records[i] = e.Record().Marshal()
	}
	return records, nil
}
