package skerry_test

import (
	"go/build"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// foreignToServices are the trees that a service must not link: they are for the operator's
// commands and for users' requests.
var foreignToServices = []string{"cmd", "console", "gateway", "internal/control", "internal/operatorkey", "proxy",
	"resource",
	"internal/rollout/operator", "site"}

// TestServiceLinksLittle: a service that imports skerry, such as an example, links no package that
// only commands and gateways need.
func TestServiceLinksLittle(t *testing.T) {
	linked := links(t, "examples/portal/cmd/auth")
	if !slices.Contains(linked, "") || !slices.Contains(linked, "rpc") || len(linked) < 20 {
		t.Fatalf("the graph is not whole: %q", linked)
	}
	for _, pkg := range linked {
		for _, tree := range foreignToServices {
			if pkg == tree || strings.HasPrefix(pkg, tree+"/") {
				t.Errorf("a service links %s", pkg)
			}
		}
	}
	if operators := links(t, "cmd/skerry"); !slices.Contains(operators, "internal/rollout/operator") {
		t.Errorf("the test proves nothing: the command links %q", operators)
	}
}

// links are the packages of the module that a program links, including its own.
func links(t *testing.T, program string) (all []string) {
	t.Helper()
	waiting := []string{program}
	for len(waiting) > 0 {
		pkg := waiting[0]
		waiting = waiting[1:]
		if slices.Contains(all, pkg) {
			continue
		}
		all = append(all, pkg)
		p, err := build.ImportDir(filepath.FromSlash("./"+pkg), 0)
		if err != nil {
			t.Fatalf("%s: %v", pkg, err)
		}
		for _, imported := range p.Imports {
			if rel, ok := strings.CutPrefix(imported, module); ok {
				waiting = append(waiting, strings.TrimPrefix(rel, "/"))
			}
		}
	}
	return all
}
