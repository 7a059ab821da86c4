package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// feedHandler serves package echo's Feed.
type feedHandler struct {
	running atomic.Int64
	ended   chan error            // what ended a handler, when it is not nil
	promise chan *Promise[string] // of calls of later
	watch   func(ctx context.Context, a *echo.FeedWatchArgs, out Sender[*echo.Message]) error
}

func (f *feedHandler) begin() func() { f.running.Add(1); return func() { f.running.Add(-1) } }

func (f *feedHandler) Watch(ctx context.Context, a *echo.FeedWatchArgs, out Sender[*echo.Message]) (err error) {
	defer f.begin()()
	defer func() {
		if f.ended != nil {
			f.ended <- err
		}
	}()
	if f.watch != nil {
		return f.watch(ctx, a, out)
	}
	switch {
	case a.Count == -1:
		return &echo.Refusal{Why: "declared"}
	case a.Count == -2:
		panic("handler panics")
	case a.Count == -3:
		return errors.New("undeclared")
	}
	for n := range a.Count {
		if err := out.Send(ctx, message(int(a.First+n))); err != nil {
			return err
		}
	}
	return nil
}

func (f *feedHandler) Numbers(ctx context.Context, a *echo.FeedNumbersArgs, out Sender[int64]) error {
	defer f.begin()()
	for n := range a.Count {
		if err := out.Send(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (f *feedHandler) Upload(ctx context.Context, a *echo.FeedUploadArgs, in Receiver[*echo.Message]) (int64, error) {
	defer f.begin()()
	if a.Tag == "refuse" {
		return 0, &echo.Refusal{Why: "tag"}
	}
	sum := int64(0)
	for m, err := range in.All(ctx) {
		if err != nil {
			return 0, err
		}
		sum += m.Number
	}
	return sum, nil
}

func (f *feedHandler) Talk(
	ctx context.Context, _ *echo.FeedTalkArgs, in Receiver[*echo.Message], out Sender[*echo.Message],
) error {
	defer f.begin()()
	for m, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		m.Text += "!"
		if err := out.Send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (f *feedHandler) Later(_ context.Context, a *echo.FeedLaterArgs, p *Promise[string]) error {
	switch a.Text {
	case "at once":
		p.Set("now")
	case "refuse":
		return &echo.Refusal{Why: "later"}
	case "panic":
		panic("handler panics")
	default:
		f.promise <- p
	}
	return nil
}

// feedStock is the Feed of the generated processor: only plain is not a stream.
type feedStock struct{ echo.Feed }

func (feedStock) Plain(_ context.Context, text string) (string, error) { return text + "?", nil }

func (f *feedHandler) processor() *StreamProcessor {
	result := func(m *echo.Message) thrift.TStruct { return &echo.FeedWatchResult{Success: m} }
	return NewStreamProcessor(
		echo.NewFeedProcessor(feedStock{}),
		ServerStreamMethod("watch", echo.NewFeedWatchArgs, f.Watch, result).WithPage("watch_page"),
		ServerStreamMethod("numbers", echo.NewFeedNumbersArgs, f.Numbers,
			func(n int64) thrift.TStruct { return &echo.FeedNumbersResult{Success: &n} }),
		ClientStreamMethod("upload", echo.NewFeedUploadArgs, (*echo.FeedUploadArgs).GetItem, f.Upload,
			func(n int64) thrift.TStruct { return &echo.FeedUploadResult{Success: &n} }),
		AsyncMethod("later", echo.NewFeedLaterArgs, f.Later,
			func(s string) thrift.TStruct { return &echo.FeedLaterResult{Success: &s} }),
		BidiStreamMethod("talk", echo.NewFeedTalkArgs, (*echo.FeedTalkArgs).GetM, f.Talk,
			func(m *echo.Message) thrift.TStruct { return &echo.FeedTalkResult{Success: m} }),
	)
}

// serveFeed serves a feed on loopback.
func serveFeed(t testing.TB, cfg ServerConfig, f *feedHandler) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveFeedOn(t, cfg, f, l)
}

func serveFeedOn(t testing.TB, cfg ServerConfig, f *feedHandler, l net.Listener) *testServer {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handle("feed", "v1", f.processor()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	ts := &testServer{Server: s, addr: l.Addr().String()}
	ts.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(ts.stop)
	return ts
}

func (s *testServer) feed() *Endpoint { return &Endpoint{ID: s.addr, Service: "feed", Addr: s.addr} }

// feedClient returns a client of the endpoints and what opens streams by it.
func feedClient(t testing.TB, cfg ClientConfig, endpoints ...*Endpoint) (*Client, thrift.TClient) {
	t.Helper()
	if cfg.Resolver == nil {
		cfg.Resolver = Static(endpoints...)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	tc, err := c.Service("feed", ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c, tc
}

func openWatch(ctx context.Context, tc thrift.TClient, first, count int64) (*ServerStream[*echo.Message], error) {
	args := &echo.FeedWatchArgs{First: first, Count: count}
	return OpenServerStream(ctx, tc, "watch", args, echo.NewFeedWatchResult())
}

func openUpload(ctx context.Context, tc thrift.TClient, tag string) (*ClientStream[*echo.Message, int64], error) {
	return OpenClientStream(ctx, tc, "upload", &echo.FeedUploadArgs{Tag: tag, Item: echo.NewMessage()},
		func(m *echo.Message) thrift.TStruct { return &echo.FeedUploadArgs{Item: m} }, echo.NewFeedUploadResult())
}

func openTalk(ctx context.Context, tc thrift.TClient) (*BidiStream[*echo.Message, *echo.Message], error) {
	return OpenBidiStream(ctx, tc, "talk", &echo.FeedTalkArgs{M: echo.NewMessage()},
		func(m *echo.Message) thrift.TStruct { return &echo.FeedTalkArgs{M: m} }, echo.NewFeedTalkResult())
}

// rested fails the test unless everything that streams have held is given back.
func rested(t *testing.T, s *testServer, c *Client, f *feedHandler) {
	t.Helper()
	eventually(t, "no stream is left", func() bool {
		open, slots := int32(0), 0
		c.eachPool(func(p *connPool) {
			for _, l := range p.standing() {
				open += l.streams.number.Load()
				l.pending.mu.Lock()
				slots += int(l.pending.size.Load()) - len(l.pending.unused)
				l.pending.mu.Unlock()
			}
		})
		return s.streamCount.Load() == 0 && s.running.Load() == 0 && open == 0 && slots == 0 && f.running.Load() == 0 &&
			s.streams.bytes.Used() == 0 && c.streams.bytes.Used() == 0
	})
}

func TestServerStream(t *testing.T) {
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{Instance: "10.0.0.1:7000"}, f)
	e := s.feed()
	c, tc := feedClient(t, ClientConfig{}, e)
	ctx := context.Background()
	st, err := openWatch(ctx, tc, 10, 5000)
	if err != nil {
		t.Fatal(err)
	}
	if st.Version() != "v1" || st.Instance() != "10.0.0.1:7000" {
		t.Errorf("served by %q, %q", st.Version(), st.Instance())
	}
	next := int64(10)
	for m, err := range st.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Number != next || m.Tags["n"] != fmt.Sprint(next) {
			t.Fatalf("item %d is %v", next, m)
		}
		next++
	}
	if next != 5010 {
		t.Errorf("the last item is %d", next-1)
	}
	if _, err := st.Recv(ctx); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	numbers, err := OpenServerStream(ctx, tc, "numbers", &echo.FeedNumbersArgs{Count: 3}, echo.NewFeedNumbersResult())
	if err != nil {
		t.Fatal(err)
	}
	var list []int64
	for n, err := range numbers.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, n)
	}
	if fmt.Sprint(list) != "[0 1 2]" {
		t.Error(list)
	}
	rested(t, s, c, f)
	if e.Pending() != 0 {
		t.Errorf("%d calls are pending", e.Pending())
	}
}

func TestClientStream(t *testing.T) {
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	ctx := context.Background()
	u, err := openUpload(ctx, tc, "a")
	if err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	for n := range 5000 {
		if err := u.Send(ctx, message(n)); err != nil {
			t.Fatal(err)
		}
		want += int64(n)
	}
	if sum, err := u.End(ctx); err != nil || sum != want {
		t.Errorf("got %d, %v, want %d", sum, err, want)
	}
	if err := u.Send(ctx, message(1)); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	if u, err = openUpload(ctx, tc, "refuse"); err != nil {
		t.Fatal(err)
	}
	var refusal *echo.Refusal
	if _, err := u.End(ctx); !errors.As(err, &refusal) || refusal.Why != "tag" {
		t.Errorf("a declared exception came as %v", err)
	}
	rested(t, s, c, f)
}

func TestBidiStream(t *testing.T) {
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	ctx := context.Background()
	st, err := openTalk(ctx, tc)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 { // question and answer
		if err := st.Send(ctx, message(n)); err != nil {
			t.Fatal(err)
		}
		m, err := st.Recv(ctx)
		if err != nil || m.Text != fmt.Sprintf("text %d!", n) {
			t.Fatal(m, err)
		}
	}
	go func() { // both directions at once
		for n := range 5000 {
			if st.Send(ctx, message(n)) != nil {
				return
			}
		}
		_ = st.EndSend()
	}()
	got := 0
	for m, err := range st.All(ctx) {
		if err != nil || m.Number != int64(got) {
			t.Fatal(m, err)
		}
		got++
	}
	if got != 5000 {
		t.Errorf("%d items came back", got)
	}
	rested(t, s, c, f)
}

func TestHowStreamsEnd(t *testing.T) {
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	ctx := context.Background()
	end := func(count int64) error {
		st, err := openWatch(ctx, tc, 0, count)
		if err != nil {
			t.Fatal(err)
		}
		_, err = st.Recv(ctx)
		if _, again := st.Recv(ctx); !errors.Is(again, err) && again.Error() != err.Error() {
			t.Errorf("Recv said %v and then %v", err, again)
		}
		return err
	}
	var refusal *echo.Refusal
	if err := end(-1); !errors.As(err, &refusal) || refusal.Why != "declared" {
		t.Errorf("a declared exception came as %v", err)
	}
	wantCode(t, end(-2), HandlerPanicked, WasExecuted)
	if e := wantCode(t, end(-3), HandlerFailed, WasExecuted); !strings.Contains(e.Error(), "undeclared") {
		t.Error(e)
	}
	rested(t, s, c, f)
}

// TestReaderWalksAway: however the caller leaves, the handler ends and nothing is held.
func TestReaderWalksAway(t *testing.T) {
	f := &feedHandler{ended: make(chan error, 1)}
	f.watch = func(ctx context.Context, _ *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
		for n := 0; ; n++ {
			if err := out.Send(ctx, message(n)); err != nil {
				return err
			}
		}
	}
	s := serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	ways := map[string]func(ctx context.Context, cancel func(), st *ServerStream[*echo.Message]){
		"Close": func(_ context.Context, _ func(), st *ServerStream[*echo.Message]) { st.Close() },
		"leaves the loop": func(ctx context.Context, _ func(), st *ServerStream[*echo.Message]) {
			for range st.All(ctx) {
				break
			}
		},
		"the context ends": func(_ context.Context, cancel func(), _ *ServerStream[*echo.Message]) { cancel() },
	}
	for name, leave := range ways {
		ctx, cancel := context.WithCancel(context.Background())
		st, err := openWatch(ctx, tc, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Recv(ctx); err != nil {
			t.Fatal(err)
		}
		leave(ctx, cancel, st)
		select {
		case err := <-f.ended:
			wantCode(t, err, Canceled, WasExecuted)
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the handler goes on", name)
		}
		_, err = st.Recv(context.Background())
		wantCode(t, err, Canceled, WasExecuted)
		st.Close()
		cancel()
	}
	rested(t, s, c, f)
}

// TestSleepingReader: a caller that takes nothing holds up its own stream alone, and within the window.
func TestSleepingReader(t *testing.T) {
	f := &feedHandler{}
	sent := atomic.Int64{}
	f.watch = func(ctx context.Context, a *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
		for n := range a.Count {
			m := message(int(n))
			m.Text = strings.Repeat("x", 1000)
			if err := out.Send(ctx, m); err != nil {
				return err
			}
			if a.First == 7 {
				sent.Add(1)
			}
		}
		return nil
	}
	s := serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	ctx := context.Background()
	asleep, err := openWatch(ctx, tc, 7, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the window is full", func() bool { return sent.Load() > 200 })
	for range 3 {
		st, err := openWatch(ctx, tc, 0, 3000)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range st.All(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 3000 {
			t.Fatalf("%d items", n)
		}
	}
	if n := sent.Load(); n > 300 {
		t.Errorf("%d items were sent to a caller that takes none", n)
	}
	got := 0
	for _, err := range asleep.All(ctx) { // it wakes up
		if err != nil {
			t.Fatal(err)
		}
		got++
	}
	if got != 10_000 {
		t.Errorf("%d items", got)
	}
	rested(t, s, c, f)
}

// TestShortStreams: streams that end as soon as they are open, many at a time, keep their own answers.
func TestShortStreams(t *testing.T) {
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	var all []*Future[int]
	for w := range 8 {
		all = append(all, Go(context.Background(), func(ctx context.Context) (int, error) {
			for n := range 200 {
				st, err := openWatch(ctx, tc, int64(1000*w), int64(n%2))
				if err != nil {
					return n, err
				}
				for m, err := range st.All(ctx) {
					if err != nil || m.Number != int64(1000*w) {
						return n, fmt.Errorf("item %v: %w", m, err)
					}
				}
				if _, err := st.Recv(ctx); err != io.EOF {
					return n, fmt.Errorf("the end is %w", err)
				}
			}
			return 0, nil
		}))
	}
	for _, f := range all {
		if n, err := f.Wait(context.Background()); err != nil {
			t.Errorf("stream %d: %v", n, err)
		}
	}
	rested(t, s, c, f)
}

// TestNotAStream: a method that is no stream, or one of another mode, is refused unexecuted; a plain call of a stream
// says what it is.
func TestNotAStream(t *testing.T) {
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{}, f)
	_, tc := feedClient(t, ClientConfig{}, s.feed())
	ctx := context.Background()
	_, err := OpenServerStream(ctx, tc, "plain", &echo.FeedPlainArgs{}, echo.NewFeedPlainResult())
	wantCode(t, err, Unsupported, NotExecuted)
	_, err = OpenServerStream(ctx, tc, "talk", &echo.FeedTalkArgs{M: echo.NewMessage()}, echo.NewFeedTalkResult())
	wantCode(t, err, Unsupported, NotExecuted)
	_, err = OpenServerStream(ctx, tc, "nothing", &echo.FeedPlainArgs{}, echo.NewFeedPlainResult())
	wantCode(t, err, UnknownMethod, NotExecuted)
	_, err = echo.NewFeedClient(tc).Watch(ctx, 0, 1)
	if e := wantCode(t, err, UnknownMethod, NotExecuted); !strings.Contains(e.Error(), "watch_page") {
		t.Errorf("a plain call of a stream: %v", e)
	}
	if text, err := echo.NewFeedClient(tc).Plain(ctx, "a"); err != nil || text != "a?" {
		t.Errorf("an ordinary method beside streams: %q, %v", text, err)
	}
	if n, err := echo.NewFeedClient(tc).Upload(ctx, "", message(5)); err != nil || n != 5 {
		t.Errorf("a plain call of a client stream: %d, %v", n, err)
	}
	if f.running.Load() != 0 {
		t.Error("a handler runs")
	}
}
