package textdiff

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of the search.
const (
	mostEdits = 2000 // lines that come or go
	around    = 3    // unchanged lines that are shown around a change
)

// line is one line of a difference: ' ' stays, '-' goes, '+' comes.
type line struct {
	kind byte
	text string
}

// Unified returns what leads from one text to another, in the form of diff -u without the names of files. It is empty
// for equal texts.
func Unified(from, to string) []string {
	lines := compare(split(from), split(to))
	var out []string
	at, a, b := 0, 1, 1 // index, and line numbers in both texts
	for at < len(lines) {
		first := slices.IndexFunc(lines[at:], func(l line) bool { return l.kind != ' ' })
		if first < 0 {
			break
		}
		skip := max(first-around, 0)
		at, a, b = at+skip, a+skip, b+skip
		end := blockEnd(lines, at)
		var body []string
		olds, news := 0, 0
		for _, l := range lines[at:end] {
			body = append(body, string(l.kind)+l.text)
			if l.kind != '+' {
				olds++
			}
			if l.kind != '-' {
				news++
			}
		}
		out = append(append(out, fmt.Sprintf("@@ -%d,%d +%d,%d @@", a, olds, b, news)), body...)
		at, a, b = end, a+olds, b+news
	}
	return out
}

// blockEnd returns the end of the block that begins at a line: behind the unchanged lines that follow its last change.
func blockEnd(lines []line, begin int) int {
	last := begin
	for i := begin; i < len(lines); i++ {
		switch {
		case lines[i].kind != ' ':
			last = i
		case i-last > 2*around && lines[last].kind != ' ':
			return last + around + 1
		}
	}
	return min(last+around+1, len(lines))
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func compare(a, b []string) []line {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out []line
	add := func(kind byte, texts []string) {
		for _, t := range texts {
			out = append(out, line{kind, t})
		}
	}
	add(' ', a[:head])
	out = append(out, shortest(a[head:len(a)-tail], b[head:len(b)-tail])...)
	add(' ', a[len(a)-tail:])
	return out
}

// shortest is the search of Myers: paths[d] holds, for each diagonal, how far d edits reach.
func shortest(a, b []string) []line {
	reach := map[int]int{1: 0}
	var paths []map[int]int
	for d := 0; d <= min(len(a)+len(b), mostEdits); d++ {
		now := make(map[int]int, d+1)
		for k := -d; k <= d; k += 2 {
			x := reach[k-1] + 1
			if k == -d || k != d && reach[k-1] < reach[k+1] {
				x = reach[k+1]
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			now[k] = x
			if x >= len(a) && x-k >= len(b) {
				return walk(a, b, append(paths, now))
			}
		}
		paths = append(paths, now)
		reach = now
	}
	var out []line
	for _, t := range a {
		out = append(out, line{'-', t})
	}
	for _, t := range b {
		out = append(out, line{'+', t})
	}
	return out
}

// walk goes back from the end of both texts to their beginning.
func walk(a, b []string, paths []map[int]int) []line {
	var out []line
	x, y := len(a), len(b)
	for d := len(paths) - 1; d > 0; d-- {
		before, k := paths[d-1], x-y
		from := k - 1
		if k == -d || k != d && before[k-1] < before[k+1] {
			from = k + 1
		}
		fromX := before[from]
		fromY := fromX - from
		for x > fromX && y > fromY && x > 0 && y > 0 && a[x-1] == b[y-1] && !(x == fromX || y == fromY) {
			x, y = x-1, y-1
			out = append(out, line{' ', a[x]})
		}
		if from == k+1 {
			y--
			out = append(out, line{'+', b[y]})
		} else {
			x--
			out = append(out, line{'-', a[x]})
		}
	}
	for x > 0 && y > 0 {
		x, y = x-1, y-1
		out = append(out, line{' ', a[x]})
	}
	slices.Reverse(out)
	return out
}
