package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/authapi"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/run"
)

// echoHeaders answers with the received headers.
var echoHeaders = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(r.Header)
})

const outside = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// No client chooses versions: the gateway drops the site's own tokens, marks and keys, in any
// spelling. Other members pass.
func TestForgedTokensAreStripped(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "v1", echoHeaders)
	s.append(nil, map[string]rollout.Rule{"web": {Version: "v1", Marks: map[string]string{"m": "v2"}}})
	edge := s.gate()
	forged := rollout.Token{Generation: rollout.Generation{N: 1}, Seed: 7, Mark: "m"}.String()
	status, text := ask(t, http.MethodGet, edge.URL, "",
		"Baggage", "a=1,skerry-rollout="+forged, "Baggage", " Skerry-Rollout ="+forged+";x=y, skerry-mark=m,b=2",
		"Connection", "baggage, traceparent", "Traceparent", outside, "Tracestate", "x=1", "Skerry-Refused", "no",
		"X-Forwarded-For", "10.9.9.9")
	var got http.Header
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	first, rest, _ := strings.Cut(got.Get("Baggage"), ",")
	token, err := rollout.ParseToken(strings.TrimPrefix(first, "skerry-rollout="))
	if err != nil || token.Mark != "" || token.Seed == 7 || rest != "a=1,b=2" || len(got["Baggage"]) != 1 {
		t.Errorf("baggage %q holds token %+v, %v", got["Baggage"], token, err)
	}
	if p := got.Get("Traceparent"); p[3:35] != outside[3:35] || p == outside || got.Get("Tracestate") != "x=1" {
		t.Errorf("traceparent %s, tracestate %s", p, got.Get("Tracestate"))
	}
	if got.Get("Skerry-Refused") != "" || got.Get("X-Forwarded-For") != "127.0.0.1" ||
		token.Seed != rollout.SeedOf(outside[3:35]) {
		t.Errorf("%v", got)
	}
}

func TestWebSocketPasses(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "v1", gateway.Join(s.node, "web", "v1", websocket.Handler(func(c *websocket.Conn) {
		_, _ = io.Copy(c, c)
	})))
	s.append(nil, only("v1", "web"))
	edge := s.gate()
	c, err := websocket.Dial("ws"+strings.TrimPrefix(edge.URL, "http"), "", edge.URL)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		want, got := fmt.Sprint("message ", i), ""
		if err := websocket.Message.Send(c, want); err != nil {
			t.Fatal(err)
		}
		if err := websocket.Message.Receive(c, &got); err != nil || got != want {
			t.Fatalf("%q came back as %q, %v", want, got, err)
		}
	}
	if len(s.node.Rollout().Live()) == 0 {
		t.Error("the trace is over while the WebSocket is open")
	}
	c.Close()
	s.quietens(s.node)
}

// quietens waits until no trace is alive at the node.
func (s *site) quietens(n *skerry.Node) {
	s.t.Helper()
	for range 300 {
		if len(n.Rollout().Live()) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Errorf("traces that never ended: %v", n.Rollout().Live())
}

// Each line comes back before the next one is sent.
func TestBodiesStreamBothWays(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); _ = c.Flush() {
			fmt.Fprintf(w, "got %s\n", lines.Text())
		}
	}))
	edge := s.gate()
	out, in := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, edge.URL, out)
	if err != nil {
		t.Fatal(err)
	}
	var sender sync.WaitGroup
	first := make(chan struct{})
	sender.Go(func() { fmt.Fprintln(in, 0); close(first) })
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	<-first
	lines := bufio.NewScanner(answer.Body)
	for i := range 10 {
		if !lines.Scan() || lines.Text() != fmt.Sprint("got ", i) {
			t.Fatalf("line %d: %q, %v", i, lines.Text(), lines.Err())
		}
		fmt.Fprintln(in, i+1)
	}
	in.Close()
	sender.Wait()
}

// An instance dies under load. Requests that may be sent again are sent again, and no other request
// is executed twice.
func TestDeathOfAnUpstream(t *testing.T) {
	s := newSite(t)
	var mu sync.Mutex
	runs := map[string]int{}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		runs[r.Header.Get("X-Id")]++
		mu.Unlock()
		time.Sleep(time.Millisecond)
	})
	dying := s.web(s.node, "v1", h)
	s.web(s.node, "v1", h)
	s.web(s.node, "v2", says("wrong"))
	s.append(nil, only("v1", "web"))
	edge := s.gate()
	var stop atomic.Bool
	var load sync.WaitGroup
	var posts, lost atomic.Int64
	for k := range 8 {
		load.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if k%2 == 0 {
					if status, text := ask(t, http.MethodGet, edge.URL, ""); status != http.StatusOK || text != "" {
						t.Errorf("GET: %d %s", status, text)
					}
					continue
				}
				posts.Add(1)
				status, _ := ask(t, http.MethodPost, edge.URL, "x", "X-Id", fmt.Sprint(k, "/", i))
				if status != http.StatusOK {
					lost.Add(1)
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	dying.Listener.Close()
	dying.CloseClientConnections()
	time.Sleep(400 * time.Millisecond)
	stop.Store(true)
	load.Wait()
	delete(runs, "")
	for id, n := range runs {
		if n > 1 {
			t.Errorf("POST %s was executed %d times", id, n)
		}
	}
	if lost.Load() > 4 { // those in flight at the dying instance
		t.Errorf("%d of %d POSTs were lost", lost.Load(), posts.Load())
	}
}

// A body of any size goes to another instance when the first cannot be reached.
func TestUnsentBodiesGoElsewhere(t *testing.T) {
	s := newSite(t)
	gone := s.web(s.node, "", says("nobody"))
	gone.Close()
	s.web(s.node, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n)
	}))
	edge := s.gate()
	for _, size := range []int{0, 10, 1 << 20} {
		for range 4 {
			if status, text := ask(t, http.MethodPost, edge.URL, strings.Repeat("x", size)); status != http.StatusOK ||
				text != fmt.Sprint(size) {
				t.Errorf("%d bytes: %d %s", size, status, text)
			}
		}
	}
}

func TestTimeoutOfAnUpstream(t *testing.T) {
	s := newSite(t)
	var runs atomic.Int64
	s.web(s.node, "", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		<-r.Context().Done()
	}))
	edge := s.gate(func(c *gateway.Config) { c.Routes[0].Timeout = 200 * time.Millisecond })
	if status, text := ask(t, http.MethodGet, edge.URL, ""); status != http.StatusGatewayTimeout || runs.Load() != 1 {
		t.Errorf("%d %s after %d runs", status, text, runs.Load())
	}
	if len(s.node.Rollout().Live()) == 0 {
		t.Error("nobody counts the upstream, which may still be at work")
	}
	s.quietens(s.node)
}

func TestRoutes(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }))
	edge := s.gate(func(c *gateway.Config) {
		c.Routes = []config.Route{{Path: "/api", Service: "web"}, {Path: "/cut/", Service: "web", Strip: true},
			{Path: "/", Host: "other", Service: "web"}}
	})
	for path, want := range map[string]string{
		"/api": "/api", "/api/x": "/api/x", "/cut/a/b": "/a/b", "/cut": "/", "/apix": "nothing is served here",
	} {
		if _, text := ask(t, http.MethodGet, edge.URL+path, ""); text != want &&
			!strings.HasPrefix(text, want+"\nrequest ") {
			t.Errorf("%s: %q, want %q", path, text, want)
		}
	}
	for want, routes := range map[string][]config.Route{
		"no routes":                    nil,
		"does not begin":               {{Path: "x", Service: "web"}},
		"braces":                       {{Path: "/{x}", Service: "web"}},
		`write "/b"`:                   {{Path: "/a/../b", Service: "web"}},
		"in gateway.routes[0] already": {{Path: "/a", Service: "web"}, {Path: "/a/", Service: "web"}},
		"the name is empty":            {{Path: "/"}},
		"without port":                 {{Path: "/", Host: "a:1", Service: "web"}},
		"read thrift file":             {{Path: "/", Service: "web", Thrift: "/nowhere"}},
		"makes no sense here":          {{Path: "/", Service: "web", Timeout: -time.Second}},
		"the name \"a b\": character":  {{Path: "/", Service: "a b"}},
	} {
		if _, err := gateway.New(s.node, gateway.Config{Gateway: config.Gateway{Routes: routes}}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", routes, err, want)
		}
	}
}

// serve runs a gateway on a port of its own until stop is called.
func (s *site) serve(edit func(*gateway.Config)) (addr string, stop func() error) {
	s.t.Helper()
	c := gateway.Config{Gateway: config.Gateway{Routes: []config.Route{{Path: "/", Service: "web"}}}, Logger: quiet}
	edit(&c)
	g, err := gateway.New(s.node, c)
	if err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	group := run.NewGroup(s.t.Context())
	group.Go(func(ctx context.Context) error { return g.Serve(ctx, l) })
	s.t.Cleanup(func() { _ = group.Stop() })
	return l.Addr().String(), group.Stop
}

func TestHeaderLimits(t *testing.T) {
	s := newSite(t)
	s.web(s.node, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/big" {
			w.Header().Set("X-Big", strings.Repeat("x", 20<<10))
		}
	}))
	addr, _ := s.serve(func(c *gateway.Config) { c.MaxHeader = 8 << 10 })
	for _, c := range []struct {
		path   string
		header int
		want   int
	}{{"/", 100, 200}, {"/", 20 << 10, http.StatusRequestHeaderFieldsTooLarge}, {"/big", 0, http.StatusBadGateway}} {
		own := strings.Repeat("x", c.header)
		if status, _ := ask(t, http.MethodGet, "http://"+addr+c.path, "", "X-Own", own); status != c.want {
			t.Errorf("%s with %d bytes: %d, want %d", c.path, c.header, status, c.want)
		}
	}
}

// A stop lets requests end, and cuts WebSockets off at the end of Config.Drain.
func TestPoliteStop(t *testing.T) {
	s := newSite(t)
	arrived := make(chan struct{})
	s.web(s.node, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			websocket.Handler(func(c *websocket.Conn) { _, _ = io.Copy(c, c) }).ServeHTTP(w, r)
			return
		}
		close(arrived)
		time.Sleep(200 * time.Millisecond)
		fmt.Fprint(w, "done")
	}))
	addr, stop := s.serve(func(c *gateway.Config) { c.Drain = 600 * time.Millisecond })
	socket, err := websocket.Dial("ws://"+addr+"/ws", "", "http://"+addr)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	var asking sync.WaitGroup
	asking.Go(func() {
		if status, text := ask(t, http.MethodGet, "http://"+addr, ""); status != http.StatusOK || text != "done" {
			t.Errorf("%d %s", status, text)
		}
	})
	<-arrived
	begun := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < 500*time.Millisecond || took > 1500*time.Millisecond {
		t.Errorf("the stop took %v", took)
	}
	asking.Wait()
	if _, err := socket.Read(make([]byte, 1)); err == nil {
		t.Error("the WebSocket is still open")
	}
}

func TestThriftEdge(t *testing.T) {
	s := newSite(t)
	for _, v := range []string{"v1", "v2"} {
		n := s.open(config.Service{Name: "auth", Version: v})
		if err := n.Handle(t.Context(), "auth", authapi.NewAuthProcessor(guard{v})); err != nil {
			t.Fatal(err)
		}
	}
	s.append(nil, only("v2", "auth"))
	edge := s.gate(func(c *gateway.Config) {
		c.MaxJSON = 1000
		c.Routes = []config.Route{{Path: "/auth", Service: "auth", Thrift: "../examples/portal/idl/auth.thrift"},
			{Path: "/none", Service: "nobody", Thrift: "../examples/portal/idl/auth.thrift",
				Timeout: 2500 * time.Millisecond}}
	})
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/auth/verify", `{"token":"x"}`, 200, `"v2"`},
		{"POST", "/auth/getToken", `{"user":"al","secret":"s"}`, 200, `"value":"v2"`},
		{"POST", "/auth/getToken", `{"user":"al","secret":"wrong"}`, 422,
			`{"exception":"Denied","fields":{"reason":"wrong secret"}}`},
		{"POST", "/auth/getToken", `{"usr":"al"}`, 400, "usr"},
		{"POST", "/auth/nothing", `{}`, 404, "getToken, verify"},
		{"GET", "/auth/verify", ``, 405, "by POST"},
		{"POST", "/auth/verify", `{"token":"` + strings.Repeat("x", 1000) + `"}`, 413, "too large"},
		{"POST", "/none/verify", `{"token":"x"}`, 503, `"code":"no_instance"`},
	} {
		status, text := ask(t, c.method, edge.URL+c.path, c.body, "Content-Type", "application/json; charset=utf-8")
		if status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %.40s: %d %s, want %d %s", c.method, c.path, c.body, status, text, c.status, c.want)
		}
	}
	status, _ := ask(t, http.MethodPost, edge.URL+"/auth/verify", "{}", "Content-Type", "text/plain")
	if status != http.StatusUnsupportedMediaType {
		t.Errorf("a form is status %d", status)
	}
}

// A service that faces users itself begins traces. The trace of a taken-over connection ends when
// the connection closes.
func TestTraceMiddleware(t *testing.T) {
	s := newSite(t)
	s.append(nil, only("v1", "auth"))
	n := s.open(config.Service{})
	for _, e := range n.Rollout().Since(rollout.Generation{}) {
		s.learn(n, e)
	}
	h := gateway.Trace(s.node, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := participant.TraceFrom(r.Context()).Token()
		if r.URL.Path != "/take" {
			fmt.Fprint(w, token.Generation, " ", r.Header.Get("Baggage"), " ", r.Header.Get("Traceparent")[3:35])
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		time.AfterFunc(100*time.Millisecond, func() { conn.Close() })
	}), func(e *gateway.Entry) { e.Name = "pages" })
	server := httptest.NewServer(h)
	defer server.Close()
	_, text := ask(t, http.MethodGet, server.URL, "", "Baggage", "skerry-rollout=x,a=1", "X-B3-TraceId",
		"a3ce929d0e0e4736", "X-B3-SpanId", "00f067aa0ba902b7")
	if want := "1 a=1 0000000000000000a3ce929d0e0e4736"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
	if _, err := http.Get(server.URL + "/take"); err == nil {
		t.Error("an answer from a closed connection")
	}
	s.quietens(s.node)
}

// A service behind the gateway refuses a request that it must not execute.
func TestJoinRefuses(t *testing.T) {
	s := newSite(t)
	s.append(nil, only("v1", "web"))
	late := s.write(nil, only("v2", "web"))
	var runs atomic.Int64
	server := httptest.NewServer(
		gateway.Join(s.node, "web", "v1", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs.Add(1) })))
	defer server.Close()
	status := func(g uint64) int {
		token := s.log.TokenAt(rollout.Generation{N: g}, 1, "").String()
		code, _ := ask(t, http.MethodGet, server.URL, "", "Baggage", "skerry-rollout="+token)
		return code
	}
	if got := status(1); got != http.StatusOK {
		t.Errorf("its own version: %d", got)
	}
	time.AfterFunc(100*time.Millisecond, func() { s.learn(s.node, late) })
	if got := status(2); got != http.StatusServiceUnavailable || runs.Load() != 1 {
		t.Errorf("another version's, by rules that came meanwhile: %d", got)
	}
	if got := status(3); got != http.StatusServiceUnavailable {
		t.Errorf("by rules that never come: %d", got)
	}
	if got, _ := ask(t, http.MethodGet, server.URL, "", "Baggage", "skerry-rollout=!"); got != http.StatusBadRequest {
		t.Errorf("a broken token: %d", got)
	}
	if got, _ := ask(t, http.MethodGet, server.URL, ""); got != http.StatusOK || s.node.Rollout().Orphans() != 1 {
		t.Errorf("an orphan: %d", got)
	}
}
