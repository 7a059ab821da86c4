package rpc

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
	"unsafe"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// Bounds of the allocations of one call with token, trace, deadline, breaker and statistics. Generated
// code makes 7 of those on the caller's side (arguments, result, message, map, and the frame of the
// strings), and 7 of those on the server's side.
const (
	clientAllocs = 8
	serverAllocs = 8
)

// TestAllocations checks exact bounds of both sides over real connections. The other end of each side
// allocates nothing.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Log("under the race detector pools drop what they are given; only the calls are checked")
	}
	agent, err := participant.New(participant.Config{Process: "host/1/a"})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("client", func(t *testing.T) { allocsOfClient(t, agent) })
	t.Run("server", func(t *testing.T) { allocsOfServer(t, agent, nil) })
	t.Run("server with a policy", func(t *testing.T) {
		s := limits(make([]policy.Item, 5)...)
		for i := range s.Items {
			s.Items[i].Pending, s.Items[i].Rate, s.Items[i].Per = 1000+i, 10_000_000, "instance"
		}
		s.Access = &policy.Access{Enforce: true, Deny: true}
		s.Items = append(s.Items, policy.Item{Kind: "allow", Service: "echo",
			Match: policy.Match{Caller: []string{"portal"}, Method: []string{"echo"}}})
		allocsOfServer(t, agent, ruled(s))
	})
}

var allocMessage = &echo.Message{
	Text:   "some text",
	Number: 7,
	Tags:   map[string]string{"zone": "north", "unit": "pump-7"},
}

func allocsOfClient(t *testing.T, agent *participant.Agent) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() { defer close(done); parrot(l) }()
	c := client(t, ClientConfig{Caller: "portal", Health: health.NewRecorder(health.Config{}), Rollout: agent},
		&Endpoint{ID: "e", Service: "echo", Addr: l.Addr().String()})
	tc, err := c.Service("echo", ServiceOptions{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	stub, ctx := echo.NewEchoClient(tc), context.Background()
	checkAllocs(t, clientAllocs, func() {
		if m, err := stub.Echo(ctx, allocMessage); err != nil || m.Number != 7 || len(m.Tags) != 2 {
			t.Fatalf("%v, %v", m, err)
		}
	})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-done
}

func checkAllocs(t *testing.T, ceiling float64, call func()) {
	for range 200 { // fills pools and caches
		call()
	}
	if n := testing.AllocsPerRun(2000, call); n > ceiling && !raceDetector {
		t.Errorf("%v allocations a call, the ceiling is %v", n, ceiling)
	} else {
		t.Logf("%v allocations a call", n)
	}
}

// parrot serves one connection: it answers pings, and gives every call the same answer.
func parrot(l net.Listener) {
	nc, err := l.Accept()
	if err != nil {
		return
	}
	defer nc.Close()
	body := allocBody(thrift.REPLY, &echo.EchoEchoResult{Success: allocMessage})
	h := &theader.Header{
		Flags: theader.OutOfOrder,
		Info:  []theader.Pair{{Key: keyVersion, Value: "v1"}, {Key: keyInstance, Value: "host:1"}},
	}
	reply, _ := theader.Append(nil, h, theader.Limits{})
	reply = append(reply, body...)
	pong, in := appendControl(nil, controlPong, 1, 0), make([]byte, 4096)
	for {
		if _, err := io.ReadFull(nc, in[:4]); err != nil {
			return
		}
		size := binary.BigEndian.Uint32(in)
		n, err := io.ReadFull(nc, in[:size])
		if err != nil {
			return
		}
		out := reply
		if n < 60 { // no call is so short
			out = pong
		} else {
			copy(out[len(out)-len(body)+seqOffset("echo"):][:4], in[4:8])
			binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		}
		copy(out[8:12], in[4:8])
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

func allocBody(kind thrift.TMessageType, s thrift.TStruct) []byte {
	w, ctx := flat.NewWriter(flat.Binary, 1<<20), context.Background()
	_ = w.WriteMessageBegin(ctx, "echo", kind, 1)
	_ = s.Write(ctx, w)
	return w.Bytes()
}

// allocHandler builds its answer like a service.
type allocHandler struct{ handler }

func (*allocHandler) Echo(_ context.Context, m *echo.Message) (*echo.Message, error) {
	return &echo.Message{Text: m.Text, Number: m.Number, Tags: m.Tags}, nil
}

func allocsOfServer(t *testing.T, agent *participant.Agent, site SitePolicy) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(
		ServerConfig{
			Instance: "host:1",
			Rollout:  agent,
			Policy:   site,
			Health:   health.NewRecorder(health.Config{}),
			Logger:   slog.New(slog.DiscardHandler),
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handle("echo", "v1", echo.NewEchoProcessor(&allocHandler{})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	defer func() { cancel(); <-served }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	body := allocBody(thrift.CALL, &echo.EchoEchoArgs{M: allocMessage})
	call := &Call{Service: "echo", chain: 1, Attempt: 1}
	call.routing.raw = string(rollout.Token{Seed: 7}.AppendRaw(nil))
	frame, err := appendCallHead(nil, theader.OutOfOrder, call, nil, "portal", time.Minute, theader.Limits{})
	if err == nil {
		err = finishHead(frame, 1, len(body), theader.Limits{})
	}
	if err != nil {
		t.Fatal(err)
	}
	frame = append(frame, body...)
	in := make([]byte, 4096)
	checkAllocs(t, serverAllocs, func() {
		if _, err := nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		if n, err := nc.Read(in); err != nil || n < len(body) {
			t.Fatalf("%d bytes, %v", n, err)
		}
	})
}

// TestSizeOfRequest keeps a serverCall within the runtime's size class of 640 bytes.
func TestSizeOfRequest(t *testing.T) {
	if size := unsafe.Sizeof(serverCall{}); size > 640 {
		t.Errorf("a request has %d bytes", size)
	}
}
