package gen

import (
	"fmt"
	"slices"
	"strings"

	"go.uber.org/thriftrw/ast"
)

// maxEmpty bounds the structs in an empty value.
const maxEmpty = 64

// empty is a Go expression for the smallest value of an argument's type that the stock code can send and receive; ""
// when that is the zero value. An absent struct is sent as one without fields, which the stock code refuses of a union
// and of a struct with required fields.
func (r *resolver) empty(t *typ) (string, error) {
	left := maxEmpty
	return r.emptyOf(t, nil, &left)
}

func (r *resolver) emptyOf(t *typ, around []*ast.Struct, left *int) (string, error) {
	if t.kind != structure || !t.union() && !slices.ContainsFunc(t.of.Fields, required) {
		return "", nil
	}
	if *left--; *left < 0 || slices.Contains(around, t.of) {
		return "", fmt.Errorf("items are sent without it, and there is no small empty %s to send in its place; "+
			"make a field optional", t.thrift)
	}
	around = append(slices.Clone(around), t.of)
	if t.union() {
		return r.emptyUnion(t, around, left)
	}
	var fields []string
	for _, f := range t.of.Fields {
		if f.Requiredness == ast.Optional {
			continue
		}
		value, err := r.emptyOf(r.field(t, f), around, left)
		if err != nil {
			return "", err
		}
		if value != "" {
			fields = append(fields, public(f.Name)+": "+value)
		}
	}
	return "&" + t.made() + "{" + strings.Join(fields, ", ") + "}", nil
}

// emptyUnion sets the first field that has an empty value.
func (r *resolver) emptyUnion(t *typ, around []*ast.Struct, left *int) (string, error) {
	for _, f := range t.of.Fields {
		if f.Default != nil || strings.HasPrefix(f.Name, "_") {
			continue
		}
		typ := r.field(t, f)
		value := ""
		switch {
		case typ.kind == invalid:
			continue
		case typ.optional():
			value = "new(" + typ.goName + ")"
		case typ.kind != structure:
			value = typ.goName + "{}"
		default:
			var err error
			if value, err = r.emptyOf(typ, around, left); err != nil {
				continue
			}
			if value == "" {
				value = "&" + typ.made() + "{}"
			}
		}
		return "&" + t.made() + "{" + public(f.Name) + ": " + value + "}", nil
	}
	return "", fmt.Errorf("items are sent without it, and the union %s has no field that could be sent empty; "+
		"put it into a struct", t.thrift)
}

func required(f *ast.Field) bool { return f.Requiredness == ast.Required }

// field is the type of a struct's field.
func (r *resolver) field(t *typ, f *ast.Field) *typ {
	return r.resolve(f.Type, use{t.in, t.in.types[t.of.Name], max(f.Line, t.of.Line)})
}
