package skerry_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/examples/portal/gen/portalapi"
)

// TestReadmeProgram compares the first program of each README, without comments, with the function
// program, which is compiled and run here. It also reads the configuration beside it.
func TestReadmeProgram(t *testing.T) {
	want := uncommented(bodyOf(t, "example_test.go", "program"))
	for _, readme := range []string{"README.md", "README.zh-CN.md"} {
		text, err := os.ReadFile(readme)
		if err != nil {
			t.Fatal(err)
		}
		if got := uncommented(block(string(text), "go")); got != want {
			t.Errorf("the program of %s reads\n%s\nthat of example_test.go\n%s", readme, got, want)
		}
		path := filepath.Join(t.TempDir(), "skerry.yaml")
		if err := os.WriteFile(path, []byte(block(string(text), "yaml")), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Read(path); err != nil {
			t.Errorf("the configuration of %s: %v", readme, err)
		}
	}
}

// TestProgramRuns runs the README's program on this machine's loopback.
func TestProgramRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	log.SetOutput(t.Output())
	defer log.SetOutput(os.Stderr)
	cfg := "cluster: readme\nmode: broadcast\nlan: {interfaces: 127.0.0.0/8}\nservice: {name: portal, version: v1}\n" +
		"state_dir: none\nstop: {grace: 1ms}\nlog: {level: error}\n"
	if err := os.WriteFile("skerry.yaml", []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	program(ctx, entrance{})
}

type entrance struct{}

func (entrance) Handle(context.Context, *portalapi.Request) (*portalapi.Answer, error) {
	return &portalapi.Answer{}, nil
}

// block is the first fenced block of a language.
func block(text, language string) string {
	_, rest, _ := strings.Cut(text, "```"+language+"\n")
	code, _, _ := strings.Cut(rest, "```")
	return code
}

var comment = regexp.MustCompile(`(?m) *//.*$`)

func uncommented(code string) string { return comment.ReplaceAllString(code, "") }

// bodyOf is the body of a function in the file, with one tab less.
func bodyOf(t *testing.T, path, name string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name {
			body := string(text[set.Position(f.Body.Lbrace).Offset+2 : set.Position(f.Body.Rbrace).Offset])
			return strings.ReplaceAll(strings.TrimPrefix(body, "\t"), "\n\t", "\n")
		}
	}
	t.Fatalf("%s has no function %s", path, name)
	return ""
}
