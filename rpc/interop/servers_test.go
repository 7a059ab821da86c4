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
				visit(ctx, t, s)
				if kind == "threaded" {
					crowd(ctx, t, s)
				}
			})
		}
	}
}

// exercise makes the calls that every server answers alike.
func exercise(ctx context.Context, t *testing.T, c *echo.EchoClient) {
	t.Helper()
	if got, err := c.Who(ctx); err != nil || !strings.HasPrefix(got, "Python") {
		t.Fatalf("who is %q, %v", got, err)
	}
	part := &echo.Message{Text: "part", Tags: map[string]string{}, Number: -1 << 63, Parts: []*echo.Message{}}
	sent := &echo.Message{Text: "grüße, 世界", Tags: map[string]string{"a": "1", "": "empty"}, Number: 1 << 62,
		Parts: []*echo.Message{part, part}}
	got, err := c.Echo(ctx, sent)
	if err != nil {
		t.Fatal(err)
	}
	sent.Number++
	if !got.Equals(sent) {
		t.Fatalf("sent %v, got %v", sent, got)
	}
	got, err = c.Echo(ctx, &echo.Message{Text: strings.Repeat("x", 200_000)})
	if err != nil || len(got.Text) != 200_000 {
		t.Fatalf("a text of 200,000 letters came back with %d, %v", len(got.GetText()), err)
	}
	_, err = c.Echo(ctx, &echo.Message{Text: "refuse"})
	if r, ok := err.(*echo.Refusal); !ok || r.Why != "as you asked" {
		t.Fatalf("declared exception is %T: %v", err, err)
	}
	if err := c.Fail(ctx, "error"); err == nil {
		t.Fatal("a call that must fail did not")
	}
}

// visit makes the calls of one caller, one after the other.
func visit(ctx context.Context, t *testing.T, s thrift.TClient) {
	t.Helper()
	c := echo.NewEchoClient(s)
	for range 3 {
		exercise(ctx, t, c)
	}
	if err := c.Note(ctx, "from skerry"); err != nil {
		t.Fatal(err)
	}
	if code := rpc.CodeOf(c.Fail(ctx, "error")); code != rpc.HandlerFailed {
		t.Errorf("an undeclared error has the code %v", code)
	}
	if _, err := s.Call(ctx, "missing", echo.NewBaseWhoArgs(),
		echo.NewBaseWhoResult()); rpc.CodeOf(err) != rpc.UnknownMethod {
		t.Errorf("a method that does not exist gives %v", err)
	}
	exercise(ctx, t, c)
	if got, err := c.Who(ctx); err != nil || got != "Python, noted from skerry" {
		t.Errorf("the one-way call: %q, %v", got, err)
	}
}

// crowd makes calls at once. Each gets its own answer, and a slow one does not delay the others for
// long.
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
