package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/gateway"
	"github.com/skerry/skerry/internal/testfeed"
)

// feed opens a site with a gateway in front of a feed.
func feed(t *testing.T, h *testfeed.Handler, edits ...func(*gateway.Config)) (*site, *httptest.Server) {
	t.Helper()
	s := newSite(t)
	n := s.open(config.Service{Name: "feed", Version: "v1"})
	if err := n.Handle(t.Context(), "feed", h.Processor()); err != nil {
		t.Fatal(err)
	}
	s.append(nil, only("v1", "feed"))
	return s, s.gate(append([]func(*gateway.Config){func(c *gateway.Config) {
		c.Routes = []config.Route{{
			Path: "/feed", Service: "feed", Thrift: "../" + testfeed.IDL, Timeout: 20 * time.Second,
		}}
	}}, edits...)...)
}

// rested waits until no handler runs and no trace lives.
func rested(s *site, h *testfeed.Handler) {
	s.t.Helper()
	for range 1000 {
		if h.Running.Load() == 0 {
			s.quietens(s.node)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Errorf("%d handlers still run", h.Running.Load())
}

var asJSON, asLines = []string{"Content-Type", "application/json"}, []string{"Content-Type", "application/x-ndjson"}

// How streams answer: items, cursors, every kind of end, and what is refused.
func TestStreamsByHTTP(t *testing.T) {
	h := &testfeed.Handler{Text: "a\nb"}
	s, edge := feed(t, h)
	query := func(args string) string { return "?args=" + url.QueryEscape(args) }
	events := []string{"Accept", "text/event-stream"}
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		want               string // the whole body, or with … in front a part of it
	}{
		"lines": {"POST", "watch", `{"since":4,"count":2}`, asJSON, 200,
			"{\"t\":5,\"text\":\"a\\nb\"}\n{\"t\":6,\"text\":\"a\\nb\"}\n"},
		"events": {"GET", "watch" + query(`{"since":4,"count":2}`), "", events, 200,
			"id: 5\ndata: {\"t\":5,\"text\":\"a\\nb\"}\n\n" +
				"id: 6\ndata: {\"t\":6,\"text\":\"a\\nb\"}\n\nevent: end\ndata: {}\n\n"},
		"resumed": {"GET", "watch" + query(`{"since":4,"count":1}`), "", append(events, "Last-Event-ID", "41"), 200,
			"id: 42\ndata: {\"t\":42,\"text\":\"a\\nb\"}\n\nevent: end\ndata: {}\n\n"},
		"events by POST": {"POST", "watch", `{"count":1}`, append(events, asJSON...), 200, "…event: end"},
		"wrong cursor":   {"GET", "watch", "", append(events, "Last-Event-ID", "x"), 400, "…Last-Event-ID"},
		"exception in lines": {"POST", "watch", `{"count":-7}`, asJSON, 200,
			`…{"skerry-failure":{"exception":"Gone","fields":{"oldest":7}}}`},
		"exception in events": {"GET", "watch" + query(`{"count":-7}`), "", events, 200,
			"…event: exception\n" + `data: {"exception":"Gone","fields":{"oldest":7}}`},
		"GET without Accept": {"GET", "watch", "", nil, 405, "…by POST"},
		"wrong arguments":    {"POST", "watch", `{"x":1}`, asJSON, 400, "…has no field"},
		"a form":             {"POST", "watch", `{}`, nil, 415, "…application/json"},
		"another site": {"GET", "watch", "", append(events, "Origin", "http://evil.example"), 403,
			"…another site"},
		"another site, hidden": {"GET", "watch", "", append(events, "Sec-Fetch-Site", "cross-site"), 403,
			"…another site"},
		"upload": {"POST", "upload" + query(`{"tag":"x"}`), "{\"t\":1}\n\n{\"t\":8}", asLines, 200,
			"{\"points\":2,\"last\":8,\"tag\":\"x\"}\n"},
		"upload of nothing": {"POST", "upload", "", asLines, 200, "{\"points\":0,\"last\":0,\"tag\":\"\"}\n"},
		"wrong line":        {"POST", "upload", "{\"t\":1}\n{\"t\":\"x\"}\n", asLines, 400, "…line 2: does not fit"},
		"long line": {"POST", "upload", strings.Repeat(" ", 2<<20), asLines, 413,
			"…line 1: the line is too long"},
		"upload that throws": {"POST", "upload", "{\"t\":3,\"text\":\"gone\"}\n", asLines, 422,
			`…{"exception":"Gone","fields":{"oldest":3}`},
		"upload as a call": {"POST", "upload", `{"tag":"y","point":{"t":5}}`, asJSON, 200,
			"{\"points\":1,\"last\":5,\"tag\":\"y\"}\n"},
		"no method": {"POST", "wtch", `{}`, asJSON, 404, "…did you mean"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := ask(t, c.method, edge.URL+"/feed/"+c.path, c.body, c.header...)
			part, isPart := strings.CutPrefix(c.want, "…")
			if status != c.status || text != c.want && !(isPart && strings.Contains(text, part)) {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	rested(s, h)
}

// open opens a watch without an end and reads its first line.
func open(t *testing.T, edge *httptest.Server, header ...string) (*http.Response, *bufio.Reader, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, edge.URL+"/feed/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer, err := edge.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(answer.Body)
	if first, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", first, err)
	}
	return answer, lines, cancel
}

// A provider that ends an upload is heard of at once, by HTTP/1.1 and HTTP/2, though its client sends no further line.
func TestUploadEndsWithItsProvider(t *testing.T) {
	h := &testfeed.Handler{}
	s, edge := feed(t, h)
	second := httptest.NewUnstartedServer(edge.Config.Handler)
	second.EnableHTTP2 = true
	second.StartTLS()
	t.Cleanup(second.Close)
	for _, server := range []*httptest.Server{edge, second} {
		read, write := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/feed/upload", read)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(asLines[0], asLines[1])
		go fmt.Fprintln(write, `{"t":3,"text":"gone"}`)
		answer, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != 422 || !strings.Contains(string(text), `"oldest":3`) {
			t.Errorf("%s: %d %s, %v", answer.Proto, answer.StatusCode, text, err)
		}
		answer.Body.Close()
		write.Close()
	}
	rested(s, h)
}

// A reader that leaves ends the handler, by HTTP/1.1 and HTTP/2; one that takes nothing stops the provider meanwhile.
func TestReadersThatLeaveOrSleep(t *testing.T) {
	h := &testfeed.Handler{Text: strings.Repeat("x", 1000)}
	s, edge := feed(t, h)
	second := httptest.NewUnstartedServer(edge.Config.Handler)
	second.EnableHTTP2 = true
	second.StartTLS()
	t.Cleanup(second.Close)
	for _, server := range []*httptest.Server{edge, second} {
		h.Sent.Store(0)
		answer, _, leave := open(t, server)
		if server == second && answer.ProtoMajor != 2 {
			t.Error(answer.Proto)
		}
		last := int64(-1)
		for range 200 { // until nothing goes any more
			time.Sleep(20 * time.Millisecond)
			if n := h.Sent.Load(); n == last {
				break
			} else {
				last = n
			}
		}
		if last > 50_000 {
			t.Errorf("%d points were sent to a reader that takes none", last)
		}
		leave()
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		rested(s, h)
	}
}

// Streams are limited for each address and for all, and their places come back.
func TestStreamsAreLimited(t *testing.T) {
	h := &testfeed.Handler{Hold: make(chan struct{})}
	s, edge := feed(t, h, func(c *gateway.Config) {
		c.MaxStreams, c.MaxStreamsPerAddress, c.TrustedProxies = 2, 1, []string{"127.0.0.1"}
	})
	refused := func(from string, want int) bool {
		header := append(asJSON, "X-Forwarded-For", from)
		status, text := ask(t, "POST", edge.URL+"/feed/watch", `{"count":1}`, header...)
		return status == want && strings.Contains(text, "the limit")
	}
	_, _, first := open(t, edge, "X-Forwarded-For", "10.0.0.1")
	if !refused("10.0.0.1", http.StatusTooManyRequests) {
		t.Error("a second stream of an address is opened")
	}
	_, _, second := open(t, edge, "X-Forwarded-For", "2001:db8::1")
	if !refused("10.0.0.3", http.StatusServiceUnavailable) {
		t.Error("a third stream is opened")
	}
	first()
	for n := 0; refused("10.0.0.3", http.StatusServiceUnavailable); n++ {
		if n == 500 {
			t.Fatal("the place of an ended stream does not come back")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if !refused("2001:db8::2", http.StatusTooManyRequests) {
		t.Error("a second stream of a network is opened")
	}
	second()
	rested(s, h)
}

// A gateway that stops tells its readers to come again.
func TestStoppingGatewayTellsReaders(t *testing.T) {
	h := &testfeed.Handler{Hold: make(chan struct{})}
	s, _ := feed(t, h)
	addr, stop := s.serve(func(c *gateway.Config) {
		c.Routes = []config.Route{{Path: "/feed", Service: "feed", Thrift: "../" + testfeed.IDL}}
		c.Drain = 200 * time.Millisecond
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/feed/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	stop()
	rest, _ := io.ReadAll(lines)
	if !strings.Contains(string(rest), "retry: 500\n\n") {
		t.Errorf("%q", rest)
	}
	rested(s, h)
}

// When the rules lead to another version, a reader of events is told to come again, and is cut some time later.
func TestReadersMoveWithTheRules(t *testing.T) {
	h := &testfeed.Handler{Hold: make(chan struct{})}
	s, edge := feed(t, h)
	answer, lines, leave := open(t, edge)
	s.append(nil, only("v2", "feed"))
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == "retry: 500\n" {
			break
		}
	}
	leave()
	answer.Body.Close()
	rested(s, h)
}
