package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/skerry/skerry/internal/quote"
)

const (
	columnGap    = "  "
	columnLeast  = 24 // least width to which a text column is broken
	tableLeast   = 40 // least columns of a terminal that a table assumes
	belowIndent  = "    "
	wordMost     = 60 // longer words are broken
	numberHeader = ' '
)

// tableColumn is a column, with its widths in cells of a terminal.
type tableColumn struct {
	head   string
	number bool // aligned to the right, never broken
	width  int  // present width
	least  int  // least width to which it can be broken
}

// printTable writes rows under a header, without lines. A header that begins with a space
// marks a column of numbers, which is aligned to the right.
//
// On a narrow terminal, columns of text are broken. Cells that still have no room are
// written below their row, each behind the name of its column. Nothing is left out.
// Outside a terminal each row is one line.
func (a *app) printTable(header []string, rows [][]string) {
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = make([]string, len(r))
		for k, cell := range r {
			cells[i][k] = quote.Text(cell)
		}
	}
	names := make([]string, len(header))
	for i, h := range header {
		name := strings.TrimPrefix(h, string(numberHeader))
		names[i] = h[:len(h)-len(name)] + a.lang.Format(name)
	}
	fmt.Fprint(a.out, tableText(names, cells, a.columns()))
}

// columns returns the width of the output's terminal. It returns 0 without a terminal, and
// then nothing is broken.
func (a *app) columns() int {
	if a.width == nil {
		return 0
	}
	if n := a.width(); n > 0 {
		return max(n, tableLeast)
	}
	return 0
}

// tableText returns a table of at most width cells; 0 means any width.
func tableText(header []string, rows [][]string, width int) string {
	all := measure(header, rows)
	shown := fit(all, width)
	var b strings.Builder
	head := make([]string, len(all))
	for i, c := range all {
		head[i] = c.head
	}
	writeRow(&b, all[:shown], head)
	for _, r := range rows {
		writeRow(&b, all[:shown], r)
		writeBelow(&b, all[shown:], r[shown:], width)
	}
	return b.String()
}

func measure(header []string, rows [][]string) []tableColumn {
	all := make([]tableColumn, len(header))
	for i, h := range header {
		c := tableColumn{head: h, number: h[0] == numberHeader}
		if c.number {
			c.head = h[1:]
		}
		c.width, c.least = cells(c.head), max(columnLeast, cells(c.head))
		for _, r := range rows {
			c.width = max(c.width, cells(r[i]))
			for _, word := range breakable(r[i]) {
				c.least = max(c.least, min(wordMost, cells(strings.TrimRight(word, " "))))
			}
		}
		if c.least = min(c.least, c.width); c.number {
			c.least = c.width
		}
		all[i] = c
	}
	return all
}

// fit gives the first columns widths that fit beside each other, and returns their number.
func fit(all []tableColumn, width int) int {
	if width == 0 {
		return len(all)
	}
	shown := len(all)
	for shown > 1 && sum(all[:shown], func(c tableColumn) int { return c.least }) > width {
		shown--
	}
	for {
		over := sum(all[:shown], func(c tableColumn) int { return c.width }) - width
		widest := -1
		for i, c := range all[:shown] {
			if c.width > c.least && (widest < 0 || c.width > all[widest].width) {
				widest = i
			}
		}
		if over <= 0 || widest < 0 {
			break
		}
		all[widest].width--
	}
	if shown == 1 {
		all[0].width = min(all[0].width, width)
	}
	return shown
}

func sum(all []tableColumn, of func(tableColumn) int) int {
	n := (len(all) - 1) * len(columnGap)
	for _, c := range all {
		n += of(c)
	}
	return n
}

func writeRow(b *strings.Builder, all []tableColumn, row []string) {
	broken, height := make([][]string, len(all)), 1
	for i, c := range all {
		broken[i] = wrap(row[i], c.width)
		height = max(height, len(broken[i]))
	}
	for k := range height {
		var line strings.Builder
		for i, c := range all {
			cell := ""
			if k < len(broken[i]) {
				cell = broken[i][k]
			}
			align := text.AlignLeft
			if c.number {
				align = text.AlignRight
			}
			if i > 0 {
				line.WriteString(columnGap)
			}
			line.WriteString(align.Apply(cell, c.width))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// writeBelow writes the cells that had no room in their row, and leaves out empty ones.
func writeBelow(b *strings.Builder, all []tableColumn, row []string, width int) {
	line := ""
	flush := func() {
		if line != "" {
			b.WriteString(belowIndent + line + "\n")
		}
		line = ""
	}
	for i, c := range all {
		if row[i] == "" || row[i] == "-" {
			continue
		}
		part := c.head + " " + row[i]
		if line != "" && cells(belowIndent+line+columnGap+part) > width {
			flush()
		}
		if line != "" {
			line += columnGap + part
			continue
		}
		lines := wrap(part, width-len(belowIndent))
		for _, line = range lines[:len(lines)-1] {
			flush()
		}
		line = lines[len(lines)-1]
	}
	flush()
}

// cells returns how many cells of a terminal a text occupies.
func cells(s string) int { return text.StringWidthWithoutEscSequences(s) }

// wrap breaks a text into lines of at most width cells. It breaks behind a space, a comma or a Chinese character.
// It breaks within a word only if the word has no room on a line.
func wrap(s string, width int) []string {
	if cells(s) <= width {
		return []string{s}
	}
	var lines []string
	line := ""
	for _, word := range breakable(s) {
		if line != "" && cells(line)+cells(strings.TrimRight(word, " ")) > width {
			lines = append(lines, strings.TrimRight(line, " "))
			line = ""
		}
		for cells(strings.TrimRight(word, " ")) > width {
			at := cut(word, width)
			lines = append(lines, word[:at])
			word = word[at:]
		}
		line += word
	}
	return append(lines, strings.TrimRight(line, " "))
}

// cut returns the index at which a word is broken: the last one within width, at least
// behind the first character.
func cut(word string, width int) int {
	_, at := utf8.DecodeRuneInString(word)
	for {
		_, n := utf8.DecodeRuneInString(word[at:])
		if n == 0 || cells(word[:at+n]) > width {
			return at
		}
		at += n
	}
}

// breakable returns the parts of a text between which a line may end, with their spaces.
func breakable(s string) (all []string) {
	begin := 0
	for i, r := range s {
		end := i + utf8.RuneLen(r)
		next, _ := utf8.DecodeRuneInString(s[min(end, len(s)):])
		if end < len(s) && next != ' ' && (r == ' ' || r == ',' || wide(r) && !closes(next)) {
			all = append(all, s[begin:end])
			begin = end
		}
	}
	return append(all, s[begin:])
}

// wide reports whether a character is one of those between which Chinese text may be broken.
func wide(r rune) bool { return unicode.Is(unicode.Han, r) || closes(r) && r > unicode.MaxLatin1 }

// closes reports whether a character may not begin a line.
func closes(r rune) bool {
	return strings.ContainsRune("，。；：、！？）》」』”…,.;:!?)", r)
}

// hanging returns a text broken for the terminal, with further lines indented below the
// first. The first line begins behind lead.
func (a *app) hanging(lead string, s quote.Safe) string {
	indent := strings.Repeat(" ", cells(lead))
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(s)), "\n") {
		if width := a.columns(); width > 0 {
			lines = append(lines, wrap(line, width-len(indent))...)
		} else {
			lines = append(lines, line)
		}
	}
	return lead + strings.Join(lines, "\n"+indent) + "\n"
}

// item prints a text behind lead, with further lines indented below the first.
func (a *app) item(lead, format string, args ...any) {
	fmt.Fprint(a.out, a.hanging(a.lang.Format(lead), a.say(format, args...)))
}
