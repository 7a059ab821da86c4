package rpc_test

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/examples/historian/api"
	"github.com/skerry/skerry/examples/historian/apistream"
	"github.com/skerry/skerry/rpc"
)

// levels is a historian of one sensor, with the values 1, 2 and 3. The methods that no example calls are missing.
type levels struct{ apistream.Historian }

func (levels) Watch(ctx context.Context, r *api.Range, out rpc.Sender[*api.Point]) error {
	for t := r.Since + 1; t <= 3; t++ {
		if err := out.Send(ctx, &api.Point{Tag: "level", T: t, Value: float64(t)}); err != nil {
			return err
		}
	}
	return nil
}

func (levels) Upload(ctx context.Context, _ string, in rpc.Receiver[*api.Point]) (*api.Ack, error) {
	ack := api.NewAck()
	for _, err := range in.All(ctx) {
		if err != nil {
			return nil, err
		}
		ack.Kept++
	}
	return ack, nil
}

func (levels) Talk(ctx context.Context, in rpc.Receiver[*api.Query], out rpc.Sender[*api.Point]) error {
	for q, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		if err := out.Send(ctx, &api.Point{Tag: q.Tag, T: q.T, Value: float64(q.T)}); err != nil {
			return err
		}
	}
	return nil
}

func (levels) After(_ context.Context, q *api.Query, done *rpc.Promise[*api.Point]) error {
	go done.Set(&api.Point{Tag: q.Tag, T: q.T + 1})
	return nil
}

// withHistorian serves levels while use runs, which calls it by tc.
func withHistorian(use func(ctx context.Context, tc thrift.TClient)) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	server, err := rpc.NewServer(rpc.ServerConfig{})
	must(err)
	_, err = server.Handle("historian", "v1", apistream.NewHistorianProcessor(levels{}))
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ctx, listener) })

	client, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(&rpc.Endpoint{Addr: listener.Addr().String()})})
	must(err)
	tc, err := client.Service("historian", rpc.ServiceOptions{})
	must(err)
	use(ctx, tc)

	_ = client.Close()
	_ = server.Drain(ctx)
	stop()
	running.Wait()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// The provider sends items, and its return ends the loop.
func ExampleServerStream() {
	withHistorian(func(ctx context.Context, tc thrift.TClient) {
		for p, err := range apistream.NewHistorianClient(tc).Watch(ctx, &api.Range{Since: 1}) {
			must(err)
			fmt.Println(p.Tag, p.Value)
		}
	})
	// Output:
	// level 2
	// level 3
}

// The caller sends items, and the provider answers all of them with one result.
func ExampleClientStream() {
	withHistorian(func(ctx context.Context, tc thrift.TClient) {
		upload, err := apistream.NewHistorianClient(tc).Upload(ctx, "level")
		must(err)
		defer upload.Close()
		for t := range int64(3) {
			must(upload.Send(ctx, &api.Point{T: t}))
		}
		ack, err := upload.End(ctx)
		must(err)
		fmt.Println(ack.Kept, "points")
	})
	// Output: 3 points
}

// Both ends send items. The provider's items go on after the caller has said that it sends no more.
func ExampleBidiStream() {
	withHistorian(func(ctx context.Context, tc thrift.TClient) {
		talk, err := apistream.NewHistorianClient(tc).Talk(ctx)
		must(err)
		defer talk.Close()
		for t := range int64(2) {
			must(talk.Send(ctx, &api.Query{Tag: "level", T: t}))
		}
		must(talk.EndSend())
		for p, err := range talk.All(ctx) {
			must(err)
			fmt.Println(p.Tag, p.Value)
		}
	})
	// Output:
	// level 0
	// level 1
}

// A caller makes two calls at once, and waits for both.
func ExampleGo() {
	withHistorian(func(ctx context.Context, tc thrift.TClient) {
		after := func(t int64) *rpc.Future[*api.Point] {
			return rpc.Go(ctx, func(ctx context.Context) (*api.Point, error) {
				return apistream.NewHistorianClient(tc).After(ctx, &api.Query{Tag: "level", T: t})
			})
		}
		first, second := after(1), after(5)
		for _, f := range []*rpc.Future[*api.Point]{first, second} {
			p, err := f.Wait(ctx)
			must(err)
			fmt.Println(p.Tag, p.T)
		}
	})
	// Output:
	// level 2
	// level 6
}

// The method After of the handler levels has returned when another goroutine sets its promise, which answers the call.
func ExamplePromise() {
	withHistorian(func(ctx context.Context, tc thrift.TClient) {
		p, err := apistream.NewHistorianClient(tc).After(ctx, &api.Query{Tag: "level", T: 1})
		must(err)
		fmt.Println(p.Tag, p.T)
	})
	// Output: level 2
}
