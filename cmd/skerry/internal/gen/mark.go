package gen

import (
	"slices"
	"strings"

	"go.uber.org/thriftrw/ast"

	"github.com/skerry/skerry/internal/dynamic"
	"github.com/skerry/skerry/internal/suggest"
)

// The annotations of methods. markMode is that of Kitex.
const (
	prefix     = "skerry."
	markStream = prefix + "stream"
	markItem   = prefix + "item"
	markResume = prefix + "resume"
	markPage   = prefix + "page"
	markAsync  = prefix + "async"
	markMode   = "streaming.mode"
)

var known = []string{markStream, markItem, markResume, markPage, markAsync}

// marks are the annotations of a method.
type marks struct {
	mode               mode
	item, resume, page string
	lines              map[string]int
}

// line is that of an annotation, or a default.
func (m marks) line(mark string, otherwise int) int {
	if line := m.lines[mark]; line > 0 {
		return line
	}
	return otherwise
}

var streamModes = map[string]mode{"server": serverStream, "client": clientStream, "bidi": bidiStream}

var kitexModes = map[string]mode{"unary": unary, "server": serverStream, "client": clientStream,
	"bidirectional": bidiStream}

// marksOf reads the annotations of a method.
func (r *reader) marksOf(p *program, f *ast.Function) marks {
	out := marks{lines: map[string]int{}}
	values := map[string]string{}
	wrong := func(a *ast.Annotation, format string, args ...any) {
		r.add(p, max(a.Line, f.Line), "method "+f.Name+": "+format, args...)
	}
	chosen := "" // the annotation that set the mode
	choose := func(a *ast.Annotation, m mode) {
		if chosen != "" && m != out.mode {
			wrong(a, "%s = %q contradicts %s = %q; keep one", a.Name, a.Value, chosen, values[chosen])
			return
		}
		chosen, out.mode = a.Name, m
	}
	for _, a := range f.Annotations {
		if before, twice := values[a.Name]; twice && strings.HasPrefix(a.Name, prefix) {
			wrong(a, "%s is written twice, as %q and as %q; keep one", a.Name, before, a.Value)
			continue
		}
		values[a.Name] = a.Value
		out.lines[a.Name] = max(a.Line, f.Line)
		switch a.Name {
		case markStream, markMode:
			modes, spelt := streamModes, `"server", "client" or "bidi"`
			if a.Name == markMode {
				modes, spelt = kitexModes, `"unary", "server", "client" or "bidirectional"`
			}
			if m, ok := modes[a.Value]; ok {
				choose(a, m)
			} else {
				wrong(a, "%s = %q; write %s", a.Name, a.Value, spelt)
			}
		case markAsync:
			if !slices.Contains([]string{"true", "1", ""}, a.Value) { // the stock compiler reads 1 without a value
				wrong(a, `%s = %q; write "true", or remove it`, a.Name, a.Value)
				continue
			}
			choose(a, async)
		case markPage:
			choose(a, page)
			out.page = r.named(wrong, a)
		case markItem:
			out.item = r.named(wrong, a)
		case markResume:
			out.resume = r.named(wrong, a)
		default:
			if strings.HasPrefix(a.Name, prefix) {
				wrong(a, "there is no annotation %s%s; there are %s", a.Name, suggest.DidYouMean(a.Name, known),
					strings.Join(known, ", "))
			}
		}
	}
	return out
}

// named is the value of an annotation that must have one.
func (r *reader) named(wrong func(*ast.Annotation, string, ...any), a *ast.Annotation) string {
	if strings.TrimSpace(a.Value) == "" {
		wrong(a, "%s has no value", a.Name)
	}
	return strings.TrimSpace(a.Value)
}

// misplaced refuses annotations of skerry that are not on methods.
func (r *reader) misplaced(p *program) {
	refuse := func(list []*ast.Annotation, line int) {
		for _, a := range list {
			if strings.HasPrefix(a.Name, prefix) {
				r.add(p, max(a.Line, line), "%s is an annotation of methods; write it after the arguments and "+
					"exceptions of one",
					a.Name)
			}
		}
	}
	var visit visitor
	visit = func(_ ast.Walker, n ast.Node) ast.Visitor {
		if _, method := n.(*ast.Function); !method {
			refuse(ast.Annotations(n), ast.LineNumber(n))
		}
		return visit
	}
	for _, d := range p.tree.Definitions {
		if t, ok := d.(*ast.Typedef); ok && dynamic.IsUUID(t) {
			continue
		}
		ast.Walk(visit, d)
	}
}

// visitor is a function as an ast.Visitor.
type visitor func(ast.Walker, ast.Node) ast.Visitor

func (v visitor) Visit(w ast.Walker, n ast.Node) ast.Visitor { return v(w, n) }
