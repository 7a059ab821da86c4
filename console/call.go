package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
	"github.com/skerry/skerry/rpc"
)

// Bounds of a test call.
const (
	callBody    = 1 << 20 // bytes of the arguments
	callForm    = 3*callBody + actionSize
	callTimeout = 10 * time.Second
	callAsk     = 4 * time.Second  // for descriptions
	callReply   = 256 << 10        // bytes of a reply that are shown
	callKept    = 10 * time.Second // for which descriptions are kept: an open page asks every two seconds
	callsKnown  = 16
)

// testCalls make test calls for the console's actors.
type testCalls struct {
	describe func(ctx context.Context, service string) ([]control.Description, error)
	do       func(ctx context.Context, c testCall, m *dynamic.Method, args *dynamic.Struct) (callReplied, error)

	mu    sync.Mutex
	busy  map[string]bool // by the actor's name: it has a call under way
	known map[string]described
}

// described is how a service was described at a time.
type described struct {
	at   time.Time
	list []control.Description
}

// testCall is what a form asks for.
type testCall struct {
	by, service, version string
	timeout              time.Duration
	stream               *dynamic.Stream   // nil: an ordinary method
	items                []*dynamic.Struct // that the caller sends on the stream
}

// callReplied is the end of a test call.
type callReplied struct {
	Value     string        `json:"value,omitempty"`     // JSON
	Exception string        `json:"exception,omitempty"` // name of the declared exception; Value has its fields
	OneWay    bool          `json:"oneway,omitempty"`
	Instance  string        `json:"instance"`
	Version   string        `json:"version"`
	Took      time.Duration `json:"-"`
	TookMS    float64       `json:"took_ms"`
	Unknown   int           `json:"unknown_fields,omitempty"` // of the reply, which the description does not know
	Cut       bool          `json:"cut,omitempty"`            // the value is longer
	Stream    bool          `json:"stream,omitempty"`         // Value has the provider's items, a line each
	Items     int           `json:"items,omitempty"`          // that have come
	Closed    bool          `json:"closed,omitempty"`         // by the console: the time was over, or enough had come
}

func testCallsOf(n *skerry.Node) *testCalls {
	t := &testCalls{busy: map[string]bool{}, known: map[string]described{}}
	if n != nil {
		t.describe = func(ctx context.Context, service string) ([]control.Description, error) {
			return control.Descriptions(ctx, n, service)
		}
		t.do = func(ctx context.Context, c testCall, m *dynamic.Method, args *dynamic.Struct) (callReplied, error) {
			return call(ctx, n, c, m, args)
		}
	}
	return t
}

// descriptions asks how a service is described, or tells what was told within callKept.
func (t *testCalls) descriptions(ctx context.Context, service string) ([]control.Description, error) {
	t.mu.Lock()
	d, known := t.known[service]
	t.mu.Unlock()
	if known && time.Since(d.at) < callKept {
		return d.list, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callAsk)
	defer cancel()
	list, err := t.describe(ctx, service)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, d := range t.known {
		if time.Since(d.at) >= callKept {
			delete(t.known, name)
		}
	}
	if len(t.known) < callsKnown {
		t.known[service] = described{time.Now(), list}
	}
	return list, nil
}

// begin reserves the only call that an actor may have under way.
func (t *testCalls) begin(name string) (end func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[name] {
		return nil, refuse("call.busy")
	}
	t.busy[name] = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.busy, name)
	}, nil
}

// callPage offers test calls to a service.
type callPage struct {
	Service  string       `json:"service"`
	Source   string       `json:"described_by,omitempty"` // process
	Trouble  phrase       `json:"-"`                      // why there is no description
	Methods  []callMethod `json:"methods"`
	Chosen   *callMethod  `json:"-"`
	Versions []string     `json:"versions"` // that a request can meet: by the rules of releases, all where none speaks
	Version  string       `json:"-"`
	Timeout  string       `json:"-"`
	Body     string       `json:"-"`
	Items    string       `json:"-"` // that the caller sends, a line each
	Name     string       `json:"-"` // the typed name of the method
	Reply    *callReplied `json:"reply,omitempty"`
}

// callMethod is a method that can be called.
type callMethod struct {
	Name       string `json:"method"`
	Signature  string `json:"signature"`
	Template   string `json:"template"`
	OneWay     bool   `json:"oneway,omitempty"`
	Idempotent bool   `json:"idempotent"`              // by the site's policy
	Stream     string `json:"stream,omitempty"`        // server, client or bidi
	Item       string `json:"item_template,omitempty"` // of items that the caller sends
}

// callPage shows the form of a test call.
func (s *snapshot) callPage(r *http.Request) (any, error) {
	q := r.URL.Query()
	p, file, err := s.callable(r.Context(), r.PathValue("service"))
	if err != nil {
		return nil, err
	}
	p.Version, p.Timeout = q.Get("version"), "3"
	p.choose(file, q.Get("method"))
	if p.Chosen != nil {
		p.Body, p.Items = p.Chosen.Template, p.Chosen.Item
	}
	return p, nil
}

// callable finds how a service is described. service is nil without a description.
func (s *snapshot) callable(ctx context.Context, name string) (p callPage, service *dynamic.Service, err error) {
	all := s.services()
	i := slices.IndexFunc(all, func(r serviceRow) bool { return r.Name == name })
	if i < 0 {
		return p, nil, &notFound{say("service.unknown", "service", name)}
	}
	p = callPage{Service: name, Methods: []callMethod{}, Versions: []string{}}
	for _, v := range all[i].Versions {
		if v.Version != "" && (v.Share != 0 || v.Preview) { // -1: no rule speaks of the service
			p.Versions = append(p.Versions, v.Version)
		}
	}
	p.Trouble = say("call.undescribed", "service", name)
	if s.calls == nil || s.calls.describe == nil {
		return p, nil, nil
	}
	list, err := s.calls.descriptions(ctx, name)
	if err != nil {
		return p, nil, err
	}
	provides := map[string]bool{}
	for i := range s.Entries {
		if e := &s.Entries[i]; e.Service == name {
			provides[e.Owner] = true
		}
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b control.Description) int { // any process may say that it provides it
		return compareBool(provides[b.Process], provides[a.Process])
	})
	for i := range list {
		d := &list[i]
		if d.Trouble != "" {
			p.Trouble = say("call.trouble", "process", d.Process, "why", d.Trouble)
			continue
		}
		file, err := dynamic.LoadTexts(d.Main, d.Files)
		if err == nil {
			service, err = file.Find(d.Declared, name, "")
		}
		if err != nil {
			p.Trouble = say("call.trouble", "process", d.Process, "why", err.Error())
			continue
		}
		p.Source, p.Trouble = d.Process, phrase{}
		break
	}
	if service == nil {
		return p, nil, nil
	}
	idempotent := s.idempotent(name)
	for _, m := range service.Methods() {
		c := callMethod{Name: m.Name, Signature: m.Signature(), Template: indented(m.Template()), OneWay: m.OneWay,
			Idempotent: idempotent(m.Name)}
		if st, err := m.Stream(); err == nil && st != nil {
			c.Stream, c.Template = st.Mode, indented(st.Template())
			if st.Up() {
				c.Item = string(st.ItemTemplate())
			}
		}
		p.Methods = append(p.Methods, c)
	}
	return p, service, nil
}

// choose chooses a method, the first one without a name.
func (p *callPage) choose(service *dynamic.Service, method string) {
	for i := range p.Methods {
		if m := &p.Methods[i]; m.Name == method || method == "" {
			p.Chosen = m
			return
		}
	}
}

// idempotent returns a function that reports whether the site's policy declares a method idempotent.
func (s *snapshot) idempotent(service string) func(method string) bool {
	p, _, err := form.Understand([]byte(s.Policy.Current.Text))
	if err != nil || s.Policy.Current.Text == "" {
		return func(string) bool { return false }
	}
	table := policy.Compile(p, nil, 0)
	return func(method string) bool {
		r := table.Rules(service, method)
		return r != nil && (slices.Contains(r.Idempotent, method) || slices.Contains(r.Idempotent, "*"))
	}
}

// tryCall is the action of that name: it calls a method as a user's request would, and shows the reply.
func (c *handler) tryCall(ctx context.Context, by actor, f url.Values) (o outcome, err error) {
	s := c.snapshot(ctx)
	p, service, err := s.callable(ctx, f.Get("service"))
	if err != nil {
		return outcome{To: "/services"}, err
	}
	p.Version, p.Timeout, p.Body, p.Name = f.Get("version"), f.Get("timeout"), f.Get("body"), f.Get("name")
	p.Items = f.Get("items")
	p.choose(service, cmp.Or(f.Get("method"), "?"))
	o = outcome{Page: "call", Before: p.Service + "." + shortened(f.Get("method"))}
	defer func() { o.Content = p }()
	if p.Chosen == nil || service == nil {
		return o, refuse("call.no-method", "method", shortened(f.Get("method")))
	}
	if len(p.Body) > callBody {
		p.Body = ""
		return o, refuse("call.large", "kib", callBody>>10)
	}
	seconds, err := strconv.ParseFloat(p.Timeout, 64)
	timeout := time.Duration(seconds * float64(time.Second))
	if err != nil || !(seconds > 0 && seconds <= callTimeout.Seconds()) {
		return o, refuse("call.timeout", "most", int(callTimeout/time.Second))
	}
	if p.Version != "" && !slices.Contains(p.Versions, p.Version) {
		return o, refuse("call.no-version", "version", shortened(p.Version))
	}
	if !p.Chosen.Idempotent && p.Name != p.Chosen.Name {
		return o, refuse("call.name", "method", p.Chosen.Name)
	}
	m, err := service.Method(p.Chosen.Name)
	if err != nil {
		return o, err
	}
	call := testCall{by: by.Name, service: p.Service, version: p.Version, timeout: timeout}
	if call.stream, err = m.Stream(); err != nil {
		return o, err
	}
	read := m.Args
	if call.stream != nil {
		read = call.stream.Opening
	}
	args, err := read([]byte(p.Body))
	if err != nil {
		return o, refuse("call.arguments", "why", err.Error())
	}
	if call.stream != nil && call.stream.Up() {
		if call.items, err = itemsToSend(call.stream, p.Items); err != nil {
			return o, err
		}
	}
	end, err := c.calls.begin(by.Name)
	if err != nil {
		return o, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reply, err := c.calls.do(ctx, call, m, args)
	if err != nil {
		o.After = err.Error()
		return o, err
	}
	reply.TookMS, p.Reply, p.Name = ms(reply.Took), &reply, ""
	o.After = strings.TrimSpace(fmt.Sprintf("%s %s %s", reply.Version, reply.Instance, reply.Exception))
	o.Said = say("call.done", "method", m.Name, "ms", millis(reply.TookMS))
	return o, nil
}

// shortened is a name from a form, as a message and the history show it.
func shortened(name string) string { return strings.ToValidUTF8(name[:min(len(name), 64)], "?") }

// call calls a method in a trace of its own, which meets the version.
func call(ctx context.Context, n *skerry.Node, c testCall, m *dynamic.Method, args *dynamic.Struct) (r callReplied,
	err error) {
	ctx, end, err := control.BeginAt(ctx, n, "test call of "+c.by, c.service, c.version)
	if errors.Is(err, control.ErrNoVersion) {
		return r, refuse("call.no-version", "version", c.version)
	}
	if err != nil {
		return r, err
	}
	defer end()
	client := n.Client(c.service, func(o *rpc.ServiceOptions) {
		o.Timeout, o.Retries, o.Version = c.timeout, new(int), c.version
	})
	if c.stream != nil {
		return callStream(ctx, client, m, c.stream, args, c.items)
	}
	result := m.Result()
	var reply thrift.TStruct
	if !m.OneWay {
		reply = result
	}
	begun := time.Now()
	meta, err := client.Call(ctx, m.Name, args, reply)
	r = callReplied{OneWay: m.OneWay, Instance: meta.Headers["sk-i"], Version: meta.Headers["sk-v"],
		Took: time.Since(begun), Unknown: result.Unknown}
	if err != nil || m.OneWay {
		return r, err
	}
	result.Mask()
	value, ok := result.Value()
	if name, fields, thrown := result.Exception(); thrown {
		r.Exception, value, ok = name, fields, true
	}
	if !ok {
		return r, refuse("call.no-reply")
	}
	r.show(indented(value))
	return r, nil
}

// show keeps the part of a text that the page shows.
func (r *callReplied) show(text string) {
	if r.Value = text; len(text) > callReply {
		r.Value, r.Cut = strings.ToValidUTF8(text[:callReply], ""), true
	}
}

// indented is JSON on several lines.
func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}
