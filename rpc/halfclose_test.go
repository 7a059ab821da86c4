package rpc

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// TestHalfClosedConnections: a stock client that sends its calls and closes its sending side reads
// all replies (quick, slow and large) and then the end.
func TestHalfClosedConnections(t *testing.T) {
	h := &handler{name: "a", notes: make(chan string, 10)}
	s := serve(t, ServerConfig{}, h)
	const size = 1 << 20
	all := stocks()
	// The last one compresses: the stock library can't read two such replies in a row.
	for _, k := range all[:len(all)-1] {
		t.Run(k.protocol, func(t *testing.T) {
			ctx := t.Context()
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			sock := thrift.NewTSocketFromConnConf(conn, &thrift.TConfiguration{SocketTimeout: 20 * time.Second})
			trans, err := k.transport.GetTransport(sock)
			if err != nil {
				t.Fatal(err)
			}
			defer trans.Close()
			in, out := k.encoding.GetProtocol(trans), k.encoding.GetProtocol(trans)
			if k.protocol == "header" {
				out = in
			}
			c := thrift.NewTStandardClient(in, out)
			large := &echo.Message{Text: string(make([]byte, size))}
			if err := errors.Join(c.Send(ctx, out, 1, "sleep", &echo.EchoSleepArgs{Millis: 100}),
				c.Send(ctx, out, 2, "sleep", &echo.EchoSleepArgs{}),
				c.Send(ctx, out, 3, "echo", &echo.EchoEchoArgs{M: large}),
				c.Send(ctx, out, 4, "sleep", &echo.EchoSleepArgs{Millis: 100}),
				conn.(*net.TCPConn).CloseWrite()); err != nil {
				t.Fatal(err)
			}
			var first, quick, last echo.EchoSleepResult
			var echoed echo.EchoEchoResult
			if err := errors.Join(c.Recv(ctx, in, 1, "sleep", &first), c.Recv(ctx, in, 2, "sleep", &quick),
				c.Recv(ctx, in, 3, "echo", &echoed), c.Recv(ctx, in, 4, "sleep", &last)); err != nil {
				t.Fatal(err)
			}
			if first.GetSuccess() != 100 || quick.GetSuccess() != 0 || len(echoed.GetSuccess().GetText()) != size ||
				last.GetSuccess() != 100 {
				t.Errorf("got %v, %v, %d bytes, %v", &first, &quick, len(echoed.GetSuccess().GetText()), &last)
			}
			if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("behind the replies: %d bytes, %v", n, err)
			}
		})
	}
	if h.canceled.Load() != 0 || s.Stats().BadPeers != 0 {
		t.Errorf("%d calls were cancelled, %d bad peers", h.canceled.Load(), s.Stats().BadPeers)
	}
}

// unordered writes a call of a plain client that takes replies in any order.
func unordered(t *testing.T, nc net.Conn, seq int32, millis int64) {
	t.Helper()
	w := flat.NewWriter(flat.Binary, 1<<20)
	defer w.Free()
	ctx := t.Context()
	if err := errors.Join(w.WriteMessageBegin(ctx, "sleep", thrift.CALL, seq),
		(&echo.EchoSleepArgs{Millis: millis}).Write(ctx, w), w.WriteMessageEnd(ctx)); err != nil {
		t.Fatal(err)
	}
	limits := Sizes{}.withDefaults().frames()
	head, err := theader.Close(theader.Start(nil, theader.OutOfOrder, byte(flat.Binary)), 0, limits)
	if err == nil {
		theader.SetSeq(head, seq)
		err = setLength(head, len(w.Bytes()), limits)
	}
	if err == nil {
		_, err = nc.Write(append(head, w.Bytes()...))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestClosedConnectionsEndTheirCalls: when a client closes its connection soon after its calls, the
// first unread reply cancels the others. When it closes later, the end itself does. For a skerry
// client the end does so at once.
func TestClosedConnectionsEndTheirCalls(t *testing.T) {
	for name, c := range map[string]struct {
		closes, ends time.Duration // after the calls
		own          bool          // a skerry client's
	}{
		"soon":               {time.Second, 10 * time.Second, false},
		"late":               {6 * time.Second, 6 * time.Second, false},
		"of a skerry client": {time.Second, time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMemoryListener()
				begun := time.Now()
				h := &handler{}
				s := serveOn(t, ServerConfig{}, h, l)
				if c.own {
					mine, err := NewClient(ClientConfig{Resolver: Static(s.endpoint()), Dial: l.dial})
					if err != nil {
						t.Fatal(err)
					}
					time.AfterFunc(c.closes, func() { mine.Close() })
					_, err = stub(t, mine, ServiceOptions{Timeout: time.Minute})().Sleep(t.Context(), 60_000)
					wantCode(t, err, ConnectionLost, MaybeExecuted)
				} else {
					nc, err := l.dial(t.Context(), "")
					if err != nil {
						t.Fatal(err)
					}
					unordered(t, nc, 1, 10_000)
					unordered(t, nc, 2, 60_000)
					time.Sleep(c.closes)
					nc.Close()
				}
				synctest.Wait()
				time.Sleep(c.ends - time.Since(begun))
				synctest.Wait()
				if n := s.Stats().Running; n != 0 {
					t.Errorf("%d calls run %v after the calls", n, c.ends)
				}
				if h.canceled.Load() == 0 {
					t.Error("no call was cancelled")
				}
			})
		})
	}
}

// TestResetConnectionsEndTheirCalls: a client that resets its connection has gone, and its call is
// cancelled at once.
func TestResetConnectionsEndTheirCalls(t *testing.T) {
	h := &handler{}
	s := serve(t, ServerConfig{}, h)
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	unordered(t, conn, 1, 60_000)
	eventually(t, "the call has begun", func() bool { return h.calls.Load() == 1 })
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
	eventually(t, "it is cancelled", func() bool { return h.canceled.Load() == 1 })
}
