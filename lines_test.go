package skerry_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxColumns is the width of a line of Go code. A tab counts as tabColumns.
const (
	maxColumns = 120
	tabColumns = 4
)

// longLines names the files that may have longer lines, with the reason.
var longLines = map[string]string{
	"rpc/internal/echo/doc.go": "go:generate takes its command from one line",
}

// TestLinesFit: a line of Go code that no program has generated has at most maxColumns columns.
func TestLinesFit(t *testing.T) {
	generated := regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	long := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || generated.Match(text) {
			return err
		}
		file := filepath.ToSlash(path)
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			if n := columns(strings.TrimRight(line, "\r\n")); n > maxColumns {
				long[file] = true
				if longLines[file] == "" {
					t.Errorf("%s:%d has %d columns; wrap it at %d (a tab counts as %d)",
						file, number, n, maxColumns, tabColumns)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for file := range longLines {
		if !long[file] {
			t.Errorf("%s is excepted from TestLinesFit and has no long line; take it out of longLines", file)
		}
	}
}

// columns returns the width of a line.
func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}
