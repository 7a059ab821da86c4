package idl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/cmd/skerry/internal/gen/internal/idl/common/base"
	api "github.com/skerry/skerry/cmd/skerry/internal/gen/internal/idl/wide/rpc"
	"github.com/skerry/skerry/rpc"
)

// wide provides the service Wide: a server stream sends its argument twice.
type wide struct{ pinged, notified chan string }

// twice sends an item two times.
func twice[T any](ctx context.Context, out rpc.Sender[T], item T) error {
	return errors.Join(out.Send(ctx, item), out.Send(ctx, item))
}

func (w wide) Ping(context.Context) error { w.pinged <- ""; return nil }

func (wide) Last(ctx context.Context, since base.Millis, out rpc.Sender[*base.Value]) error {
	return twice(ctx, out, &base.Value{T: int64(since)})
}

func (wide) Bools(ctx context.Context, x bool, out rpc.Sender[bool]) error { return twice(ctx, out, x) }

// Numbers counts on from a cursor, and fails at 100.
func (wide) Numbers(ctx context.Context, since api.Serial, out rpc.Sender[api.Serial]) error {
	for n := since + 1; n < 100; n++ {
		if err := out.Send(ctx, n); err != nil {
			return err
		}
	}
	if since > 100 {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (wide) Doubles(ctx context.Context, x float64, out rpc.Sender[float64]) error {
	return twice(ctx, out, x)
}

// Texts sends a text, and ends as the tag says.
func (wide) Texts(ctx context.Context, most int32, tag string, o int32, out rpc.Sender[string]) error {
	if err := out.Send(ctx, fmt.Sprint(most, tag, o)); err != nil {
		return err
	}
	switch tag {
	case "bad":
		return &api.BadArgs_{Why: tag}
	case "new":
		return fmt.Errorf("it is: %w", &api.NewError_{UserID: 7})
	case "gone":
		return &base.Gone{Why: tag}
	}
	return nil
}

func (wide) Blobs(ctx context.Context, after []byte, out rpc.Sender[[]byte]) error {
	return twice(ctx, out, after)
}

func (wide) Kinds(ctx context.Context, k api.Kind, out rpc.Sender[api.Kind]) error {
	return twice(ctx, out, k)
}

func (wide) Lists(ctx context.Context, l []*base.Value, out rpc.Sender[[]*base.Value]) error {
	return twice(ctx, out, l)
}

func (wide) Sets(ctx context.Context, s []int32, out rpc.Sender[[]int32]) error {
	return twice(ctx, out, s)
}

func (wide) Maps(ctx context.Context, m map[api.Kind]api.Kinds, out rpc.Sender[map[api.Kind]api.Kinds]) error {
	return twice(ctx, out, m)
}

func (wide) KindLists(ctx context.Context, kinds api.Kinds, out rpc.Sender[api.Kinds]) error {
	return twice(ctx, out, kinds)
}

func (wide) Unions(ctx context.Context, c *base.Choice, out rpc.Sender[*base.Choice]) error {
	return twice(ctx, out, c)
}

func (wide) Urls(ctx context.Context, url *api.GetURL, out rpc.Sender[*api.GetURL]) error {
	return twice(ctx, out, url)
}

func (wide) Heads(context.Context, int64, rpc.Sender[*api.GetURL]) error { return nil }

func (wide) Structs(context.Context, *api.GetURL, rpc.Sender[*api.GetURL]) error { return nil }

// Put takes numbers up to a negative one.
func (wide) Put(ctx context.Context, in rpc.Receiver[int64]) error {
	for n, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		if n < 0 {
			return &base.Gone{Why: fmt.Sprint(n)}
		}
	}
	return nil
}

// PutAll adds the numbers to those of the opening.
func (wide) PutAll(ctx context.Context, uses *api.Uses, user *api.GetURL, choice *base.Choice,
	in rpc.Receiver[[]int64]) (api.Serial, error) {
	sum := uses.N + uses.C.GetSomeValue().T + int64(user.UserID) + int64(len(choice.GetText()))
	for list, err := range in.All(ctx) {
		if err != nil {
			return 0, err
		}
		for _, n := range list {
			sum += n
		}
	}
	return api.Serial(sum), nil
}

// Talk answers each text, and stops at "stop".
func (wide) Talk(ctx context.Context, kinds api.Kinds, in rpc.Receiver[string], out rpc.Sender[string]) error {
	for text, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		if text == "stop" {
			return &base.Gone{Why: text}
		}
		if err := out.Send(ctx, fmt.Sprint(text, kinds)); err != nil {
			return err
		}
	}
	return nil
}

func (wide) Later(_ context.Context, fail bool, done *rpc.Promise[struct{}]) error {
	go func() {
		if fail {
			done.Fail(&base.Gone{Why: "later"})
		} else {
			done.Set(struct{}{})
		}
	}()
	return nil
}

func (wide) NewThingArgs__(_ context.Context, a, b, c int32, text string, done *rpc.Promise[[]string]) error {
	if text == "" {
		return errors.New("no text")
	}
	done.Set([]string{text, fmt.Sprint(a, b, c)})
	return nil
}

func (w wide) Notify(_ context.Context, id string) error { w.notified <- id; return nil }

func (wide) GetURL(_ context.Context, url *api.GetURL, _, _, _ int32) (*api.GetURL, error) {
	return url, nil
}

type echo struct{}

func (echo) Echo(ctx context.Context, in rpc.Receiver[string], out rpc.Sender[string]) error {
	for text, err := range in.All(ctx) {
		if err := errors.Join(err, out.Send(ctx, text)); err != nil {
			return err
		}
	}
	return nil
}

// serve serves a processor on loopback, and returns a client of it.
func serve(t *testing.T, p thrift.TProcessor) thrift.TClient {
	t.Helper()
	tc, _ := serveAt(t, p)
	return tc
}

// serveAt is serve, with the address.
func serveAt(t *testing.T, p thrift.TProcessor) (tc thrift.TClient, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := rpc.NewServer(rpc.ServerConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handle("it", "v1", p); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	addr = l.Addr().String()
	c, err := rpc.NewClient(rpc.ClientConfig{
		Logger:   slog.New(slog.DiscardHandler),
		Resolver: rpc.Static(&rpc.Endpoint{ID: addr, Service: "it", Addr: addr}),
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
	tc, err = c.Service("it", rpc.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return tc, addr
}
