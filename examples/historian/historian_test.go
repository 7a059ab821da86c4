package historian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/historian/api"
	"github.com/skerry/skerry/examples/historian/apistream"
	"github.com/skerry/skerry/rpc"
)

// serve serves a processor on loopback, and returns a client of it.
func serve(t *testing.T, p thrift.TProcessor) thrift.TClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := rpc.NewServer(rpc.ServerConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handle("historian", "v1", p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	c, err := rpc.NewClient(rpc.ClientConfig{
		Logger:   slog.New(slog.DiscardHandler),
		Resolver: rpc.Static(&rpc.Endpoint{ID: "1", Service: "historian", Addr: l.Addr().String()}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	tc, err := c.Service("historian", rpc.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return tc
}

// TestStreams: the generated code of the example does what its .thrift file says: values go up, come down as they come,
// from a cursor on, and by pages for clients without streams.
func TestStreams(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := apistream.NewHistorianClient(serve(t, apistream.NewHistorianProcessor(NewKeeper(4))))
	upload := func(tag string, times ...int64) {
		t.Helper()
		up, err := c.Upload(ctx, tag)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range times {
			if err := up.Send(ctx, &api.Point{T: at, Value: float64(at) / 2}); err != nil {
				t.Fatal(err)
			}
		}
		if ack, err := up.End(ctx); err != nil || ack.Kept != int64(len(times)) {
			t.Fatalf("have %v, %v", ack, err)
		}
	}
	if tags, err := c.Tags(ctx); err != nil || tags == nil {
		t.Errorf("before the first value: %#v, %v; an absent list is a failure in other languages", tags, err)
	}
	upload("a", 10, 20)
	upload("b", 30)

	args := &api.HistorianWatchArgs{R: &api.Range{}}
	read := func(n int) (have string) {
		t.Helper()
		for p, err := range c.Watch(ctx, args.R) {
			if err != nil {
				t.Fatal(err)
			}
			have += fmt.Sprint(p.Tag, p.T, " ")
			apistream.HistorianWatchResume(p, args)
			if n--; n == 0 {
				break
			}
		}
		return have
	}
	if have := read(2); have != "a10 a20 " {
		t.Errorf("have %s", have)
	}
	next := rpc.Go(ctx, func(ctx context.Context) (*api.Point, error) {
		c := apistream.NewHistorianClient(c.Client_())
		return c.After(ctx, &api.Query{Tag: "a", T: 20})
	})
	upload("a", 40)
	if have := read(2); have != "b30 a40 " || args.R.Since != 40 {
		t.Errorf("have %s, then %d", have, args.R.Since)
	}
	if p, err := next.Wait(ctx); err != nil || p.T != 40 {
		t.Errorf("have %v, %v", p, err)
	}

	talk, err := c.Talk(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]float64{25: 10, 40: 20, 5: 0} {
		if err := talk.Send(ctx, &api.Query{Tag: "a", T: at}); err != nil {
			t.Fatal(err)
		}
		if p, err := talk.Recv(ctx); err != nil || p.Value != want {
			t.Errorf("at %d: have %v, %v", at, p, err)
		}
	}
	if err := talk.EndSend(); err != nil {
		t.Error(err)
	}
	if _, err := talk.Recv(ctx); err != io.EOF {
		t.Errorf("have %v", err)
	}

	page, err := c.WatchPage(ctx, &api.Range{Tags: []string{"a"}, Since: 10}, 2, 1000)
	if err != nil || len(page) != 2 || page[1].T != 40 {
		t.Errorf("have %v, %v", page, err)
	}
	upload("b", 45, 45) // 10 and 20 go; no two have one time
	for _, err := range c.Watch(ctx, &api.Range{Since: 1}) {
		if gone, ok := errors.AsType[*api.Gone](err); !ok || gone.Oldest != 30 {
			t.Errorf("have %v", err)
		}
	}
	if tags, err := c.Tags(ctx); err != nil || !slices.Equal(tags, []string{"a", "b"}) {
		t.Errorf("have %v, %v", tags, err)
	}
}

// TestConfigurations: the shipped configuration files are valid.
func TestConfigurations(t *testing.T) {
	for _, file := range []string{"gateway.yaml", "cmd/historian/skerry.yaml", "cmd/sensors/skerry.yaml"} {
		if _, err := config.Read(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
