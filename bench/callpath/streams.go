package callpath

import (
	"context"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/skerry/skerry/bench/benchproto"
	"github.com/skerry/skerry/bench/benchthrift"
	"github.com/skerry/skerry/bench/chart"
	"github.com/skerry/skerry/bench/table"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/rpc"
)

// The peers of streams: a worker is a subscriber, and its call is one item received.

func streamPeers() []peer {
	return []peer{
		{name: "skerry-stream", about: "a server stream, as a user has it", serve: feedServe, dial: feedDial},
		{name: "grpc-stream", about: "a server stream of gRPC-Go", serve: grpcFeedServe, dial: grpcFeedDial},
	}
}

// Streams measures server streams beside those of gRPC.
func Streams(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("streams", flag.ContinueOnError)
	rounds := flags.Int("rounds", 6, "rounds")
	window := flags.Duration("for", time.Second, "length of one measurement")
	profiles := flags.String("profile", "", "directory for profiles of the last measurement, for go tool pprof")
	pictures := flags.String("pictures", "", "directory for a picture of the items per second")
	flags.IntVar(&collector, "gogc", 0, "GOGC of every process; 0 means as each comes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Printf("Measured on %s.\n", machine())
	var plan []load
	for _, subscribers := range []int{1, 100} {
		plan = append(plan, load{cell{workers: subscribers, size: 1024}, []string{"skerry-stream", "grpc-stream"}})
	}
	all, err := measureAll(ctx, plan, &pacer{rounds: *rounds}, *window, *profiles)
	if err != nil {
		return err
	}
	for _, l := range plan {
		fmt.Printf("\n%s, %d subscribers\n\n", bytesText(l.size), l.workers)
		t := table.Table{Head: []string{"peer", "items/s", "CPU per item, client + server", "allocations",
			"skerry is … × faster", "its CPU ÷ skerry's"}}
		skerry := all[l.of("skerry-stream")]
		for _, name := range l.peers {
			row := all[l.of(name)]
			t.Add(name, thousands(of(row, qps)),
				fmt.Sprintf("%.2f + %.2f µs", of(row, cpuClient)/1e3, of(row, cpuServer)/1e3),
				fmt.Sprintf("%.1f / %.1f", of(row, allocsClient), of(row, allocsServer)),
				text(ratio(skerry, row, qps)), text(ratio(row, skerry, cpu)))
		}
		t.Write(os.Stdout)
	}
	if *pictures == "" {
		return nil
	}
	return drawStreams(*pictures, plan, all)
}

// drawStreams makes a picture of the items per second in a directory.
func drawStreams(dir string, plan []load, all samples) error {
	items := chart.Bars{Title: "Items per second of server streams",
		Sub:    "1 KiB over loopback, client and server processes share the machine; more is better",
		YLabel: "items/s", Series: plan[0].peers}
	for _, l := range plan {
		group := chart.Group{Name: fmt.Sprintf("%d subscribers", l.workers)}
		if l.workers == 1 {
			group.Name = "1 subscriber"
		}
		for _, name := range l.peers {
			group.Values = append(group.Values, math.Round(of(all[l.of(name)], qps)))
		}
		items.Groups = append(items.Groups, group)
	}
	return chart.Write(filepath.Join(dir, "streams.svg"), items.SVG())
}

// item is the message that all items carry.
func item(id int64) *benchthrift.Msg {
	return &benchthrift.Msg{Msg: payload.text, Tags: payload.tags, ID: id}
}

func feedServe(ctx context.Context, ln net.Listener) error {
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return err
	}
	n, err := node(ctx, addr, config.Service{Name: "feed", Version: "v1", Listen: addr})
	if err != nil {
		return err
	}
	defer n.Close()
	watch := func(ctx context.Context, a *benchthrift.FeedWatchArgs, out rpc.Sender[*benchthrift.Msg]) error {
		m := *a.M
		for m.ID = 0; ; m.ID++ {
			if err := out.Send(ctx, &m); err != nil {
				return err
			}
		}
	}
	return n.Serve(ctx, "feed", rpc.NewStreamProcessor(nil, rpc.ServerStreamMethod("watch",
		benchthrift.NewFeedWatchArgs, watch,
		func(m *benchthrift.Msg) thrift.TStruct { return &benchthrift.FeedWatchResult{Success: m} })))
}

func feedDial(ctx context.Context, addr string) (func() (call, error), error) {
	n, err := node(ctx, addr)
	if err != nil {
		return nil, err
	}
	tc := n.Client("feed")
	return func() (call, error) {
		opening, cancel := context.WithTimeout(ctx, 10*time.Second) // the provider may not be found yet
		defer cancel()
		for {
			st, err := rpc.OpenServerStream(ctx, tc, "watch", &benchthrift.FeedWatchArgs{M: item(0)},
				benchthrift.NewFeedWatchResult())
			if err == nil {
				return numbered(func(ctx context.Context) (int64, string, map[string]string, error) {
					m, err := st.Recv(ctx)
					if err != nil {
						return 0, "", nil, err
					}
					return m.ID, m.Msg, m.Tags, nil
				}), nil
			}
			if opening.Err() != nil {
				return nil, err
			}
		}
	}, nil
}

// numbered checks each item, and that none is missing.
func numbered(recv func(context.Context) (int64, string, map[string]string, error)) call {
	next := int64(0)
	return func(ctx context.Context, _ int64) error {
		id, msg, tags, err := recv(ctx)
		if err != nil {
			return err
		}
		next++
		return check(id, msg, tags, next-1)
	}
}

var grpcFeed = grpc.ServiceDesc{
	ServiceName: "benchproto.Feed",
	HandlerType: (*any)(nil),
	Streams:     []grpc.StreamDesc{{StreamName: "Watch", ServerStreams: true, Handler: grpcWatch}},
}

func grpcWatch(_ any, s grpc.ServerStream) error {
	var m benchproto.Msg
	if err := s.RecvMsg(&m); err != nil {
		return err
	}
	for m.Id = 0; ; m.Id++ {
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
}

func grpcFeedServe(ctx context.Context, ln net.Listener) error {
	s := grpc.NewServer()
	s.RegisterService(&grpcFeed, struct{}{})
	go func() { <-ctx.Done(); s.Stop() }()
	return s.Serve(ln)
}

func grpcFeedDial(_ context.Context, addr string) (func() (call, error), error) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return func() (call, error) {
		st, err := conn.NewStream(context.Background(), &grpcFeed.Streams[0], "/benchproto.Feed/Watch")
		if err == nil {
			err = st.SendMsg(protoMsg(0))
		}
		if err == nil {
			err = st.CloseSend()
		}
		if err != nil {
			return nil, err
		}
		return numbered(func(context.Context) (int64, string, map[string]string, error) {
			m := new(benchproto.Msg)
			if err := st.RecvMsg(m); err != nil {
				return 0, "", nil, err
			}
			return m.Id, m.Msg, m.Tags, nil
		}), nil
	}, nil
}
