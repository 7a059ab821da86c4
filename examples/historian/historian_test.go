package historian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/examples/historian/api"
	"github.com/skerry/skerry/examples/historian/apistream"
	"github.com/skerry/skerry/rpc"
)

// keeper provides the service Historian from memory.
type keeper struct {
	mu     sync.Mutex
	points []*api.Point
	more   chan struct{} // closed when there is a point more
	after  []func()      // to call then
}

// oldest is the time of the oldest point that a keeper could have.
const oldest = 10

// since returns the points after a time, and what is closed when there are more.
func (k *keeper) since(tag string, t int64) (points []*api.Point, more chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.points {
		if p.T > t && (tag == "" || tag == p.Tag) {
			points = append(points, p)
		}
	}
	return points, k.more
}

func (k *keeper) add(p *api.Point) {
	k.mu.Lock()
	k.points = append(k.points, p)
	close(k.more)
	k.more = make(chan struct{})
	after := k.after
	k.after = nil
	k.mu.Unlock()
	for _, f := range after {
		f()
	}
}

func (k *keeper) Watch(ctx context.Context, r *api.Range, out rpc.Sender[*api.Point]) error {
	if r.Since > 0 && r.Since < oldest {
		return &api.Gone{Why: "it was removed", Oldest: oldest}
	}
	for since := r.Since; ; {
		points, more := k.since("", since)
		for _, p := range points {
			if len(r.Tags) > 0 && !slices.Contains(r.Tags, p.Tag) {
				continue
			}
			if err := out.Send(ctx, p); err != nil {
				return err
			}
			since = p.T
		}
		select {
		case <-more:
		case <-rpc.Moving(ctx):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (k *keeper) Upload(ctx context.Context, tag string, in rpc.Receiver[*api.Point]) (*api.Ack, error) {
	ack := &api.Ack{}
	for p, err := range in.All(ctx) {
		if err != nil {
			return nil, err
		}
		p.Tag = tag
		k.add(p)
		ack.Kept++
	}
	return ack, nil
}

func (k *keeper) Talk(ctx context.Context, in rpc.Receiver[*api.Query], out rpc.Sender[*api.Point]) error {
	for q, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		last := &api.Point{Tag: q.Tag}
		points, _ := k.since(q.Tag, 0)
		for _, p := range points {
			if p.T <= q.T {
				last = p
			}
		}
		if err := out.Send(ctx, last); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) After(ctx context.Context, q *api.Query, done *rpc.Promise[*api.Point]) error {
	if points, _ := k.since(q.Tag, q.T); len(points) > 0 {
		done.Set(points[0])
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.after = append(k.after, func() { k.After(ctx, q, done) })
	return nil
}

func (k *keeper) Tags(context.Context) ([]string, error) {
	points, _ := k.since("", 0)
	var tags []string
	for _, p := range points {
		tags = append(tags, p.Tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

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
	c := apistream.NewHistorianClient(serve(t, apistream.NewHistorianProcessor(&keeper{more: make(chan struct{})})))
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
	for _, err := range c.Watch(ctx, &api.Range{Since: 1}) {
		if gone, ok := errors.AsType[*api.Gone](err); !ok || gone.Oldest != oldest {
			t.Errorf("have %v", err)
		}
	}
	if tags, err := c.Tags(ctx); err != nil || !slices.Equal(tags, []string{"a", "b"}) {
		t.Errorf("have %v, %v", tags, err)
	}
}
