package skerry

import "github.com/apache/thrift/lib/go/thrift"

// Stub returns a maker of generated clients for the service. A generated
// client keeps the last reply's metadata in a plain field, so that one value
// must not be shared by goroutines; making one for each call costs next to
// nothing, as all share the connections of the node:
//
//	auth := skerry.Stub(node, "auth", authapi.NewAuthClient)
//	token, err := auth().GetToken(ctx, "alice")
func Stub[C any](n *Node, service string, newClient func(thrift.TClient) C) func() C {
	client := n.Client(service)
	return func() C { return newClient(client) }
}
