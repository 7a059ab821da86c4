package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
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
		for d, framing := range map[dialect]string{{}: "framed-", {unframed: true}: "unframed-",
			{header: true}: "header-"} {
			head, err := appendHead(nil, d, h, 9, len(body), theader.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			all[framing+name] = append(head, body...)
		}
	}
	return all
}

// quietLog collects a server's log.
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
	if lines := strings.Count(log.String(), "connection closed"); lines == 0 || lines > 9 {
		t.Errorf("%d lines logged, want about one a second for each of few reasons:\n%s", lines, log)
	}
	if who, err := call().Who(t.Context()); err != nil || who != "a" {
		t.Errorf("afterwards: %q, %v", who, err)
	}
}

// With any bytes on a connection, the server neither crashes nor hangs, and answers only with
// frames.
func FuzzServerConn(f *testing.F) {
	for _, b := range frames(f) {
		f.Add(b)
		f.Add(append(bytes.Clone(b), b...))
		f.Add(b[:len(b)-1])
	}
	for _, service := range []string{"echo", "skerry.internal", ""} {
		f.Add(zippedFrame(f, service, "who", flat.Compact, []byte{0}))
	}
	f.Add(zippedFrame(f, "echo", "who", flat.Binary, make([]byte, 1<<20)))
	f.Add(appendControl(nil, controlPing, 5, 0))
	f.Add(appendPair(nil, controlPing, 5, keyPad, strings.Repeat(".", 16000)))
	f.Add(appendControl(nil, controlCancel, 0, 9))
	f.Add(slices.Concat(openTalkFrame, talkItemFrame, creditFrame, talkItemFrame, talkEndFrame))
	f.Add(slices.Concat(openTalkFrame, talkItemFrame, appendControl(nil, controlCancel, 0, 7), talkItemFrame))
	s, err := NewServer(ServerConfig{Logger: slog.New(slog.DiscardHandler), Sizes: Sizes{Frame: 1 << 20}})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := s.Handle("echo", "v1", echo.NewEchoProcessor(&handler{})); err != nil {
		f.Fatal(err)
	}
	if _, err := s.Handle("feed", "v1", (&feedHandler{}).processor()); err != nil {
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
		in := transport.NewReader(nc, theader.Limits{}, nil)
		for framed := theader.Detect(b); framed < theader.UnframedBinary; {
			if _, err := in.Frame(); err != nil {
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
