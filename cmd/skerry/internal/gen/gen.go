package gen

import (
	"fmt"
	"go/token"
	"maps"
	"path"
	"slices"
	"strings"

	"go.uber.org/thriftrw/ast"
)

// maxMethods bounds the methods of all services of a file, inherited ones counted for each.
const maxMethods = 10_000

// Options say of what, and for which package, stubs are made.
type Options struct {
	File     string   // the .thrift file
	Includes []string // directories to look for included files in
	Package  string   // import path or directory of the stock package; "": it is looked for
	Out      string   // file, or directory, of the stubs; "": beside the stock package
}

// Output is the Go file of the stubs.
type Output struct {
	Place
	Text     []byte
	Services []string // that have annotated methods, as the .thrift file names them
}

// Generate makes the stubs of a .thrift file. It writes nothing. An error of the files is an *Error.
func Generate(o Options) (*Output, error) { return generate(o, readTree, placeOf) }

func generate(o Options, read func(string) (*ast.Program, error),
	placed func(Options, *program) (Place, error)) (*Output, error) {
	l := &loader{mistakes: &mistakes{}, read: read, dirs: o.Includes, files: map[string]*program{}}
	p := l.load(o.File)
	if err := l.err(); err != nil {
		return nil, err
	}
	all := l.inOrder(p)
	aliases := nameAll(all)
	r := &reader{resolver: resolver{l.mistakes}, methods: map[*ast.Function]*method{}, aliases: aliases}
	var services []*service
	methods := 0
	for _, d := range p.tree.Definitions {
		s, ok := d.(*ast.Service)
		if !ok || p.services[s.Name] != s {
			continue
		}
		read := r.service(p, s)
		if methods += len(read.methods); methods > maxMethods {
			r.add(p, s.Line, "the services have more than %d methods with those of their parents; divide the "+
				"file", maxMethods)
			break
		}
		if slices.ContainsFunc(read.methods, annotated) {
			services = append(services, read)
		}
	}
	r.misplaced(p)
	r.declared(services)
	if err := r.err(); err != nil {
		return nil, err
	}
	if len(services) == 0 {
		r.add(p, 0, `no method has an annotation of skerry, such as (skerry.stream = "server"), so there is nothing `+
			`to write`)
		return nil, r.err()
	}
	where, err := placed(o, p)
	if err != nil {
		return nil, err
	}
	return write(p, all, where, services)
}

func annotated(m *method) bool { return m.mode != unary }

// inOrder is a file and those that it includes, each once.
func (l *loader) inOrder(p *program) []*program {
	all := []*program{p}
	for i := 0; i < len(all); i++ {
		for _, name := range sortedKeys(all[i].includes) {
			if included := all[i].includes[name]; !slices.Contains(all, included) {
				all = append(all, included)
			}
		}
	}
	return all
}

// nameAll gives each stock package a name in the stubs, and returns all names of packages there.
func nameAll(all []*program) map[string]bool {
	taken := map[string]bool{}
	for _, group := range []map[string]string{standard, others} {
		for name := range group {
			taken[name] = true
		}
	}
	byModule := map[string]string{}
	for _, p := range all {
		name := byModule[p.module]
		if name == "" {
			name = p.packageName()
			if taken[name] || token.IsKeyword(name) || slices.Contains(reserved, name) {
				name = "idl" + name
			}
			for base, i := name, 2; taken[name]; i++ {
				name = fmt.Sprint(base, i)
			}
		}
		p.alias, byModule[p.module], taken[name] = name, name, true
	}
	return taken
}

func write(p *program, all []*program, where Place, services []*service) (*Output, error) {
	prefix, ok := strings.CutSuffix("/"+where.Package, "/"+p.importPath(""))
	prefix = strings.TrimPrefix(prefix+"/", "/")
	var e emitter
	out := &Output{Place: where}
	for _, s := range services {
		out.Services = append(out.Services, s.name)
		e.client(s)
		e.provider(s)
	}
	stock := map[string]string{p.alias: where.Package}
	for _, included := range all {
		if included.module != p.module {
			stock[included.alias] = included.importPath(prefix)
		}
	}
	doc := fmt.Sprintf("Package %s has the streams of %s, over the stock compiler's package\n%s.", where.Name,
		path.Base(p.path), p.alias)
	text, used, err := file(path.Base(p.path), where.Name, doc, stock, e.Bytes())
	if err != nil {
		return nil, fmt.Errorf("the stubs of %s are no Go code, which is a fault of skerry: %w", p.path, err)
	}
	for _, name := range slices.Sorted(maps.Keys(stock)) {
		if name != p.alias && len(used.names[name]) > 0 && !ok {
			return nil, fmt.Errorf("%s includes types of the package %s: the import path of its own package must "+
				"end with "+
				"%s for that to be found, and it is %s", p.path, strings.ReplaceAll(moduleOf(all, name), ".", "/"),
				p.importPath(""), where.Package)
		}
	}
	if err := where.has(p, used.names[p.alias]); err != nil {
		return nil, err
	}
	out.Text = text
	return out, nil
}

func moduleOf(all []*program, alias string) string {
	for _, p := range all {
		if p.alias == alias {
			return p.module
		}
	}
	return ""
}
