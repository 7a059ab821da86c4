package callpath

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/bench/benchthrift"
	"github.com/skerry/skerry/bench/table"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/rpc"
)

// The streams beside the calls: each brings an item of the size of the calls in every step, but for one, of which the
// reader takes nothing while its provider sends what it can.
const (
	besideStreams = 1000
	besideStep    = 100 * time.Millisecond
)

func besidePeer() peer {
	return peer{name: "skerry-beside", about: "calls beside 1,000 streams, the reader of one asleep",
		serve: besideServe, dial: besideDial}
}

// Beside measures calls beside streams against the same calls without. The bound is twice the p99 without, and 1 ms.
func Beside(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("beside", flag.ContinueOnError)
	rounds := flags.Int("rounds", 6, "rounds")
	window := flags.Duration("for", 2*time.Second, "length of one measurement")
	profiles := flags.String("profile", "", "directory for profiles of the last measurement, for go tool pprof")
	if err := flags.Parse(args); err != nil {
		return err
	}
	fmt.Printf("Measured on %s.\n", machine())
	var plan []load
	for _, callers := range []int{1, 16} {
		plan = append(plan, load{cell{workers: callers, size: 1024}, []string{"skerry", "skerry-beside"}})
	}
	all, err := measureAll(ctx, plan, &pacer{rounds: *rounds}, *window, *profiles)
	if err != nil {
		return err
	}
	t := table.Table{Head: []string{"callers", "streams", "calls/s", "p50", "p99", "p99 allowed"}}
	for _, l := range plan {
		alone, beside := all[l.of("skerry")], all[l.of("skerry-beside")]
		allowed := 2*of(alone, p99) + float64(time.Millisecond)
		t.Add(fmt.Sprint(l.workers), "none", thousands(of(alone, qps)), micros(of(alone, p50)),
			micros(of(alone, p99)), "")
		t.Add(fmt.Sprint(l.workers), fmt.Sprintf("%d, one reader asleep", besideStreams), thousands(of(beside, qps)),
			micros(of(beside, p50)), micros(of(beside, p99)), micros(allowed))
	}
	fmt.Println()
	t.Write(os.Stdout)
	return nil
}

func besideServe(ctx context.Context, ln net.Listener) error {
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return err
	}
	n, err := node(ctx, addr, config.Service{Name: "echo", Version: "v1", Listen: addr},
		config.Service{Name: "feed", Version: "v1", Listen: addr})
	if err != nil {
		return err
	}
	defer n.Close()
	watch := func(ctx context.Context, a *benchthrift.FeedWatchArgs, out rpc.Sender[*benchthrift.Msg]) error {
		step := besideStep
		if a.M.ID < 0 {
			step = time.Nanosecond
		} else if err := pause(ctx, rand.N(besideStep)); err != nil {
			return err
		}
		tick := time.NewTicker(step)
		defer tick.Stop()
		for {
			if err := out.Send(ctx, a.M); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	if err := n.Handle(ctx, "feed", rpc.NewStreamProcessor(nil, rpc.ServerStreamMethod("watch",
		benchthrift.NewFeedWatchArgs, watch,
		func(m *benchthrift.Msg) thrift.TStruct { return &benchthrift.FeedWatchResult{Success: m} }))); err != nil {
		return err
	}
	return n.Serve(ctx, "echo", benchthrift.NewEchoProcessor(echoHandler{}))
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func besideDial(ctx context.Context, addr string) (func() (call, error), error) {
	n, err := node(ctx, addr)
	if err != nil {
		return nil, err
	}
	feed := n.Client("feed")
	opening, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for i := range int64(besideStreams) {
		id := i - 1 // the first one is asleep
		for {
			st, err := rpc.OpenServerStream(ctx, feed, "watch", &benchthrift.FeedWatchArgs{M: item(id)},
				benchthrift.NewFeedWatchResult())
			if err == nil {
				if id >= 0 {
					go drain(ctx, st, id)
				}
				break
			}
			if opening.Err() != nil {
				return nil, fmt.Errorf("open stream %d: %w", i, err)
			}
		}
	}
	return stubCalls(n.Client("echo")), nil
}

// drain receives and checks items. A stream that ends makes the measurement worthless, and ends the process.
func drain(ctx context.Context, st *rpc.ServerStream[*benchthrift.Msg], id int64) {
	for {
		m, err := st.Recv(ctx)
		if err == nil {
			err = check(m.ID, m.Msg, m.Tags, id)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench: a stream beside the calls:", err)
			os.Exit(1)
		}
	}
}
