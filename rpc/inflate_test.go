package rpc

import (
	"bytes"
	"compress/zlib"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/internal/memtest"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// deflate compresses a payload.
func deflate(t testing.TB, payload []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := w.Write(payload); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// zippedFrame is a call with a compressed payload; with service "" it has no service name.
func zippedFrame(t testing.TB, service, method string, p flat.Protocol, args []byte) []byte {
	t.Helper()
	w := flat.NewWriter(p, 1<<10)
	defer w.Free()
	if err := w.WriteMessageBegin(t.Context(), method, thrift.CALL, 9); err != nil {
		t.Fatal(err)
	}
	zipped := deflate(t, append(bytes.Clone(w.Bytes()), args...))
	block := []byte{byte(p), 1, 1}
	if service != "" {
		block = append(block, 1, 1)
		block = append(append(block, byte(len(keyService))), keyService...)
		block = append(append(block, byte(len(service))), service...)
	}
	for len(block)%4 != 0 {
		block = append(block, 0)
	}
	frame := []byte{0, 0, 0, 0, 0x0f, 0xff, 0, 1, 0, 0, 0, 9, 0, byte(len(block) / 4)}
	frame = append(append(frame, block...), zipped...)
	if err := theader.Finish(frame, theader.Limits{}); err != nil {
		t.Fatal(err)
	}
	return frame
}

// Compressed calls of the framework's own services are refused, before inflation when the header
// names the service.
func TestInternalServiceIsNotCompressed(t *testing.T) {
	s, _, _ := serveLoads(t, ServerConfig{}, &loads{})
	if _, err := s.HandleInternal("skerry.internal", "", echo.NewEchoProcessor(&handler{name: "inside"})); err != nil {
		t.Fatal(err)
	}
	large := append([]byte{0x1c}, make([]byte, 15<<20)...)
	named := zippedFrame(t, "skerry.internal", "who", flat.Compact, large)
	took := memtest.Allocated(func() { wantClosed(t, send(t, s.addr, named)) })
	if took > 1<<20 {
		t.Errorf("%d bytes were taken for a call that is refused by its header", took)
	}
	nc := send(t, s.addr, zippedFrame(t, "", "skerry.internal:who", flat.Compact, []byte{0}))
	_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer, err := transport.NewReader(nc, theader.Limits{}, nil).Frame()
	if err != nil || !strings.Contains(answer, errZippedInternal.Error()) || strings.Contains(answer, "inside") {
		t.Errorf("%v, answer %q", err, answer)
	}
	nothingHeld(t, s)
}

// Inflated bytes count with all other large messages.
func TestInflatedBytesAreBounded(t *testing.T) {
	l := &loads{hold: make(chan struct{}), read: make(chan struct{}, 8)}
	s, _, _ := serveLoads(t, ServerConfig{Sizes: Sizes{Requests: 3 << 20}}, l)
	padding := append([]byte("\x1c\x08\x28\x80\x80\x40"), make([]byte, 1<<20)...) // a Load with an unknown field
	padding = append(padding, 0, 0)
	bomb := zippedFrame(t, "loads", "weigh_it", flat.Compact, padding)
	send(t, s.addr, bomb)
	<-l.read
	used := s.requests.Used()
	if used < 1<<20 || used > 2<<20+64<<10 {
		t.Errorf("%d bytes are counted for an inflated call of 1 MiB", used)
	}
	s.requests.Add(4 << 20)
	wantClosed(t, send(t, s.addr, bomb)) // it would exceed twice the limit
	if now := s.requests.Used(); now != used+4<<20 {
		t.Errorf("%d bytes are counted after a call that was not inflated, %d before", now, used+4<<20)
	}
	s.requests.Add(-4 << 20)
	close(l.hold)
	nothingHeld(t, s)
}

// The framework's own services keep copies of the strings that they read.
func TestInternalStringsAreCopies(t *testing.T) {
	message := written(t, flat.Binary, &echo.EchoNoteArgs{Text: "a name"})
	for service, copied := range map[string]bool{"echo": false, "skerry.internal": true} {
		var a account
		var args echo.EchoNoteArgs
		r := flat.NewReader(flat.Binary, message, memoryOfResult(&a, service, &args))
		if err := args.Read(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if isPart(args.Text, message) == copied {
			t.Errorf("%s: the string is part of its message: %v", service, !copied)
		}
		r.Free()
	}
}
