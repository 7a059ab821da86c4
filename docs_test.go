package skerry_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/policy/form"
)

// pages are all documents for readers.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/zh/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// rowsBehind are the lines of the table behind a marker, without its head.
func rowsBehind(t *testing.T, path, marker string) []string {
	t.Helper()
	_, behind, ok := strings.Cut(read(t, path), marker)
	_, table, ok2 := strings.Cut(behind, "|---|")
	if !ok || !ok2 {
		t.Fatalf("%s: no table behind %q", path, marker)
	}
	var rows []string
	for _, line := range strings.Split(table, "\n")[1:] {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows = append(rows, line)
	}
	return rows
}

// sameRows compares the beginnings of rows, and requires more text in each.
func sameRows(t *testing.T, path string, got, want []string) {
	t.Helper()
	at := func(row string) int {
		return slices.IndexFunc(want, func(w string) bool { return strings.HasPrefix(row, w) })
	}
	last, found := -1, map[int]bool{}
	for _, row := range got {
		switch i := at(row); {
		case i < 0 || found[i]:
			t.Errorf("%s: this row does not belong here: %s", path, row)
		case i < last:
			t.Errorf("%s: this row belongs further up: %s", path, row)
		case len(row) < len(want[i])+10:
			t.Errorf("%s: this row says nothing: %s", path, row)
		default:
			last, found[i] = i, true
		}
	}
	for i, row := range want {
		if !found[i] {
			t.Errorf("%s: a row is missing: %s", path, row)
		}
	}
}

// TestFloorsPage keeps the table of docs/architecture.md equal to floors.
func TestFloorsPage(t *testing.T) {
	names := slices.Collect(maps.Keys(floors))
	slices.SortFunc(names, func(a, b string) int {
		if d := floors[b].floor - floors[a].floor; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var want []string
	for _, name := range names {
		below := slices.Clone(floors[name].imports)
		if i := slices.Index(below, ""); i >= 0 {
			below[i] = "skerry"
		}
		slices.Sort(below)
		want = append(want, fmt.Sprintf("| %d | `%s` | %s | ", floors[name].floor, cmp.Or(name, "skerry"),
			cmp.Or(strings.Join(below, ", "), "–")))
	}
	const path = "docs/architecture.md"
	sameRows(t, path, rowsBehind(t, path, "<!-- floors -->"), want)
}

// TestDependenciesPage keeps docs/dependencies.md equal to go.mod, and to the additional modules of
// bench/go.mod, console/e2e/go.mod and packaging/go.mod, and to what npm brings.
func TestDependenciesPage(t *testing.T) {
	const path = "docs/dependencies.md"
	own := directModules(t, "go.mod")
	row := func(name string) string { return fmt.Sprintf("| `%s` | ", name) }
	var want []string
	for _, m := range own {
		want = append(want, row(m))
	}
	sameRows(t, path, rowsBehind(t, path, "<!-- go.mod -->"), want)
	for _, nested := range []string{"bench/go.mod", "console/e2e/go.mod", "packaging/go.mod"} {
		var more []string
		for _, m := range directModules(t, nested) {
			if m != "github.com/skerry/skerry" && !slices.Contains(own, m) {
				more = append(more, row(m))
			}
		}
		if nested == "console/e2e/go.mod" {
			for _, m := range regexp.MustCompile(`"([a-z-]+)": "\d`).FindAllStringSubmatch(
				read(t, "console/e2e/package.json"), -1) {
				more = append(more, row(m[1]))
			}
		}
		sameRows(t, path, rowsBehind(t, path, "<!-- "+nested+" -->"), more)
	}
}

// directModules are the direct requirements of a go.mod.
func directModules(t *testing.T, file string) (names []string) {
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read(t, file), -1) {
		names = append(names, m[1])
	}
	return names
}

// TestConfigurationsOnPages reads every skerry.yaml on a page, and every text of a policy.
func TestConfigurationsOnPages(t *testing.T) {
	t.Setenv("DB_PASSWORD", "secret")
	file := regexp.MustCompile(`/etc/[\w/.-]+`)
	anything := identity(t)
	for _, page := range pages(t) {
		for i, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(read(t, page), -1) {
			if strings.HasPrefix(block[1], "policy:") {
				if p, problems := form.Read([]byte(block[1])); p == nil || len(problems) > 0 {
					t.Errorf("%s: yaml block %d: %v", page, i+1, problems)
				}
				continue
			}
			dir := t.TempDir()
			text := file.ReplaceAllStringFunc(block[1], func(path string) string { // files of the site: one that exists
				own := filepath.Join(dir, filepath.Base(path))
				if err := os.WriteFile(own, anything, 0o600); err != nil {
					t.Fatal(err)
				}
				return own
			})
			path := filepath.Join(dir, "skerry.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Read(path); err != nil {
				t.Errorf("%s: yaml block %d: %v", page, i+1, err)
			}
		}
	}
}

// identity is a certificate and its key in one file, for any of the named files.
func identity(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, &about, &about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
}

// TestReadmesAgree: the two READMEs have the same headings, blocks, rows, items and links to pages.
func TestReadmesAgree(t *testing.T) {
	english, chinese := read(t, "README.md"), strings.ReplaceAll(read(t, "README.zh-CN.md"), "](docs/zh/", "](docs/")
	for what, pattern := range map[string]string{
		"headings": `(?m)^#+ `, "blocks": "(?m)^```", "rows": `(?m)^\|`, "items": `(?m)^(- |\d\. )`,
		"links to pages": `\]\(docs/[a-z]+\.md\)`,
	} {
		p := regexp.MustCompile(pattern)
		if a, b := p.FindAllString(english, -1), p.FindAllString(chinese, -1); !slices.Equal(a, b) {
			t.Errorf("%s differ: %q in README.md, %q in README.zh-CN.md", what, a, b)
		}
	}
}

// TestLinks: files that pages link to exist, with the heading behind #, and so do make targets.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	code := regexp.MustCompile("(?s)```.*?```") // brackets there are no links
	target := regexp.MustCompile("(?m)(?:^    |`)make ([a-z]+(?:-[a-z]+)*)")
	makefile := read(t, "Makefile")
	for _, page := range pages(t) {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			to := page
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if m[2] != "" && !slices.Contains(anchors(read(t, to)), m[2][1:]) {
				t.Errorf("%s links to %s%s: there is no such heading", page, m[1], m[2])
			}
		}
		for _, m := range target.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") && !strings.HasPrefix(m[1], "test-") {
				t.Errorf("%s: there is no make %s", page, m[1])
			}
		}
	}
}

// anchors are the headings of a page in the form of links.
func anchors(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

// testsIn returns the text of a package's tests, for a page that names them.
func testsIn(t *testing.T, path string) func(pkg string) string {
	tests := map[string]string{} // by package
	return func(pkg string) string {
		if _, known := tests[pkg]; !known {
			dir := pkg
			if pkg == "skerry" {
				dir = "."
			}
			files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s names tests of %s, where there are none (%v)", path, pkg, err)
			}
			for _, file := range files {
				tests[pkg] += read(t, file)
			}
		}
		return tests[pkg]
	}
}

// namedTests are the tests that a page names; each must exist.
func namedTests(t *testing.T, path string) map[string]bool {
	t.Helper()
	in, named := testsIn(t, path), map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z/]+)\\.((?:Test|Fuzz)\\w+)(?:/[^`]+)?`").FindAllStringSubmatch(read(t,
		path), -1) {
		named[m[1]+"."+m[2]] = true
		if !strings.Contains(in(m[1]), "func "+m[2]+"(") {
			t.Errorf("%s names %s.%s, which does not exist", path, m[1], m[2])
		}
	}
	return named
}

// TestSecurityPage: every test that docs/security.md names exists.
func TestSecurityPage(t *testing.T) {
	if len(namedTests(t, "docs/security.md")) == 0 {
		t.Error("docs/security.md names no test")
	}
}

// TestProtocolPage: every test that docs/protocol.md names exists, every schedule has its row, and
// docs/protocol.md or docs/guarantees.md names every scene of test/consistency.
func TestProtocolPage(t *testing.T) {
	const path = "docs/protocol.md"
	in, named := testsIn(t, path), namedTests(t, path)
	maps.Copy(named, namedTests(t, "docs/guarantees.md"))
	for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllStringSubmatch(
		in("test/consistency"), -1) {
		if !named["test/consistency."+m[1]] {
			t.Errorf("%s and docs/guarantees.md do not name test/consistency.%s", path, m[1])
		}
	}
	rows := rowsBehind(t, path, "<!-- schedules -->")
	for i := range 28 {
		if want := fmt.Sprintf("| A%d | ", i+1); i >= len(rows) || !strings.HasPrefix(rows[i], want) ||
			!strings.Contains(rows[i], ".Test") {
			t.Errorf("%s: row %d of the schedules is not %s with its test", path, i+1, want)
		}
	}
}

// TestPagesNameActors: the subject of a sentence is a process, caller, instance or operator, and no unnamed person.
// Messages are quoted as they are.
func TestPagesNameActors(t *testing.T) {
	unnamed := regexp.MustCompile(
		`(?i)\b(who|whom|whose|whoever|somebody|someone|nobody|everybody|everyone|anybody|anyone)\b`)
	quoted := regexp.MustCompile("(?s)```.*?```|`[^`]*`|\"[^\"\n]*\"")
	for _, page := range pages(t) {
		for i, line := range strings.Split(quoted.ReplaceAllStringFunc(read(t, page), blank), "\n") {
			if word := unnamed.FindString(line); word != "" {
				t.Errorf("%s:%d: name the actor in place of %q", page, i+1, word)
			}
		}
	}
}

// blank keeps the line breaks of a text.
func blank(text string) string { return strings.Repeat("\n", strings.Count(text, "\n")) }

// TestNoMergeMarkers: no file has the markers of an unfinished merge.
func TestNoMergeMarkers(t *testing.T) {
	marker := regexp.MustCompile(`(?m)^(<{7} |>{7} |={7}$)`)
	for _, page := range pages(t) {
		if at := marker.FindString(read(t, page)); at != "" {
			t.Errorf("%s holds the marker %q of a merge", page, at)
		}
	}
}
