package rpc

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
)

// stock is the stock library's form of one protocol.
type stock struct {
	protocol  string
	transport thrift.TTransportFactory
	encoding  thrift.TProtocolFactory
}

func stocks() []stock {
	conf := &thrift.TConfiguration{}
	compactHeader := &thrift.TConfiguration{
		THeaderProtocolID: thrift.THeaderProtocolIDPtrMust(thrift.THeaderProtocolCompact),
	}
	zlibHeader := &thrift.TConfiguration{THeaderTransforms: []thrift.THeaderTransformID{thrift.TransformZlib}}
	framed := thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), conf)
	buffered := thrift.NewTBufferedTransportFactory(4096)
	plain := thrift.NewTTransportFactory()
	return []stock{
		{"framed-binary", framed, thrift.NewTBinaryProtocolFactoryConf(conf)},
		{"framed-compact", framed, thrift.NewTCompactProtocolFactoryConf(conf)},
		{"unframed-binary", buffered, thrift.NewTBinaryProtocolFactoryConf(conf)},
		{"unframed-compact", buffered, thrift.NewTCompactProtocolFactoryConf(conf)},
		{"header", plain, thrift.NewTHeaderProtocolFactoryConf(conf)},
		{"header", plain, thrift.NewTHeaderProtocolFactoryConf(compactHeader)},
		{"header", plain, thrift.NewTHeaderProtocolFactoryConf(zlibHeader)},
	}
}

// dialStock connects a stock client.
func dialStock(t *testing.T, k stock, addr string) (thrift.TProtocol, thrift.TProtocol) {
	t.Helper()
	sock := thrift.NewTSocketConf(addr, &thrift.TConfiguration{SocketTimeout: 5 * time.Second})
	trans, err := k.transport.GetTransport(sock)
	if err != nil {
		t.Fatal(err)
	}
	if err := trans.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = trans.Close() })
	return k.encoding.GetProtocol(trans), k.encoding.GetProtocol(trans)
}

func TestStockClients(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{name: "a", notes: make(chan string, 1)})
	for _, k := range stocks() {
		t.Run(k.protocol, func(t *testing.T) {
			in, out := dialStock(t, k, s.addr)
			if k.protocol == "header" {
				out = in // THeader protocols hold state of both directions
			}
			exercise(
				t,
				func() *echo.EchoClient { return echo.NewEchoClient(thrift.NewTStandardClient(in, out)) },
				s.handler,
			)
			mux := echo.NewEchoClient(thrift.NewTStandardClient(in, thrift.NewTMultiplexedProtocol(out, "echo")))
			if who, err := mux.Who(t.Context()); err != nil || who != "a" {
				t.Errorf("multiplexed name: %q, %v", who, err)
			}
			wrong := echo.NewEchoClient(thrift.NewTStandardClient(in,
				thrift.NewTMultiplexedProtocol(out, "no-service")))
			var x thrift.TApplicationException
			if _, err := wrong.Who(t.Context()); !errors.As(err, &x) || x.TypeId() != thrift.UNKNOWN_METHOD {
				t.Errorf("unknown service: %v", err)
			}
		})
	}
	if n := s.Stats().BadPeers; n != 0 {
		t.Errorf("%d bad peers", n)
	}
}

func TestStockServers(t *testing.T) {
	for _, k := range stocks() {
		t.Run(k.protocol, func(t *testing.T) {
			h := &handler{name: "stock", notes: make(chan string, 1)}
			sock, err := thrift.NewTServerSocket("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if err := sock.Listen(); err != nil {
				t.Fatal(err)
			}
			server := thrift.NewTSimpleServer4(echo.NewEchoProcessor(h), sock, k.transport, k.encoding)
			done := make(chan error, 1)
			go func() { done <- server.Serve() }()
			addr := sock.Addr().String()
			c := client(t, ClientConfig{}, &Endpoint{ID: "stock", Service: "echo", Addr: addr, Protocol: k.protocol})
			exercise(t, stub(t, c, ServiceOptions{}), h)
			wantPlainTimeout(t, c)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
}

// wantPlainTimeout checks that a connection with a timed-out call is not used again.
func wantPlainTimeout(t *testing.T, c *Client) {
	t.Helper()
	call := stub(t, c, ServiceOptions{Timeout: 30 * time.Millisecond})
	_, err := call().Sleep(t.Context(), 80)
	wantCode(t, err, DeadlineExceeded, MaybeExecuted)
	for i := range 5 {
		n := 1000 + i
		if m, err := stub(t, c, ServiceOptions{})().Echo(t.Context(), message(n)); err != nil || m.Number != int64(n) {
			t.Fatalf("after a time-out: %v, %v", m, err)
		}
	}
}

// exercise makes the calls that every pair of peers must support.
func exercise(t *testing.T, call func() *echo.EchoClient, h *handler) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for i := range 20 {
		m, err := call().Echo(ctx, &echo.Message{Text: "t", Number: int64(i), Parts: []*echo.Message{message(i)}})
		if err != nil || m.Number != int64(i) || len(m.Parts) != 1 || m.Parts[0].Number != int64(i) {
			t.Fatalf("Echo %d: %v, %v", i, m, err)
		}
	}
	large := &echo.Message{Text: string(make([]byte, 300_000))}
	if m, err := call().Echo(ctx, large); err != nil || len(m.Text) != len(large.Text) {
		t.Fatalf("a large message: %v", err)
	}
	var refusal *echo.Refusal
	if err := call().Fail(ctx, "declared"); !errors.As(err, &refusal) {
		t.Errorf("declared exception: %v", err)
	}
	var x thrift.TApplicationException
	if err := call().Fail(ctx, "error"); !errors.As(err, &x) {
		t.Errorf("undeclared error: %v", err)
	}
	if err := call().Note(ctx, "hello"); err != nil {
		t.Errorf("one-way: %v", err)
	}
	select {
	case <-h.notes:
	case <-ctx.Done():
		t.Error("the one-way call did not arrive")
	}
	if who, err := call().Who(ctx); err != nil || who != h.name {
		t.Errorf("after all that: %q, %v", who, err)
	}
}
