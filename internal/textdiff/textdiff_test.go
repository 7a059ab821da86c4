package textdiff

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestUnified(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"equal", "a\nb\n", "a\nb\n", ""},
		{"from nothing", "", "a\n", "@@ -1,0 +1,1 @@\n+a"},
		{"to nothing", "a\n", "", "@@ -1,1 +1,0 @@\n-a"},
		{"a line", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
			"@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8"},
		{"two blocks", strings.Repeat("x\n", 20), "a\n" + strings.Repeat("x\n", 20) + "b\n",
			"@@ -1,3 +1,4 @@\n+a\n x\n x\n x\n@@ -18,3 +19,4 @@\n x\n x\n x\n+b"},
	} {
		if got := strings.Join(Unified(c.from, c.to), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// TestCompareLeadsFromOneToTheOther plays each difference of random texts, and compares its length with the one of the
// longest common subsequence.
func TestCompareLeadsFromOneToTheOther(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	text := func() (out []string) {
		for range random.IntN(12) {
			out = append(out, string(rune('a'+random.IntN(3))))
		}
		return out
	}
	for range 3000 {
		a, b := text(), text()
		var from, to []string
		edits := 0
		for _, l := range compare(a, b) {
			if l.kind != '+' {
				from = append(from, l.text)
			}
			if l.kind != '-' {
				to = append(to, l.text)
			}
			if l.kind != ' ' {
				edits++
			}
		}
		if !slices.Equal(from, a) || !slices.Equal(to, b) {
			t.Fatalf("%v to %v: %v, %v", a, b, from, to)
		}
		if want := len(a) + len(b) - 2*common(a, b); edits != want {
			t.Fatalf("%v to %v: %d edits, want %d", a, b, edits, want)
		}
	}
}

func common(a, b []string) int {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	if a[0] == b[0] {
		return 1 + common(a[1:], b[1:])
	}
	return max(common(a[1:], b), common(a, b[1:]))
}

// TestLongTexts: the search is bounded.
func TestLongTexts(t *testing.T) {
	var a, b strings.Builder
	for i := range 40_000 {
		a.WriteString("a" + strings.Repeat("x", i%7) + "\n")
		b.WriteString("b" + strings.Repeat("y", i%5) + "\n")
	}
	if got := Unified(a.String(), b.String()); len(got) != 80_001 {
		t.Errorf("%d lines", len(got))
	}
}
