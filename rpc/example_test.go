package rpc_test

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/rpc/internal/echo"
)

type others = echo.Echo

// greeter has one method of its own; the others of the generated interface
// are missing.
type greeter struct{ others }

func (greeter) Echo(_ context.Context, m *echo.Message) (*echo.Message, error) {
	return &echo.Message{Text: "hello " + m.Text}, nil
}

// One thrift.TClient serves all goroutines. Each call has a generated client of its own.
func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server, err := rpc.NewServer(rpc.ServerConfig{})
	if err != nil {
		panic(err)
	}
	if _, err := server.Handle("echo", "v1", echo.NewEchoProcessor(greeter{})); err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ctx, listener) })

	client, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{Addr: listener.Addr().String()})})
	if err != nil {
		panic(err)
	}
	service, err := client.Service("echo", rpc.ServiceOptions{Idempotent: []string{"echo"}})
	if err != nil {
		panic(err)
	}
	answers := make([]string, 3)
	var calls sync.WaitGroup
	for i, name := range []string{"ann", "ben", "cai"} {
		calls.Go(func() {
			m, err := echo.NewEchoClient(service).Echo(ctx, &echo.Message{Text: name})
			if err == nil {
				answers[i] = m.Text
			}
		})
	}
	calls.Wait()
	fmt.Println(answers)

	_ = client.Close()
	_ = server.Drain(ctx)
	stop()
	running.Wait()
	// Output: [hello ann hello ben hello cai]
}
