package stage

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// axeSum is the SHA-256 of axe.min.js of the version in package.json.
const axeSum = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

// Axe returns axe-core, a script that looks for barriers in a page.
func Axe(t T) string {
	t.Helper()
	path := filepath.Join(Root(t), ".build", "node_modules", "axe-core", "axe.min.js")
	script, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; scripts/setup installs it", err)
	}
	if sum := sha256.Sum256(script); hex.EncodeToString(sum[:]) != axeSum {
		t.Fatalf("%s has the SHA-256 %x, want %s", path, sum, axeSum)
	}
	return string(script)
}

// barriersOf runs axe-core by WCAG 2.1 A, AA and its best practice.
const barriersOf = `axe.run(document, {resultTypes: ["violations"], runOnly: {type: "tag",
	values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}).then(function (r) {
	return JSON.stringify(r.violations.map(function (v) {
		return {rule: v.id, help: v.help, nodes: v.nodes.slice(0, 5).map(function (n) {
			return n.target.join(" ") + "  " + n.html.slice(0, 160) + "  " +
				n.any.concat(n.all, n.none).map(function (c) { return c.message; }).join("; ");
		})};
	}));
})`

// Barriers are what axe-core finds in the page, as sentences.
func (tab *Tab) Barriers(axe string) (list []string) {
	tab.t.Helper()
	if !Look[bool](tab, "typeof axe === 'object'") {
		Look[bool](tab, axe+"\n;true")
	}
	var found []struct {
		Rule, Help string
		Nodes      []string
	}
	if err := json.Unmarshal([]byte(Look[string](tab, barriersOf)), &found); err != nil {
		tab.t.Fatal(err)
	}
	for _, f := range found {
		list = append(list, fmt.Sprintf("%s: %s:\n    %s", f.Rule, f.Help, strings.Join(f.Nodes, "\n    ")))
	}
	return list
}
