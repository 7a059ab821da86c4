package rpc

import (
	"errors"
	"net"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// TestItemWithoutReceiver: an item on a stream of which no items go to the caller breaks the format, also when it has
// the head that the connection knows from another stream.
func TestItemWithoutReceiver(t *testing.T) {
	var memory streamMemory
	memory.init(StreamLimits{})
	l, limits := &clientConn{}, theader.Limits{Frame: 1 << 20}
	l.in = &transport.Reader{Limits: limits}
	end := func(mode StreamMode) *clientStream {
		s := &clientStream{conn: l, mode: mode}
		s.init(7, "watch", flat.Binary, nil, &memory, limits)
		return s
	}
	head := frameHead(7, frameItem)
	if err := setLength(head, 4, limits); err != nil {
		t.Fatal(err)
	}
	frame := string(head[4:]) + "item"
	down := end(ServerMode)
	for range 2 { // the second one by the known head
		if err := down.frame(frame); err != nil {
			t.Fatal(err)
		}
	}
	if k := l.itemHead.Load(); !k.fits(frame) {
		t.Fatal("the connection has not learnt the head")
	}
	up := end(ClientMode)
	if err := up.frame(frame); !errors.Is(err, theader.ErrMalformed) || len(up.queue) > 0 {
		t.Errorf("an item without a receiver: %v, %d queued", err, len(up.queue))
	}
}

// stuckLane writes to a peer that reads nothing, and has no room left.
func stuckLane(t *testing.T) (lane *streamLane, broken chan error) {
	t.Helper()
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	broken = make(chan error, 1)
	spawn := func(f func()) bool { go f(); return true }
	out := transport.NewWriter(a, 100, nil, spawn, func(err error) { broken <- err })
	out.Start()
	lane = newStreamLane(&out, make(chan struct{}))
	if err := out.Queue(make([]byte, 90), nil); err != nil {
		t.Fatal(err)
	}
	return lane, broken
}

// TestLostCreditEndsTheConnection: a frame without which the ends are out of step is not lost in silence.
func TestLostCreditEndsTheConnection(t *testing.T) {
	lane, broken := stuckLane(t)
	if err := lane.sendNow(make([]byte, 20), nil); err != transport.ErrWriteQueue {
		t.Fatalf("sent without room: %v", err)
	}
	if err := <-broken; err != transport.ErrWriteQueue {
		t.Errorf("the connection ends with %v", err)
	}
}

// TestItemWithoutRoom: an item for which the connection has no room is refused as overloaded and costs no credit.
func TestItemWithoutRoom(t *testing.T) {
	lane, broken := stuckLane(t)
	var memory streamMemory
	memory.init(StreamLimits{})
	s := &clientStream{mode: ClientMode, service: &serviceClient{name: "feed"}, ep: &Endpoint{Addr: "there"}}
	s.init(7, "upload", flat.Binary, lane, &memory, theader.Limits{Frame: 1 << 20})
	if err := s.credit(1 << 10); err != nil {
		t.Fatal(err)
	}
	for range 100 { // each would use credit up
		err := s.sent(t.Context(), s.put(t.Context(), thrift.CALL, &echo.FeedUploadArgs{Item: message(1)}))
		if CodeOf(err) != Overloaded {
			t.Fatalf("sent without room: %v", err)
		}
	}
	if sums := s.traffic(); sums.sent != 0 || sums.sentBytes != 0 || sums.stalled != 0 {
		t.Errorf("%+v is counted as sent", sums)
	}
	select {
	case err := <-broken:
		t.Errorf("the connection has ended: %v", err)
	default:
	}
	s.seal()
	err := s.sent(t.Context(), s.put(t.Context(), thrift.CALL, &echo.FeedUploadArgs{Item: message(1)}))
	if CodeOf(err) != Canceled {
		t.Errorf("sent after the end: %v", err)
	}
}
