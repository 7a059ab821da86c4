package skerry

import (
	"context"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rpc"
)

// ruleExchange is how calls that meet other rules get and give them.
type ruleExchange struct{ n *Node }

// Fetch is rpc.RuleExchange's.
func (x ruleExchange) Fetch(ctx context.Context, from *rpc.Endpoint, _ rollout.Generation) error {
	texts, err := wire.NewInternalClient(x.n.calls.At(internalName, from)).RulesSince(ctx, x.n.rules.Log().Last().String())
	if err != nil {
		return err
	}
	entries, err := unmarshalEntries(texts)
	if err != nil {
		return err
	}
	return x.n.rules.Learn(entries...)
}

// Records is rpc.RuleExchange's.
func (x ruleExchange) Records(after rollout.Generation) ([][]byte, error) {
	return marshalEntries(x.n.rules.Since(after))
}
