package gen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/thriftrw/ast"

	"github.com/skerry/skerry/internal/dynamic"
)

// stubs makes the stubs of a text, for the stock package example.com/gen/api.
func stubs(text string) (string, error) {
	read := func(string) (*ast.Program, error) { return dynamic.ParseText([]byte(text)) }
	out, err := generate(Options{File: "a.thrift"}, read, somewhere)
	if err != nil {
		return "", err
	}
	return string(out.Text), nil
}

func somewhere(_ Options, p *program) (Place, error) {
	return Place{Package: "example.com/gen/" + p.importPath(""), Path: "-", Name: "stubs"}, nil
}

// TestMistakes: what cannot be is refused, with line, reason and remedy.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := stubs(common + "service S { " + c.text + " }\n")
			wrong, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("have error %v", err)
			}
			line := strings.Count(common, "\n") + 1
			var have []string
			for _, m := range wrong.Mistakes {
				have = append(have, m.Text)
				inTable := m.Line == 0 || m.Line == line || m.Line == line+1 || strings.Contains(m.Text, "typedefs "+
					"refer")
				if m.File != "a.thrift" || !inTable {
					t.Errorf("mistake at %s:%d, want a.thrift:%d", m.File, m.Line, line)
				}
			}
			if have := strings.Join(have, "|"); have != c.want {
				t.Errorf("have\n%s\nwant\n%s", have, c.want)
			}
		})
	}
}

// TestAllMistakes: all mistakes come at once, by line, each once although two services inherit the method.
func TestAllMistakes(t *testing.T) {
	t.Parallel()
	text := `service S {
  i64 a() (skerry.stream = "x")
  oneway void b() (
    skerry.async = "true",
    skerry.odd = "1"
  )
} (skerry.x = "1")

service T extends S {}
service U extends S {
  Missing m()
}
struct A { 1: i64 x (skerry.y = "2") }
`
	want := `a.thrift:2: method a: skerry.stream = "x"; write "server", "client" or "bidi"
a.thrift:3: method b: a oneway method cannot be an asynchronous method, because nothing comes back; remove oneway
a.thrift:5: method b: there is no annotation skerry.odd; there are skerry.stream, skerry.item, skerry.resume, ` +
		`skerry.page, skerry.async
a.thrift:7: skerry.x is an annotation of methods; write it after the arguments and exceptions of one
a.thrift:11: there is no type Missing
a.thrift:13: skerry.y is an annotation of methods; write it after the arguments and exceptions of one`
	for range 20 {
		if _, err := stubs(text); err == nil || err.Error() != want {
			t.Fatalf("have\n%v\nwant\n%s", err, want)
		}
	}
}

// TestNameOfPackage: the stock package gets a name of its own in the stubs, unless a service has it.
func TestNameOfPackage(t *testing.T) {
	t.Parallel()
	_, err := stubs("namespace go x.S\nservice S { i64 a() (skerry.async = \"true\") }")
	if want := "a.thrift:2: package S and service S have one name in the stubs, S; rename one"; err == nil ||
		err.Error() != want {
		t.Errorf("have %v\nwant %s", err, want)
	}
	text, err := stubs("namespace go error\nservice S { i64 a() (skerry.async = \"true\") }")
	if err != nil || !strings.Contains(text, `idlerror "example.com/gen/error"`) {
		t.Errorf("have %v\n%s", err, text)
	}
}

// TestSyntax: an error of the syntax has its line, and a text from the file is printed with visible characters.
func TestSyntax(t *testing.T) {
	t.Parallel()
	_, err := stubs("service S {\n\n  i64 a( }\n")
	if wrong, ok := errors.AsType[*Error](err); !ok || wrong.Mistakes[0].Line != 3 {
		t.Errorf("have %v", err)
	}
	_, err = stubs("service S { i64 a() (skerry.stream = \"\x1b[2J\") }")
	if wrong, ok := errors.AsType[*Error](err); !ok || strings.ContainsAny(string(wrong.Safe()), "\x1b\n") {
		t.Errorf("have %v", err)
	}
}

// TestIncludes: files are found beside the including one, then in the directories of --include. What is wrong with one
// has its name.
func TestIncludes(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"main.thrift": "include \"sub/a.thrift\"\ninclude \"far.thrift\"\nnamespace go x.main\n" +
			"service S extends far.F { a.A a(1: far.K k) (skerry.stream = \"server\") }",
		"sub/a.thrift":   "include \"b.thrift\"\nnamespace go x.rpc\nstruct A { 1: b.B b }",
		"sub/b.thrift":   "struct B { 1: i64 x }",
		"far/far.thrift": "namespace go y.x.rpc\nenum K { A } service F { K f() (skerry.async = \"true\") }",
		"loop.thrift":    "include \"loop2.thrift\"\nservice S { i64 a() (skerry.async = \"true\") }",
		"loop2.thrift":   "include \"loop.thrift\"\n",
		"gone.thrift":    "\ninclude \"nowhere.thrift\"\nservice S { i64 a() (skerry.async = \"true\") }",
		"bad.thrift":     "include \"worse.thrift\"\nservice S { i64 a() (skerry.async = \"true\") }",
		"worse.thrift":   "struct {\n}",
		"in.thrift":      "include \"sub/c.thrift\"\nservice S extends c.C {}",
		"sub/c.thrift":   "service C { i64 a() (skerry.stream = \"client\") }",
	}
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text),
			0o644)); err != nil {
			t.Fatal(err)
		}
	}
	made := func(name string) (string, error) {
		out, err := generate(Options{File: filepath.Join(dir, name), Includes: []string{filepath.Join(dir, "far")}},
			readTree, somewhere)
		if err != nil {
			return "", errors.New(strings.ReplaceAll(err.Error(), filepath.ToSlash(dir)+"/", ""))
		}
		return string(out.Text), nil
	}
	text, err := made("main.thrift")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"example.com/gen/x/main"`, `idlrpc "example.com/gen/x/rpc"`,
		`idlrpc2 "example.com/gen/y/x/rpc"`, "A(ctx context.Context, k idlrpc2.Kind) iter.Seq2[*idlrpc.A, error]",
		"idlrpc2.NewFFArgs"} {
		if !strings.Contains(text, strings.ReplaceAll(want, "Kind", "K")) {
			t.Errorf("the stubs have no %s:\n%s", want, text)
		}
	}
	for name, want := range map[string]string{
		"loop.thrift": `loop2.thrift:1: include "loop.thrift": the files include each other`,
		"gone.thrift": `gone.thrift:2: include "nowhere.thrift": there is no such file; name its directory with ` +
			`--include`,
		"bad.thrift": "worse.thrift:1: syntax error: unexpected '{', expecting IDENTIFIER",
		"in.thrift": "sub/c.thrift:1: method a: a client stream needs an argument: its type is that of the items " +
			"which the " +
			"caller sends",
		"none.thrift": "none.thrift: read the file: no such file or directory",
	} {
		if _, err := made(name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: have %v\nwant %s", name, err, want)
		}
	}
}

// TestDeterministic: the same files make the same bytes.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	text := common + `service S { Point a(1: Range r) throws (1: Gone g) (skerry.stream = "server", skerry.resume = ` +
		`"r.since = t")
	i64 b(1: U u, 2: map<string, Point> m) (skerry.stream = "client", skerry.item = "m") }`
	first, err := stubs(text)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, err := stubs(text); err != nil || again != first {
			t.Fatalf("have %s, %v", again, err)
		}
	}
}

// TestComments: comments of the file are those of the code, and nothing else.
func TestComments(t *testing.T) {
	t.Parallel()
	text, err := stubs("/** The service.\r\n * Its second line. \u202e hidden \x00 \ufeff */\nservice S {\n" +
		"/**\n * Does it.\n *\n *   indented\n * go:embed x\n */ i64 a() (skerry.async = \"true\") }")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"// The service.\n// Its second line. \\u202e hidden \\x00 \\ufeff\ntype SClient struct",
		"\t// Does it.\n\t//\n\t//   indented\n\t// go:embed x\n\tA(ctx context.Context, done *rpc.Promise[int64]) " +
			"error\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the stubs have no\n%s\n%s", want, text)
		}
	}
}

// FuzzGenerate: no file makes the generator fail otherwise than with mistakes, each in the file.
func FuzzGenerate(f *testing.F) {
	f.Add(common + `service S extends T { Point a(1: Range r) throws (1: Gone g) (skerry.stream = "server", ` +
		`skerry.resume = "r.since = t") list<Point> p(1: Range r, 2: i32 max, 3: i32 waitMs) throws (1: Gone g) ` +
		`(skerry.page = "a") } service T { i64 b(1: U u, 2: map<string, Point> m) (skerry.stream = "bidi", ` +
		`skerry.item = "m") void c() (skerry.async = "true") }`)
	for _, path := range []string{"internal/idl/wide.thrift", "internal/idl/base.thrift"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(strings.ReplaceAll(string(text), "include ", "// "))
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := stubs(text)
		wrong, ok := errors.AsType[*Error](err)
		if err != nil && !ok {
			t.Fatalf("have error %v", err)
		}
		if !ok {
			return
		}
		lines := strings.Count(text, "\n") + 2
		for _, m := range wrong.Mistakes {
			if m.Line < 0 || m.Line > lines || m.Text == "" {
				t.Errorf("mistake %+v", m)
			}
		}
	})
}

// TestBounds: no small file makes much work or output.
func TestBounds(t *testing.T) {
	t.Parallel()
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintln(&b, strings.NewReplacer("N", fmt.Sprint(i), "M", fmt.Sprint(i+1)).Replace(format))
		}
		return b.String()
	}
	for name, c := range map[string]struct{ text, want string }{
		"parents of parents": {"service SN { i64 a() (skerry.async = \"true\") }\n" +
			many(maxDepth+2, "service SM extends SN { }"),
			"more than 64 services"},
		"services that inherit": {"service P {\n" + many(100, "i64 aN() (skerry.async = \"true\")") + "}\n" +
			many(101, "service SN extends P { }"), "more than 10000 methods"},
		"mistakes": {"service S {\n" + many(2000, "Gone aN()") + "}\n", "there is no type Gone"},
		"typedefs": {many(100, "typedef TM TN") + "service S { T0 a() }", "more than 64 times"},
		"a type": {"service S { " + strings.Repeat("set<", 100) + "i64" + strings.Repeat(">", 100) + " a() }",
			"more than 64 times"},
	} {
		_, err := stubs(strings.ReplaceAll(c.text, "service SN", "service S0"))
		wrong, ok := errors.AsType[*Error](err)
		if !ok || !strings.Contains(err.Error(), c.want) || len(wrong.Mistakes) > maxMistakes {
			t.Errorf("%s: have %.300v\nwant %s", name, err, c.want)
		}
	}
}
