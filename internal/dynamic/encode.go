package dynamic

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/thriftrw/compile"
)

// ErrValue is wrapped by every error about a JSON value that does not fit the
// .thrift file.
var ErrValue = errors.New("does not fit the .thrift file")

// Args reads a JSON object as the arguments of a method, by name. A method with one argument of a
// struct type also accepts that struct's own object.
func (m *Method) Args(data []byte) (*Struct, error) {
	if data = bytes.TrimPrefix(data, []byte("\ufeff")); len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	root, err := parseJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	e := &encoder{}
	args := &Struct{Name: m.Name, fields: m.args, values: map[int16]value{}}
	if inner := m.soleStruct(root); inner != nil {
		args.values[inner.ID] = e.convert("$", root, inner.Type)
	} else {
		e.fill("$", root, args)
	}
	if len(e.problems) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrValue, strings.Join(e.problems, "; "))
	}
	return args, nil
}

// Reply reads a JSON value as what the method returns. A method that returns nothing takes null and {}.
func (m *Method) Reply(data []byte) (*Struct, error) {
	root, err := parseJSON(bytes.TrimPrefix(data, []byte("\ufeff")))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	e := &encoder{}
	reply := &m.Result().Struct
	switch members, isObject := root.value.([]member); {
	case m.returns != nil:
		reply.values[0] = e.convert("$", root, m.returns)
	case root.value != nil && (!isObject || len(members) > 0):
		e.wrong("$", "%s returns nothing: write {}", m.Name)
	}
	if len(e.problems) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrValue, strings.Join(e.problems, "; "))
	}
	return reply, nil
}

// soleStruct is the only argument, of a struct type, when the object names the struct's fields
// instead of the argument.
func (m *Method) soleStruct(root node) *compile.FieldSpec {
	members, isObject := root.value.([]member)
	if len(m.args) != 1 || !isObject || len(members) == 0 {
		return nil
	}
	spec, isStruct := compile.RootTypeSpec(m.args[0].Type).(*compile.StructSpec)
	if !isStruct {
		return nil
	}
	for _, mem := range members {
		if f, err := spec.Fields.FindByName(mem.name); mem.name == m.args[0].Name || err != nil || f == nil {
			return nil
		}
	}
	return m.args[0]
}

// encoder collects all mistakes, so that one edit can correct them.
type encoder struct{ problems []string }

func (e *encoder) wrong(path, format string, args ...any) value {
	e.problems = append(e.problems, path+": "+fmt.Sprintf(format, args...))
	return nil
}

func (e *encoder) convert(path string, n node, spec compile.TypeSpec) value {
	if isUUID(spec) {
		return e.uuid(path, n)
	}
	root := compile.RootTypeSpec(spec)
	switch t := root.(type) {
	case *compile.BoolSpec:
		if b, ok := n.value.(bool); ok {
			return b
		}
	case *compile.EnumSpec:
		return e.enum(path, n, t)
	case *compile.DoubleSpec:
		if f, ok := double(n); ok {
			return f
		}
	case *compile.StringSpec:
		if s, ok := n.value.(string); ok {
			return s
		}
	case *compile.BinarySpec:
		return e.binary(path, n)
	case *compile.ListSpec:
		if list, ok := n.value.([]node); ok {
			return e.list(path, list, t.ValueSpec)
		}
	case *compile.SetSpec:
		if list, ok := n.value.([]node); ok {
			return e.set(path, list, t.ValueSpec)
		}
	case *compile.MapSpec:
		return e.mapping(path, n, t)
	case *compile.StructSpec:
		s := newStruct(t)
		e.fill(path, n, s)
		return s
	}
	if _, _, ok := intRange(root); ok {
		return e.integer(path, n, spec)
	}
	return e.wrong(path, "want %s, have %s", typeName(spec), n.kind())
}

func (e *encoder) uuid(path string, n node) value {
	text, ok := n.value.(string)
	if !ok {
		return e.wrong(path, "want a uuid as text, have %s", n.kind())
	}
	id, err := thrift.ParseTuuid(text)
	if err != nil {
		return e.wrong(path, "%q is no uuid, such as %s", text, thrift.Tuuid{})
	}
	return id
}

func typeName(spec compile.TypeSpec) string {
	if isUUID(spec) {
		return "uuid"
	}
	root := compile.RootTypeSpec(spec)
	if root.ThriftName() == spec.ThriftName() {
		return spec.ThriftName()
	}
	return spec.ThriftName() + " (" + root.ThriftName() + ")"
}

func (e *encoder) integer(path string, n node, spec compile.TypeSpec) value {
	number, ok := n.value.(json.Number)
	if !ok {
		return e.wrong(path, "want %s, have %s", typeName(spec), n.kind())
	}
	i, err := strconv.ParseInt(number.String(), 10, 64)
	lo, hi, _ := intRange(compile.RootTypeSpec(spec))
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return e.wrong(path, "want a whole number (%s), have %s", typeName(spec), number)
	case err != nil || i < lo || i > hi:
		return e.wrong(path, "%s does not fit %s (%d to %d)", number, typeName(spec), lo, hi)
	}
	return i
}

func (e *encoder) enum(path string, n node, spec *compile.EnumSpec) value {
	name, ok := n.value.(string)
	if !ok {
		if _, isNumber := n.value.(json.Number); isNumber {
			return e.integer(path, n, spec)
		}
		return e.wrong(path, "want a name of enum %s, have %s", spec.Name, n.kind())
	}
	if item, ok := spec.LookupItem(name); ok {
		return int64(item.Value)
	}
	names := make([]string, len(spec.Items))
	for i, item := range spec.Items {
		names[i] = item.Name
	}
	return e.wrong(path, "enum %s has no %q%s; it has %s", spec.Name, name, didYouMean(name, names),
		strings.Join(names, ", "))
}

func double(n node) (float64, bool) {
	switch v := n.value.(type) {
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	case string:
		f, ok := map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}[v]
		return f, ok
	}
	return 0, false
}

func (e *encoder) binary(path string, n node) value {
	s, ok := n.value.(string)
	if !ok {
		return e.wrong(path, "want binary as base64 text, have %s", n.kind())
	}
	plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	data, err := base64.RawStdEncoding.DecodeString(plain)
	if err != nil {
		return e.wrong(path, "want binary as base64 text: %v", err)
	}
	return data
}

func (e *encoder) list(path string, list []node, spec compile.TypeSpec) []value {
	values := make([]value, len(list))
	for i, n := range list {
		values[i] = e.convert(fmt.Sprintf("%s[%d]", path, i), n, spec)
	}
	return values
}

func (e *encoder) set(path string, list []node, spec compile.TypeSpec) value {
	values := e.list(path, list, spec)
	e.distinct(path, values, spec, "element")
	return values
}

// distinct reports duplicates in a set or among map keys.
func (e *encoder) distinct(path string, values []value, spec compile.TypeSpec, what string) {
	if len(e.problems) > 0 {
		return // unread values can't be compared
	}
	seen := map[string]bool{}
	for i, v := range values {
		text := string(appendJSON(nil, v, spec))
		if seen[text] {
			e.wrong(fmt.Sprintf("%s[%d]", path, i), "the %s %s stands twice", what, text)
		}
		seen[text] = true
	}
}

// fill reads an object's members into a struct's fields.
func (e *encoder) fill(path string, n node, s *Struct) {
	members, ok := n.value.([]member)
	if !ok {
		e.wrong(path, "want an object for %s, have %s", s.Name, n.kind())
		return
	}
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.Name
	}
	for _, m := range members {
		f, err := s.fields.FindByName(m.name)
		switch {
		case err != nil || f == nil:
			e.wrong(step(path, m.name), "%s has no field %q%s; it has %s", s.Name, m.name, didYouMean(m.name, names),
				listOr(names, "none"))
		case m.node.value == nil: // null leaves the field out
		default:
			s.values[f.ID] = e.convert(step(path, m.name), m.node, f.Type)
		}
	}
	e.complete(path, s)
}

// complete adds defaults and checks required fields.
func (e *encoder) complete(path string, s *Struct) {
	if s.union {
		if len(s.values) != 1 {
			e.wrong(path, "a union takes exactly one field, have %d", len(s.values))
		}
		return
	}
	for _, f := range s.fields {
		if _, ok := s.values[f.ID]; ok {
			continue
		}
		if f.Default != nil {
			s.values[f.ID] = constant(f.Default, f.Type)
		} else if f.Required {
			e.wrong(path, "%s needs the field %q (%s)", s.Name, f.Name, typeName(f.Type))
		}
	}
}

// step extends a JSON path by a member.
func step(path, name string) string {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return fmt.Sprintf("%s[%q]", path, name)
		}
	}
	return path + "." + name
}

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}
