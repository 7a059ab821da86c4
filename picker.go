package skerry

import (
	"context"
	"net"

	"github.com/skerry/skerry/rpc"
)

// Picker chooses among the instances of a service by the configuration's rules for it, for callers
// of another protocol than Thrift, such as package gateway. The caller must note each attempt by
// [rpc.Call.Try], and report its outcome.
func (n *Node) Picker(service string) rpc.Picker {
	n.rules.MayCall(service)
	return n.lists.Resolve(service)
}

// Dial connects to an instance that a Picker chose, by TLS if the instance has it. The result
// influences later choices.
func (n *Node) Dial(ctx context.Context, e *rpc.Endpoint) (net.Conn, error) {
	return n.calls.Dial(ctx, e)
}
