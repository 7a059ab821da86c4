package quote

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON is a JSON document with every character visible. Package encoding/json escapes the first 32
// control characters only. The others are inside of strings and become \u escapes with the same
// meaning.
func JSON(doc []byte) []byte {
	if hidden(string(doc), layout) < 0 {
		return doc
	}
	var b bytes.Buffer
	for at := 0; at < len(doc); {
		r, size := utf8.DecodeRune(doc[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(`\ufffd`)
		case visible(r) || layout(r):
			b.Write(doc[at : at+size])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		at += size
	}
	return b.Bytes()
}

// JSONWriter writes JSON to w after quoting it by JSON. Each Write must hold whole characters, as
// those of encoding/json and log/slog do.
func JSONWriter(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ to io.Writer }

func (w jsonWriter) Write(p []byte) (int, error) {
	if _, err := w.to.Write(JSON(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
