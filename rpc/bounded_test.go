package rpc

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/memtest"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// Memory is taken for received bytes, not for announced ones.
func TestAnnouncedFramesTakeNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newMemoryListener()
		s := serveOn(t, ServerConfig{}, &handler{}, l)
		const n = 200
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			nc, err := l.dial(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := nc.Write(
				append(binary.BigEndian.AppendUint32(nil, 15<<20), 0x0f, 0xff, 0, 0, 0, 0, 0, 1)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		runtime.ReadMemStats(&after)
		if s.Stats().Connections != n {
			t.Errorf("%d connections, want %d", s.Stats().Connections, n)
		}
		if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 128<<10 {
			t.Errorf("%d bytes for each connection", each)
		}
	})
}

// Ten thousand idle clients cost about 100 MiB, including their own ends, because used memory is
// given back. Clients that stop within a message cost little more.
func TestIdleConnectionsAreCheap(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	ping := appendControl(nil, controlPing, 5, 0)
	for _, tt := range []struct {
		name  string
		last  []byte
		limit int64
	}{{"silent", nil, 16 << 10}, {"within a message", frames(t)["header-binary"][:30], 20 << 10}} {
		const n = 200
		before := memtest.Held()
		for range n {
			nc := send(t, s.addr, bytes.Repeat(ping, 200))
			if _, err := io.ReadFull(nc, make([]byte, 200*len(appendControl(nil, controlPong, 5, 0)))); err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Write(tt.last); err != nil {
				t.Fatal(err)
			}
		}
		each := (memtest.Held() - before) / n
		if t.Log(tt.name, each); each > tt.limit {
			t.Errorf("%s: %d bytes for each connection", tt.name, each)
		}
	}
}

// All connections together hold no more than the server allows while no client reads. A client that
// reads is served as before.
func TestManyPeersThatNeverRead(t *testing.T) {
	const limit, peers = 2 << 20, 60
	s := serve(t, ServerConfig{Sizes: Sizes{Replies: limit}}, &handler{name: "a"})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: 5 * time.Second})
	w := flat.NewWriter(flat.Binary, 1<<20)
	defer w.Free()
	args := echo.EchoEchoArgs{M: &echo.Message{Text: strings.Repeat("x", 4_000)}}
	_ = w.WriteMessageBegin(t.Context(), "echo", thrift.CALL, 1)
	_ = args.Write(t.Context(), w)
	request := append(binary.BigEndian.AppendUint32(nil, uint32(len(w.Bytes()))), w.Bytes()...)
	var sending sync.WaitGroup
	for range peers {
		nc := send(t, s.addr, request)
		sending.Go(func() {
			_ = nc.SetWriteDeadline(time.Now().Add(600 * time.Millisecond))
			for sent := 0; sent < 64<<20; sent += len(request) {
				if _, err := nc.Write(request); err != nil {
					return
				}
			}
		})
	}
	sending.Wait()
	if used := s.replies.Used(); used > 2*limit+peers*int64(len(request)) { // each may be adding one
		t.Errorf("%d bytes wait, the limit is %d", used, limit)
	}
	if who, err := call().Who(t.Context()); err != nil || who != "a" {
		t.Errorf("another client: %q, %v", who, err)
	}
	s.stop()
	if used := s.replies.Used(); used != 0 {
		t.Errorf("%d bytes are still counted", used)
	}
}

// Large calls are refused while other calls hold the allowed memory. Received parts of large calls
// count as well.
func TestLargeCallsAreBounded(t *testing.T) {
	h := &handler{name: "a", notes: make(chan string)}
	s := serve(t, ServerConfig{Sizes: Sizes{Requests: 1 << 20}}, h)
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{Timeout: 5 * time.Second})
	text := strings.Repeat("x", 500_000)
	for i := range 2 {
		if err := call().Note(t.Context(), text); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if err := call().Note(t.Context(), text); CodeOf(err) != Overloaded {
		t.Errorf("a third large call: %v", err)
	}
	if who, err := call().Who(t.Context()); err != nil || who != "a" {
		t.Errorf("a small call: %q, %v", who, err)
	}
	begun := send(
		t,
		s.addr,
		append(binary.BigEndian.AppendUint32(nil, 8<<20), bytes.Repeat([]byte{0x0f, 0xff, 0, 0}, 50_000)...),
	)
	wantClosed(t, begun) // the bytes that it has sent would exceed twice the limit
	for range 2 {
		<-h.notes
	}
	for end := time.Now().Add(5 * time.Second); s.requests.Used() != 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are still counted", s.requests.Used())
		}
	}
	if err := call().Note(t.Context(), text); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	<-h.notes
}

// Connections above the limit are closed, and later ones find room after others have ended.
func TestMaxConns(t *testing.T) {
	s := serve(t, ServerConfig{MaxConns: 2}, &handler{})
	ping := appendControl(nil, controlPing, 5, 0)
	pong := make([]byte, len(appendControl(nil, controlPong, 5, 0)))
	first := send(t, s.addr, ping)
	_, _ = io.ReadFull(first, pong)
	second := send(t, s.addr, ping)
	_, _ = io.ReadFull(second, pong)
	wantClosed(t, send(t, s.addr, ping))
	if n := s.Stats().Connections; n != 2 {
		t.Errorf("%d connections", n)
	}
	_ = first.Close()
	for end := time.Now().Add(5 * time.Second); s.Stats().Connections > 1 && time.Now().Before(end); {
		runtime.Gosched()
	}
	third := send(t, s.addr, ping)
	if _, err := io.ReadFull(third, pong); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

// A client that sends and never reads is delayed, then cut off.
func TestPeerThatNeverReads(t *testing.T) {
	s := serve(t, ServerConfig{Sizes: Sizes{Queue: 4 << 20}}, &handler{})
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	neverRead(t, nc)
}

// neverRead sends calls until the server takes no more, and checks that the server holds no more
// than its limit.
func neverRead(t *testing.T, nc net.Conn) {
	t.Helper()
	w := flat.NewWriter(flat.Binary, 1<<20)
	defer w.Free()
	args := echo.EchoEchoArgs{M: &echo.Message{Text: strings.Repeat("x", 100_000)}}
	_ = w.WriteMessageBegin(t.Context(), "echo", thrift.CALL, 1)
	_ = args.Write(t.Context(), w)
	sent, before := 0, memtest.Held()
	for seq := int32(1); sent < 200<<20; seq++ {
		h := &theader.Header{Flags: theader.OutOfOrder}
		head, _ := appendHead(nil, dialect{header: true}, h, seq, len(w.Bytes()), theader.Limits{})
		_ = nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := nc.Write(append(head, w.Bytes()...))
		if sent += n; err != nil {
			break
		}
	}
	if held := memtest.Held() - before; sent > 100<<20 || held > 100<<20 {
		t.Errorf("the server took %d bytes and holds %d for a peer that never reads", sent, held)
	}
}
