//go:build linux

package guarantees

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const pagePath = "../../docs/guarantees.md"

// namedTest matches a test in the page: `registry/postgres.TestClean`, the root package as
// `skerry.TestFloors`, a subtest after a slash.
var namedTest = regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)(/[^`]+)?`")

// TestPage keeps docs/guarantees.md equal to the code: every test that it
// names exists, and it names every test of this package.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(pagePath)
	must(t, err)
	named := map[string]bool{}
	tests := map[string]map[string]bool{}
	for _, m := range namedTest.FindAllStringSubmatch(string(text), -1) {
		pkg, name := m[1], m[2]
		named[pkg+"."+name] = true
		if tests[pkg] == nil {
			tests[pkg] = testsOf(t, pkg)
		}
		if !tests[pkg][name] {
			t.Errorf("%s names %s.%s, which does not exist", pagePath, pkg, name)
		}
	}
	if len(named) == 0 {
		t.Fatalf("no test is named in %s", pagePath)
	}
	for name := range testsOf(t, "test/guarantees") {
		if name != "TestPage" && !named["test/guarantees."+name] {
			t.Errorf("test/guarantees.%s is not in %s", name, pagePath)
		}
	}
}

// testsOf returns the names of a package's tests.
func testsOf(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	dir := filepath.Join("../..", filepath.FromSlash(pkg))
	if pkg == "skerry" {
		dir = "../.."
	}
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	must(t, err)
	names := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		must(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name != "TestMain" &&
				(strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}
