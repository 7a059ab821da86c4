package gen

import (
	"strings"

	"go.uber.org/thriftrw/ast"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/suggest"
)

// kind is the kind of a type behind its typedefs.
type kind int

const (
	invalid kind = iota // a mistake was added
	scalar              // bool, i8 … i64, double, string, uuid
	binary
	enum
	structure // struct, union, exception
	list
	set
	mapping
)

// maxDepth bounds how deep types nest, and how many typedefs stand one behind the other.
const maxDepth = 64

// typ is a type as the stock package writes it in Go.
type typ struct {
	kind   kind
	goName string // *api.Point, int64, []api.Later
	thrift string // as the file writes it
	base   string // scalar: the Go type behind typedefs
	of     *ast.Struct
	in     *program // of the struct
	elem   *typ     // list, set
}

// made is the Go name of the struct without its star.
func (t *typ) made() string { return strings.TrimPrefix(t.goName, "*") }

func (t *typ) union() bool { return t.kind == structure && t.of.Type == ast.UnionType }

// optional reports that the stock compiler makes a pointer of an optional field of the type without a default.
func (t *typ) optional() bool { return t.kind == scalar || t.kind == enum }

// resolver finds the types that a file names.
type resolver struct{ *mistakes }

// use is the place of a type: the program, the index of the definition around it, and its line.
type use struct {
	in   *program
	at   int
	line int
}

var baseTypes = map[ast.BaseTypeID]string{
	ast.BoolTypeID: "bool", ast.I8TypeID: "int8", ast.I16TypeID: "int16", ast.I32TypeID: "int32",
	ast.I64TypeID: "int64", ast.DoubleTypeID: "float64", ast.StringTypeID: "string", ast.BinaryTypeID: "[]byte",
}

// resolve returns the type, or one of the kind invalid after a mistake.
func (r *resolver) resolve(t ast.Type, at use) *typ { return r.nested(t, at, 0) }

func (r *resolver) nested(t ast.Type, at use, depth int) *typ {
	if depth > maxDepth {
		r.add(at.in, at.line, "the type nests, or its typedefs refer to each other, more than %d times", maxDepth)
		return &typ{}
	}
	switch t := t.(type) {
	case ast.BaseType:
		out := &typ{kind: scalar, goName: baseTypes[t.ID], base: baseTypes[t.ID], thrift: thriftName(t)}
		if t.ID == ast.BinaryTypeID {
			out.kind = binary
		}
		return out
	case ast.ListType:
		return r.sequence(list, t.ValueType, at, depth)
	case ast.SetType:
		return r.sequence(set, t.ValueType, at, depth)
	case ast.MapType:
		return r.mapping(t, at, depth)
	case ast.TypeReference:
		return r.reference(t.Name, at, depth)
	}
	r.add(at.in, at.line, "a type is missing")
	return &typ{}
}

func (r *resolver) sequence(k kind, elem ast.Type, at use, depth int) *typ {
	e := r.nested(elem, at, depth+1)
	if e.kind == invalid {
		return e
	}
	name := map[kind]string{list: "list", set: "set"}[k]
	return &typ{kind: k, elem: e, goName: "[]" + e.goName, thrift: name + "<" + e.thrift + ">"}
}

func (r *resolver) mapping(t ast.MapType, at use, depth int) *typ {
	key := r.nested(t.KeyType, at, depth+1)
	goKey := key.goName
	switch key.kind {
	case invalid:
		return key
	case list, set, mapping:
		r.add(at.in, at.line, "a map has keys of the type %s, which is no key of a Go map, so the stock compiler "+
			"refuses it; take another key", key.thrift)
		return &typ{}
	case binary:
		goKey = "string"
	}
	value := r.nested(t.ValueType, at, depth+1) // after the key, so that no file makes this slow
	if value.kind == invalid {
		return value
	}
	return &typ{kind: mapping, goName: "map[" + goKey + "]" + value.goName,
		thrift: "map<" + key.thrift + ", " + value.thrift + ">"}
}

// reference finds a named type. The stock compiler replaces a typedef that stands behind its use by what it means.
func (r *resolver) reference(name string, at use, depth int) *typ {
	p, local := at.in, name
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		p, local = at.in.includes[name[:dot]], name[dot+1:]
		if p == nil {
			r.add(at.in, at.line, "type %s: no file %s.thrift is included", name, name[:dot])
			return &typ{}
		}
	}
	index, known := p.types[local]
	if !known {
		r.add(at.in, at.line, "there is no type %s%s", name, r.likeType(p, local))
		return &typ{}
	}
	if strings.HasPrefix(local, "_") {
		r.add(at.in, at.line, "type %s: the stock compiler makes an unexported Go name of it; "+
			"let its name begin with a letter", name)
		return &typ{}
	}
	goName := p.alias + "." + public(local)
	switch d := p.tree.Definitions[index].(type) {
	case *ast.Enum:
		return &typ{kind: enum, goName: goName, base: goName, thrift: name}
	case *ast.Struct:
		return &typ{kind: structure, goName: "*" + goName, thrift: name, of: d, in: p}
	case *ast.Typedef:
		if dynamic.IsUUID(d) {
			return &typ{kind: scalar, goName: "thrift.Tuuid", base: "thrift.Tuuid", thrift: "uuid"}
		}
		there := use{p, index, d.Line}
		if target := r.nested(d.Type, there, depth+1); target.kind == invalid {
			return target
		} else if p != at.in || index < at.at {
			return r.typedef(target, goName, name, at)
		}
		return r.behind(d, there, depth+1)
	}
	r.add(at.in, at.line, "%s is no type", name)
	return &typ{}
}

// likeType is the type that a misspelt name probably means. Large files are not searched for each of many mistakes.
func (r *resolver) likeType(p *program, name string) string {
	if len(p.types) > 1000 {
		return ""
	}
	return suggest.DidYouMean(name, sortedKeys(p.types))
}

func (r *resolver) typedef(target *typ, goName, name string, at use) *typ {
	if target.kind == structure {
		r.add(at.in, at.line, "typedef %s means the struct %s: the stock compiler makes Go code of it that does not "+
			"compile; use %s itself", name, target.thrift, target.thrift)
		return &typ{}
	}
	out := *target
	out.goName, out.thrift = goName, name
	return &out
}

// behind is the type behind all typedefs.
func (r *resolver) behind(d *ast.Typedef, at use, depth int) *typ {
	for ; depth <= maxDepth; depth++ {
		ref, ok := d.Type.(ast.TypeReference)
		if !ok {
			break
		}
		p, local := at.in, ref.Name
		if dot := strings.LastIndexByte(local, '.'); dot >= 0 {
			p, local = at.in.includes[local[:dot]], local[dot+1:]
		}
		index := p.types[local] // resolve has found it
		next, ok := p.tree.Definitions[index].(*ast.Typedef)
		if !ok || dynamic.IsUUID(next) {
			break
		}
		d, at = next, use{p, index, next.Line}
	}
	return r.nested(d.Type, at, depth)
}

// thriftName is a base type as files write it.
func thriftName(t ast.BaseType) string { return ast.BaseType{ID: t.ID}.String() }
