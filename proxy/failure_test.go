package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/rpc"
)

// Bad input of a program ends its own connection only.
func TestBadInputEndsItsOwnConnection(t *testing.T) {
	c := site(t)
	offer(t, c, "auth", "v1", echoing("", nil))
	path := socketPath(t)
	start(t, c, map[string]config.Program{"billing": {Listen: "unix:" + path}})
	good := dialCaller(t, "unix", path)
	works := func(after string) {
		t.Helper()
		if text, err := good.call(t.Context(), "auth:verify", ""); err != nil || text != "verify" {
			t.Fatalf("after %s: %q, %v", after, text, err)
		}
	}
	works("nothing")
	name := strings.Repeat("n", 1<<20)
	long := append([]byte{0x80, 1, 0, 1}, binary.BigEndian.AppendUint32(nil, uint32(len(name)))...)
	long = append(append(long, name...), 0, 0, 0, 1, 0)
	for what, sent := range map[string][]byte{
		"HTTP":                    []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a name of 1 MB":          append(binary.BigEndian.AppendUint32(nil, uint32(len(long))), long...),
		"a frame of 2 GiB":        {0x7f, 0xff, 0xff, 0xff, 0x80, 1, 0, 1},
		"a reply":                 framed(2, "auth:verify"),
		"a struct that stops":     append(framed(1, "auth:verify")[:len(framed(1, "auth:verify"))-1], 12),
		"a name of 1 MB unframed": long,
	} {
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = nc.Write(sent)
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer, err := io.ReadAll(io.LimitReader(nc, 1<<16))
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() &&
			!bytes.Contains(answer, []byte("bad_message")) {
			t.Errorf("%s: the connection goes on without an answer", what)
		}
		nc.Close()
		works(what)
	}
	half, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	_, _ = half.Write(framed(1, "auth:verify")[:9])
	works("half a frame")
}

// framed is a framed binary message without arguments.
func framed(kind byte, name string) []byte {
	b := append([]byte{0x80, 1, 0, kind, 0, 0, 0, byte(len(name))}, name...)
	b = append(b, 0, 0, 0, 1, 0)
	return append([]byte{0, 0, 0, byte(len(b))}, b...)
}

// silent starts a server that accepts connections and runs do on each.
func silent(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
			go do(nc)
		}
	}()
	return l.Addr().String()
}

// A faulty provider fails the calls of its own callers only. The errors name the fault
// and the place.
func TestProvidersThatAreNoGood(t *testing.T) {
	c := site(t)
	wrong := silent(t, func(nc net.Conn) { // answers with another sequence number
		b := make([]byte, 1<<16)
		for {
			n, err := nc.Read(b)
			if err != nil {
				return
			}
			size := int(b[11])
			reply := append([]byte(nil), b[:n]...)
			reply[7] = 2
			reply[12+size+3] ^= 0x7f
			_, _ = nc.Write(reply)
		}
	})
	mute := silent(t, func(net.Conn) {})
	start(t, c, map[string]config.Program{
		"wrong": {Listen: "unix:" + socketPath(t),
			Provides: []config.Provide{{Service: "wrong", Addr: wrong, Check: "tcp"}}},
		"mute": {Listen: "unix:" + socketPath(t),
			Provides: []config.Provide{{Service: "mute", Addr: mute, Check: "tcp", Concurrency: 2}}},
		"gone": {Listen: "unix:" + socketPath(t), Provides: []config.Provide{{Service: "gone", Addr: "127.0.0.1:1"}}},
	})
	n := open(t, c)
	call := func(service string) *rpc.Error {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := n.Client(service, func(o *rpc.ServiceOptions) { o.Timeout = 3 * time.Second }).
			Call(ctx, "do", &textArgument{"x"}, &textResult{})
		var e *rpc.Error
		errors.As(err, &e)
		return e
	}
	if e := call("wrong"); e == nil || e.Code != rpc.BadMessage || !strings.Contains(e.Error(), wrong) {
		t.Errorf("wrong sequence numbers: %v", e)
	}
	if e := call("mute"); e == nil || e.Code != rpc.DeadlineExceeded {
		t.Errorf("never an answer: %v", e)
	}
	if e := call("gone"); e == nil || e.Code != rpc.NoInstance {
		t.Errorf("not there: %v", e)
	}
}

// Each program has a socket of its own: the proxy of a second program refuses to take it.
func TestTwoProgramsWithOneSocket(t *testing.T) {
	c := site(t)
	path := socketPath(t)
	start(t, c, map[string]config.Program{"billing": {Listen: "unix:" + path}})
	c.Proxy.Programs = map[string]config.Program{"mail": {Listen: "unix:" + path}}
	x, err := New(c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Run(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "is served by the proxy of program billing") {
		t.Errorf("%v", err)
	}
	c.Proxy.Programs = map[string]config.Program{"mail": {Listen: "unix:" + path}, "billing": {Listen: "unix:" + path}}
	if _, err := New(c, quiet()); err == nil || !strings.Contains(err.Error(), "each program has a socket of its own") {
		t.Errorf("%v", err)
	}
}

// A proxy that can't serve all its sockets takes none from the proxy that serves them.
func TestAProxyThatCannotListenTakesNothing(t *testing.T) {
	c := site(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	billing := config.Program{Listen: "unix:" + socketPath(t)}
	first := start(t, c, map[string]config.Program{"billing": billing})
	before, err := Ask(t.Context(), billing)
	if err != nil {
		t.Fatal(err)
	}
	c.StateDir = t.TempDir()
	c.Proxy.Programs = map[string]config.Program{
		"billing": billing,
		"tcp":     {Listen: taken.Addr().String(), Token: "0123456789abcdef0123456789abcdef"},
	}
	second, err := New(c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "proxy of tcp: ") {
		t.Fatalf("Run: %v", err)
	}
	after, err := Ask(t.Context(), billing)
	if err != nil || after.Proxy != before.Proxy || after.State != serving {
		t.Fatalf("the first proxy: %+v, %v; before: %+v", after, err, before)
	}
	if !first.programs[0].sockets[0].current() {
		t.Error("the socket's path is no longer the first proxy's")
	}
}

// On TCP, a connection must send its token first.
func TestTokenOnTCP(t *testing.T) {
	c := site(t)
	offer(t, c, "auth", "v1", echoing("", nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	token := "a token of 32 characters or so ok"
	start(t, c, map[string]config.Program{"billing": {Listen: addr, Token: token}})
	p := dialCaller(t, "tcp", addr)
	var x thrift.TApplicationException
	if _, err := p.call(t.Context(), "auth:verify", ""); !errors.As(err, &x) ||
		!strings.Contains(x.Error(), "skerry.login") {
		t.Errorf("without a token: %v", err)
	}
	p = dialCaller(t, "tcp", addr)
	if _, err := p.call(t.Context(), "skerry.login", "a guess"); !errors.As(err, &x) ||
		!strings.Contains(x.Error(), "the token is not") {
		t.Errorf("with a wrong token: %v", err)
	}
	p = dialCaller(t, "tcp", addr)
	if _, err := p.call(t.Context(), "skerry.login", token); err != nil {
		t.Fatal(err)
	}
	if text, err := p.call(t.Context(), "auth:verify", ""); err != nil || text != "verify" {
		t.Errorf("%q, %v", text, err)
	}
}

// Connections that send nothing cost little, and other callers are served meanwhile.
func TestIdleConnections(t *testing.T) {
	const idle = 10_000
	c := site(t)
	offer(t, c, "auth", "v1", echoing("", nil))
	path := socketPath(t)
	startProcess(t, c, path, "")
	for i := range idle {
		nc, err := net.Dial("unix", path)
		for tries := 0; err != nil && tries < 100; tries++ { // the backlog is full for a moment
			time.Sleep(10 * time.Millisecond)
			nc, err = net.Dial("unix", path)
		}
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		t.Cleanup(func() { nc.Close() })
	}
	p := dialCaller(t, "unix", path)
	if text, err := p.call(t.Context(), "auth:verify", ""); err != nil || text != "verify" {
		t.Errorf("%q, %v", text, err)
	}
}

// The proxy lists a program that was started before it, and a program that was
// restarted.
func TestAProgramIsListedWhileItAnswers(t *testing.T) {
	c := site(t)
	methods := map[string]func(string, string) (string, error){
		"do": func(_, text string) (string, error) { return text, nil },
	}
	first := startProgram(t, "127.0.0.1:0", 4, &foreignProgram{methods: methods})
	g := config.Program{
		Listen: "unix:" + socketPath(t), Provides: []config.Provide{{Service: "billing", Addr: first.addr}},
	}
	start(t, c, map[string]config.Program{"billing": g})
	n := open(t, c)
	var calls atomic.Int64
	call := func() error {
		_, err := n.Client("billing").Call(t.Context(), "do", &textArgument{"x"}, &textResult{})
		calls.Add(1)
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	first.stop()
	eventually(t, "calls are known not to be executed", func() bool { // a call may precede the end
		err := call()
		return (rpc.CodeOf(err) == rpc.Unreachable || rpc.CodeOf(err) == rpc.NoInstance) && rpc.SafeToRetry(err)
	})
	startProgram(t, first.addr, 4, &foreignProgram{methods: methods, helper: true})
	eventually(t, "the program is called again", func() bool { return call() == nil })
	eventually(t, "its helper is known", func() bool {
		s, err := Ask(t.Context(), g)
		return err == nil && s.Provides[0].Helper == "go 1.0"
	})
}

// A killed program is not one whose handler closed the connection, even where its port takes a last one: callers may
// send what is harmless to repeat to another instance.
func TestAKilledProgramIsNoFailedHandler(t *testing.T) {
	for _, kept := range []bool{true, false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			nc, err := l.Accept()
			if err == nil && kept {
				_, _ = nc.Read(make([]byte, 1))
			}
			if err == nil {
				_ = nc.(*net.TCPConn).SetLinger(0) // as the system resets what waits at a port that ends
				nc.Close()
			}
		}()
		p := &provided{g: &program{name: "auth"}, cfg: config.Provide{Addr: l.Addr().String()}}
		p.g.base.Calls.ConnectTimeout = 5 * time.Second
		lost := &rpc.Error{Code: rpc.ConnectionLost, Executed: rpc.MaybeExecuted, Err: io.EOF}
		want := rpc.ConnectionLost
		if kept {
			want = rpc.HandlerFailed
		}
		if err := p.explain(t.Context(), lost); rpc.CodeOf(err) != want {
			t.Errorf("another connection is kept: %v; told %v, want %v", kept, err, want)
		}
		l.Close()
		<-ended
	}
}

// Calls to a program that was taken for one without a helper would lose their traces.
func TestAProgramThatDiesWhenAskedForItsHelperIsAskedAgain(t *testing.T) {
	for _, closed := range []struct {
		times  int32
		helper bool
	}{{1, true}, {2, false}} {
		f := startProgram(t, "127.0.0.1:0", 8, &foreignProgram{helper: true})
		f.dies.Store(closed.times)
		c := site(t)
		p, err := newProvided(&program{name: "auth", base: c.WithDefaults(), log: quiet()},
			config.Provide{Service: "auth",
				Addr: f.addr, Protocol: "framed-binary", Concurrency: 4})
		if err != nil {
			t.Fatal(err)
		}
		info, err := p.helper.ask(t.Context(), p.askHelper)
		if err != nil || info.present != closed.helper {
			t.Errorf("after %d closed connections: helper %+v, %v", closed.times, info, err)
		}
		if _, known := p.helper.now(); !known && !closed.helper { // else each call would ask, twice
			t.Errorf("after %d closed connections the answer is not kept", closed.times)
		}
		p.close()
	}
}

// The process that answered may have ended before its answer was read.
func TestAnAnswerOfTheProgramBeforeIsNotKept(t *testing.T) {
	h := newHelper()
	info, err := h.ask(t.Context(), func(context.Context) (helperInfo, error) {
		h.forget()
		return helperInfo{}, nil
	})
	if _, known := h.now(); known || err != nil || info.present {
		t.Errorf("helper %+v, %v; known: %v", info, err, known)
	}
}

// With no connection to the program, the one that answered may have been replaced without a sign.
func TestWithoutAConnectionTheProgramIsAskedAgain(t *testing.T) {
	verify := func(word, _ string) (string, error) { return word, nil }
	f := startProgram(t, "127.0.0.1:0", 8, &foreignProgram{helper: true,
		methods: map[string]func(string, string) (string, error){"verify": verify}})
	c := site(t)
	g := &program{name: "auth", base: c.WithDefaults(), log: quiet(), words: newWords("abc")}
	p, err := newProvided(g, config.Provide{Service: "auth", Addr: f.addr, Protocol: "framed-binary", Concurrency: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.helper.keep(helperInfo{}, p.helper.ends()) // as the program before said, whose idle connections were closed
	if _, err := p.handle(t.Context(), &rpc.CallInfo{Method: "verify"}, &rpc.Raw{}); err != nil {
		t.Fatal(err)
	}
	names := f.seen()
	if last := names[len(names)-1]; !strings.HasPrefix(last, "ctx=abc") {
		t.Errorf("the program has a helper, and was sent %q", last)
	}
}
