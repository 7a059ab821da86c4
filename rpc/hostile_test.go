package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// frames are well-formed calls in every framing.
func frames(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, encoding := range []flat.Protocol{flat.Binary, flat.Compact} {
		w := flat.NewWriter(encoding, 1<<20)
		ctx := t.Context()
		args := echo.EchoEchoArgs{M: message(3)}
		if err := w.WriteMessageBegin(ctx, "echo", thrift.CALL, 9); err != nil {
			t.Fatal(err)
		}
		if err := args.Write(ctx, w); err != nil {
			t.Fatal(err)
		}
		body := bytes.Clone(w.Bytes())
		w.Free()
		name := map[flat.Protocol]string{flat.Binary: "binary", flat.Compact: "compact"}[encoding]
		h := &theader.Header{Protocol: byte(encoding), Flags: theader.OutOfOrder}
		h.Set(keyService, "echo")
		h.Set(keyDeadline, "1000")
		for d, framing := range map[dialect]string{{}: "framed-", {unframed: true}: "unframed-", {header: true}: "header-"} {
			head, err := appendHead(nil, d, h, 9, len(body), theader.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			all[framing+name] = append(head, body...)
		}
	}
	return all
}

// quietLog collects what a server logs.
type quietLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (q *quietLog) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.b.Write(p)
}

func (q *quietLog) String() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.b.String()
}

func send(t *testing.T, addr string, b []byte) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	return nc
}

// wantClosed fails the test unless the server closes the connection.
func wantClosed(t *testing.T, nc net.Conn) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, nc); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is still open")
	}
}

func TestBadBytes(t *testing.T) {
	log := &quietLog{}
	s := serve(t, ServerConfig{Logger: slog.New(slog.NewTextHandler(log, nil))}, &handler{name: "a"})
	call := stub(t, client(t, ClientConfig{}, s.endpoint()), ServiceOptions{})
	bad := map[string]string{
		"HTTP":                     "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"TLS":                      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"2 GiB announced":          "\x7f\xff\xff\xff\x0f\xff\x00\x00\x00\x00\x00\x01",
		"1 GiB announced":          "\x3f\xff\xff\xff\x0f\xff\x00\x00\x00\x00\x00\x01",
		"a header larger than all": "\x00\x00\x00\x0e\x0f\xff\x00\x00\x00\x00\x00\x01\xff\xff\x00\x00\x00\x00",
		"a string of 2 GiB":        "\x80\x01\x00\x01\x7f\xff\xff\xffecho",
		"a reply":                  "\x80\x01\x00\x02\x00\x00\x00\x04echo\x00\x00\x00\x01\x00",
		"a frame of nothing":       "\x00\x00\x00\x06\x80\x01\x00\x01\x00\x00",
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, b := range bad {
		nc := send(t, s.addr, []byte(b))
		t.Run(name, func(t *testing.T) { wantClosed(t, nc) })
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d bytes were allocated for hostile messages", took)
	}
	if n := s.Stats().BadPeers; n != int64(len(bad)) {
		t.Errorf("%d bad peers counted, want %d", n, len(bad))
	}
	if lines := strings.Count(log.String(), "connection closed"); lines == 0 || lines > 3 {
		t.Errorf("%d lines logged, want about one a second:\n%s", lines, log)
	}
	if who, err := call().Who(t.Context()); err != nil || who != "a" {
		t.Errorf("afterwards: %q, %v", who, err)
	}
}

// Memory is taken for what has come, not for what was announced.
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
			if _, err := nc.Write(append(binary.BigEndian.AppendUint32(nil, 15<<20), 0x0f, 0xff, 0, 0, 0, 0, 0, 1)); err != nil {
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

// Ten thousand idle clients cost about 100 MiB, their own ends included,
// whatever they have done before: what they have used is given back. Those
// that stop within a message cost little more.
func TestIdleConnectionsAreCheap(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	ping := appendControl(nil, controlPing, 5, 0)
	for _, tt := range []struct {
		name  string
		last  []byte
		limit int
	}{{"silent", nil, 14 << 10}, {"within a message", frames(t)["header-binary"][:30], 20 << 10}} {
		const n = 500
		before := heldMemory()
		for range n {
			nc := send(t, s.addr, bytes.Repeat(ping, 200))
			if _, err := io.ReadFull(nc, make([]byte, 200*len(appendControl(nil, controlPong, 5, 0)))); err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Write(tt.last); err != nil {
				t.Fatal(err)
			}
		}
		if each := (heldMemory() - before) / n; each > tt.limit {
			t.Errorf("%s: %d bytes for each connection", tt.name, each)
		}
	}
}

// heldMemory is what the process needs, without what it could give back.
func heldMemory() int {
	runtime.GC()
	runtime.GC() // also what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// All connections together hold no more than the server allows, when nobody
// reads; who does is served as ever.
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
	if used := s.replies.used.Load(); used > limit+peers*pushAt {
		t.Errorf("%d bytes wait, the limit is %d", used, limit)
	}
	if who, err := call().Who(t.Context()); err != nil || who != "a" {
		t.Errorf("somebody else: %q, %v", who, err)
	}
	s.stop()
	if used := s.replies.used.Load(); used != 0 {
		t.Errorf("%d bytes are still counted", used)
	}
}

// Large calls are refused while others hold the memory that they may hold, and
// pieces of them count too.
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
	begun := send(t, s.addr, append(binary.BigEndian.AppendUint32(nil, 8<<20), bytes.Repeat([]byte{0x0f, 0xff, 0, 0}, 50_000)...))
	wantClosed(t, begun) // its piece would be more than twice the limit
	for range 2 {
		<-h.notes
	}
	for end := time.Now().Add(5 * time.Second); s.requests.used.Load() != 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d bytes are still counted", s.requests.used.Load())
		}
	}
	if err := call().Note(t.Context(), text); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	<-h.notes
}

// Connections above the limit are closed, and when others end there is room.
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

// A client that sends and never reads is held back, then cut off.
func TestPeerThatNeverReads(t *testing.T) {
	s := serve(t, ServerConfig{Sizes: Sizes{Queue: 4 << 20}}, &handler{})
	w := flat.NewWriter(flat.Binary, 1<<20)
	defer w.Free()
	ctx := t.Context()
	args := echo.EchoEchoArgs{M: &echo.Message{Text: strings.Repeat("x", 100_000)}}
	_ = w.WriteMessageBegin(ctx, "echo", thrift.CALL, 1)
	_ = args.Write(ctx, w)
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sent := 0
	for seq := int32(1); sent < 200<<20; seq++ {
		h := &theader.Header{Flags: theader.OutOfOrder}
		head, _ := appendHead(nil, dialect{header: true}, h, seq, len(w.Bytes()), theader.Limits{})
		_ = nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := nc.Write(append(head, w.Bytes()...))
		sent += n
		if err != nil {
			break
		}
	}
	var now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&now)
	if sent > 100<<20 || now.HeapAlloc > 100<<20 {
		t.Errorf("the server took %d bytes and holds %d for a peer that never reads", sent, now.HeapAlloc)
	}
}

// Anything may come on a connection: the server neither crashes nor hangs nor
// answers with what is no frame.
func FuzzServerConn(f *testing.F) {
	for _, b := range frames(f) {
		f.Add(b)
		f.Add(append(bytes.Clone(b), b...))
		f.Add(b[:len(b)-1])
	}
	f.Add(appendControl(nil, controlPing, 5, 0))
	f.Add(appendControl(nil, controlCancel, 0, 9))
	s, err := NewServer(ServerConfig{Logger: slog.New(slog.DiscardHandler), Sizes: Sizes{Frame: 1 << 20}})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := s.Handle("echo", "v1", echo.NewEchoProcessor(&handler{})); err != nil {
		f.Fatal(err)
	}
	l := newMemoryListener()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	f.Cleanup(func() { cancel(); <-done })
	f.Fuzz(func(t *testing.T, b []byte) {
		nc, err := l.dial(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_ = nc.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = nc.Write(b)
			time.AfterFunc(2*time.Millisecond, func() { _ = nc.Close() })
		}()
		in := newFrameReader(nc, theader.Limits{})
		for framed := theader.Detect(b); framed < theader.UnframedBinary; {
			if _, err := in.frame(); err != nil {
				if errors.Is(err, theader.ErrTooLarge) {
					t.Errorf("the answer is no frame: %v", err)
				}
				break
			}
		}
		_, _ = io.Copy(io.Discard, nc)
		<-sent
	})
}

// Every prefix of a call leaves the server waiting or closes the connection;
// the whole call is answered.
func TestPrefixes(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	for name, b := range frames(t) {
		t.Run(name, func(t *testing.T) {
			for n := range b {
				nc := send(t, s.addr, b[:n])
				_ = nc.(*net.TCPConn).CloseWrite()
				wantClosed(t, nc)
				_ = nc.Close()
			}
			nc := send(t, s.addr, b[:5])
			_, _ = nc.Write(b[5:])
			_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
			if n, err := nc.Read(make([]byte, 10)); err != nil || n == 0 {
				t.Errorf("a call in two pieces: %v", err)
			}
		})
	}
}
