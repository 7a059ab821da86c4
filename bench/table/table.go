package table

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table is a head and rows of as many cells. The first column is text, the
// others are numbers and stand to the right.
type Table struct {
	Head []string
	rows [][]string
}

// Add appends a row; a number is written as fmt.Sprint does.
func (t *Table) Add(cells ...any) {
	row := make([]string, len(t.Head))
	for i := range min(len(cells), len(row)) {
		row[i] = strings.ReplaceAll(fmt.Sprint(cells[i]), "|", `\|`)
	}
	t.rows = append(t.rows, row)
}

// Write writes the table; one without rows is left out.
func (t *Table) Write(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.rows...) {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c), 3)
		}
	}
	line(w, t.Head, widths)
	rule := make([]string, len(widths))
	for i, n := range widths {
		rule[i] = strings.Repeat("-", n)
		if i > 0 {
			rule[i] = rule[i][1:] + ":"
		}
	}
	line(w, rule, widths)
	for _, row := range t.rows {
		line(w, row, widths)
	}
}

func line(w io.Writer, cells []string, widths []int) {
	var b strings.Builder
	b.WriteByte('|')
	for i, c := range cells {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
		if i == 0 {
			c += pad
		} else {
			c = pad + c
		}
		b.WriteString(" " + c + " |")
	}
	fmt.Fprintln(w, b.String())
}
