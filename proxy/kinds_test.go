package proxy

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/rpc"
)

// A program is replaced by another one on the same port between two calls: each call is named in the
// way of the program that gets it.
func TestAHelperThatVanishes(t *testing.T) {
	c := site(t)
	named := func(word, text string) (string, error) {
		if word == "" {
			return "bare " + text, nil
		}
		return "named " + text, nil
	}
	methods := map[string]func(string, string) (string, error){"do": named}
	current := startProgram(t, "127.0.0.1:0", 8, &foreignProgram{methods: methods, helper: true})
	addr := current.addr
	g := config.Program{Listen: "unix:" + socketPath(t), Provides: []config.Provide{
		{Service: "billing", Addr: addr, Check: "tcp"}, // a check that asks nothing
	}}
	start(t, c, map[string]config.Program{"billing": g})
	client := open(t, c).Client("billing")
	call := func(want string) {
		t.Helper()
		var result textResult
		if _, err := client.Call(t.Context(), "do", &textArgument{"x"}, &result); err != nil || result.text != want {
			t.Errorf("%q, %v; want %q", result.text, err, want)
		}
	}
	call("named x")
	for _, helper := range []bool{false, true, false} {
		current.stop()
		eventually(t, "the proxy has seen the end of its connections", func() bool {
			s, err := Ask(t.Context(), g)
			return err == nil && s.Provides[0].Connections == 0
		})
		current = startProgram(t, addr, 8, &foreignProgram{methods: methods, helper: helper})
		if helper {
			call("named x")
		} else {
			call("bare x")
		}
	}
	for _, name := range current.seen() {
		if strings.HasPrefix(name, "ctx=") {
			t.Errorf("the program without a helper got %q", name)
		}
	}
}

// Stock servers of every protocol are forwarded to, also with a processor for many services.
func TestProvidersOfEveryProtocol(t *testing.T) {
	c := site(t)
	programs := map[string]config.Program{}
	kinds := []string{"framed-binary", "framed-compact", "unframed-binary", "unframed-compact"}
	for _, kind := range kinds {
		for _, multiplexed := range []bool{false, true} {
			service := kind
			if multiplexed {
				service += "-many"
			}
			addr := stockServer(t, kind, service, multiplexed)
			programs[service] = config.Program{Listen: "unix:" + socketPath(t), Provides: []config.Provide{
				{Service: service, Addr: addr, Protocol: kind, Multiplexed: multiplexed},
			}}
		}
	}
	start(t, c, programs)
	n := open(t, c)
	for service := range programs {
		var result textResult
		if _, err := n.Client(service).Call(t.Context(), "do", &textArgument{"x"}, &result); err != nil ||
			result.text != service+" x" {
			t.Errorf("%s: %q, %v", service, result.text, err)
		}
		var e *rpc.Error
		if _, err := n.Client(service).Call(t.Context(), "missing", &textArgument{"x"}, &result); !errors.As(err, &e) ||
			e.Code != rpc.UnknownMethod {
			t.Errorf("%s: a method that is missing: %v", service, err)
		}
	}
}

// stockServer starts the server of the stock library with a method do.
func stockServer(t *testing.T, kind, service string, multiplexed bool) string {
	t.Helper()
	conf := &thrift.TConfiguration{}
	var transports thrift.TTransportFactory = thrift.NewTBufferedTransportFactory(4096)
	if strings.HasPrefix(kind, "framed") {
		transports = thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), conf)
	}
	var protocols thrift.TProtocolFactory = thrift.NewTBinaryProtocolFactoryConf(conf)
	if strings.HasSuffix(kind, "compact") {
		protocols = thrift.NewTCompactProtocolFactoryConf(conf)
	}
	var processor thrift.TProcessor = &stockProcessor{service}
	if multiplexed {
		many := thrift.NewTMultiplexedProcessor()
		many.RegisterProcessor(service, processor)
		processor = many
	}
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Listen(); err != nil {
		t.Fatal(err)
	}
	server := thrift.NewTSimpleServer4(processor, socket, transports, protocols)
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	t.Cleanup(func() {
		_ = server.Stop()
		<-done
	})
	return socket.Addr().String()
}

// stockProcessor is the generated processor of a service with the method do.
type stockProcessor struct{ service string }

// Process implements thrift.TProcessor.
func (p *stockProcessor) Process(ctx context.Context, in, out thrift.TProtocol) (bool, thrift.TException) {
	name, _, seq, err := in.ReadMessageBegin(ctx)
	if err != nil {
		return false, thrift.WrapTException(err)
	}
	if name != "do" {
		err = errors.Join(in.Skip(ctx, thrift.STRUCT), in.ReadMessageEnd(ctx),
			out.WriteMessageBegin(ctx, name, thrift.EXCEPTION, seq),
			thrift.NewTApplicationException(thrift.UNKNOWN_METHOD, "Unknown function "+name).Write(ctx, out),
			out.WriteMessageEnd(ctx), out.Flush(ctx))
		return err == nil, thrift.WrapTException(err)
	}
	arg := ""
	err = eachField(ctx, in, func(id int16, _ thrift.TType) (bool, error) {
		if id != 1 {
			return false, nil
		}
		var err error
		arg, err = in.ReadString(ctx)
		return true, err
	})
	err = errors.Join(err, in.ReadMessageEnd(ctx), out.WriteMessageBegin(ctx, name, thrift.REPLY, seq),
		(&textResult{p.service + " " + arg}).Write(ctx, out), out.WriteMessageEnd(ctx), out.Flush(ctx))
	return err == nil, thrift.WrapTException(err)
}

// ProcessorMap implements thrift.TProcessor.
func (p *stockProcessor) ProcessorMap() map[string]thrift.TProcessorFunction { return nil }

// AddToProcessorMap implements thrift.TProcessor.
func (p *stockProcessor) AddToProcessorMap(string, thrift.TProcessorFunction) {}

// A program that can't name a service has a port for each callee, over Unix sockets and TCP.
func TestPortsNameTheCallee(t *testing.T) {
	c := site(t)
	offer(t, c, "auth", "v1", echoing("auth ", nil))
	offer(t, c, "mail", "v1", echoing("mail ", nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp := l.Addr().String()
	l.Close()
	unix, token := socketPath(t), "a token of 32 characters or so ok"
	start(t, c, map[string]config.Program{"billing": {Listen: "unix:" + socketPath(t), Token: token,
		Ports: map[string]string{"auth": "unix:" + unix, "mail": tcp}}})
	bare := dialCaller(t, "unix", unix)
	if text, err := bare.call(t.Context(), "verify", "x"); err != nil || text != "auth verify" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := bare.call(t.Context(), "mail:send", "x"); err != nil || text != "mail send" {
		t.Errorf("a call on the port of auth that names mail: %q, %v", text, err)
	}
	p := dialCaller(t, "tcp", tcp)
	var x thrift.TApplicationException
	if _, err := p.call(t.Context(), "send", "x"); !errors.As(err, &x) || !strings.Contains(x.Error(), "skerry.login") {
		t.Errorf("without a token: %v", err)
	}
	p = dialCaller(t, "tcp", tcp)
	if _, err := p.call(t.Context(), "skerry.login", token); err != nil {
		t.Fatal(err)
	}
	if text, err := p.call(t.Context(), "send", "x"); err != nil || text != "mail send" {
		t.Errorf("%q, %v", text, err)
	}
}

// A helper whose calls run side by side can't tell when a one-way handler has ended. The call's word
// is valid until its deadline, and the program is asked nothing behind the call.
func TestUnorderedHelperHoldsOneWayCalls(t *testing.T) {
	words := make(chan string, 1)
	var program *foreignProgram
	c := newChain(t, true, func(*chain) map[string]func(word, text string) (string, error) {
		return map[string]func(word, text string) (string, error){
			"note": func(word, _ string) (string, error) {
				word, _, _ = strings.Cut(word, ".")
				words <- word
				return "", nil
			},
		}
	}, func(p *foreignProgram) { p.unordered, program = true, p })
	ctx, end := c.caller.Begin(t.Context(), "test")
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client := c.caller.Client("billing", func(o *rpc.ServiceOptions) { o.Timeout = time.Minute })
	if _, err := client.Call(limited, "note", &textArgument{"x"}, nil); err != nil {
		t.Fatal(err)
	}
	end()
	word := <-words // the handler has ended
	go func() {     // the callee reports each call
		for {
			select {
			case <-c.auth:
			case <-t.Context().Done():
				return
			}
		}
	}()
	p := dialCaller(t, "unix", c.path)
	if _, err := p.call(t.Context(), "ctx="+word+";auth:verify", ""); err != nil {
		t.Errorf("before the deadline: %v", err)
	}
	eventually(t, "the word is over with the deadline", func() bool {
		_, err := p.call(t.Context(), "ctx="+word+";auth:verify", "")
		return err != nil && strings.HasPrefix(err.Error(), "orphan: ")
	})
	if d, _ := limited.Deadline(); time.Now().Before(d.Add(-100 * time.Millisecond)) {
		t.Errorf("the word was over %v before the deadline", time.Until(d))
	}
	after := program.seen()
	if last := after[len(after)-1]; !strings.HasSuffix(last, ";note") {
		t.Errorf("behind the one-way call the program was asked %q", last)
	}
}
