package quote

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Safe is text with all outside parts quoted; its line breaks are the program's own. A constant
// converts to Safe by itself, a variable only by a function of this package.
type Safe string

// Text is s with every character visible.
func Text(s string) string {
	return escape(s, func(rune) bool { return false })
}

// Lines is Text that keeps line breaks and tabs, for text of several lines from the operator's own
// file.
func Lines(s string) Safe { return Safe(escape(s, layout)) }

func layout(r rune) bool { return r == '\n' || r == '\t' }

// escape quotes invisible characters, except those that keep accepts.
func escape(s string, keep func(rune) bool) string {
	at := hidden(s, keep)
	if at < 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:at])
	for at < len(s) {
		r, size := utf8.DecodeRuneInString(s[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[at])
		case keep(r) || visible(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < utf8.RuneSelf:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		at += size
	}
	return b.String()
}

// hidden is the index of the first character that must be quoted, -1 without one.
func hidden(s string, keep func(rune) bool) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
		if !visible(r) && !keep(r) {
			return i
		}
	}
	return -1
}

// Visible reports whether Text would return s unchanged.
func Visible(s string) bool { return hidden(s, func(rune) bool { return false }) < 0 }

// visible reports whether a character is visible and does not move others. The ideographic space is
// part of Chinese text.
func visible(r rune) bool {
	return (strconv.IsPrint(r) || r == '\u3000') && !unicode.Is(blank, r)
}

// blank are characters that Unicode counts as printable but that are invisible.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x034f, Hi: 0x034f, Stride: 1}, // combining grapheme joiner
		{Lo: 0x115f, Hi: 0x1160, Stride: 1}, // Hangul fillers
		{Lo: 0x17b4, Hi: 0x17b5, Stride: 1}, // Khmer inherent vowels
		{Lo: 0x180b, Hi: 0x180f, Stride: 1}, // Mongolian variation selectors
		{Lo: 0x2800, Hi: 0x2800, Stride: 1}, // Braille pattern blank
		{Lo: 0x3164, Hi: 0x3164, Stride: 1}, // Hangul filler
		{Lo: 0xfe00, Hi: 0xfe0f, Stride: 1}, // variation selectors
		{Lo: 0xffa0, Hi: 0xffa0, Stride: 1}, // halfwidth Hangul filler
	},
	R32: []unicode.Range32{{Lo: 0xe0100, Hi: 0xe01ef, Stride: 1}}, // variation selectors
}
