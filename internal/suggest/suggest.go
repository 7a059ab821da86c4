package suggest

import (
	"strings"
	"unicode/utf8"
)

// longest is the longest name, in bytes, for which Closest searches.
const longest = 64

// Closest is the name among known that differs from s by at most a third of its letters, "" without
// one. Of equally near names it is the first.
func Closest(s string, known []string) string {
	if len(s) > longest {
		return ""
	}
	letters := utf8.RuneCountInString(s)
	best, least := "", max(2, letters/3)+1
	for _, k := range known {
		if len(k) > longest || k == s {
			continue
		}
		d := distance([]rune(strings.ToLower(s)), []rune(strings.ToLower(k)))
		if d < least && d < utf8.RuneCountInString(k) {
			best, least = k, d
		}
	}
	return best
}

// DidYouMean is `; did you mean X?` for the closest name, "" without one.
func DidYouMean(s string, known []string) string {
	if best := Closest(s, known); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// distance counts the letters to insert, drop, change or swap with a
// neighbour to make b of a.
func distance(a, b []rune) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
