package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/memtest"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// endless sends messages until it must end.
func endless(size int) func(context.Context, *echo.FeedWatchArgs, Sender[*echo.Message]) error {
	text := strings.Repeat("x", size)
	return func(ctx context.Context, _ *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
		for n := int64(0); ; n++ {
			if err := out.Send(ctx, &echo.Message{Text: text, Number: n}); err != nil {
				return err
			}
		}
	}
}

// TestStreamOfDeadHost: a host that is cut off is found within 3 s, though its stream was idle.
func TestStreamOfDeadHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feedHandler{watch: func(ctx context.Context, _ *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		l := newMemoryListener()
		s := serveFeedOn(t, ServerConfig{}, f, l)
		var frozen atomic.Bool
		_, tc := feedClient(t, ClientConfig{Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := l.dial(ctx, addr)
			return &freezer{Conn: nc, frozen: &frozen, ended: make(chan struct{})}, err
		}}, s.feed())
		st, err := openWatch(t.Context(), tc, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = st.Recv(ctx)
		wantCode(t, err, DeadlineExceeded, WasExecuted) // an idle stream stands for as long as its ends answer
		frozen.Store(true)
		begin := time.Now()
		_, err = st.Recv(t.Context())
		wantCode(t, err, ConnectionLost, WasExecuted)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("found after %v", took)
		}
	})
}

// TestStreamOfKilledProcess: the end of the provider's process is the end of its streams, at once; the items that had
// come are still received.
func TestStreamOfKilledProcess(t *testing.T) {
	f := &feedHandler{watch: endless(10)}
	s := serveFeed(t, ServerConfig{}, f)
	c, tc := feedClient(t, ClientConfig{}, s.feed())
	st, err := openWatch(context.Background(), tc, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.stop()
	next := int64(1)
	for m, err := range st.All(context.Background()) {
		if err != nil {
			wantCode(t, err, ConnectionLost, WasExecuted)
			break
		}
		if m.Number != next {
			t.Fatalf("item %d came after %d", m.Number, next-1)
		}
		next++
	}
	rested(t, s, c, f)
}

// TestSlowReader: an end that takes nothing for a minute loses the stream, in both directions.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feedHandler{watch: endless(1000), ended: make(chan error, 1)}
		l := newMemoryListener()
		s := serveFeedOn(t, ServerConfig{}, f, l)
		c, tc := feedClient(t, ClientConfig{Dial: l.dial}, s.feed())
		begin := time.Now()
		st, err := openWatch(t.Context(), tc, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, <-f.ended, SlowReader, WasExecuted)
		if took := time.Since(begin); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("ended after %v", took)
		}
		n := 0
		for _, err := range st.All(t.Context()) {
			if n++; err != nil {
				wantCode(t, err, SlowReader, WasExecuted)
			}
		}
		if n < 200 {
			t.Errorf("of the items in the window %d came", n-1)
		}
		f.watch = nil
		talk, err := openTalk(t.Context(), tc) // sends to a handler whose answers are not taken
		if err != nil {
			t.Fatal(err)
		}
		for begin = time.Now(); err == nil; {
			err = talk.Send(t.Context(), &echo.Message{Text: strings.Repeat("x", 1000)})
		}
		wantCode(t, err, SlowReader, WasExecuted)
		if took := time.Since(begin); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("the caller gave up after %v", took)
		}
		synctest.Wait()
		rested(t, s, c, f)
	})
}

// TestWindowOfOneByte: no item is too large for a window, and none waits for ever.
func TestWindowOfOneByte(t *testing.T) {
	limits := StreamLimits{Window: 1, Item: 64 << 10}
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{Streams: limits}, f)
	c, tc := feedClient(t, ClientConfig{Streams: limits}, s.feed())
	ctx := context.Background()
	st, err := openTalk(ctx, tc)
	if err != nil {
		t.Fatal(err)
	}
	sizes := []int{0, 1, 60_000, 1, 60_000, 0, 0, 60_000}
	go func() {
		for range 20 {
			for _, n := range sizes {
				if st.Send(ctx, &echo.Message{Text: strings.Repeat("x", n)}) != nil {
					return
				}
			}
		}
		_ = st.EndSend()
	}()
	n := 0
	for m, err := range st.All(ctx) {
		if err != nil || len(m.Text) != sizes[n%len(sizes)]+1 {
			t.Fatal(n, err)
		}
		n++
	}
	if n != 20*len(sizes) {
		t.Errorf("%d items", n)
	}
	rested(t, s, c, f)
}

// TestItemTooLarge: an item over the limit is refused to its sender, and the stream goes on.
func TestItemTooLarge(t *testing.T) {
	limits := StreamLimits{Item: 10_000}
	f := &feedHandler{}
	f.watch = func(ctx context.Context, _ *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
		if err := out.Send(ctx, &echo.Message{Text: strings.Repeat("x", 10_000)}); CodeOf(err) != TooLarge {
			return fmt.Errorf("sent: %w", err)
		}
		return out.Send(ctx, message(1))
	}
	s := serveFeed(t, ServerConfig{Streams: limits}, f)
	c, tc := feedClient(t, ClientConfig{Streams: limits}, s.feed())
	ctx := context.Background()
	st, err := openWatch(ctx, tc, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := st.Recv(ctx); err != nil || m.Number != 1 {
		t.Error(m, err)
	}
	u, err := openUpload(ctx, tc, "")
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, u.Send(ctx, &echo.Message{Text: strings.Repeat("x", 10_000)}), TooLarge, WasExecuted)
	if err := u.Send(ctx, message(3)); err != nil {
		t.Error(err)
	}
	if n, err := u.End(ctx); n != 3 || err != nil {
		t.Error(n, err)
	}
	st.Close()
	rested(t, s, c, f)
}

// TestStreamLimits: what is over a limit is refused unexecuted, and calls go on beside it.
func TestStreamLimits(t *testing.T) {
	f := &feedHandler{watch: endless(1000)}
	s := serveFeed(t, ServerConfig{Streams: StreamLimits{Conn: 3, Most: 5}, MaxCalls: 16, MaxConnCalls: 2}, f)
	ctx := context.Background()
	c1, tc1 := feedClient(t, ClientConfig{}, s.feed())
	c2, tc2 := feedClient(t, ClientConfig{}, s.feed())
	var open []*ServerStream[*echo.Message]
	for i, tc := range []thrift.TClient{tc1, tc1, tc1, tc1, tc2, tc2, tc2} {
		st, err := openWatch(ctx, tc, 0, 0)
		if i == 3 || i == 6 {
			wantCode(t, err, Overloaded, NotExecuted)
			continue
		}
		if err != nil {
			t.Fatal(i, err)
		}
		open = append(open, st)
	}
	if text, err := echo.NewFeedClient(tc1).Plain(ctx, "a"); text != "a?" || err != nil {
		t.Error(text, err)
	}
	if stats := s.Stats(); stats.Streams != 5 {
		t.Errorf("%d streams", stats.Streams)
	}
	for _, st := range open {
		st.Close()
	}
	rested(t, s, c1, f)
	rested(t, s, c2, f)
}

// TestLastStreams: a client with very many streams does not keep out one that has none.
func TestLastStreams(t *testing.T) {
	f := &feedHandler{watch: endless(1000)}
	s := serveFeed(t, ServerConfig{Streams: StreamLimits{Conn: 100, Most: 32}}, f)
	ctx := context.Background()
	patient := func() (*Client, thrift.TClient) { // thirty streams fill their windows meanwhile
		c, _ := feedClient(t, ClientConfig{}, s.feed())
		tc, err := c.Service("feed", ServiceOptions{Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return c, tc
	}
	greedy, tc1 := patient()
	modest, tc2 := patient()
	var open []*ServerStream[*echo.Message]
	for {
		st, err := openWatch(ctx, tc1, 0, 0)
		if err != nil {
			wantCode(t, err, Overloaded, NotExecuted)
			break
		}
		open = append(open, st)
	}
	if len(open) != 30 {
		t.Errorf("one client has %d of 32 streams, want 30", len(open))
	}
	st, err := openWatch(ctx, tc2, 0, 0)
	if err != nil {
		t.Fatalf("the first stream of another client: %v", err)
	}
	for _, st := range append(open, st) {
		st.Close()
	}
	rested(t, s, greedy, f)
	rested(t, s, modest, f)
}

// TestMemoryOfItems: where the items of sleeping handlers fill the memory for all, no more credit is given and
// no stream is opened; when there is room again, all go on.
func TestMemoryOfItems(t *testing.T) {
	wake := make(chan struct{})
	f := &feedHandler{}
	s, err := NewServer(ServerConfig{Streams: StreamLimits{Memory: 200_000, Window: 100_000}})
	if err != nil {
		t.Fatal(err)
	}
	upload := func(ctx context.Context, a *echo.FeedUploadArgs, in Receiver[*echo.Message]) (int64, error) {
		<-wake
		return f.Upload(ctx, a, in)
	}
	if _, err := s.Handle("feed", "v1", NewStreamProcessor(nil, ClientStreamMethod("upload", echo.NewFeedUploadArgs,
		(*echo.FeedUploadArgs).GetItem, upload,
		func(n int64) thrift.TStruct { return &echo.FeedUploadResult{Success: &n} }))); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(served, l) }()
	ts := &testServer{Server: s, addr: l.Addr().String()}
	c, tc := feedClient(t, ClientConfig{}, ts.feed())
	ctx := context.Background()
	sums := make(chan *Future[int64], 3)
	for range 3 {
		u, err := openUpload(ctx, tc, "")
		if err != nil {
			t.Fatal(err)
		}
		sums <- Go(ctx, func(ctx context.Context) (int64, error) {
			for range 1000 {
				if err := u.Send(ctx, &echo.Message{Number: 1, Text: strings.Repeat("x", 1000)}); err != nil {
					return 0, err
				}
			}
			return u.End(ctx)
		})
	}
	eventually(t, "the memory is full", s.streams.bytes.Full)
	_, err = openUpload(ctx, tc, "")
	wantCode(t, err, Overloaded, NotExecuted)
	if used := s.streams.bytes.Used(); used > 310_000 {
		t.Errorf("%d bytes are held", used)
	}
	close(wake)
	for range 3 {
		if n, err := (<-sums).Wait(ctx); n != 1000 || err != nil {
			t.Error(n, err)
		}
	}
	rested(t, ts, c, f)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestDrainWithStreams: a server that leaves tells both ends, and cuts what has not ended within the grace.
func TestDrainWithStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feedHandler{ended: make(chan error, 2)}
		f.watch = func(ctx context.Context, a *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
			moving := Moving(ctx)
			for n := 0; ; n++ {
				select {
				case <-moving:
					if moving = nil; a.First == 1 {
						return nil
					}
				case <-time.After(100 * time.Millisecond):
				}
				if err := out.Send(ctx, message(n)); err != nil {
					return err
				}
			}
		}
		l := newMemoryListener()
		s := serveFeedOn(t, ServerConfig{}, f, l)
		_, tc := feedClient(t, ClientConfig{Dial: l.dial}, s.feed())
		polite, err := openWatch(t.Context(), tc, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		stubborn, err := openWatch(t.Context(), tc, 2, 0)
		if err != nil {
			t.Fatal(err)
		}
		received := make(chan error, 1)
		go func() {
			for {
				if _, err := stubborn.Recv(t.Context()); err != nil {
					received <- err
					return
				}
			}
		}()
		s.Leave()
		<-polite.Moving()
		<-stubborn.Moving()
		for _, err := range polite.All(t.Context()) {
			if err != nil {
				t.Error(err)
			}
		}
		if err := <-f.ended; err != nil {
			t.Error(err)
		}
		begin := time.Now()
		if err := s.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < 5*time.Second || took > 6500*time.Millisecond {
			t.Errorf("drained after %v", took)
		}
		wantCode(t, <-f.ended, Draining, WasExecuted)
		wantCode(t, <-received, Draining, WasExecuted)
	})
}

// TestIdleStreams: an idle stream costs little at either end.
func TestIdleStreams(t *testing.T) {
	const clients, each = 10, 1000
	f := &feedHandler{watch: func(ctx context.Context, _ *echo.FeedWatchArgs, out Sender[*echo.Message]) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	s := serveFeed(t, ServerConfig{Streams: StreamLimits{Most: 2 * clients * each}}, f)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var list []*Client
	before := memtest.Held()
	for range clients {
		c, tc := feedClient(t, ClientConfig{}, s.feed())
		list = append(list, c)
		for range each {
			if _, err := openWatch(ctx, tc, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	held := (memtest.Held() - before) / (clients * each)
	t.Logf("an idle stream holds %d bytes at both ends together, with the goroutine of its handler", held)
	if held > 12<<10 && !raceDetector { // 4 KiB at each end, and 4 KiB for the handler's goroutine
		t.Errorf("an idle stream holds %d bytes at both ends together, more than 12 KiB", held)
	}
	cancel()
	for _, c := range list {
		rested(t, s, c, f)
	}
}

// rawStream speaks to a server frame by frame.
type rawStream struct {
	t  *testing.T
	nc net.Conn
	in *transport.Reader
}

func dialRaw(t *testing.T, s *testServer) *rawStream {
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return &rawStream{t, nc, transport.NewReader(nc, theader.Limits{}, nil)}
}

// streamFrame is a frame with these pairs of the header, and a message when body is not nil.
func streamFrame(seq int32, body thrift.TStruct, method string, pairs ...string) []byte {
	h := theader.Header{Seq: seq, Flags: theader.OutOfOrder}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	b, err := theader.Append(nil, &h, theader.Limits{})
	if err == nil && body != nil {
		w := flat.NewWriter(flat.Binary, 1<<20)
		defer w.Free()
		ctx := context.Background()
		err = errors.Join(w.WriteMessageBegin(ctx, method, thrift.CALL, seq), body.Write(ctx, w),
			w.WriteMessageEnd(ctx))
		b = append(b, w.Bytes()...)
	}
	if err != nil {
		panic(err)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (r *rawStream) send(frames ...[]byte) {
	r.t.Helper()
	for _, b := range frames {
		if _, err := r.nc.Write(b); err != nil {
			r.t.Fatal(err)
		}
	}
}

// next returns the header of the next frame that gives no credit.
func (r *rawStream) next() *theader.Header {
	r.t.Helper()
	for {
		if h := r.any(); h.Get(keyControl) != controlCredit {
			return h
		}
	}
}

func (r *rawStream) any() *theader.Header {
	r.t.Helper()
	_ = r.nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	frame, err := r.in.Frame()
	if err != nil {
		r.t.Fatal(err)
	}
	var h theader.Header
	if _, err := theader.Parse(frame, &h, theader.Limits{}); err != nil {
		r.t.Fatal(err)
	}
	return &h
}

// ended fails the test unless the server closes the connection.
func (r *rawStream) ended() {
	r.t.Helper()
	_ = r.nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		if _, err := r.in.Frame(); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) &&
				!strings.Contains(err.Error(), "reset") {
				r.t.Errorf("the connection stands: %v", err)
			}
			return
		}
	}
}

var (
	openTalkFrame = streamFrame(7, &echo.FeedTalkArgs{M: echo.NewMessage()}, "talk",
		keyService, "feed", keyMode, "bidi", keyWindow, "1000")
	talkItemFrame = streamFrame(7, &echo.FeedTalkArgs{M: &echo.Message{Text: "a"}}, "talk", keyFrame, frameItem)
	talkEndFrame  = streamFrame(7, nil, "", keyFrame, frameEnd)
	creditFrame   = appendCredit(nil, 7, 100)
)

// TestHostileStreams: a client that breaks the format loses its connection, and nothing else.
func TestHostileStreams(t *testing.T) {
	f := &feedHandler{}
	s := serveFeed(t, ServerConfig{Streams: StreamLimits{Window: 100, Item: 1000}}, f)
	open := func(t *testing.T) *rawStream {
		r := dialRaw(t, s)
		r.send(openTalkFrame)
		if h := r.next(); h.Get(keyFrame) != frameAccept || h.Get(keyWindow) != "100" || h.Seq != 7 {
			t.Fatalf("the opening was answered by %v", h)
		}
		return r
	}
	t.Run("well-behaved", func(t *testing.T) {
		r := open(t)
		r.send(talkItemFrame, talkEndFrame)
		if h := r.next(); h.Get(keyFrame) != frameItem {
			t.Errorf("%v in place of an item", h)
		}
		if h := r.next(); h.Get(keyFrame) != "" || h.Get(keyCode) != "" || h.Seq != 7 {
			t.Errorf("%v in place of the reply", h)
		}
		r.send(talkItemFrame, creditFrame, talkEndFrame) // late frames are dropped
		var h *theader.Header
		eventually(t, "the number is free", func() bool { // the server frees it after its reply
			r.send(openTalkFrame)
			h = r.next()
			return h.Get(keyCode) != BadMessage.String()
		})
		if h.Get(keyFrame) != frameAccept {
			t.Errorf("a second stream of that number: %v", h)
		}
	})
	t.Run("no credit", func(t *testing.T) {
		r := open(t)
		big := streamFrame(7, &echo.FeedTalkArgs{M: &echo.Message{Text: strings.Repeat("x", 200)}}, "talk",
			keyFrame, frameItem)
		r.send(big, big, big, big, big, big, big, big) // the answers fill the window of the client
		r.ended()
	})
	for name, frame := range map[string][]byte{
		"an item over the limit": streamFrame(7,
			&echo.FeedTalkArgs{M: &echo.Message{Text: strings.Repeat("x", 9000)}}, "talk", keyFrame, frameItem),
		"credit of nothing":        appendCredit(nil, 7, 0),
		"credit without end":       append(appendCredit(nil, 7, 1<<40), appendCredit(nil, 7, 1<<40)...),
		"credit that is no number": streamFrame(0, nil, "", keyControl, controlCredit, keyTarget, "7", keyWindow, "x"),
		"credit for nothing":       streamFrame(0, nil, "", keyControl, controlCredit),
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t)
			r.send(frame)
			r.ended()
		})
	}
	for name, pairs := range map[string][]string{
		"no window":           {keyService, "feed", keyMode, "bidi"},
		"a window of nothing": {keyService, "feed", keyMode, "bidi", keyWindow, "0"},
		"a huge window":       {keyService, "feed", keyMode, "bidi", keyWindow, "99999999999999999999"},
		"another mode":        {keyService, "feed", keyMode, "sideways", keyWindow, "10"},
	} {
		t.Run(name, func(t *testing.T) {
			r := dialRaw(t, s)
			r.send(streamFrame(7, &echo.FeedTalkArgs{M: echo.NewMessage()}, "talk", pairs...))
			if h := r.next(); h.Get(keyExecuted) != "0" || h.Get(keyFrame) != "" {
				t.Errorf("answered by %v", h)
			}
		})
	}
	t.Run("frames of no stream", func(t *testing.T) {
		r := dialRaw(t, s)
		r.send(talkItemFrame, talkEndFrame, creditFrame, openTalkFrame)
		if h := r.next(); h.Get(keyFrame) != frameAccept {
			t.Errorf("answered by %v", h)
		}
	})
	eventually(t, "no stream is left", func() bool {
		return s.streamCount.Load() == 0 && f.running.Load() == 0 && s.streams.bytes.Used() == 0
	})
}
