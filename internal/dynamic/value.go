package dynamic

import (
	"math"

	"github.com/apache/thrift/lib/go/thrift"
	"go.uber.org/thriftrw/ast"
	"go.uber.org/thriftrw/compile"
)

// value is a Thrift value: nil (absent), bool, int64 (every integer and
// enum), float64, string, []byte, thrift.Tuuid, []value (list and set), []pair
// (map) or *Struct.
type value any

type pair struct{ key, value value }

// Struct is a value of a struct, union or exception type, or the arguments of
// a method. It is a thrift.TStruct.
type Struct struct {
	Name   string
	fields compile.FieldGroup
	values map[int16]value // by field id; an absent field is not sent
	union  bool

	// Unknown counts the fields that Read skipped because the .thrift file does not know them, or
	// has another type.
	Unknown int

	// NotUTF8 counts the texts that are not UTF-8 but, say, GBK. JSON shows their bytes as \xNN.
	NotUTF8 int
}

// DecodedSizes are the bytes of memory of the values that Read makes: an element of a list, a
// struct, an entry of a map, a field of a struct. Package rpc uses them to count the memory of a
// reply.
func (s *Struct) DecodedSizes() (element, structure, entry, field int) {
	const (
		boxed   = 16 + 24      // an interface, and its largest target: the header of a byte slice
		emptied = 96 + 48      // a Struct and its map
		slots   = 8 * (8 + 17) // least slots of a map
	)
	return boxed, emptied + slots, 2 * boxed, 24 + 2*25 // a field is boxed, and its map may be half empty
}

func newStruct(spec *compile.StructSpec) *Struct {
	return &Struct{Name: spec.Name, fields: spec.Fields, union: spec.Type == ast.UnionType, values: map[int16]value{}}
}

func (s *Struct) field(id int16) *compile.FieldSpec {
	for _, f := range s.fields {
		if f.ID == id {
			return f
		}
	}
	return nil
}

// intRange is the range of an integer type; ok is false for other types.
func intRange(spec compile.TypeSpec) (lo, hi int64, ok bool) {
	switch spec.(type) {
	case *compile.I8Spec:
		return math.MinInt8, math.MaxInt8, true
	case *compile.I16Spec:
		return math.MinInt16, math.MaxInt16, true
	case *compile.I32Spec, *compile.EnumSpec:
		return math.MinInt32, math.MaxInt32, true
	case *compile.I64Spec:
		return math.MinInt64, math.MaxInt64, true
	}
	return 0, 0, false
}

// constant turns a default value of the .thrift file into a value of a type.
func constant(c compile.ConstantValue, spec compile.TypeSpec) value {
	if text, ok := c.(compile.ConstantString); ok && isUUID(spec) {
		if id, err := thrift.ParseTuuid(string(text)); err == nil {
			return id
		}
	}
	if ref, ok := c.(compile.ConstReference); ok {
		return constant(ref.Target.Value, spec)
	}
	spec = compile.RootTypeSpec(spec)
	switch c := c.(type) {
	case compile.EnumItemReference:
		return int64(c.Item.Value)
	case compile.ConstantBool:
		return bool(c)
	case compile.ConstantInt:
		return int64(c)
	case compile.ConstantDouble:
		return float64(c)
	case compile.ConstantString:
		return string(c)
	case compile.ConstantList:
		return constants(c, spec.(*compile.ListSpec).ValueSpec)
	case compile.ConstantSet:
		return constants(c, spec.(*compile.SetSpec).ValueSpec)
	case compile.ConstantMap:
		m := spec.(*compile.MapSpec)
		pairs := make([]pair, len(c))
		for i, p := range c {
			pairs[i] = pair{constant(p.Key, m.KeySpec), constant(p.Value, m.ValueSpec)}
		}
		return pairs
	case *compile.ConstantStruct:
		s := newStruct(spec.(*compile.StructSpec))
		for _, f := range s.fields {
			if v, ok := c.Fields[f.Name]; ok {
				s.values[f.ID] = constant(v, f.Type)
			}
		}
		return s
	}
	return nil
}

func constants(list []compile.ConstantValue, spec compile.TypeSpec) []value {
	values := make([]value, len(list))
	for i, c := range list {
		values[i] = constant(c, spec)
	}
	return values
}
