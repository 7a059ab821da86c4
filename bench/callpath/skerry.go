package callpath

import (
	"context"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/bench/benchthrift"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/heap"
	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/rpc"
)

func skerryPeers() []peer {
	return []peer{
		{name: "skerry",
			about: "as a user has it: found on the LAN, balanced, counted, traced, with deadlines and breaker",
			serve: nodeServe, dial: nodeDial},
		{name: "skerry-tls", about: "the same over TLS", serve: nodeServe, dial: nodeDial, tls: true},
		{name: "skerry-bare", about: "the transport alone, with a node's heap: no discovery, no statistics",
			serve: bareServe, dial: bareDial},
	}
}

// node opens a node of the cluster that belongs to the address: client and
// server meet there, on the loopback interface, and no other run's do.
func node(ctx context.Context, addr string, services ...config.Service) (*skerry.Node, error) {
	c, err := nodeConfig(addr, services...)
	if err != nil {
		return nil, err
	}
	return skerry.Open(ctx, c)
}

// nodeConfig is the configuration of node.
func nodeConfig(addr string, services ...config.Service) (config.Config, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return config.Config{}, err
	}
	var files config.TLS
	if certificates != "" {
		files.Cert, files.Key = certificateFiles()
		files.CA, files.Clients = files.Cert, "none"
	}
	return config.Config{
		TLS:     files,
		Cluster: "bench-" + port, Mode: config.ModeBroadcast, Services: services,
		LAN: config.LAN{Interfaces: []string{"127.0.0.1"}, Key: lab.SiteKey}, StateDir: "none",
		// a busy machine is measured, not failed
		Consumers: map[string]config.Consumer{"echo": {Timeout: 10 * time.Second}},
		Stop:      config.Stop{Grace: -1}, Log: config.Log{Level: "error"},
	}, nil
}

// nodeServe frees the port at once, as a node opens its own.
func nodeServe(ctx context.Context, ln net.Listener) error {
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return err
	}
	n, err := node(ctx, addr, config.Service{Name: "echo", Version: "v1", Listen: addr})
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Serve(ctx, "echo", benchthrift.NewEchoProcessor(echoHandler{}))
}

func nodeDial(ctx context.Context, addr string) (func() (call, error), error) {
	n, err := node(ctx, addr)
	if err != nil {
		return nil, err
	}
	return stubCalls(n.Client("echo")), nil
}

// bareHeap gives the transport alone the heap that a node asks for, so that the
// two differ by what they do.
func bareHeap() { heap.Raise(32 << 20) }

func bareServe(ctx context.Context, ln net.Listener) error {
	bareHeap()
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
	bareHeap()
	c, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{ID: addr, Service: "echo",
		Addr: addr})})
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
			m, err := thriftCall(ctx, stub, id)
			if err != nil {
				return err
			}
			return check(m.ID, m.Msg, m.Tags, id)
		}, nil
	}
}
