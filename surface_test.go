package skerry_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// surface is the number of exported names of each package that programs outside of this module can
// import: types, functions, constants and variables, without methods and fields. A name that only
// this module needs belongs below internal/ or stays unexported.
var surface = map[string]int{
	"":                      18,
	"broadcast":             14,
	"config":                40,
	"console":               20,
	"discovery":             26,
	"gateway":               10,
	"health":                28,
	"health/prom":           3,
	"health/statlog":        5,
	"policy":                22,
	"policy/form":           7,
	"proxy":                 7,
	"registry":              35,
	"registry/postgres":     17,
	"registry/registrytest": 5,
	"rpc":                   111,
	"site/agent":            19,
	"site/agent/shim":       27,
	"site/artifact":         30,
	"site/join":             12,
	"site/order":            9,
	"site/plan":             23,
	"site/build":            16,
	"site/project":          14,
	"site/spread":           15,
}

// newSurface bounds a package that is not in the table yet.
const newSurface = 25

// TestSurface keeps the numbers of exported names, so that they do not grow by the way.
func TestSurface(t *testing.T) {
	names := map[string]map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "internal" ||
				name == "e2e" ||
				filepath.Dir(path) == "." && (name == "bench" || name == "examples" || name == "test")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil || file.Name.Name == "main" {
			return err
		}
		dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), ".")
		if names[dir] == nil {
			names[dir] = map[string]bool{}
		}
		for _, name := range exported(file) {
			names[dir][name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, has := range names {
		if written, known := surface[pkg]; !known && len(has) > 0 && len(has) <= newSurface {
			t.Logf("write package %q with %d exported names into surface_test.go", pkg, len(has))
		} else if len(has) != written {
			t.Errorf("package %q exports %d names, %d are written down in surface_test.go", pkg, len(has), written)
		}
	}
	for pkg := range surface {
		if names[pkg] == nil {
			t.Errorf("package %q is in the table of exported names but not in the tree", pkg)
		}
	}
}

// exported are the names that a file declares for other packages.
func exported(file *ast.File) (names []string) {
	add := func(ids ...*ast.Ident) {
		for _, id := range ids {
			if id.IsExported() {
				names = append(names, id.Name)
			}
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				add(d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					add(s.Name)
				case *ast.ValueSpec:
					add(s.Names...)
				}
			}
		}
	}
	return names
}
