package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/sitekey"
)

// Problem is one error of a configuration.
type Problem struct {
	File string `json:"file,omitzero"` // "" for a Config value
	Line int    `json:"line,omitzero"` // 1 for the first; 0 when the key is not in the file
	Key  string `json:"key,omitzero"`  // as in docs/configuration.md: database.heartbeat, services[0].name
	Text string `json:"text"`          // the error and its remedy
}

// String returns, for example, skerry.yaml:7: database.hearbeat: no such key; did you mean
// heartbeat?
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	return b.String() + p.Text
}

// Error is the list of a configuration's errors, in the order of the file.
type Error struct{ Problems []Problem }

// Error lists the problems, a line each.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects the errors of one configuration.
type problems struct {
	file  string
	lines map[string]int // line of each key that the file has
	list  []Problem
}

func (p *problems) add(line int, key, format string, args ...any) {
	p.list = append(p.list, Problem{File: p.file, Line: line, Key: hideKeys(key),
		Text: hideKeys(fmt.Sprintf(format, args...))})
}

// siteKeys matches the texts of site keys, whole or cut, so that no error shows a key from a wrong
// place.
var siteKeys = regexp.MustCompile(`(?i)` + sitekey.Prefix + `[a-z0-9]{4,}`)

func hideKeys(text string) string { return siteKeys.ReplaceAllString(text, sitekey.Prefix+"…") }

// at adds a problem at the line of its key or of the nearest enclosing key.
func (p *problems) at(key, format string, args ...any) {
	p.add(p.line(key), key, format, args...)
}

// has reports whether a problem of the key is known.
func (p *problems) has(key string) bool {
	return slices.ContainsFunc(p.list, func(known Problem) bool { return known.Key == key })
}

func (p *problems) line(key string) int {
	for ; key != ""; key = parentKey(key) {
		if n := p.lines[key]; n > 0 {
			return n
		}
	}
	return 0
}

// parentKey is the key of the enclosing value: a.b[1] → a.b → a → "".
func parentKey(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int { return a.Line - b.Line })
	return &Error{Problems: p.list}
}
