package dynamic

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// dialect is a file that Apache's compiler accepts.
const dialect = `namespace go kit
namespace py kit.v1 (
  owner = "a"
) // namespace x y (z)
namespace * kit (a = "b (c)")
const string ODD = "1: A & b (namespace)"
typedef uuid Token
const uuid NONE = "00000000-0000-0000-0000-000000000001"
/* 1: A & b */
struct Tree {
  1: i32 n = 1
  2: optional Tree & left; 3: uuid id = NONE
  string without
  4: map<uuid, list<Token>> known
  5: string odd = ODD
}
exception Broken { 1: string why }
service Kit {
  /* 中文 */ i32 add(i32 a, i32 b = 2,
    # c
    optional Tree & c) throws (Broken broken)
  Token issue(1: Token token, -3: i32 x, i32 y)
}
`

// TestDialect: calls of such a file have the bytes that the code of Apache's compiler would send.
func TestDialect(t *testing.T) {
	f, err := loadText(t, dialect)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Find("", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct{ signature, args, ids string }{
		"add": {"i32 add(i32 a, i32 b, Tree c) throws (Broken broken)",
			`{"a": 5, "b": 6, "c": {"n": 7, "without": "w"}}`, "-1 -2 -3"},
		"issue": {"Token issue(1: Token token, i32 x, i32 y)",
			`{"token": "123e4567-e89b-12d3-a456-426614174000", "x": 1, "y": 2}`, "1 -3 -4"},
	} {
		m, err := s.Method(name)
		if err != nil {
			t.Fatal(err)
		}
		if m.Signature() != want.signature {
			t.Errorf("%s: %s", name, m.Signature())
		}
		args, err := m.Args([]byte(want.args))
		if err != nil {
			t.Fatal(err)
		}
		for protocol, open := range protocols {
			buf := thrift.NewTMemoryBuffer()
			if err := args.Write(t.Context(), open(buf)); err != nil {
				t.Fatal(err)
			}
			sent := buf.String()
			if ids := fieldIDs(t, open(buf)); ids != want.ids {
				t.Errorf("%s by %s: fields %s, want %s", name, protocol, ids, want.ids)
			}
			buf.WriteString(sent)
			back := &Struct{Name: name, fields: m.args, values: map[int16]value{}}
			if err := back.Read(t.Context(), open(buf)); err != nil || back.Unknown != 0 ||
				string(back.JSON()) != string(args.JSON()) {
				t.Errorf("%s by %s: %v\n%s\n%s", name, protocol, err, back.JSON(), args.JSON())
			}
		}
	}
	add, _ := s.Method("add")
	args, _ := add.Args([]byte(`{"a": 5, "c": {"known": {"123E4567-e89b-12d3-a456-426614174000": []}}}`))
	want := `{"a":5,"b":2,"c":{"n":1,"id":"00000000-0000-0000-0000-000000000001",` +
		`"known":{"123e4567-e89b-12d3-a456-426614174000":[]},"odd":"1: A & b (namespace)"}}`
	if got := string(args.JSON()); got != want {
		t.Errorf("arguments with defaults:\n%s, want\n%s", got, want)
	}
	next, _ := s.Method("issue")
	if got := string(next.Template()); !strings.Contains(got, `"token":"00000000-0000-0000-0000-000000000000"`) {
		t.Errorf("template: %s", got)
	}
	for text, want := range map[string]string{
		`{"token": 7}`: "want a uuid as text", `{"token": "123e"}`: `"123e" is no uuid`,
	} {
		if _, err := next.Args([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	r := next.Result()
	buf := thrift.NewTMemoryBuffer()
	p := thrift.NewTBinaryProtocolConf(buf, nil)
	p.WriteFieldBegin(t.Context(), "success", thrift.UUID, 0)
	p.WriteUUID(t.Context(), thrift.Tuuid{15: 9})
	p.WriteFieldStop(t.Context())
	if err := r.Read(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if v, ok := r.Value(); !ok || string(v) != `"00000000-0000-0000-0000-000000000009"` {
		t.Errorf("reply: %s, %v", v, ok)
	}
}

// fieldIDs are the ids of a struct's fields, in wire order.
func fieldIDs(t *testing.T, p thrift.TProtocol) string {
	t.Helper()
	var ids []string
	for {
		_, kind, id, err := p.ReadFieldBegin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if kind == thrift.STOP {
			return strings.Join(ids, " ")
		}
		ids = append(ids, strconv.Itoa(int(id)))
		if err := p.Skip(context.Background(), kind); err != nil {
			t.Fatal(err)
		}
		if err := p.ReadFieldEnd(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDialectKeepsErrors: errors name the line of the file.
func TestDialectKeepsErrors(t *testing.T) {
	for text, want := range map[string]string{
		"namespace py kit (a = \"b\")\nservice S {\n  nonsense\n}\n":      "line 4",
		"service S {\n  uuid a(i32 b, i32 b)\n}\n":                        `"b"`,
		"struct A { 1: uuid u = \"none\" }\nservice S { void a(1: A a) }": "",
		"service S { i32 a(i32 b, 32767: i32 c) }":                        "field IDs must be in the range",
		"typedef binary uuid\nservice S { uuid a(1: uuid b) }":            "",
	} {
		if _, err := loadText(t, text); (err == nil) != (want == "") ||
			err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	f, err := loadText(t, "struct A { 1: uuid u = \"none\" }\nservice S { void a(1: A a) }")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := f.Find("", "", "")
	m, _ := s.Method("a")
	args, err := m.Args([]byte(`{"a": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	err = args.Write(t.Context(), thrift.NewTBinaryProtocolConf(thrift.NewTMemoryBuffer(), nil))
	if err == nil || !strings.Contains(err.Error(), `is no uuid: "none"`) {
		t.Errorf("a default that is no uuid: %v", err)
	}
}
