package gen

import (
	"strings"

	"go.uber.org/thriftrw/ast"

	"github.com/skerry/skerry/internal/suggest"
)

// resume moves the cursor in the arguments of a server stream to that of an item.
type resume struct {
	to   []step // from an argument on
	from []step // from the item on; none: the item itself
}

// step is a field, or an argument.
type step struct {
	name    string
	goName  string
	typ     *typ
	pointer bool // to a scalar
}

// findResume reads skerry.resume = "argument.field = field".
func (r *reader) findResume(m *method, refuse func(mark, format string, args ...any)) {
	to, from, both := strings.Cut(m.marks.resume, "=")
	wrong := func(format string, args ...any) {
		refuse(markResume, "skerry.resume = %q: "+format, append([]any{m.marks.resume}, args...)...)
	}
	if m.result == nil || m.result.kind == invalid {
		return
	}
	out := &resume{}
	left, ok := r.argumentPath(m, strings.TrimSpace(to), wrong)
	if !ok {
		return
	}
	out.to = left
	last := left[len(left)-1]
	switch {
	case m.result.kind != structure && both:
		wrong("the items are of the type %s and have no fields; write the left side alone", m.result.thrift)
		return
	case m.result.kind == structure && !both:
		from = last.name
	}
	have := m.result
	if m.result.kind == structure {
		if out.from, ok = r.fieldPath(m.result, strings.TrimSpace(from), wrong); !ok {
			if !both {
				wrong("name the field of the item: %q", strings.TrimSpace(to)+" = FIELD")
			}
			return
		}
		have = out.from[len(out.from)-1].typ
	}
	switch {
	case last.typ.kind == invalid || have.kind == invalid:
		return
	case last.typ.kind == list || last.typ.kind == set || last.typ.kind == mapping:
		wrong("a cursor is a number, a text, binary, an enum or a struct, and %s is a %s", last.name, last.typ.thrift)
		return
	case last.typ.goName != have.goName && (last.typ.kind == structure || last.typ.base != have.base):
		wrong("the argument's side is of the type %s and the item's of the type %s; give them one type",
			last.typ.thrift, have.thrift)
		return
	}
	m.resume = out
}

// argumentPath follows a path from an argument on.
func (r *reader) argumentPath(m *method, path string, wrong func(string, ...any)) ([]step, bool) {
	first, rest, deeper := strings.Cut(path, ".")
	var names []string
	for _, a := range m.args {
		names = append(names, a.name)
		if a.name != first {
			continue
		}
		steps := []step{{name: a.name, goName: a.goName, typ: a.typ}}
		if !deeper {
			return steps, true
		}
		more, ok := r.fieldPath(a.typ, rest, wrong)
		for i, s := range more[:max(0, len(more)-1)] {
			ok = ok && r.noUnion(s.typ, s.name, wrong) && i < maxDepth
		}
		return append(steps, more...), ok && r.noUnion(a.typ, a.name, wrong)
	}
	wrong("%q is no argument%s; the arguments are %s", first, suggest.DidYouMean(first, names),
		strings.Join(names, ", "))
	return nil, false
}

// noUnion refuses to set a field of a union, because another one may be set.
func (r *reader) noUnion(t *typ, name string, wrong func(string, ...any)) bool {
	if t.union() {
		wrong("%s is a union, of which another field may be set; put the cursor beside it", name)
	}
	return !t.union()
}

// fieldPath follows a path from a struct on.
func (r *reader) fieldPath(t *typ, path string, wrong func(string, ...any)) ([]step, bool) {
	var steps []step
	for name := range strings.SplitSeq(path, ".") {
		if t.kind == invalid {
			return nil, false
		}
		if t.kind != structure {
			wrong("%s has no fields, so there is no %q in it", t.thrift, name)
			return nil, false
		}
		field, names := (*ast.Field)(nil), []string(nil)
		for _, f := range t.of.Fields {
			names = append(names, f.Name)
			if f.Name == name {
				field = f
			}
		}
		switch {
		case field == nil:
			wrong("%s has no field %q%s; it has %s", t.thrift, name, suggest.DidYouMean(name, names),
				strings.Join(names, ", "))
			return nil, false
		case strings.HasPrefix(name, "_"):
			wrong("the stock compiler makes an unexported Go name of %q; let its name begin with a letter", name)
			return nil, false
		}
		s := step{name: name, goName: public(name), typ: r.field(t, field)}
		s.pointer = s.typ.optional() && field.Default == nil && (field.Requiredness == ast.Optional || t.union())
		steps = append(steps, s)
		t = s.typ
	}
	return steps, true
}
