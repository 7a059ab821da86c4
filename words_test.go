package skerry_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/words"
)

// formatAt are the functions that take a format, and the places of formats and texts among their arguments.
var formatAt = map[string][]int{"printf": {0}, "note": {0, 1}, "item": {1}, "Sprintf": {0}, "Format": {0},
	"problemf": {0}, "usagef": {0}, "unreachablef": {0}, "fine": {0}, "hint": {0, 1}, "problem": {0, 1}, "add": {0, 1},
	"Fine": {0}, "Hint": {0, 1}, "Problem": {0, 1},
	"Errorf": {0}, "New": {0}, "printTable": {0}}

// partsOfText are parts of sentences, which the catalogue has whole, and what show prints for apply to read.
var partsOfText = []string{", which has made %d", "%s%d (%.8s) of %s\n", "# made on policy ", "by the default",
	", and go back after %s without skerry policy confirm", "%s may be called, %s.",
	"%s would be refused, %s; access is in the mode audit, which counts it.", "policy: a setting of kind %s",
	" and the database", ", %d slower than %s", "end the log ", "go on with the log ",
	"roll back by the guard", "site.operators: %v: %s",
	"shadow %d", "policy %d", "%v of %s", "sign", "%w: timeline", "%d %s; %s", "%s in %s", "%d of %d", "%s by %s",
	"%w for %v", "%s says: %w", "skerry: %s\n", "listen: %w", "ping: %w", "read: %w", "frame", "%s–%s ms: %s",
	"tuple concurrently updated", "attachment; filename=%q", "^(.*); (\\d+) more were refused before$", "/proc/%d/stat",
	"%.40q is a key in a security token, and operators sign with a plain %s key%s",
	"They refuse every call, and processes that offer nothing else have " +
		"ended; stop those that have not%s.", ", plain servers above all: they can't refuse"}

// logged are the functions that write a line into a log, which is English, or end the program.
var logged = []string{"Debug", "Info", "Warn", "Error", "Log", "panic", "statement"}

// commandAlone is a text that is a command and no more, or several.
var commandAlone = regexp.MustCompile(
	`^(Next: |ssh %s )?(skerry|--cluster)( (\||;|ssh|HOST|skerry|(--)?[a-z]+|%(\[1\])?s|set%s);?)+$`)

// keyAlone is a key, a flag or a path, and what is wrong with it.
var keyAlone = regexp.MustCompile(`^(--[a-z-]+|[a-z_%/]*[._\[][a-z_%\[\].]*)(: %w)?$`)

// written is what is written into files and logs, and what is for other programs.
var written = regexp.MustCompile(
	`^(# skerry: |skerry[a-z -]* 1(\n|\x00)|icacls |chown |\ntypedef |%s namespaces=|rpc: a call in )`)

// sqlText is a text for a database.
var sqlText = regexp.MustCompile(`^(WITH|CASE|DROP|BEGIN|SELECT|INSERT|UPDATE|DELETE|--) `)

// forPrograms reports whether a text is no sentence.
func forPrograms(text string) bool {
	return slices.ContainsFunc([]*regexp.Regexp{commandAlone, sqlText, keyAlone, written},
		func(r *regexp.Regexp) bool { return r.MatchString(text) })
}

// shown are the sources with texts that the console, policy or doctor may show. Streams are not among them yet.
var shown = []string{"cmd/skerry/policy*", "cmd/skerry/doctor*", "cmd/skerry/finding", "cmd/skerry/refused",
	"cmd/skerry/config", "cmd/skerry/database", "cmd/skerry/exit", "cmd/skerry/language", "cmd/skerry/release_sign",
	"broadcast/*", "config/*", "console/*", "discovery/*", "examine", "policy/*", "policy/form/*", "registry/*",
	"registry/postgres/*", "rpc/[^s]*", "rpc/s[^t]*", "internal/control/*", "internal/doctor/*", "internal/drain/*",
	"internal/dynamic/*", "internal/idltext/*", "internal/keyfile/*", "internal/membership/*", "internal/operatorkey/*",
	"internal/policychange/*", "internal/policylog/*", "internal/policytext/*", "internal/policytry/*",
	"internal/reach/*", "internal/refusal/*", "internal/releases/*", "internal/rollout/*",
	"internal/rollout/operator/*",
	"internal/rollout/participant/*", "internal/sitekey/*", "internal/sitepolicy/*", "internal/sitetls/*",
	"internal/sshsig/*", "internal/state/*", "internal/statedir/*", "internal/textfile/*", "internal/tlsfile/*",
	"internal/trust/*", "internal/yamlfile/*"}

// TestEveryTextHasAChineseOne: these sources have no text for people that the catalogue lacks.
func TestEveryTextHasAChineseOne(t *testing.T) {
	var paths []string
	for _, pattern := range shown {
		found, err := filepath.Glob(pattern + ".go")
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", pattern, found, err)
		}
		paths = append(paths, found...)
	}
	seen := 0
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range printed(file) {
			seen++
			if !slices.Contains(partsOfText, text) && !forPrograms(text) && !inChinese(text) {
				t.Errorf("%s: %q has no Chinese text; add it to a file of internal/words", path, text)
			}
		}
	}
	if seen < 200 {
		t.Errorf("%d texts were looked at", seen)
	}
}

// printed are the texts of a source that people may read: formats, and what has three English words or more. Help and
// the descriptions of flags are English; Asks has names of fields.
func printed(file *ast.File) (all []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			return !slices.Contains([]string{"Use", "Short", "Long", "Example", "Asks"}, nameOf(n.Key))
		case *ast.Field:
			return false // with its tag
		case *ast.CallExpr:
			name := nameOf(n.Fun)
			if strings.Contains(name, "Var") || slices.Contains(logged, name) {
				return false // a flag, or a line of a log
			}
			for _, at := range formatAt[name] {
				if at < len(n.Args) {
					all = append(all, slices.DeleteFunc(textsOf(n.Args[at]), func(text string) bool { // but keys
						return !strings.Contains(text, " ") && slices.Contains([]string{"add", "note", "problem"}, name)
					})...)
				}
			}
		case *ast.CompositeLit:
			return true // to its elements
		case ast.Expr:
			texts := textsOf(n)
			if len(texts) == 1 && englishText.MatchString(texts[0]) {
				all = append(all, texts[0])
			}
			return len(texts) == 0
		}
		return true
	})
	return all
}

// nameOf is the name of what is called.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// textsOf are the texts of an argument: a literal, a sum with %s for each value in it, or those of a list.
func textsOf(e ast.Expr) []string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []string{text}
		}
	case *ast.BinaryExpr:
		a, b := textsOf(e.X), textsOf(e.Y)
		if e.Op == token.ADD && len(a)+len(b) > 0 {
			return []string{append(a, "%s")[0] + append(b, "%s")[0]}
		}
	case *ast.CompositeLit:
		var all []string
		for _, one := range e.Elts {
			all = append(all, textsOf(one)...)
		}
		return all
	}
	return nil
}

var (
	englishText = regexp.MustCompile(`(?:\b[A-Za-z][a-z']+ ){2,}[a-z']+\b`) // three words or more
	chineseText = regexp.MustCompile(`\p{Han}`)
	formatVerb  = regexp.MustCompile(`%(\[\d\])?[0-9.]*[a-z]`)
	englishWord = regexp.MustCompile(`[A-Za-z]{2,}`)
)

// inChinese reports whether the catalogue knows a text, line by line.
func inChinese(text string) bool {
	for line := range strings.Lines(strings.TrimLeft(text, " ")) {
		_, comment, is := strings.Cut(line, "# ") // of YAML
		if !lineInChinese(line) && !(is && lineInChinese(comment)) {
			return false
		}
	}
	return true
}

func lineInChinese(line string) bool {
	if !englishWord.MatchString(formatVerb.ReplaceAllString(line, "")) {
		return true
	}
	said := formatVerb.ReplaceAllStringFunc(strings.TrimSuffix(line, "\n"), func(v string) string {
		return cmp.Or(map[byte]string{'d': "7", 'q': `"x"`}[v[len(v)-1]], "val")
	})
	said = strings.ReplaceAll(said, "%%", "%")
	return slices.ContainsFunc([]string{words.Chinese.Format(line), words.Chinese.Sentence(said),
		words.Chinese.Step(said)}, chineseText.MatchString)
}
