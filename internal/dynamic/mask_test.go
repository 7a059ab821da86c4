package dynamic

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// TestMask: values that the .thrift file marks as secret are not shown, wherever they are in a reply.
func TestMask(t *testing.T) {
	file, err := LoadTexts("/a.thrift", map[string][]byte{"/a.thrift": []byte(`
typedef string Token (secret = "1")
typedef Token Key
struct User {
  1: string name
  2: optional string password (secret)
  3: optional map<string, Key> keys
  4: optional list<User> others
  5: optional i64 pin (secret = "yes")
}
exception Wrong { 1: string why, 2: Token token }
service S { User get() throws (1: Wrong wrong), Token token(), list<Key> all() }
`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, reply, want string }{
		{"get", `{"name": "li", "password": "x1", "pin": 17, "keys": {"a": "x2"}, ` +
			`"others": [{"name": "wu", "password": "x3"}]}`,
			`{"name":"li","password":"(secret)","keys":{"a":"(secret)"},` +
				`"others":[{"name":"wu","password":"(secret)"}],"pin":"(secret)"}`},
		{"token", `"x4"`, `"(secret)"`},
		{"all", `["x5", "x6"]`, `["(secret)","(secret)"]`},
	} {
		m, err := file.Services()[0].Method(c.method)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := m.Reply([]byte(c.reply))
		if err != nil {
			t.Fatal(err)
		}
		got := m.Result()
		p := thrift.NewTBinaryProtocolConf(thrift.NewTMemoryBuffer(), nil)
		if err := errors.Join(sent.Write(t.Context(), p), got.Read(t.Context(), p)); err != nil {
			t.Fatal(err)
		}
		if plain, _ := got.Value(); !strings.Contains(string(plain), "x") {
			t.Errorf("%s: nothing to hide in %s", c.method, plain)
		}
		got.Mask()
		if v, ok := got.Value(); !ok || string(v) != c.want {
			t.Errorf("%s is shown as %s, want %s", c.method, v, c.want)
		}
	}
	m, _ := file.Services()[0].Method("get")
	r := m.Result()
	wrong := newStruct(r.fields[1].Type.(specOf))
	wrong.values[1], wrong.values[2] = "why", "x7"
	r.values[1] = wrong
	r.Mask()
	if _, fields, _ := r.Exception(); string(fields) != `{"why":"why","token":"(secret)"}` {
		t.Errorf("the exception is shown as %s", fields)
	}
}
