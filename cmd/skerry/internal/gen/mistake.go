package gen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/quote"
)

// Mistake is one thing that is wrong in a .thrift file.
type Mistake struct {
	File string // as it was named on the command line or by an include
	Line int    // counted from 1; 0 when the whole file is meant
	Text string
}

func (m Mistake) String() string {
	if m.Line == 0 {
		return m.File + ": " + m.Text
	}
	return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Text)
}

// Error holds all mistakes of the .thrift files, sorted by file and line, each once.
type Error struct{ Mistakes []Mistake }

func (e *Error) Error() string { return e.join(Mistake.String) }

// Safe is the error with the texts of the files quoted, a line for each mistake.
func (e *Error) Safe() quote.Safe {
	return quote.Safe(e.join(func(m Mistake) string { return quote.Text(m.String()) }))
}

func (e *Error) join(text func(Mistake) string) string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = text(m)
	}
	return strings.Join(lines, "\n")
}

// maxMistakes bounds the mistakes of one run: more are one mistake in another place.
const maxMistakes = 1000

// mistakes collects what is wrong.
type mistakes struct{ all []Mistake }

func (m *mistakes) add(p *program, line int, format string, args ...any) {
	if len(m.all) == maxMistakes {
		return
	}
	m.all = append(m.all, Mistake{File: p.path, Line: line, Text: fmt.Sprintf(format, args...)})
}

// err is nil without mistakes.
func (m *mistakes) err() error {
	if len(m.all) == 0 {
		return nil
	}
	slices.SortFunc(m.all, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return &Error{slices.Compact(m.all)}
}
