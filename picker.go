package skerry

import (
	"context"
	"net"

	"github.com/skerry/skerry/rpc"
)

// Picker chooses among the instances of a service by the rules that the
// configuration has for it, for callers that speak another protocol than
// Thrift; package gateway is one. Each attempt is to be noted by
// [rpc.Call.Try], and its outcome reported.
func (n *Node) Picker(service string) rpc.Picker {
	n.rules.MayCall(service)
	if _, own := n.cfg.Consumers[service]; !own {
		_ = n.lists.SetOptions(service, listOptions(n.cfg.ConsumerOf(service))) // those of "*", which Open has checked
	}
	return n.lists.Resolve(service)
}

// ServiceOptions are the rules that the configuration has for calls to a
// service, as [Node.Client] goes by them.
func (n *Node) ServiceOptions(service string) rpc.ServiceOptions {
	return serviceOptions(n.cfg.ConsumerOf(service))
}

// Dial connects to an instance that a Picker chose, by TLS when it has it.
// What comes of it counts for the choices to come.
func (n *Node) Dial(ctx context.Context, e *rpc.Endpoint) (net.Conn, error) {
	return n.calls.Dial(ctx, e)
}
