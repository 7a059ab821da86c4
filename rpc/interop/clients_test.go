package interop

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// answers is the output of a client program.
type answers struct {
	Who     string
	Echo    message
	Large   int
	Refusal string
	Error   struct {
		Type    int32
		Message string
	}
	Paired      *bool
	Again       string
	Headers     map[string]string
	Multiplexed *string
	Half        []int // replies on a half-closed connection
}

type message struct {
	Text   string
	Tags   map[string]string
	Number json.RawMessage // a number, or its digits as a string
	Parts  []message
}

func (a *answers) check(t *testing.T) {
	t.Helper()
	if a.Who != "skerry" || a.Again != "skerry" {
		t.Errorf("who is %q, then %q", a.Who, a.Again)
	}
	if a.Echo.Text != "grüße, 世界" || !reflect.DeepEqual(a.Echo.Tags, map[string]string{"a": "1", "": "empty"}) {
		t.Errorf("echo is %+v", a.Echo)
	}
	if digits(a.Echo) != "4611686018427387905" {
		t.Errorf("number is %s", digits(a.Echo))
	}
	if len(a.Echo.Parts) != 3 || a.Echo.Parts[2].Text != "part" || digits(a.Echo.Parts[2]) != "-9223372036854775808" {
		t.Errorf("parts are %+v", a.Echo.Parts)
	}
	if a.Large != 200_000 {
		t.Errorf("a text of 200,000 letters came back with %d", a.Large)
	}
	if a.Refusal != "as you asked" {
		t.Errorf("declared exception says %q", a.Refusal)
	}
	if a.Error.Type != thrift.INTERNAL_ERROR || !strings.Contains(a.Error.Message, "broken on purpose") {
		t.Errorf("undeclared error is %+v", a.Error)
	}
	if a.Paired != nil && !*a.Paired {
		t.Error("replies of concurrent calls went to the wrong ones")
	}
	if a.Multiplexed != nil && *a.Multiplexed != "skerry" {
		t.Errorf("who by the multiplexed name is %q", *a.Multiplexed)
	}
}

func digits(m message) string { return strings.Trim(string(m.Number), `"`) }

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// judge checks a program's output, and its one-way call with a trace if its framing has headers.
func judge(t *testing.T, h *handler, out []byte, from, framing string) *answers {
	t.Helper()
	var a answers
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	a.check(t)
	want := ""
	if strings.HasPrefix(framing, "header") {
		want = trace
	}
	if n := h.noted(t); n.text != from || n.info == nil || !n.info.OneWay || n.info.Trace != want {
		t.Errorf("the one-way call left %+v, %+v", n, n.info)
	}
	return &a
}

// plainDialects are framings and encodings without metadata.
var plainDialects = [][2]string{
	{"framed", "binary"},
	{"framed", "compact"},
	{"unframed", "binary"},
	{"unframed", "compact"},
}

func TestPythonClient(t *testing.T) {
	headers := [][2]string{{"header", "binary"}, {"header", "compact"}, {"header-zlib", "binary"}}
	for _, d := range append(headers, plainDialects...) {
		t.Run(d[0]+" "+d[1], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			h := newHandler()
			host, port := serve(t, h)
			a := judge(t, h, output(t, python(ctx, t, "client.py", host, port, d[0], d[1])), "from Python", d[0])
			if !slices.Equal(a.Half, []int{60, 50, 40}) {
				t.Errorf("after it had closed its sending side, it got %v", a.Half)
			}
			if strings.HasPrefix(d[0], "header") && a.Headers["sk-v"] != "v7" {
				t.Errorf("reply headers are %q", a.Headers)
			}
		})
	}
}

// The stock library of Node.js writes THeader frames in its server only.
func TestNodeClient(t *testing.T) {
	for _, d := range plainDialects {
		t.Run(d[0]+" "+d[1], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			h := newHandler()
			host, port := serve(t, h)
			judge(t, h, output(t, node(ctx, t, "client.js", host, port, d[0], d[1])), "from Node.js", d[0])
		})
	}
}
