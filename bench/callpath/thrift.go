package callpath

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/bench/benchthrift"
)

// echoHandler builds its answer from the fields, as a service would.
type echoHandler struct{}

func (echoHandler) Echo(_ context.Context, m *benchthrift.Msg) (*benchthrift.Msg, error) {
	return &benchthrift.Msg{Msg: m.Msg, Tags: m.Tags, ID: m.ID}, nil
}

func (h echoHandler) Slow(ctx context.Context, m *benchthrift.Msg, millis int32) (*benchthrift.Msg, error) {
	time.Sleep(time.Duration(millis) * time.Millisecond)
	return h.Echo(ctx, m)
}

func thriftCall(ctx context.Context, client *benchthrift.EchoClient, id int64) (*benchthrift.Msg, error) {
	if id < 0 {
		return client.Slow(ctx, thriftMsg(id), int32(slowTime.Milliseconds()))
	}
	return client.Echo(ctx, thriftMsg(id))
}

// The two headers that every peer with metadata carries each way.
const (
	traceKey   = "traceparent"
	traceValue = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	callerKey  = "x-caller"
	callerName = "bench"
)

// thriftStack is a choice of transport, protocol and server settings.
type thriftStack struct {
	name, about string
	connCheck   time.Duration
	transport   thrift.TTransportFactory
	protocol    thrift.TProtocolFactory
	headers     bool
}

func thriftPeers() []peer {
	conf := &thrift.TConfiguration{}
	binary := thrift.NewTBinaryProtocolFactoryConf(conf)
	framed := thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), conf)
	framedBuffered := thrift.NewTFramedTransportFactoryConf(thrift.NewTBufferedTransportFactory(64<<10), conf)
	stacks := []thriftStack{
		{"thrift-framed", "Apache Thrift as it comes: framed, binary", 5 * time.Millisecond, framed, binary, false},
		{"thrift-tuned", "Apache Thrift framed over buffered, without the connectivity check", 0, framedBuffered,
			binary, false},
		{"thrift-theader", "Apache Thrift THeader with two headers each way", 5 * time.Millisecond,
			thrift.NewTHeaderTransportFactoryConf(nil, conf), thrift.NewTHeaderProtocolFactoryConf(conf), true},
	}
	var out []peer
	for _, s := range stacks {
		out = append(out, peer{name: s.name, about: s.about, serve: s.serve, dial: s.dial})
	}
	return out
}

// listener hands a net.Listener to the stock server.
type listener struct{ net.Listener }

func (l listener) Listen() error { return nil }
func (l listener) Accept() (thrift.TTransport, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return thrift.NewTSocketFromConnConf(c, nil), nil
}
func (l listener) Interrupt() error { return l.Close() }

func (s thriftStack) serve(ctx context.Context, ln net.Listener) error {
	thrift.ServerConnectivityCheckInterval = s.connCheck
	var processor thrift.TProcessor = benchthrift.NewEchoProcessor(echoHandler{})
	if s.headers {
		processor = thrift.WrapProcessor(processor,
			func(name string, next thrift.TProcessorFunction) thrift.TProcessorFunction {
				return thrift.WrappedTProcessorFunction{Wrapped: func(ctx context.Context, seq int32, in,
					out thrift.TProtocol) (bool, thrift.TException) {
					if h, ok := out.(*thrift.THeaderProtocol); ok {
						h.SetWriteHeader(traceKey, traceValue)
						h.SetWriteHeader(callerKey, callerName)
					}
					return next.Process(ctx, seq, in, out)
				}}
			})
	}
	server := thrift.NewTSimpleServer4(processor, listener{ln}, s.transport, s.protocol)
	slog.SetDefault(slog.New(slog.DiscardHandler)) // it tells of each connection that its client has ended
	go func() { <-ctx.Done(); server.Stop() }()
	return server.Serve()
}

func (s thriftStack) dial(_ context.Context, addr string) (func() (call, error), error) {
	return func() (call, error) {
		socket := thrift.NewTSocketConf(addr, &thrift.TConfiguration{})
		transport, err := s.transport.GetTransport(socket)
		if err != nil {
			return nil, err
		}
		if err := transport.Open(); err != nil {
			return nil, err
		}
		client := benchthrift.NewEchoClientFactory(transport, s.protocol)
		return func(ctx context.Context, id int64) error {
			if s.headers {
				ctx = thrift.SetHeader(thrift.SetHeader(ctx, traceKey, traceValue), callerKey, callerName)
				ctx = thrift.SetWriteHeaderList(ctx, []string{traceKey, callerKey})
			}
			m, err := thriftCall(ctx, client, id)
			if err != nil {
				return err
			}
			if s.headers && client.LastResponseMeta_().Headers[traceKey] != traceValue {
				return fmt.Errorf("the reply's headers are missing: %v", client.LastResponseMeta_().Headers)
			}
			return check(m.ID, m.Msg, m.Tags, id)
		}, nil
	}, nil
}
