package skerry

import (
	"context"
	"net"

	"github.com/skerry/skerry/rpc"
)

// Picker chooses among the instances of a service by the configuration's rules for it and the routes of
// the site's policy, for callers of another protocol than Thrift, such as package gateway. The context of
// a pick is that of the call, with its trace. The caller must note each attempt by [rpc.Call.Try], and
// report its outcome.
func (n *Node) Picker(service string) rpc.Picker {
	n.rules.MayCall(service)
	return routed{n.lists.Resolve(service), n.calls}
}

// routed is a picker for calls that the node's client does not make.
type routed struct {
	rpc.Picker
	calls *rpc.Client
}

// Pick implements [rpc.Picker].
func (r routed) Pick(ctx context.Context, call *rpc.Call) (*rpc.Endpoint, error) {
	r.calls.Route(ctx, call)
	return r.Picker.Pick(ctx, call)
}

// Dial connects to an instance that a Picker chose, by TLS if the instance has it. The result
// influences later choices.
func (n *Node) Dial(ctx context.Context, e *rpc.Endpoint) (net.Conn, error) {
	return n.calls.Dial(ctx, e)
}
