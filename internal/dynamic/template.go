package dynamic

import (
	"encoding/json"
	"slices"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/thriftrw/compile"
)

// Template is a JSON object of the method's arguments to fill in. It has every field once, with its
// default or an example of its type. A union has its first field, and a type that contains itself
// appears once.
func (m *Method) Template() json.RawMessage {
	return appendTemplate([]byte{}, m.args, nil)
}

// appendTemplate writes an object of fields; open are the enclosing structs.
func appendTemplate(b []byte, fields compile.FieldGroup, open []*compile.StructSpec) []byte {
	b = append(b, '{')
	comma := false
	for _, f := range fields {
		if within(f.Type, open) {
			continue
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		b = append(appendText(b, f.Name), ':')
		if f.Default != nil {
			b = appendJSON(b, constant(f.Default, f.Type), f.Type)
		} else {
			b = appendExample(b, f.Type, open)
		}
	}
	return append(b, '}')
}

// within reports whether a type is one of the open structs.
func within(spec compile.TypeSpec, open []*compile.StructSpec) bool {
	s, ok := compile.RootTypeSpec(spec).(*compile.StructSpec)
	return ok && slices.Contains(open, s)
}

func appendExample(b []byte, spec compile.TypeSpec, open []*compile.StructSpec) []byte {
	if isUUID(spec) {
		return appendText(b, thrift.Tuuid{}.String())
	}
	switch t := compile.RootTypeSpec(spec).(type) {
	case *compile.BoolSpec:
		return append(b, "false"...)
	case *compile.StringSpec, *compile.BinarySpec:
		return append(b, `""`...)
	case *compile.EnumSpec:
		if len(t.Items) > 0 {
			return appendText(b, t.Items[0].Name)
		}
	case *compile.ListSpec:
		return appendElements(b, t.ValueSpec, open)
	case *compile.SetSpec:
		return appendElements(b, t.ValueSpec, open)
	case *compile.MapSpec:
		return appendExampleMap(b, t, open)
	case *compile.StructSpec:
		if within(t, open) {
			return append(b, "null"...)
		}
		fields := t.Fields
		if s := newStruct(t); s.union && len(fields) > 1 {
			fields = fields[:1]
		}
		return appendTemplate(b, fields, append(slices.Clone(open), t))
	}
	return append(b, '0')
}

func appendElements(b []byte, spec compile.TypeSpec, open []*compile.StructSpec) []byte {
	if within(spec, open) {
		return append(b, "[]"...)
	}
	return append(appendExample(append(b, '['), spec, open), ']')
}

func appendExampleMap(b []byte, m *compile.MapSpec, open []*compile.StructSpec) []byte {
	if within(m.ValueSpec, open) {
		return append(b, "[]"...)
	}
	if !scalarKey(m.KeySpec) {
		b = append(appendExample(append(b, `[{"key":`...), m.KeySpec, open), `,"value":`...)
		return append(appendExample(b, m.ValueSpec, open), "}]"...)
	}
	key := appendExample(nil, m.KeySpec, open)
	if key[0] != '"' {
		key = []byte(`"` + string(key) + `"`)
	}
	return append(appendExample(append(append(append(b, '{'), key...), ':'), m.ValueSpec, open), '}')
}
