package main

import (
	"bytes"
	"cmp"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/sitepolicy"
	"github.com/skerry/skerry/internal/words"
)

func TestLanguageOf(t *testing.T) {
	for _, c := range []struct {
		flag string
		env  map[string]string
		want words.Language
		code int
	}{
		{"", nil, words.English, exitOK},
		{"zh", map[string]string{"SKERRY_LANG": "en"}, words.Chinese, exitOK},
		{"", map[string]string{"SKERRY_LANG": "en", "LANG": "zh_CN.UTF-8"}, words.English, exitOK},
		{"", map[string]string{"SKERRY_LANG": "zh", "LANG": "C"}, words.Chinese, exitOK},
		{"", map[string]string{"LANG": "zh_CN.UTF-8"}, words.Chinese, exitOK},
		{"", map[string]string{"LC_MESSAGES": "zh_TW", "LANG": "C"}, words.Chinese, exitOK},
		{"", map[string]string{"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, words.English, exitOK},
		{"de", nil, words.English, exitUsage},
		{"", map[string]string{"SKERRY_LANG": "ZH"}, words.English, exitUsage},
	} {
		have, err := languageOf(c.flag, func(key string) string { return c.env[key] })
		code := newApp(nil, &bytes.Buffer{}, &bytes.Buffer{}).report(err)
		if have != c.want || code != c.code {
			t.Errorf("--lang %q, %v: %s, exit code %d; want %s, %d", c.flag, c.env, have, code, c.want, c.code)
		}
	}
}

// english finds three or more English words in a row.
var english = regexp.MustCompile(`(?:\b[A-Za-z][a-z']+ ){2,}[a-z']+\b`)

// TestChineseHasNoEnglish: what the commands print in Chinese has no English sentence but commands, names and values.
func TestChineseHasNoEnglish(t *testing.T) {
	values := strings.NewReplacer("skerry policy apply", "", "skerry policy history", "", "skerry policy try", "",
		"skerry policy confirm", "", "queue grows since", "", "# made on policy", "")
	for line := range strings.Lines(string(policyOutput(t, words.Chinese))) {
		if found := english.FindString(values.Replace(line)); found != "" {
			t.Errorf("%q in %q", found, line)
		}
	}
}

// TestCheckInChinese: faults of a text are in the language of the command, and JSON stays English.
func TestCheckInChinese(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.yaml")
	text := `policy: 1
services:
  auth:
    timeout: 0.5
    retrys: 2
    balancer: p2
    limits: [{rate: 5}, {per: site}]
    route: [{match: {tenant: t7}, to: {zone: hall-2}, else: al}]
    access: {mode: enforce, default: deny}
    fallback: [{on: [timeout], reply: {a: 1}, match: {header: {X-A: "1"}}}]
    faults: [{match: {percent: 20}, error: unavailable}]
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		var out bytes.Buffer
		newApp(nil, &out, &out).run(context.Background(), append([]string{"policy", "check", path}, args...))
		return strings.ReplaceAll(out.String(), path, "p.yaml")
	}
	chinese := run("--lang", "zh")
	golden(t, "policy-check.zh", []byte(chinese))
	if found := english.FindString(chinese); found != "" {
		t.Errorf("English in the Chinese output: %s", found)
	}
	if json := run("--lang", "zh", "--json"); json != run("--json") || strings.Contains(json, "没有") {
		t.Errorf("JSON has another language: %s", json)
	}
	if fails := run("--lang", "de"); !strings.Contains(fails, `--lang: want en or zh, got "de"`) {
		t.Error(fails)
	}
}

// TestDoctorPolicyInChinese: what doctor says of the policy has Chinese texts.
func TestDoctorPolicyInChinese(t *testing.T) {
	var out bytes.Buffer
	a := newApp(nil, &out, &out)
	a.lang = words.Chinese
	e := policylog.Entry{Number: 3, Previous: "x", Text: "policy: 1\n", By: "li"}
	f := findings{area: "Policy"}
	f.obeyNone(control.PolicyState{Processes: []control.PolicyProcess{{Process: "h1/1/a",
		Status: sitepolicy.Status{Obey: sitepolicy.ObeysNone, Because: "it is told to obey no policy"}}}})
	f.problem("apply it again when it was meant to stay", "%s does not obey policy %d: %s", "h1/1/a", e.Number,
		"it has policy 2")
	f.fine("policy %s is obeyed by %d of %s that answered", policyTitle(e), 2, count(3, "process", "es"))
	a.report(a.printFindings(f.list))
	for _, want := range []string{"h1/1/a 不执行站点的任何策略", "h1/1/a 没有执行策略 3：它已是策略 2", "如果本来要保留",
		"3 个进程有应答，其中 2 个已执行策略 3（li）", "有 2 个问题需要处理。"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// TestOldSitesInChinese: what apply says of processes has Chinese texts.
func TestOldSitesInChinese(t *testing.T) {
	p := compiled(t, "policy: 1\nservices:\n  auth:\n    limits:\n      - {rate: 5, per: site}\n").Policy()
	listed := []discovery.Entry{{Service: "auth", Owner: "h3/412/aaaaaaaaaa", State: discovery.OK, Weight: 100,
		Own: 100}}
	old := []control.PolicyProcess{{Process: "h3/412/aaaaaaaaaa", Err: control.ErrNoPolicies}}
	faults, _ := judgePolicy(p, listed, old, func(string) bool { return false })
	want := "h3/412/aaaaaaaaaa: 它的 skerry 版本不支持策略，请升级；它提供的服务有限流或访问控制，而它不会执行"
	if have := words.Chinese.Sentence(joined(faults).Error()); have != want {
		t.Errorf("%q, want %q", have, want)
	}
	for text, want := range map[string]string{
		"services.auth.access: it would refuse all calls of auth by gw (the gateway h3/412), which has made 7; " +
			"add {caller: gw} to allow, or apply it with --confirm 10m": "services.auth.access：会拒绝 gw（网关 h3/412） 对 " +
			"auth 的全部调用（已有 7 次）；请在 allow 中加 {caller: gw}，或用 --confirm 10m 应用",
		"make this policy 19 of site-2, and go back after 10m without skerry policy confirm": "设为 site-2 的策略 19，10m " +
			"内没有 skerry policy confirm 则自动恢复",
		"note: services.auth.access: it would refuse all calls of auth by x": "提示：services.auth.access：会拒绝 x 对 " +
			"auth 的全部调用",
	} {
		if have := words.Chinese.Sentence(text); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
}

// formatAt are the functions that take a format, and the places of formats and texts among their arguments.
var formatAt = map[string][]int{"printf": {0}, "note": {0, 1}, "item": {1}, "Sprintf": {0}, "Format": {0},
	"problemf": {0}, "usagef": {0}, "unreachablef": {0}, "fine": {0}, "hint": {0, 1}, "problem": {0, 1}, "add": {0, 1},
	"printTable": {0}}

// partsOfText are parts of sentences, which the catalogue has whole, and what show prints for apply to read.
var partsOfText = []string{", which has made %d", "%s%d (%.8s) of %s\n", "# made on policy ", "by the default",
	", and go back after %s without skerry policy confirm", "%s may be called, %s.",
	"%s would be refused, %s; access is in the mode audit, which counts it.", "policy: a setting of kind %s"}

// TestEveryTextHasAChineseOne: the sources of the commands, of package policy and of its form have no text for people
// that the catalogue lacks.
func TestEveryTextHasAChineseOne(t *testing.T) {
	var paths []string
	for _, pattern := range []string{"policy*.go", "doctor_policy.go", "../../policy/*.go", "../../policy/form/*.go"} {
		found, err := filepath.Glob(pattern)
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
			if !slices.Contains(partsOfText, text) && !inChinese(text) {
				t.Errorf("%s: %q has no Chinese text", path, text)
			}
		}
	}
	if seen < 200 {
		t.Errorf("%d texts were looked at", seen)
	}
}

// printed are the texts of a source that people may read: formats, and what has three English words or more. Help and
// the descriptions of flags are English.
func printed(file *ast.File) (all []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			return !slices.Contains([]string{"Use", "Short", "Long", "Example"}, nameOf(n.Key))
		case *ast.Field:
			return false // with its tag
		case *ast.CallExpr:
			name := nameOf(n.Fun)
			if strings.Contains(name, "Var") {
				return false // a flag
			}
			for _, at := range formatAt[name] {
				if at < len(n.Args) {
					all = append(all, slices.DeleteFunc(textsOf(n.Args[at]), func(text string) bool { // but keys
						return !strings.Contains(text, " ") && slices.Contains([]string{"add", "note", "problem"}, name)
					})...)
				}
			}
		case ast.Expr:
			texts := textsOf(n)
			if len(texts) == 1 && english.MatchString(texts[0]) {
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
	chineseText = regexp.MustCompile(`\p{Han}`)
	formatVerb  = regexp.MustCompile(`%(\[\d\])?[0-9.]*[a-z]`)
	englishWord = regexp.MustCompile(`[A-Za-z]{2,}`)
)

// inChinese reports whether the catalogue knows a text, line by line.
func inChinese(text string) bool {
	for line := range strings.Lines(strings.TrimLeft(text, " ")) {
		if _, comment, is := strings.Cut(line, "# "); is { // of YAML
			line = comment
		}
		if !englishWord.MatchString(formatVerb.ReplaceAllString(line, "")) {
			continue
		}
		said := formatVerb.ReplaceAllStringFunc(strings.TrimSuffix(line, "\n"), func(v string) string {
			return cmp.Or(map[byte]string{'d': "7", 'q': `"x"`}[v[len(v)-1]], "val")
		})
		said = strings.ReplaceAll(said, "%%", "%")
		if !slices.ContainsFunc([]string{words.Chinese.Format(line), words.Chinese.Sentence(said)},
			chineseText.MatchString) {
			return false
		}
	}
	return true
}
