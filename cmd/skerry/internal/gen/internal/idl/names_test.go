package idl

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerry/skerry/cmd/skerry/internal/gen"
)

// compile runs the stock compiler.
func compile(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("thrift", args...).CombinedOutput(); err != nil {
		t.Fatalf("thrift %s (scripts/setup installs the compiler): %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestNames: the stubs find what the stock compiler makes of unusual names: they name types, fields, methods and their
// arguments, and Generate looks up each in the stock package.
func TestNames(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"new", "New", "args", "Args", "result", "Result", "url", "URL", "Url", "id", "ID", "iD", "utf8",
		"http", "Https", "a", "B", "z9", "_", "__", "html", "vm", "uuid", "x_y"}
	seen := map[string]bool{}
	name := func() string {
		for {
			var b strings.Builder
			for range 2 + chance.IntN(4) {
				b.WriteString(pieces[chance.IntN(len(pieces))])
				if chance.IntN(3) == 0 {
					b.WriteByte('_')
				}
			}
			folded := strings.ToLower(strings.ReplaceAll(b.String(), "_", ""))
			if !seen[folded] && len(folded) > 5 && b.String()[0] != '_' && b.String()[0] != 'z' {
				seen[folded] = true
				return b.String()
			}
		}
	}
	var idl strings.Builder
	idl.WriteString("namespace go api\n")
	var structs []string
	for range 30 {
		s := name()
		structs = append(structs, s)
		fmt.Fprintf(&idl, "struct %s { 1: required i64 %s, 2: optional i64 %s, 3: i64 %s }\n", s, name(), name(),
			name())
	}
	methods := 0
	for range 4 {
		service := name()
		fmt.Fprintf(&idl, "service %s {\n", service)
		for i := range 20 {
			s, method, arg, other := structs[chance.IntN(len(structs))], name(), name(), name()
			methods++
			switch i % 4 {
			case 0:
				fmt.Fprintf(&idl, "  %s %s(1: i64 %s) (skerry.stream = \"server\")\n", s, method, arg)
			case 1:
				fmt.Fprintf(&idl, "  i64 %s(1: i64 %s, 2: %s %s) (skerry.stream = \"client\", skerry.item = %q)\n",
					method,
					arg, s, other, arg)
			case 2:
				fmt.Fprintf(&idl, "  void %s(1: i64 %s, 2: %s %s) (skerry.async = \"true\")\n", method, arg, s, other)
			case 3:
				fmt.Fprintf(&idl, "  void %s(1: i64 %s)\n", method, arg)
			}
		}
		idl.WriteString("}\n")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "names.thrift")
	if err := os.WriteFile(file, []byte(idl.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	compile(t, "--gen", "go:skip_remote", "-out", dir, file)
	out, err := gen.Generate(gen.Options{File: file, Package: "example.com/api", Out: "-"})
	if err != nil {
		t.Fatal(err)
	}
	stock := namesOf(t, filepath.Join(dir, "api", "names.go"), nil)
	used := 0
	for ref := range refs(t, out.Text) {
		if used++; !stock[ref] {
			t.Errorf("the stock package has no %s", ref)
		}
	}
	have := namesOf(t, "", out.Text)
	for name := range stock {
		if strings.HasPrefix(name, "method ") && !have[name] {
			t.Errorf("the stubs have no %s", name)
		}
	}
	t.Logf("%d methods, %d names of the stock package", methods, used)
}

// namesOf are the types, functions, fields and methods of interfaces that a file declares.
func namesOf(t *testing.T, file string, text any) map[string]bool {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, d := range tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				all[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.TypeSpec); ok {
					all[s.Name.Name] = true
					for _, name := range members(s) {
						all[name] = true
					}
				}
			}
		}
	}
	return all
}

// members are the methods of an interface and the fields of a struct, after its name.
func members(s *ast.TypeSpec) (all []string) {
	list, kind := []*ast.Field(nil), ""
	switch t := s.Type.(type) {
	case *ast.InterfaceType:
		list, kind = t.Methods.List, "method "
	case *ast.StructType:
		list = t.Fields.List
	}
	for _, f := range list {
		for _, n := range f.Names {
			all = append(all, kind+s.Name.Name+"."+n.Name)
		}
	}
	return all
}

// refs are the names that stubs take from the package api: types, functions, and the fields of literals.
func refs(t *testing.T, text []byte) map[string]bool {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "api" {
				all[n.Sel.Name] = true
			}
		case *ast.CompositeLit:
			of, ok := n.Type.(*ast.SelectorExpr)
			for _, e := range n.Elts {
				if kv, keyed := e.(*ast.KeyValueExpr); ok && keyed {
					all[of.Sel.Name+"."+kv.Key.(*ast.Ident).Name] = true
				}
			}
		}
		return true
	})
	return all
}
