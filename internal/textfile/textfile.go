package textfile

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Error is the reason why a text can't be read.
type Error struct {
	Line int // 1 for the first
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// Plain is the text without a byte order mark; UTF-16 and UTF-32 are errors.
func Plain(data []byte) ([]byte, error) {
	if rest, ok := bytes.CutPrefix(data, []byte("\xef\xbb\xbf")); ok {
		return rest, nil
	}
	if name := wide(data); name != "" {
		return nil, &Error{
			1,
			"this is " + name + `, as PowerShell's > and the "Unicode" of editors write it; save it as UTF-8`,
		}
	}
	return data, nil
}

// wide names the encoding of a text with characters of two or four bytes. The mark shows it, or the
// zero in the first character, because the files here begin with a letter, a sign or a space.
func wide(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(data, []byte("\x00\x00\xfe\xff")):
		return "UTF-32"
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "UTF-16"
	case len(data) >= 4 && (data[0] == 0) != (data[1] == 0) && (data[2] == 0) != (data[3] == 0):
		return "UTF-16"
	}
	return ""
}

// UTF8 is Plain, and every byte must belong to UTF-8.
func UTF8(data []byte) ([]byte, error) {
	text, err := Plain(data)
	if err != nil || utf8.Valid(text) {
		return text, err
	}
	at := Invalid(text)
	return nil, &Error{
		Line: 1 + bytes.Count(text[:at], []byte("\n")),
		Text: fmt.Sprintf("the bytes %q are no UTF-8 (GBK, perhaps); save it as UTF-8", text[at:min(at+2, len(text))]),
	}
}

// Invalid is the index of the first byte that is not UTF-8, -1 without one.
func Invalid(text []byte) int {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}
