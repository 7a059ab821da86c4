package gen

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"go.uber.org/thriftrw/ast"
	"go.uber.org/thriftrw/idl"

	"github.com/skerry/skerry/internal/dynamic"
)

// maxIncludes bounds the files that one file includes, directly or not.
const maxIncludes = 1000

// program is a .thrift file.
type program struct {
	path      string // as it is named in mistakes
	name      string // of the file, without .thrift
	module    string // the Go package as the stock compiler names it, with dots
	alias     string // by which the stubs name the package
	tree      *ast.Program
	types     map[string]int // index in tree.Definitions
	order     map[*ast.Service]int
	services  map[string]*ast.Service
	includes  map[string]*program
	including bool // its includes are being read
}

// loader reads a file with its includes.
type loader struct {
	*mistakes
	read  func(path string) (*ast.Program, error)
	dirs  []string
	files map[string]*program // by absolute path
}

// load reads a file with its includes. It is nil, with a mistake, if the file itself cannot be read.
func (l *loader) load(file string) *program {
	key, err := filepath.Abs(file)
	if err != nil {
		key = file
	}
	if p := l.files[key]; p != nil {
		return p
	}
	p := &program{
		path:     filepath.ToSlash(file),
		types:    map[string]int{},
		order:    map[*ast.Service]int{},
		services: map[string]*ast.Service{},
		includes: map[string]*program{},
	}
	p.name = strings.TrimSuffix(path.Base(p.path), ".thrift")
	if p.tree, err = l.read(file); err != nil {
		l.unread(p, err)
		return nil
	}
	l.files[key] = p
	p.including = true
	for _, h := range p.tree.Headers {
		if include, ok := h.(*ast.Include); ok {
			l.include(p, include)
		}
	}
	p.including = false
	p.module = module(p)
	l.index(p)
	return p
}

func (l *loader) unread(p *program, err error) {
	if syntax, ok := errors.AsType[*idl.ParseError](err); ok {
		for _, e := range syntax.Errors {
			l.add(p, e.Pos.Line, "%s", strings.Join(strings.Fields(e.Err.Error()), " "))
		}
		return
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err // it repeats the path
	}
	l.add(p, 0, "read the file: %v", err)
}

func (l *loader) include(p *program, i *ast.Include) {
	if len(l.files) > maxIncludes {
		l.add(p, i.Line, "more than %d files are included", maxIncludes)
		return
	}
	name := strings.TrimSuffix(path.Base(filepath.ToSlash(i.Path)), ".thrift")
	found, ok := l.find(p, i.Path)
	if !ok {
		l.add(p, i.Line, "include %q: there is no such file; name its directory with --include", i.Path)
		return
	}
	included := l.load(found)
	switch {
	case included == nil:
	case included.including:
		l.add(p, i.Line, "include %q: the files include each other", i.Path)
	default:
		p.includes[name] = included
	}
}

// find returns the path of an included file: beside the including one, else below a directory of --include.
func (l *loader) find(p *program, included string) (string, bool) {
	if filepath.IsAbs(included) {
		return included, exists(included)
	}
	for _, dir := range append([]string{filepath.Dir(filepath.FromSlash(p.path))}, l.dirs...) {
		if file := filepath.Join(dir, included); exists(file) {
			return file, true
		}
	}
	return "", false
}

func exists(file string) bool {
	info, err := os.Stat(file)
	return err == nil && !info.IsDir()
}

// module is the Go package of a file: that of its namespace for Go, else of that for all languages, else its name.
func module(p *program) string {
	scopes := map[string]string{}
	for _, h := range p.tree.Headers {
		if n, ok := h.(*ast.Namespace); ok {
			scopes[n.Scope] = n.Name
		}
	}
	return cmp.Or(scopes["go"], scopes["*"], strings.ToLower(p.name))
}

// index finds the definitions of a file by name. The stock compiler refuses a name twice; the first one counts here.
func (l *loader) index(p *program) {
	for i, d := range p.tree.Definitions {
		switch d := d.(type) {
		case *ast.Service:
			p.order[d] = i
			if _, known := p.services[d.Name]; known {
				l.add(p, d.Line, "service %s is declared twice", d.Name)
				continue
			}
			p.services[d.Name] = d
		case *ast.Constant:
		default:
			if _, known := p.types[d.Info().Name]; known {
				l.add(p, d.Info().Line, "type %s is declared twice", d.Info().Name)
				continue
			}
			p.types[d.Info().Name] = i
		}
	}
}

// importPath is the import path of a program's stock package, where prefix is that of all.
func (p *program) importPath(prefix string) string {
	return prefix + strings.ReplaceAll(p.module, ".", "/")
}

// packageName is the name of a program's stock package.
func (p *program) packageName() string { return p.module[strings.LastIndexByte(p.module, '.')+1:] }

func readTree(file string) (*ast.Program, error) {
	tree, err := dynamic.Parse(file)
	if err == nil && tree == nil {
		err = fmt.Errorf("nothing is in it")
	}
	return tree, err
}
