package proxy

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/rpc"
)

// foreignProgram is a program of another language: a stock server with a pool of
// threads. Each thread serves one connection until it ends.
type foreignProgram struct {
	addr      string
	helper    bool
	unordered bool         // what the helper says
	dies      atomic.Int32 // questions for its helper that end the connection, as when it is killed
	methods   map[string]func(context string, text string) (string, error)

	mu    sync.Mutex
	names []string // of the messages received
	conns map[net.Conn]bool
	stop  func()
}

// startProgram starts a server on addr, such as 127.0.0.1:0 for a free port.
func startProgram(t testing.TB, addr string, threads int, p *foreignProgram) *foreignProgram {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p.addr, p.conns = l.Addr().String(), map[net.Conn]bool{}
	pool := make(chan struct{}, threads)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns[nc] = true
			p.mu.Unlock()
			group.Go(func() {
				pool <- struct{}{}
				p.serve(nc)
				<-pool
			})
		}
	})
	p.stop = sync.OnceFunc(func() {
		l.Close()
		p.cut()
		group.Wait()
	})
	t.Cleanup(p.stop)
	return p
}

// cut closes all connections.
func (p *foreignProgram) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for nc := range p.conns {
		nc.Close()
	}
}

func (p *foreignProgram) serve(nc net.Conn) {
	defer func() {
		p.mu.Lock()
		delete(p.conns, nc)
		p.mu.Unlock()
		nc.Close()
	}()
	conf := &thrift.TConfiguration{}
	proto := thrift.NewTBinaryProtocolConf(thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(nc, conf),
		conf), conf)
	for p.call(proto) == nil {
	}
}

// call serves one call, as a stock processor does.
func (p *foreignProgram) call(proto thrift.TProtocol) error {
	ctx := context.Background()
	name, kind, seq, err := proto.ReadMessageBegin(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.names = append(p.names, name)
	p.mu.Unlock()
	word := ""
	if after, ok := strings.CutPrefix(name, "ctx="); ok && p.helper {
		word, name, _ = strings.Cut(after, ";")
	}
	var arg textResult
	if err := eachField(ctx, proto, func(id int16, t thrift.TType) (bool, error) {
		var err error
		if id == 1 && t == thrift.STRING {
			arg.text, err = proto.ReadString(ctx)
			return true, err
		}
		return false, nil
	}); err != nil {
		return err
	}
	if name == helperMethod && p.dies.Add(-1) >= 0 {
		return errClose
	}
	if name == helperMethod && p.helper {
		return p.reply(proto, name, thrift.REPLY, seq, &helperResult{"go 1.0", !p.unordered})
	}
	method := p.methods[name]
	if method == nil {
		return p.reply(proto, name, thrift.EXCEPTION, seq, thrift.NewTApplicationException(thrift.UNKNOWN_METHOD,
			"Invalid method name: '"+name+"'"))
	}
	text, err := method(word, arg.text)
	switch {
	case kind == thrift.ONEWAY:
		return nil
	case errors.Is(err, errClose):
		return err
	case err != nil:
		return p.reply(proto, name, thrift.EXCEPTION, seq, thrift.NewTApplicationException(thrift.INTERNAL_ERROR,
			err.Error()))
	}
	return p.reply(proto, name, thrift.REPLY, seq, &textResult{text})
}

// errClose makes the program close the connection, as libthrift 0.9.3 does.
var errClose = errors.New("close")

func (p *foreignProgram) reply(proto thrift.TProtocol, name string, kind thrift.TMessageType, seq int32,
	s thrift.TStruct) error {
	ctx := context.Background()
	return errors.Join(proto.WriteMessageBegin(ctx, name, kind, seq), s.Write(ctx, proto), proto.WriteMessageEnd(ctx),
		proto.Flush(ctx))
}

// seen returns the names of the messages received.
func (p *foreignProgram) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.names...)
}

// helperResult is a helper's answer.
type helperResult struct {
	name    string
	ordered bool
}

func (r *helperResult) Write(ctx context.Context, p thrift.TProtocol) error {
	return errors.Join(p.WriteStructBegin(ctx, ""), p.WriteFieldBegin(ctx, "", thrift.STRUCT, 0),
		p.WriteStructBegin(ctx, ""),
		p.WriteFieldBegin(ctx, "", thrift.STRING, 1), p.WriteString(ctx, r.name), p.WriteFieldEnd(ctx),
		p.WriteFieldBegin(ctx, "", thrift.BOOL, 2), p.WriteBool(ctx, r.ordered), p.WriteFieldEnd(ctx),
		p.WriteFieldStop(ctx), p.WriteStructEnd(ctx), p.WriteFieldEnd(ctx),
		p.WriteFieldStop(ctx), p.WriteStructEnd(ctx))
}

func (r *helperResult) Read(context.Context, thrift.TProtocol) error { return errors.ErrUnsupported }

// caller is a program's stock client on its proxy's socket.
type caller struct {
	nc  net.Conn
	in  thrift.TProtocol
	out *prefixing
}

// prefixing writes a prefix in front of the names of messages, as helpers do.
type prefixing struct {
	thrift.TProtocol
	prefix string
}

func (p *prefixing) WriteMessageBegin(ctx context.Context, name string, kind thrift.TMessageType, seq int32) error {
	return p.TProtocol.WriteMessageBegin(ctx, p.prefix+name, kind, seq)
}

// dialCaller connects with framed binary protocol.
func dialCaller(t testing.TB, network, addr string) *caller {
	t.Helper()
	nc, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return newCaller(nc)
}

// tryDial connects to a Unix socket.
func tryDial(path string) (*caller, error) {
	nc, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	return newCaller(nc), nil
}

func newCaller(nc net.Conn) *caller {
	conf := &thrift.TConfiguration{SocketTimeout: 10 * time.Second}
	proto := thrift.NewTBinaryProtocolConf(thrift.NewTFramedTransportConf(thrift.NewTSocketFromConnConf(nc, conf),
		conf), conf)
	return &caller{nc, proto, &prefixing{proto, ""}}
}

// call calls a method that takes a text and returns one.
func (c *caller) call(ctx context.Context, name, text string) (string, error) {
	at := strings.LastIndexAny(name, ":;") + 1
	c.out.prefix = name[:at]
	var result textResult
	_, err := thrift.NewTStandardClient(c.in, c.out).Call(ctx, name[at:], &textArgument{text}, &result)
	return result.text, err
}

// A caller decides on a call's deadline, and not on how long the proxy keeps a one-way call.
func TestOneWayCallsAreKeptForABoundedTime(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ said, want time.Time }{
		{time.Time{}, now.Add(oneWayMost)},
		{now.Add(time.Second), now.Add(time.Second)},
		{now.Add(365 * 24 * time.Hour), now.Add(oneWayLimit)},
	} {
		if got := oneWayDeadline(c.said, now); !got.Equal(c.want) {
			t.Errorf("deadline %v: kept until %v, want %v", c.said, got, c.want)
		}
	}
}

// A word of another proxy excuses no call from naming its service.
func TestOtherProxysWordNeedsAService(t *testing.T) {
	o := newOthers(&socket{network: "unix", addr: socketPath(t)})
	t.Cleanup(o.close)
	if err := os.WriteFile(ownPath(o.path, "abc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	g := &program{name: "billing", words: newWords("own"), others: o}
	for _, service := range []string{"", "no such name"} {
		_, err := g.pass(t.Context(), service, &rpc.CallInfo{Method: "verify"}, &rpc.Raw{Context: "abcdefghijklmnop"})
		var e *rpc.Error
		if !errors.As(err, &e) || e.Code != rpc.UnknownService {
			t.Errorf("service %q: %v", service, err)
		}
	}
}
