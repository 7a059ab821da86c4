package gen

import (
	"maps"
	"slices"
	"strings"

	"go.uber.org/thriftrw/ast"

	"github.com/skerry/skerry/internal/suggest"
)

// mode is how a method is called.
type mode int

const (
	unary mode = iota
	serverStream
	clientStream
	bidiStream
	async
	page
)

func (m mode) String() string {
	return [...]string{"unary method", "server stream", "client stream", "bidi stream", "asynchronous method",
		"page"}[m]
}

// one is the mode with its article.
func (m mode) one() string {
	if m == async {
		return "an " + m.String()
	}
	return "a " + m.String()
}

func (m mode) upstream() bool { return m == clientStream || m == bidiStream }

// service is a service with its methods, those of its parents first.
type service struct {
	name    string // in the file
	goName  string
	doc     string
	in      *program
	line    int
	methods []*method
	byName  map[string]*method
}

// method is a method of a service or of its parent.
type method struct {
	name   string // in the file
	goName string
	doc    string
	in     *program
	of     string // the service that declares it
	line   int
	mode   mode
	oneway bool
	args   []*argument
	item   *argument // of the caller's direction, one of args
	result *typ      // nil: void
	throws []*argument
	marks  marks

	resume *resume // server stream
	page   *method // server stream: the page method over it
	stream *method // page: the stream under it
}

// argument is an argument or a declared exception.
type argument struct {
	name   string // in the file
	goName string // of the field
	param  string // in signatures
	empty  string // Go expression of an empty value; "": the zero value can be sent
	typ    *typ
}

func (m *method) argsType() string   { return m.in.alias + "." + helper(m.of, m.name, "args") }
func (m *method) resultType() string { return m.in.alias + "." + helper(m.of, m.name, "result") }
func (m *method) newArgs() string    { return m.in.alias + ".New" + helper(m.of, m.name, "args") }
func (m *method) newResult() string  { return m.in.alias + ".New" + helper(m.of, m.name, "result") }

// opening are the arguments that go with the opening of a stream: all but the item.
func (m *method) opening() []*argument {
	var out []*argument
	for _, a := range m.args {
		if a != m.item {
			out = append(out, a)
		}
	}
	return out
}

// reader reads services of parsed files.
type reader struct {
	resolver
	methods map[*ast.Function]*method
	aliases map[string]bool // names of packages in the stubs
}

// service reads a service with what it inherits.
func (r *reader) service(p *program, s *ast.Service) *service {
	out := &service{name: s.Name, goName: public(s.Name), doc: s.Doc, in: p, line: s.Line,
		byName: map[string]*method{}}
	r.name(p, s.Line, "service", s.Name)
	seen := map[string]*method{}
	for _, l := range r.lineage(p, s) {
		for _, f := range l.service.Functions {
			m := r.method(l.in, l.service, f)
			if other := seen[m.goName]; other != nil && other != m {
				r.add(m.in, m.line, "method %s of %s and method %s of %s have one name in Go, %s; rename one",
					m.name, m.of,
					other.name, other.of, m.goName)
				continue
			}
			seen[m.goName] = m
			out.methods = append(out.methods, m)
			out.byName[m.name] = m
		}
	}
	for _, m := range out.methods {
		r.linkPage(m, out)
	}
	return out
}

// ancestor is a service with the file that declares it.
type ancestor struct {
	in      *program
	service *ast.Service
}

// lineage is a service after its parents, the oldest first.
func (r *reader) lineage(p *program, s *ast.Service) []ancestor {
	var all []ancestor
	for {
		if slices.ContainsFunc(all, func(a ancestor) bool { return a.service == s }) {
			r.add(p, s.Line, "service %s extends itself", s.Name)
			break
		}
		if len(all) > maxDepth {
			r.add(p, s.Line, "service %s is the parent of more than %d services, one of the other", s.Name, maxDepth)
			break
		}
		all = append(all, ancestor{p, s})
		if s.Parent == nil {
			break
		}
		from, name := p, s.Parent.Name
		if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
			from, name = p.includes[name[:dot]], name[dot+1:]
		}
		if from == nil || from.services[name] == nil {
			r.add(p, s.Line, "service %s extends %s, which is neither in this file nor in an included one", s.Name,
				s.Parent.Name)
			break
		}
		p, s = from, from.services[name]
	}
	slices.Reverse(all)
	return all
}

// name refuses names of which the stock compiler makes no exported Go name.
func (r *reader) name(p *program, line int, what, name string) {
	switch {
	case strings.HasPrefix(name, "_"):
		r.add(p, line, "%s %s: the stock compiler makes an unexported Go name of it; let its name begin with a letter",
			what, name)
	case strings.Contains(name, "."):
		r.add(p, line, "%s %s: the stock compiler makes no Go name of a name with dots; take another name", what, name)
	}
}

// method reads a method once; services that inherit it share it.
func (r *reader) method(p *program, s *ast.Service, f *ast.Function) *method {
	if m := r.methods[f]; m != nil {
		return m
	}
	m := &method{name: f.Name, goName: public(f.Name), doc: f.Doc, in: p, of: s.Name, line: f.Line, oneway: f.OneWay}
	r.methods[f] = m
	r.name(p, f.Line, "method", f.Name)
	at := use{p, p.order[s], f.Line}
	taken := maps.Clone(r.aliases)
	for _, name := range slices.Concat(predeclared, locals) {
		taken[name] = true
	}
	m.args = r.fields(f.Parameters, at, taken)
	m.throws = r.fields(f.Exceptions, at, map[string]bool{})
	if f.ReturnType != nil {
		m.result = r.resolve(f.ReturnType, at)
	}
	m.marks = r.marksOf(p, f)
	r.judge(m)
	return m
}

func (r *reader) fields(list []*ast.Field, at use, taken map[string]bool) []*argument {
	var out []*argument
	names := map[string]string{}
	for _, f := range list {
		line := max(f.Line, at.line)
		a := &argument{name: f.Name, goName: public(f.Name), param: parameter(f.Name, taken),
			typ: r.resolve(f.Type, use{at.in, at.at, line})}
		r.name(at.in, line, "argument", f.Name)
		if other, known := names[a.goName]; known {
			r.add(at.in, line, "arguments %s and %s have one name in Go, %s; rename one", other, a.name, a.goName)
		}
		names[a.goName] = a.name
		out = append(out, a)
	}
	return out
}

// judge sets the mode of a method by its annotations, and refuses what cannot be.
func (r *reader) judge(m *method) {
	m.mode = m.marks.mode
	refuse := func(mark, format string, args ...any) {
		r.add(m.in, m.marks.line(mark, m.line), "method "+m.name+": "+format, args...)
	}
	if m.oneway && m.mode != unary {
		refuse("", "a oneway method cannot be %s, because nothing comes back; remove oneway", m.mode.one())
		m.mode = unary
		return
	}
	if !m.mode.upstream() && m.marks.item != "" {
		refuse(markItem, `skerry.item names the item of a client or bidi stream, and this is %s; remove it`,
			m.mode.one())
	}
	if m.mode.upstream() {
		r.findItem(m, refuse)
	}
	if m.result == nil && (m.mode == serverStream || m.mode == bidiStream) {
		refuse("", "the result type is the type of the items of a %s, and it is void; name the items' type", m.mode)
	}
	if m.mode != unary && m.result != nil && m.result.kind == structure && m.result.of.Type == ast.ExceptionType {
		refuse("", "the result type %s is an exception, which would be thrown; make it a struct", m.result.thrift)
	}
	if m.marks.resume != "" {
		if m.mode != serverStream {
			refuse(markResume, "skerry.resume is for server streams, and this is %s; remove it", m.mode.one())
		} else {
			r.findResume(m, refuse)
		}
	}
}

// findItem finds the argument of which the values are the items that a caller sends.
func (r *reader) findItem(m *method, refuse func(mark, format string, args ...any)) {
	names := make([]string, len(m.args))
	for i, a := range m.args {
		names[i] = a.name
		if a.name == m.marks.item {
			m.item = a
		}
	}
	switch {
	case m.item != nil:
	case len(m.args) == 0:
		refuse("", "a %s needs an argument: its type is that of the items which the caller sends", m.mode)
	case m.marks.item != "":
		refuse(markItem, "skerry.item = %q names no argument%s; the arguments are %s", m.marks.item,
			suggest.DidYouMean(m.marks.item, names), strings.Join(names, ", "))
	case len(m.args) == 1:
		m.item = m.args[0]
	default:
		refuse("", `there are several arguments; name that of the items: skerry.item = %q`, names[len(names)-1])
	}
	if m.item == nil {
		return
	}
	for _, a := range m.args { // items go without the other arguments, and the opening goes without an item
		var err error
		if a.empty, err = r.empty(a.typ); err != nil {
			refuse("", "argument %s: %v", a.name, err)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
