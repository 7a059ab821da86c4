package gen

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Place is where the stubs go, and what they stand beside.
type Place struct {
	Package string // import path of the stock package
	Path    string // file of the stubs, "-" for the standard output
	Name    string // package of the stubs

	stock string // directory of the stock package, "" when it is not known
}

// mark is a file that every stock package has.
const mark = "GoUnusedProtection__.go"

var importPath = regexp.MustCompile(`^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$`)

// placeOf finds the stock package, and the file for its stubs.
func placeOf(o Options, p *program) (Place, error) {
	var out Place
	var err error
	switch {
	case o.Package == "":
		out.stock, err = search(o, p)
	case filepath.IsAbs(o.Package) || o.Package == "." || strings.HasPrefix(o.Package, "./") ||
		strings.HasPrefix(o.Package, "../"):
		out.stock = filepath.Clean(o.Package)
	case !importPath.MatchString(o.Package):
		return out, fmt.Errorf("--package %q is no import path, such as example.com/site/gen/%s", o.Package,
			p.importPath(""))
	default:
		out.Package = o.Package
		out.stock = inModule(o.Package)
	}
	if err == nil && out.Package == "" {
		out.Package, err = pathOf(out.stock)
	}
	if err != nil {
		return out, err
	}
	return out, out.target(o, p)
}

// search finds the stock package of a file where the stock compiler writes it by common options.
func search(o Options, p *program) (string, error) {
	var found, looked []string
	for _, base := range []string{".", filepath.Dir(o.File)} {
		for _, dir := range []string{"gen-go", "gen", ""} {
			at := filepath.Join(base, dir, filepath.FromSlash(p.importPath("")))
			if slices.Contains(looked, at) {
				continue
			}
			looked = append(looked, at)
			if exists(filepath.Join(at, mark)) {
				found = append(found, at)
			}
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fmt.Errorf("the stock compiler's package of %s is not at %s; make it first (thrift --gen go …), "+
			"or name "+
			"its import path or directory with --package", o.File, strings.Join(looked, ", "))
	}
	return "", fmt.Errorf("the stock compiler's package of %s may be at %s; name one with --package", o.File,
		strings.Join(found, " or "))
}

// moduleAt is the nearest directory with a go.mod, and the module's path.
func moduleAt(dir string) (root, module string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		switch {
		case err == nil:
			for line := range strings.Lines(string(text)) {
				if words := strings.Fields(line); len(words) >= 2 && words[0] == "module" {
					return dir, strings.Trim(words[1], `"`), nil
				}
			}
			return "", "", fmt.Errorf("%s names no module", filepath.Join(dir, "go.mod"))
		case !errors.Is(err, fs.ErrNotExist):
			return "", "", err
		case dir == filepath.Dir(dir):
			return "", "", errNoModule
		}
	}
}

var errNoModule = errors.New("no go.mod is above")

// pathOf is the import path of a directory.
func pathOf(dir string) (string, error) {
	root, module, err := moduleAt(dir)
	if err != nil {
		return "", fmt.Errorf("the import path of %s is not known: %w; name it with --package", dir, err)
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	below, err := filepath.Rel(root, full)
	return path.Join(module, filepath.ToSlash(below)), err
}

// inModule is the directory of an import path in the module around the current directory, "" outside of it.
func inModule(pkg string) string {
	root, module, err := moduleAt(".")
	if err != nil {
		return ""
	}
	below, ok := strings.CutPrefix(pkg+"/", module+"/")
	if !ok {
		return ""
	}
	dir := filepath.Join(root, filepath.FromSlash(below))
	if here, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(here, dir); err == nil {
			return rel
		}
	}
	return dir
}

// target sets the file and the package of the stubs.
func (out *Place) target(o Options, p *program) error {
	base := p.name + ".go"
	stubs := identifier(p.packageName() + "stream")
	switch {
	case o.Out == "-":
		out.Path, out.Name = "-", stubs
		return nil
	case strings.HasSuffix(o.Out, ".go"):
		out.Path = filepath.Clean(o.Out)
	case o.Out != "":
		out.Path = filepath.Join(o.Out, base)
	case out.stock == "":
		return fmt.Errorf("package %s is not in the module of this directory; name the file of the stubs with --out",
			out.Package)
	default:
		out.Path = filepath.Join(filepath.Dir(out.stock), stubs, base)
	}
	dir := filepath.Dir(out.Path)
	if out.stock != "" && same(dir, out.stock) {
		return fmt.Errorf("the stubs cannot be in %s, because they have the names of the stock package there; name "+
			"another directory with --out", dir)
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if out.Name = packageIn(dir, out.Path); out.Name == "" {
		out.Name = identifier(filepath.Base(full))
	}
	if out.Name == "" {
		out.Name = stubs
	}
	return nil
}

func same(a, b string) bool {
	a, errA := filepath.Abs(a)
	b, errB := filepath.Abs(b)
	return errA == nil && errB == nil && a == b
}

// identifier is a name of a package: the letters and digits of a text, "" when it would not be one.
func identifier(text string) string {
	out := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(text))
	if !token.IsIdentifier(out) {
		return ""
	}
	return out
}

// packageIn is the package of the other Go files in a directory, "" without any.
func packageIn(dir, but string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, file := range files {
		if filepath.Clean(file) == filepath.Clean(but) || strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
		if err == nil {
			return tree.Name.Name
		}
	}
	return ""
}

// has reports names that the stock package lacks, where its files can be read.
func (out Place) has(p *program, names map[string]bool) error {
	files, _ := filepath.Glob(filepath.Join(out.stock, "*.go"))
	if out.stock == "" || len(files) == 0 {
		return nil
	}
	declared := map[string]bool{}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("read the stock package: %w", err)
		}
		for _, d := range tree.Decls {
			declare(declared, d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !declared[name] {
			return fmt.Errorf("the stock compiler's package in %s has no %s; make it again from %s (thrift --gen go "+
				"…, "+
				"without ignore_initialisms)", out.stock, name, p.path)
		}
	}
	return nil
}

func declare(declared map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			declared[d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok {
				declared[t.Name.Name] = true
			}
		}
	}
}
