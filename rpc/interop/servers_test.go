package interop

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/rpc/internal/echo"
)

// goDialect is how the stock library of Go is told to speak.
type goDialect struct {
	transport func(*thrift.TConfiguration) thrift.TTransportFactory
	protocol  func(*thrift.TConfiguration) thrift.TProtocolFactory
}

func framed(c *thrift.TConfiguration) thrift.TTransportFactory {
	return thrift.NewTFramedTransportFactoryConf(thrift.NewTTransportFactory(), c)
}

func unframed(*thrift.TConfiguration) thrift.TTransportFactory {
	return thrift.NewTBufferedTransportFactory(4096)
}

func bare(*thrift.TConfiguration) thrift.TTransportFactory { return thrift.NewTTransportFactory() }

func binary(c *thrift.TConfiguration) thrift.TProtocolFactory {
	return thrift.NewTBinaryProtocolFactoryConf(c)
}

func compact(c *thrift.TConfiguration) thrift.TProtocolFactory {
	return thrift.NewTCompactProtocolFactoryConf(c)
}

func header(c *thrift.TConfiguration) thrift.TProtocolFactory {
	return thrift.NewTHeaderProtocolFactoryConf(c)
}

// goDialects are named as registry.Protocol spells them.
var goDialects = map[string]goDialect{
	"header":           {bare, header},
	"framed-binary":    {framed, binary},
	"framed-compact":   {framed, compact},
	"unframed-binary":  {unframed, binary},
	"unframed-compact": {unframed, compact},
}

// call returns a skerry client of the server at addr.
func call(t *testing.T, addr, protocol string) thrift.TClient {
	t.Helper()
	e := &rpc.Endpoint{ID: "echo@" + addr, Service: "echo", Addr: addr, Protocol: protocol}
	c, err := rpc.NewClient(rpc.ClientConfig{Resolver: rpc.Static(e), ConnectTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s, err := c.Service("echo", rpc.ServiceOptions{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPythonServer(t *testing.T) {
	dialects := [][2]string{{"header", "binary"}}
	for _, kind := range []string{"simple", "threaded"} {
		for _, d := range append(dialects, plainDialects...) {
			protocol := strings.Replace(d[0]+"-"+d[1], "header-binary", "header", 1)
			t.Run(kind+" "+protocol, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				s := call(t, serveAside(t, python(ctx, t, "server.py", kind, d[0], d[1])), protocol)
				visit(ctx, t, s, "Python")
				if kind == "threaded" {
					crowd(ctx, t, s)
				}
			})
		}
	}
}

func TestGoServer(t *testing.T) {
	for protocol, d := range goDialects {
		t.Run(protocol, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			h := newHandler()
			s := call(t, serveGo(t, h, d), protocol)
			visit(ctx, t, s, "skerry")
			crowd(ctx, t, s)
			if n := h.noted(t); n.text != "from skerry" {
				t.Errorf("noted %q", n.text)
			}
		})
	}
}

func serveGo(t *testing.T, h *handler, d goDialect) string {
	t.Helper()
	socket, err := thrift.NewTServerSocket("127.0.0.1:0")
	if err == nil {
		err = socket.Listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	s := thrift.NewTSimpleServer4(echo.NewEchoProcessor(h), socket, d.transport(nil), d.protocol(nil))
	s.SetLogger(func(string) {})
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		_ = s.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return socket.Addr().String()
}

// visit makes the calls of one caller, one after the other.
func visit(ctx context.Context, t *testing.T, s thrift.TClient, who string) {
	t.Helper()
	c := echo.NewEchoClient(s)
	for range 3 {
		exercise(ctx, t, c, who)
	}
	if err := c.Note(ctx, "from skerry"); err != nil {
		t.Fatal(err)
	}
	if code := rpc.CodeOf(c.Fail(ctx, "error")); code != rpc.HandlerFailed {
		t.Errorf("an undeclared error has the code %v", code)
	}
	if _, err := s.Call(ctx, "missing", echo.NewBaseWhoArgs(), echo.NewBaseWhoResult()); rpc.CodeOf(err) != rpc.UnknownMethod {
		t.Errorf("a method that does not exist gives %v", err)
	}
	exercise(ctx, t, c, who)
	if who == "Python" {
		if got, err := c.Who(ctx); err != nil || got != "Python, noted from skerry" {
			t.Errorf("the one-way call: %q, %v", got, err)
		}
	}
}

// crowd makes calls at once: each gets its own answer, and a slow one does not
// hold up the others for long.
func crowd(ctx context.Context, t *testing.T, s thrift.TClient) {
	t.Helper()
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range 16 {
		wg.Go(func() {
			c := echo.NewEchoClient(s)
			if _, err := c.Sleep(ctx, 200); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
			for j := range 20 {
				text := fmt.Sprintf("caller %d call %d", i, j)
				got, err := c.Echo(ctx, &echo.Message{Text: text})
				if err != nil || got.Text != text {
					t.Errorf("sent %q, got %v, %v", text, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("16 callers at once took %v: one after the other?", took)
	}
}
