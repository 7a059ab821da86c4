package dynamic

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/thriftrw/compile"
)

type specOf = *compile.StructSpec

// FuzzRoundTrip: arguments that Args accepts return from the wire as the same JSON, and reading
// that JSON again changes nothing.
func FuzzRoundTrip(f *testing.F) {
	for _, seed := range []string{
		`{"value":{"leaf":{"flag":true,"blob":"AAA=","real":1e300}}}`,
		`{"value":{"by_key":[{"key":{"realm":"x"},"value":[{"tiny":1}]}],"role":99}}`,
		`{"value":{"by_role":{"ADMIN":true,"5":false},"by_real":{"-0":"z","NaN":""}}}`,
		`{"value":{"nested":[{"1":[1]}],"children":[{"child":{}}],"contact":{"mail":"\ud800\u0000"}}}`,
	} {
		f.Add([]byte(seed))
	}
	m := method(f, "echo")
	f.Fuzz(func(t *testing.T, data []byte) {
		args, err := m.Args(data)
		if err != nil {
			return
		}
		want := string(args.JSON())
		if !json.Valid([]byte(want)) {
			t.Fatalf("no JSON: %s", want)
		}
		for protocol := range protocols {
			if got := string(through(t, protocol, m, args).JSON()); got != want {
				t.Fatalf("%s: have %s\nwant %s", protocol, got, want)
			}
		}
		again, err := m.Args([]byte(want))
		if err != nil {
			t.Fatalf("%v\nin %s", err, want)
		}
		if got := string(again.JSON()); got != want {
			t.Fatalf("second reading: have %s\nwant %s", got, want)
		}
	})
}

// FuzzRead: arbitrary bytes of a peer give a value or an error.
func FuzzRead(f *testing.F) {
	m := method(f, "echo")
	args, err := m.Args(
		[]byte(`{"value":{"leaf":{"text":"x"},"ids":[1],"by_key":[{"key":{"realm":"r"},"value":[]}],"child":{}}}`),
	)
	if err != nil {
		f.Fatal(err)
	}
	for name, protocol := range protocols {
		buffer := thrift.NewTMemoryBuffer()
		if err := args.Write(context.Background(), protocol(buffer)); err != nil {
			f.Fatal(err)
		}
		f.Add(buffer.Bytes(), name == "binary")
	}
	f.Add([]byte{15, 0, 4, 10, 127, 255, 255, 255}, true) // a list that claims 2^31-1 elements
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		buffer := thrift.NewTMemoryBuffer()
		buffer.Write(data)
		name := "compact"
		if binary {
			name = "binary"
		}
		back := &Struct{Name: "echo", fields: m.args, values: map[int16]value{}}
		if back.Read(t.Context(), protocols[name](buffer)) == nil && !json.Valid(back.JSON()) {
			t.Fatalf("no JSON: %s", back.JSON())
		}
	})
}
