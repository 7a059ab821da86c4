package console

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/testfeed"
	"github.com/skerry/skerry/rpc"
)

// feedOf serves a feed and returns a test call of a method with arguments and items.
func feedOf(t *testing.T, h *testfeed.Handler) func(
	limit time.Duration, method, args, items string,
) (callReplied, error) {
	t.Helper()
	server, err := rpc.NewServer(rpc.ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Handle("feed", "v7", h.Processor()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := run.NewGroup(context.Background())
	g.Go(func(ctx context.Context) error { return server.Serve(ctx, l) })
	t.Cleanup(func() { g.Stop() })
	client, err := rpc.NewClient(rpc.ClientConfig{
		Resolver: rpc.Static(&rpc.Endpoint{ID: "1", Service: "feed", Addr: l.Addr().String()})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	tc, err := client.Service("feed", rpc.ServiceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := dynamic.Load("../" + testfeed.IDL)
	if err != nil {
		t.Fatal(err)
	}
	service, err := file.Find("", "feed", "")
	if err != nil {
		t.Fatal(err)
	}
	return func(limit time.Duration, method, args, items string) (r callReplied, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		m, err := service.Method(method)
		if err != nil {
			return r, err
		}
		st, err := m.Stream()
		if err != nil {
			return r, err
		}
		opening, err := st.Opening([]byte(args))
		if err != nil {
			return r, err
		}
		given, err := itemsToSend(st, items)
		if err != nil {
			return r, err
		}
		return callStream(ctx, tc, m, st, opening, given)
	}
}

// TestTryStreams: a test call of a stream shows its items up to a number and a time, its result, or its exception, and
// leaves no handler behind.
func TestTryStreams(t *testing.T) {
	t.Parallel()
	h := &testfeed.Handler{Text: "a", Hold: make(chan struct{})}
	call := feedOf(t, h)
	lines := func(n int) string { return strings.Repeat("{\"t\":1,\"text\":\"b\"}\n", n) }
	closed := func(items int) callReplied {
		return callReplied{Stream: true, Items: items, Closed: true, Value: "…"}
	}
	for what, c := range map[string]struct {
		limit               time.Duration
		method, args, items string
		want                callReplied
	}{
		"ended": {time.Minute, "watch", `{"count":2}`, "",
			callReplied{Stream: true, Items: 2, Value: "{\"t\":1,\"text\":\"a\"}\n{\"t\":2,\"text\":\"a\"}\n"}},
		"many":      {time.Minute, "watch", `{"count":500}`, "", closed(callItems)},
		"time over": {300 * time.Millisecond, "watch", `{}`, "", closed(3)},
		"exception": {time.Minute, "watch", `{"count":-7}`, "",
			callReplied{Stream: true, Items: 1, Exception: "Gone", Value: "…"}},
		"upload": {time.Minute, "upload", `{"tag":"x"}`, lines(3),
			callReplied{Value: "{\n  \"points\": 3,\n  \"last\": 1,\n  \"tag\": \"x\"\n}"}},
		"thrown": {time.Minute, "upload", `{}`, `{"t":9,"text":"gone"}`,
			callReplied{Exception: "Gone", Value: "{\n  \"oldest\": 9\n}"}},
		"both": {time.Minute, "talk", `{}`, lines(callItems), closed(callItems)},
	} {
		r, err := call(c.limit, c.method, c.args, c.items)
		if err != nil || r.Took == 0 || r.Instance == "" {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
		if c.want.Value == "…" {
			c.want.Value = r.Value
		}
		c.want.Instance, c.want.Version, c.want.Took = r.Instance, r.Version, r.Took
		if r != c.want {
			t.Errorf("%s: %+v\nwant %+v", what, r, c.want)
		}
	}
	for items, want := range map[string]string{lines(callItems + 1): "More than 100", "{}\n\nx": "Line 3"} {
		if _, err := call(time.Minute, "upload", `{}`, items); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %s", items, err, want)
		}
	}
	eventually(t, "no handler is left", func() bool { return h.Running.Load() == 0 })
}

// TestStreamForm: the page of a client stream asks for its items, and says what the stream has brought.
func TestStreamForm(t *testing.T) {
	c := describing()
	c.calls.do = func(_ context.Context, call testCall, m *dynamic.Method, args *dynamic.Struct) (callReplied, error) {
		if call.stream == nil || len(call.items) != 2 || m.Name != "talk" {
			t.Errorf("%+v of %s with %s", call, m.Name, args.JSON())
		}
		return callReplied{Stream: true, Items: 1, Closed: true, Value: "{\"v\":1}\n", Instance: "10.0.0.1:1"}, nil
	}
	m := as(t, c, "li", roleOperator)
	body := get(t, m, callPath+"?method=talk", in(english)).Body.String()
	for _, want := range []string{"bidi stream", `name="items"`, "Items to send"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q:\n%s", want, body)
		}
	}
	if body := get(t, m, callPath+"?method=query", in(english)).Body.String(); strings.Contains(body, `name="items"`) {
		t.Error("an ordinary method asks for items")
	}
	form := url.Values{"method": {"talk"}, "body": {"{}"}, "timeout": {"1"}, "name": {"talk"}, "items": {"1\n2\n"}}
	w := post(t, m, callPath, form, in(english))
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "1 item has come.") ||
		!strings.Contains(body, "the console closed the stream") {
		t.Errorf("status %d:\n%s", w.Code, body)
	}
	form.Set("items", "1\nx\n")
	if w := post(t, m, callPath, form, in(english)); w.Code != 422 || !strings.Contains(w.Body.String(), "Line 2 of") {
		t.Errorf("a wrong item: status %d:\n%s", w.Code, w.Body.String())
	}
}
