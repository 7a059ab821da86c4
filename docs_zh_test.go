package skerry_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// translated are the pages that docs/zh holds in Chinese.
var translated = []string{"configuration.md", "console.md", "deployment.md", "operations.md", "policy.md", "project.md",
	"releases.md", "site.md", "streams.md", "tracing.md"}

// TestChinesePages compares the Chinese pages with the English ones. Each has its partner and links
// to it. A command, key, message or file in code letters is also in an English page, and no command
// of the partner is missing.
func TestChinesePages(t *testing.T) {
	files, err := filepath.Glob("docs/zh/*.md")
	if err != nil || len(files) != len(translated) {
		t.Fatalf("%q, %v: want the pages %q", files, err, translated)
	}
	english := folded(read(t, "README.md"))
	for _, page := range pages(t) {
		if strings.HasPrefix(page, "docs"+string(filepath.Separator)) && !slices.Contains(files, page) {
			english += " " + folded(read(t, page))
		}
	}
	for _, name := range translated {
		path, partner := "docs/zh/"+name, read(t, "docs/"+name)
		text := read(t, path)
		if !strings.Contains(text, "](../"+name+")") || !strings.Contains(partner, "](zh/"+name+")") {
			t.Errorf("%s and docs/%s do not link to each other", path, name)
		}
		for _, code := range codes(text) {
			if !strings.Contains(english, code) {
				t.Errorf("%s: %q stands in no English page", path, code)
			}
		}
		for _, command := range commands(partner) {
			if !slices.Contains(commands(text), command) {
				t.Errorf("%s does not name %q, as docs/%s does", path, command, name)
			}
		}
	}
}

// TestChinesePolicy: the page of policies has what the English one names in code letters, before it compares systems.
func TestChinesePolicy(t *testing.T) {
	english, _, _ := strings.Cut(read(t, "docs/policy.md"), "## Compared with")
	chinese := folded(read(t, "docs/zh/policy.md"))
	spans := span.FindAllStringSubmatch(folded(fence.ReplaceAllString(english, "")), -1)
	if len(spans) < 200 {
		t.Fatalf("%d parts were looked at", len(spans))
	}
	for _, found := range spans {
		if !strings.Contains(chinese, found[1]) {
			t.Errorf("docs/zh/policy.md lacks %q, which docs/policy.md has", found[1])
		}
	}
}

// TestChineseKeys: the table of keys has the rows of the English one, with the same defaults.
func TestChineseKeys(t *testing.T) {
	const marker = " keeps the first three columns equal to the code. -->"
	english := rowsBehind(t, "docs/configuration.md", marker)
	chinese := rowsBehind(t, "docs/zh/configuration.md", "## 配置项")
	if len(english) != len(chinese) {
		t.Fatalf("%d keys, the English page has %d", len(chinese), len(english))
	}
	for i, row := range english {
		want, got := strings.Split(row, " |"), strings.Split(chinese[i], " |")
		if got[0] != want[0] || got[2] != want[2] {
			t.Errorf("key and default are%s,%s; want%s,%s", got[0], got[2], want[0], want[2])
		}
		if len(got[3]) < 10 {
			t.Errorf("this row says nothing: %s", chinese[i])
		}
	}
}

var (
	fence   = regexp.MustCompile("(?s)```\\w*\n(.*?)```")
	indent  = regexp.MustCompile(`(?m)^    .*$`)
	span    = regexp.MustCompile("`([^`]+)`")
	remark  = regexp.MustCompile(`(^|\s+)# .*$|\s*\p{Han}.*$`)
	blanks  = regexp.MustCompile(`\s+`)
	command = regexp.MustCompile(
		`\bskerry (?:(?:release|key|operator|config|policy) [a-z]+|announce|call|deregister|doctor|drain|gateway|ls|` +
			`schema|stats)`)
)

func folded(text string) string { return blanks.ReplaceAllString(text, " ") }

// codes are the parts of a page in code letters, and lines of blocks without their remarks.
func codes(text string) (all []string) {
	for _, block := range fence.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Split(block[1], "\n")...)
	}
	text = fence.ReplaceAllString(text, "")
	all = append(all, indent.FindAllString(text, -1)...)
	for i, line := range all {
		all[i] = strings.TrimSpace(folded(remark.ReplaceAllString(line, "")))
	}
	for _, m := range span.FindAllStringSubmatch(folded(indent.ReplaceAllString(text, "")), -1) {
		all = append(all, m[1])
	}
	return all
}

// commands are the skerry commands that a page names in code letters.
func commands(text string) (all []string) {
	for _, code := range codes(text) {
		all = append(all, command.FindAllString(code, -1)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
