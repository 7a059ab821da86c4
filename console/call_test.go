package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/testsite"
	"github.com/skerry/skerry/internal/wire"
)

const historianIDL = "include \"types.thrift\"\n" +
	"service Historian { string query(1: types.Series of), void append(1: i64 value), oneway void flush(),\n" +
	"i64 talk(1: i64 item) (skerry.stream = \"bidi\", skerry.item = \"item\") }\n"

// describing is a console of a site that describes historian. It calls nothing before do is set.
func describing() *Console {
	s := night()
	s.Policy.Current.Text = "policy: 1\nservices: {historian: {idempotent: [query]}}\n"
	c := serve(still{s}, Config{})
	asked := map[string]int{}
	c.calls.describe = func(_ context.Context, service string) ([]control.Description, error) {
		if asked[service]++; asked[service] > 1 {
			return nil, errors.New("it was asked again")
		}
		if service != "historian" {
			return nil, nil
		}
		return []control.Description{{Process: "ops-9/1/a", Trouble: "no such file"},
			{Process: "ops-2/412/a", Version: "v4", Main: "/1/h.thrift", Files: map[string][]byte{
				"/1/h.thrift": []byte(historianIDL), "/1/types.thrift": []byte("typedef string Series\n")}}}, nil
	}
	return c
}

const callPath = "/services/historian/call"

// TestCallPage: the page lists the methods that a process describes, with arguments to fill in, and without a
// description says what to do.
func TestCallPage(t *testing.T) {
	m := as(t, describing(), "li", roleOperator)
	body := get(t, m, callPath+"?method=append", in(english)).Body.String()
	for _, want := range []string{"ops-2/412/a", "void append", "&#34;value&#34;: 0", "type its name", "?method=query",
		"idempotent", "data-still"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q:\n%s", want, body)
		}
	}
	if body := get(t, m, callPath+"?method=query", in(english)).Body.String(); strings.Contains(body, "type its name") {
		t.Error("an idempotent method asks for its name")
	}
	body = get(t, m, "/services/auth/call", in(english)).Body.String()
	if !strings.Contains(body, "No process tells how auth is described") ||
		!strings.Contains(body, "thrift: auth.thrift") {
		t.Errorf("without a description:\n%s", body)
	}
	if w := get(t, as(t, describing(), "wu", roleViewer), callPath); w.Code != 403 {
		t.Errorf("a viewer sees payloads of calls: status %d", w.Code)
	}
}

// TestTryCall: a form calls its method with its arguments once; the reply is shown as text, and the history has the
// call with its actor.
func TestTryCall(t *testing.T) {
	c := describing()
	m := as(t, c, "li", roleOperator)
	var called []string
	c.calls.do = func(ctx context.Context, call testCall, m *dynamic.Method, args *dynamic.Struct) (r callReplied,
		err error) {
		end, _ := ctx.Deadline()
		if left := time.Until(end); left > call.timeout || call.timeout != 1500*time.Millisecond || call.by != "li" {
			t.Errorf("%+v with %v left", call, left)
		}
		called = append(called, m.Name+" "+string(args.JSON()))
		if m.Name == "append" {
			return callReplied{}, errors.New("no <b>space</b> left")
		}
		return callReplied{Value: `"<script>alert(1)</script>"`, Version: "v4", Instance: "10.20.0.2:7009",
			Took: 12 * time.Millisecond}, nil
	}
	form := func(method, body, name string) url.Values {
		return url.Values{"method": {method}, "body": {body}, "timeout": {"1.5"}, "name": {name}}
	}
	w := post(t, m, callPath, form("query", `{"of": "tank-3"}`, ""), in(english))
	body := w.Body.String()
	if w.Code != 200 || strings.Contains(body, "<script>alert") || !strings.Contains(body, "&lt;script&gt;alert(1)") ||
		!strings.Contains(body, "10.20.0.2:7009") || !strings.Contains(body, "has replied after 12 ms") {
		t.Errorf("status %d:\n%s", w.Code, body)
	}
	w = post(t, m, callPath, form("append", `{"value": 7}`, "append"), in(english))
	if w.Code != 422 || !strings.Contains(w.Body.String(), "no &lt;b&gt;space&lt;/b&gt; left") ||
		!strings.Contains(w.Body.String(), "&#34;value&#34;: 7") {
		t.Errorf("a failed call: status %d:\n%s", w.Code, w.Body.String())
	}
	if got := strings.Join(called, "; "); got != `query {"of":"tank-3"}; append {"value":7}` {
		t.Errorf("called %s", got)
	}
	records, _ := c.audit.state()
	if n := len(records); n < 3 || records[n-1].Action != "call" || records[n-1].Name != "li" ||
		records[n-1].Before != "historian.append" || records[n-3].After != "v4 10.20.0.2:7009" {
		t.Errorf("the history has %+v", records)
	}
	page := get(t, m, "/history", in(english)).Body.String()
	if !strings.Contains(page, "Test call of historian.append") || strings.Contains(page, "tank-3") {
		t.Errorf("the page of the history:\n%s", page)
	}
}

// TestTryCallOfAVersion: without a release each of two versions that run can be chosen, and answers. While rules of
// releases speak of the service, those can be chosen that requests meet, a preview among them.
func TestTryCallOfAVersion(t *testing.T) {
	t.Parallel() // it waits
	port := testsite.Port(t)
	for _, version := range []string{"v1", "v2"} {
		n := open(t, port, "greeter/"+version)
		if err := n.Handle(t.Context(), "greeter", wire.NewInternalProcessor(greeter{})); err != nil {
			t.Fatal(err)
		}
	}
	c, err := New(Config{Node: open(t, port, "", skerry.AsObserver(), skerry.WithAllServices()), Cluster: "test",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); c.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	m := as(t, c, "li", roleOperator)
	eventually(t, "both versions are seen", func() bool {
		c.live.look(t.Context())
		return c.live.current.Load().Answered() == 2
	})
	page := get(t, m, "/services/greeter/call?method=ping", in(english)).Body.String()
	for range 5 {
		for _, version := range []string{"v1", "v2"} {
			w := post(t, m, "/services/greeter/call", with(formOf(t, page, "/services/greeter/call"), "version",
				version, "body", "{}", "name", "ping"), in(english))
			if w.Code != 200 || !strings.Contains(w.Body.String(), `<span class="small muted">`+version+" ") {
				t.Fatalf("a call of %s: status %d\n%s", version, w.Code, w.Body)
			}
		}
	}
	w := post(t, m, "/services/greeter/call", with(formOf(t, page, "/services/greeter/call"), "version", "v3",
		"body", "{}", "name", "ping"), in(english))
	if w.Code != 422 || !strings.Contains(w.Body.String(), "v3") {
		t.Errorf("a version that does not run: status %d\n%s", w.Code, w.Body)
	}
}

// TestVersionsOfATry: where rules of releases speak of a service, those versions are offered that requests meet, and
// the preview; elsewhere each that runs.
func TestVersionsOfATry(t *testing.T) {
	y := newStory(t)
	y.start()
	y.ship("")
	rules := y.s.Rollout.Trail[len(y.s.Rollout.Trail)-1].Rules
	y.s.Entries = slices.DeleteFunc(y.s.Entries, func(e discovery.Entry) bool { return e.Service != "auth" })[:1]
	for _, version := range []string{"v1", "v2", "v0", ""} {
		e := y.s.Entries[0]
		e.Version, e.Addr = version, fmt.Sprintf("10.20.0.9:%d", len(y.s.Entries))
		y.s.Entries = append(y.s.Entries, e)
	}
	y.s.Entries = y.s.Entries[1:]
	for name, c := range map[string]struct {
		rules map[string]rollout.Rule
		want  []string
	}{"no rules": {nil, []string{"v0", "v1", "v2"}}, "a preview": {rules, []string{"v1", "v2"}}} {
		y.s.Rollout.Rules = c.rules
		p, _, err := y.s.callable(t.Context(), "auth")
		if err != nil || !slices.Equal(p.Versions, c.want) {
			t.Errorf("%s: versions %q, %v, want %q", name, p.Versions, err, c.want)
		}
	}
}

// TestTryCallIsRefused: what does not fit is not called, and the form keeps what was typed.
func TestTryCallIsRefused(t *testing.T) {
	c := describing()
	m := as(t, c, "li", roleOperator)
	c.calls.do = func(context.Context, testCall, *dynamic.Method, *dynamic.Struct) (callReplied, error) {
		t.Error("it was called")
		return callReplied{}, nil
	}
	good := url.Values{"method": {"query"}, "body": {`{"of": "x"}`}, "timeout": {"3"}}
	for _, bad := range []struct{ field, value, want string }{
		{"method", "append", "Type its name to call it"},
		{"method", "drop", "has no method drop"},
		{"method", "", "has no method"},
		{"timeout", "11", "up to 10"},
		{"timeout", "NaN", "up to 10"},
		{"timeout", "-1", "up to 10"},
		{"body", `{"of": 7}`, "do not fit"},
		{"body", `{"of": "` + strings.Repeat("x", callBody) + `"}`, "more than 1,024 KiB"},
		{"version", "v9", "no request to version v9"},
	} {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(bad.field, bad.value)
		w := post(t, m, callPath, form, in(english))
		if w.Code != 422 || !strings.Contains(w.Body.String(), bad.want) {
			t.Errorf("%s %.20q: status %d, want %q in\n%.3000s", bad.field, bad.value, w.Code, bad.want, w.Body)
		}
	}
	if w := post(t, m, callPath, url.Values{"body": {strings.Repeat("x", callForm)}}); w.Code != 413 {
		t.Errorf("a form without end: status %d", w.Code)
	}
	if w := post(t, as(t, c, "wu", roleViewer), callPath+"?format=json", good); w.Code != 403 {
		t.Errorf("a viewer calls: status %d", w.Code)
	}
}

// TestOneCallOfAnActor: a second call of the same actor is refused while one is under way; others go on.
func TestOneCallOfAnActor(t *testing.T) {
	c := describing()
	m, other := as(t, c, "li", roleOperator), as(t, c, "wu", roleOperator)
	running, calls := false, 0
	form := url.Values{"method": {"query"}, "body": {`{"of": "x"}`}, "timeout": {"3"}}
	c.calls.do = func(_ context.Context, call testCall, _ *dynamic.Method, _ *dynamic.Struct) (callReplied, error) {
		calls++
		if running {
			return callReplied{}, nil
		}
		running = true
		if w := post(t, m, callPath, form, in(english)); !strings.Contains(w.Body.String(), "still under way") {
			t.Errorf("a second call beside the first: status %d", w.Code)
		}
		if w := post(t, other, callPath, form); w.Code != 200 {
			t.Errorf("a call of another actor: status %d", w.Code)
		}
		running = false
		return callReplied{}, nil
	}
	for range 2 {
		if w := post(t, m, callPath, form); w.Code != 200 {
			t.Errorf("status %d", w.Code)
		}
	}
	if calls != 4 {
		t.Errorf("%d calls were made, want 4", calls)
	}
}

// TestDescriptionOfAProvider: where a process that is not listed as a provider describes the service, too, an instance
// of it is believed: the description says which values are secret.
func TestDescriptionOfAProvider(t *testing.T) {
	c := describing()
	c.calls.describe = func(context.Context, string) (list []control.Description, err error) {
		for _, from := range [][2]string{{"ops-9/1/a", "forged"}, {"ops-2/412/a", "query"}} {
			list = append(list, control.Description{Process: from[0], Version: "v4", Main: "/1/h.thrift",
				Files: map[string][]byte{"/1/h.thrift": []byte("service Historian { void " + from[1] + "() }\n")}})
		}
		return list, nil
	}
	body := get(t, as(t, c, "li", roleOperator), callPath).Body.String()
	if !strings.Contains(body, "void query") || strings.Contains(body, "forged") {
		t.Errorf("the description of a stranger is shown:\n%s", body)
	}
}
