package dynamic

import (
	"encoding/json"

	"go.uber.org/thriftrw/compile"
)

// Result receives the reply to a method. It is the thrift.TStruct that a
// thrift.TClient fills.
type Result struct {
	method *Method
	Struct
}

// Result returns an empty reply of the method.
func (m *Method) Result() *Result {
	r := &Result{method: m, Struct: Struct{Name: m.Name + "_result", values: map[int16]value{}}}
	if m.returns != nil {
		r.fields = append(r.fields, &compile.FieldSpec{ID: 0, Name: "success", Type: m.returns})
	}
	r.fields = append(r.fields, m.exceptions...)
	return r
}

// Exception is the declared exception that the method threw: its type's name
// and its fields. ok is false when it threw none.
func (r *Result) Exception() (name string, fields json.RawMessage, ok bool) {
	for _, f := range r.method.exceptions {
		if v, thrown := r.values[f.ID]; thrown {
			return compile.RootTypeSpec(f.Type).ThriftName(), appendJSON(nil, v, f.Type), true
		}
	}
	return "", nil, false
}

// Value is the method's return value as JSON; null for void. ok is false when a method with a
// return type neither returned nor threw a declared exception.
func (r *Result) Value() (v json.RawMessage, ok bool) {
	if r.method.returns == nil {
		return json.RawMessage("null"), true
	}
	got, ok := r.values[0]
	if !ok {
		return nil, false
	}
	return appendJSON(nil, got, r.method.returns), true
}
