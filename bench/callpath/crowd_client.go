package callpath

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/skerry/skerry/bench/benchproto"
	"github.com/skerry/skerry/rpc"
)

// opened is how a call through every connection went.
type opened struct{ Took time.Duration }

// fairness is what the calls of a quiet connection took, alone and beside one
// that floods the server, and how many calls a second the flood was.
type fairness struct {
	AloneP50, AloneP99, BesideP50, BesideP99 time.Duration
	Flood                                    float64
}

const (
	floodCallers = 128
	fairTime     = 3 * time.Second
	quietEvery   = 2 * time.Millisecond
	openers      = 64 // connections that are opened, or called through, at a time
)

// ConnectionsClient is the client process of Connections. It does what the
// lines say that it reads, and answers each with a line of JSON.
func ConnectionsClient(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("connections-client", flag.ContinueOnError)
	name := flags.String("peer", "", "peer to call")
	addr := flags.String("addr", "", "address of the server")
	n := flags.Int("n", 1, "connections")
	deaf := flags.Int("deaf", 0, "callers that never read")
	if err := flags.Parse(args); err != nil {
		return err
	}
	setPayload(1024)
	c := crowdClient{ctx: ctx, peer: *name, addr: *addr, n: *n, deaf: *deaf}
	out := json.NewEncoder(os.Stdout)
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		answer, err := c.do(sc.Text())
		if err != nil {
			return err
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}

type crowdClient struct {
	ctx        context.Context
	peer, addr string
	n, deaf    int
	calls      []call // one for each connection
}

func (c *crowdClient) do(what string) (any, error) {
	switch what {
	case "free":
		debug.FreeOSMemory()
		return usageNow(), nil
	case "open":
		if err := c.dial(); err != nil {
			return nil, err
		}
		return c.callAll()
	case "call":
		return c.callAll()
	case "fair":
		return c.fair()
	case "deaf":
		return c.beDeaf()
	}
	return nil, fmt.Errorf("what is %q?", what)
}

// dial makes the connections. Those of skerry and gRPC are made by their first calls.
func (c *crowdClient) dial() (err error) {
	own := func() (call, error) { return c.alone() }
	if c.peer == "skerry" {
		if own, err = skerryLanes(c.addr, c.n); err != nil {
			return err
		}
	}
	c.calls = make([]call, c.n)
	for i := range c.calls {
		if c.calls[i], err = own(); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}

// alone makes a call on a connection of its own.
func (c *crowdClient) alone() (call, error) {
	switch c.peer {
	case "skerry":
		own, err := skerryLanes(c.addr, 1)
		if err != nil {
			return nil, err
		}
		return own()
	case "grpc":
		_, creds, err := grpcCredentials()
		if err != nil {
			return nil, err
		}
		conn, err := grpc.NewClient(c.addr, grpc.WithTransportCredentials(creds))
		if err != nil {
			return nil, err
		}
		client := benchproto.NewEchoClient(conn)
		return func(ctx context.Context, id int64) error { return grpcCall(ctx, client, id, false) }, nil
	}
	p, err := peerNamed(c.peer)
	if err != nil {
		return nil, err
	}
	worker, err := p.dial(c.ctx, c.addr)
	if err != nil {
		return nil, err
	}
	return worker()
}

// skerryLanes is a client with calls that take its n connections in turn.
func skerryLanes(addr string, n int) (func() (call, error), error) {
	c, err := rpc.NewClient(rpc.ClientConfig{
		Resolver:    rpc.Static(&rpc.Endpoint{ID: addr, Service: "echo", Addr: addr}),
		Connections: n, ConnectTimeout: 10 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	client, err := c.Service("echo", rpc.ServiceOptions{Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	return stubCalls(client), nil
}

// callAll makes one call through every connection.
func (c *crowdClient) callAll() (opened, error) {
	start := time.Now()
	var wg sync.WaitGroup
	failed := make(chan error, openers)
	for k := range openers {
		wg.Go(func() {
			for i := k; i < len(c.calls); i += openers {
				if err := c.calls[i](c.ctx, int64(i)); err != nil {
					failed <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return opened{}, err
	default:
	}
	return opened{time.Since(start)}, nil
}

// fair calls now and then on one connection, alone and beside a flood on another.
func (c *crowdClient) fair() (f fairness, err error) {
	quiet, err := c.alone()
	if err != nil {
		return f, err
	}
	flood, err := c.alone()
	if err != nil {
		return f, err
	}
	alone, err := nowAndThen(c.ctx, quiet, fairTime)
	if err != nil {
		return f, err
	}
	callers := make([]call, floodCallers)
	for i := range callers {
		callers[i] = flood
	}
	if c.peer == "thrift-framed" { // a connection carries one call at a time
		callers = callers[:1]
	}
	flooded := make(chan result, 1)
	failed := make(chan error, 1)
	go func() {
		r, err := closedLoop(c.ctx, callers, false, fairTime)
		failed <- err
		flooded <- r
	}()
	beside, err := nowAndThen(c.ctx, quiet, fairTime)
	if err != nil {
		return f, err
	}
	if err := <-failed; err != nil {
		return f, fmt.Errorf("the flood: %w", err)
	}
	r := <-flooded
	return fairness{alone.quantile(0.5), alone.quantile(0.99), beside.quantile(0.5), beside.quantile(0.99),
		float64(r.Calls) / r.Window.Seconds()}, nil
}

// nowAndThen makes a call every other millisecond.
func nowAndThen(ctx context.Context, do call, window time.Duration) (*histogram, error) {
	h := &histogram{}
	tick := time.NewTicker(quietEvery)
	defer tick.Stop()
	for end := time.Now().Add(window); time.Now().Before(end); <-tick.C {
		begin := time.Now()
		if err := do(ctx, 1); err != nil {
			return nil, fmt.Errorf("the quiet connection: %w", err)
		}
		h.add(time.Since(begin))
	}
	return h, nil
}
