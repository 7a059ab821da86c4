package callpath

import (
	"context"
	"net"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/bench/benchthrift"
	"github.com/skerry/skerry/rpc"
)

func skerryPeers() []peer {
	return []peer{
		{name: "skerry-bare", about: "the transport alone: no discovery, no statistics", serve: bareServe, dial: bareDial},
	}
}

func bareServe(ctx context.Context, ln net.Listener) error {
	s, err := rpc.NewServer(rpc.ServerConfig{})
	if err != nil {
		return err
	}
	if _, err := s.Handle("echo", "v1", benchthrift.NewEchoProcessor(echoHandler{})); err != nil {
		return err
	}
	return s.Serve(ctx, ln)
}

func bareDial(_ context.Context, addr string) (func() (call, error), error) {
	c, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{ID: addr, Service: "echo", Addr: addr})})
	if err != nil {
		return nil, err
	}
	client, err := c.Service("echo", rpc.ServiceOptions{})
	if err != nil {
		return nil, err
	}
	return stubCalls(client), nil
}

// stubCalls makes a generated client for each worker.
func stubCalls(client thrift.TClient) func() (call, error) {
	return func() (call, error) {
		stub := benchthrift.NewEchoClient(client)
		return func(ctx context.Context, id int64) error {
			m, err := stub.Echo(ctx, thriftMsg(id))
			if err != nil {
				return err
			}
			return check(m.ID, m.Msg, m.Tags, id)
		}, nil
	}
}
