package dynamic

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

func load(t testing.TB) *Service {
	t.Helper()
	f, err := Load("testdata/everything.thrift")
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Find("Everywhere", "", "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func method(t testing.TB, name string) *Method {
	t.Helper()
	m, err := load(t).Method(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// protocols are the protocols of the round trips.
var protocols = map[string]func(*thrift.TMemoryBuffer) thrift.TProtocol{
	"binary":  func(b *thrift.TMemoryBuffer) thrift.TProtocol { return thrift.NewTBinaryProtocolConf(b, nil) },
	"compact": func(b *thrift.TMemoryBuffer) thrift.TProtocol { return thrift.NewTCompactProtocolConf(b, nil) },
}

// through writes the arguments and reads them back as arguments.
func through(t testing.TB, protocol string, m *Method, args *Struct) *Struct {
	t.Helper()
	buffer := thrift.NewTMemoryBuffer()
	p := protocols[protocol](buffer)
	if err := args.Write(context.Background(), p); err != nil {
		t.Fatalf("write: %v", err)
	}
	back := &Struct{Name: m.Name, fields: m.args, values: map[int16]value{}}
	if err := back.Read(context.Background(), p); err != nil {
		t.Fatalf("read: %v", err)
	}
	if buffer.Len() != 0 {
		t.Fatalf("%d bytes left over", buffer.Len())
	}
	return back
}

func TestRoundTrip(t *testing.T) {
	leaf := `{"flag":true,"tiny":-128,"small":32767,"medium":-2147483648,"large":9223372036854775807,` +
		`"real":-0.125,"text":"<é & \"q\">","blob":"AP8="}`
	for _, body := range []string{
		`{}`,
		`{"leaf":` + leaf + `}`,
		`{"role":"ADMIN","contact":{"phone":5}}`,
		`{"role":3}`,
		`{"ids":[1,2,3],"names":["b","a"]}`,
		`{"counts":{"":2,"a":1},"by_number":{"-7":"x"},"by_role":{"ADMIN":true,"12":false},` +
			`"by_bool":{"false":"no","true":"yes"}}`,
		`{"by_key":[{"key":{"realm":"r","number":1},"value":[` + leaf + `,{}]},{"key":{"realm":"r"},"value":[]}]}`,
		`{"by_blob":{"AA==":1.5},"nested":[{"-1":[],"1":[2,3]},{}],"by_real":{"NaN":"y","2.5":"x"}}`,
		`{"child":{"child":{"child":{}}},"point":{"x":1,"y":2},"children":[{"children":[]},{}]}`,
		`{"leaf":{"real":"NaN"}}`, `{"leaf":{"real":"-Infinity"}}`,
	} {
		m := method(t, "echo")
		for protocol := range protocols {
			args, err := m.Args([]byte(`{"value":` + body + `}`))
			if err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if got := string(through(t, protocol, m, args).JSON()); got != `{"value":`+body+`}` {
				t.Errorf("%s:\nhave %s\nwant {\"value\":%s}", protocol, got, body)
			}
		}
	}
}

func TestAlternativeSpellings(t *testing.T) {
	for give, want := range map[string]string{
		`{"leaf":{"blob":"_-8"}}`:                    `{"leaf":{"blob":"/+8="}}`,
		`{"counts":[{"key":"a","value":1}]}`:         `{"counts":{"a":1}}`,
		`{"role":7}`:                                 `{"role":"ADMIN"}`,
		`{"role":null,"leaf":null}`:                  `{}`,
		`{"by_role":{"7":true}}`:                     `{"by_role":{"ADMIN":true}}`,
		`{"by_real":{"1e2":"x"}}`:                    `{"by_real":{"100":"x"}}`,
		`{"leaf":{"real":3}}`:                        `{"leaf":{"real":3}}`,
		`{"by_role":[{"value":true,"key":"ADMIN"}]}`: `{"by_role":{"ADMIN":true}}`,
	} {
		args, err := method(t, "echo").Args([]byte(give)) // the sole struct's own object
		if err != nil {
			t.Errorf("%s: %v", give, err)
		} else if got := string(args.JSON()); got != `{"value":`+want+`}` {
			t.Errorf("%s: have %s, want %s", give, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	args, err := method(t, "search").Args([]byte(`{"query":{"text":"x","role":"GUEST"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"query":{"text":"x","limit":50,"role":"GUEST","near":{"x":1,"y":2},"tags":["a","b"],` +
		`"weights":{"a":1},"deep":true,"pages":[1],"ratio":0.5}}`
	if got := string(args.JSON()); got != want {
		t.Errorf("have %s\nwant %s", got, want)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ method, body, want string }{
		{"echo", `{"value":{"lead":{}}}`, `$.value.lead: Everything has no field "lead" (did you mean "leaf"?)`},
		{"echo", `{"value":{"leaf":{"tiny":128}}}`, `$.value.leaf.tiny: 128 does not fit byte (-128 to 127)`},
		{"echo", `{"value":{"leaf":{"small":1.5}}}`, `$.value.leaf.small: want a whole number (i16), have 1.5`},
		{"echo", `{"value":{"leaf":{"large":"7"}}}`, `$.value.leaf.large: want i64, have the string "7"`},
		{"echo", `{"value":{"leaf":{"flag":1}}}`, `$.value.leaf.flag: want bool, have the number 1`},
		{"echo", `{"value":{"leaf":{"blob":"*"}}}`, `$.value.leaf.blob: want binary as base64`},
		{"echo", `{"value":{"role":"ADMN"}}`,
			`$.value.role: enum Role has no "ADMN" (did you mean "ADMIN"?); it has GUEST, USER, ADMIN`},
		{"echo", `{"value":{"role":true}}`, `$.value.role: want a name of enum Role, have the boolean true`},
		{"echo", `{"value":{"contact":{}}}`, `$.value.contact: a union takes exactly one field, have 0`},
		{"echo", `{"value":{"contact":{"mail":"a","phone":1}}}`, `a union takes exactly one field, have 2`},
		{"echo", `{"value":{"ids":[1,"2"]}}`, `$.value.ids[1]: want UserID (i64), have the string "2"`},
		{"echo", `{"value":{"names":["a","a"]}}`, `$.value.names[1]: the element "a" stands twice`},
		{"echo", `{"value":{"by_number":{"x":"y"}}}`, `$.value.by_number["x"] (key): want i32, have the string "x"`},
		{"echo", `{"value":{"by_key":{"x":[]}}}`, `$.value.by_key: keys of map<Key, list<Leaf>> are no names`},
		{"echo", `{"value":{"by_key":[{"key":{"realm":"r"}}]}}`, `$.value.by_key[0]: want {"key": …, "value": …}`},
		{"echo", `{"value":{"by_key":[{"key":{},"value":[]}]}}`,
			`$.value.by_key[0].key: Key needs the field "realm" (string)`},
		{"echo", `{"value":{"counts":{"a":1,"a":2}}}`, `"a" stands twice in one object`},
		{"echo", `{"value":{"counts":[{"key":"a","value":1},{"key":"a","value":1}]}}`,
			`$.value.counts[1]: the key "a" stands twice`},
		{"echo", `{"value":{"by_role":{"ADMIN":true,"7":true}}}`, `the key "ADMIN" stands twice`},
		{"echo", `{"value":[]}`, `$.value: want an object for Everything, have an array`},
		{"echo", `{"value":{"counts":{"a b":"x"}}}`, `$.value.counts["a b"]: want i32`},
		{"search", `{"query":{}}`, `$.query: Query needs the field "text" (string)`},
		{"two", `{"id":1,"leafs":[]}`, `two has no field "leafs" (did you mean "leaves"?); it has id, leaves`},
		{"nothing", `{"x":1}`, `nothing has no field "x"; it has none`},
		{"nothing", "{\n  \"x\" 1}", `JSON at line 2, column 6`},
		{"nothing", `{"x":`, `it ends too early`},
		{"nothing", `{} {}`, `more follows after the value`},
		{"nothing", strings.Repeat("[", 100), `nested deeper than 64 levels`},
	} {
		_, err := method(t, c.method).Args([]byte(c.body))
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrValue) {
			t.Errorf("%s %s:\nhave %v\nwant %s", c.method, c.body, err, c.want)
		}
	}
}

func TestEveryMistakeIsTold(t *testing.T) {
	_, err := method(t, "echo").Args([]byte(`{"value":{"role":"x","ids":[true],"nmes":[]}}`))
	for _, path := range []string{"$.value.role", "$.value.ids[0]", "$.value.nmes"} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s is missing in %v", path, err)
		}
	}
}

func TestResult(t *testing.T) {
	m := method(t, "two")
	for _, c := range []struct {
		give           func(*Result)
		exception, out string
	}{
		{func(r *Result) { r.values[0] = []value{int64(7), int64(9)} }, "", `["ADMIN",9]`},
		{func(r *Result) {
			s := newStruct(r.fields[2].Type.(specOf))
			s.values[1] = int64(5)
			r.values[2] = s
		}, "Gone", `{"since":5}`},
	} {
		sent, got := m.Result(), m.Result()
		c.give(sent)
		p := thrift.NewTBinaryProtocolConf(thrift.NewTMemoryBuffer(), nil)
		if err := errors.Join(sent.Write(t.Context(), p), got.Read(t.Context(), p)); err != nil {
			t.Fatal(err)
		}
		name, fields, thrown := got.Exception()
		out := string(fields)
		if !thrown {
			v, _ := got.Value()
			out = string(v)
		}
		if name != c.exception || out != c.out {
			t.Errorf("have %q %s, want %q %s", name, out, c.exception, c.out)
		}
	}
	if _, ok := m.Result().Value(); ok {
		t.Error("an empty reply to a method that returns a list passes for a value")
	}
	if v, ok := method(t, "nothing").Result().Value(); !ok || string(v) != "null" {
		t.Errorf("void gives %s, %t", v, ok)
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	sent, err := method(t, "two").Args([]byte(`{"id":5,"leaves":[{"tiny":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	m := method(t, "tell") // 1: string text, 2: Role role
	got := through(t, "binary", m, sent)
	if string(got.JSON()) != "{}" || got.Unknown != 2 {
		t.Errorf("have %s with %d unknown", got.JSON(), got.Unknown)
	}
}

func TestMethods(t *testing.T) {
	var names []string
	for _, m := range load(t).Methods() {
		names = append(names, m.Name)
	}
	if got := strings.Join(names, " "); got != "echo nothing search tell two version" {
		t.Errorf("methods: %s", got)
	}
	for name, want := range map[string]string{
		"two":     "list<Role> two(1: UserID id, 2: set<Leaf> leaves) throws (1: Denied denied, 2: Gone gone)",
		"tell":    "oneway void tell(1: string text, 2: Role role)",
		"version": "string version()",
	} {
		if got := method(t, name).Signature(); got != want {
			t.Errorf("have %s\nwant %s", got, want)
		}
	}
	if _, err := load(t).Method("serch"); err == nil || !strings.Contains(err.Error(), `did you mean "search"?`) {
		t.Errorf("unknown method: %v", err)
	}
}

// A template must be valid JSON that Args accepts.
func TestTemplate(t *testing.T) {
	for _, m := range load(t).Methods() {
		template := m.Template()
		if !json.Valid(template) {
			t.Errorf("%s: no JSON: %s", m.Name, template)
		}
		if _, err := m.Args(template); err != nil {
			t.Errorf("%s: %v\n%s", m.Name, err, template)
		}
	}
	want := `{"text":"","role":"GUEST"}`
	if got := string(method(t, "tell").Template()); got != want {
		t.Errorf("have %s, want %s", got, want)
	}
}

func TestFind(t *testing.T) {
	f, err := Load("testdata/everything.thrift")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, hint, method, want, problem string }{
		{"Base", "", "", "Base", ""},
		{"", "site.base-service", "", "Base", ""},
		{"", "x", "search", "Everywhere", ""},
		{"", "x", "none", "", "several services (Base, Everywhere); choose one with --interface"},
		{"Bass", "", "", "", `did you mean "Base"?`},
	} {
		s, err := f.Find(c.name, c.hint, c.method)
		switch {
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%+v: %v", c, err)
		case c.problem == "" && (err != nil || s.Name != c.want):
			t.Errorf("%+v: %v %v", c, s, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("lib/base/types.thrift", "struct T { 1: i32 x }")
	uses := write("src/uses.thrift", "include \"base/types.thrift\"\nservice S { types.T get() }")
	if _, err := Load(uses, filepath.Join(dir, "lib")); err != nil {
		t.Errorf("include directory: %v", err)
	}
	if _, err := Load(uses); err == nil || !strings.Contains(err.Error(), "base/types.thrift") {
		t.Errorf("missing include: %v", err)
	}
	bad := write("bad.thrift", "struct T {\n  1: i32\n}")
	if _, err := Load(bad); err == nil || !strings.Contains(err.Error(), "line 3") ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("syntax error: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none.thrift")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}
