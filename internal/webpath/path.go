package webpath

import (
	"fmt"
	"net/url"
	"strings"
)

// Path is a path as it is matched and sent. The two never differ: the segments of Raw are
// matched, and the service gets Raw.
type Path struct {
	Raw      string   // as the client spelt it; bytes that no URL may hold are percent-encoded
	Segments []string // between the slashes of Raw, each decoded once

	// Plain are the segments as seen by a service that decodes more than once, takes %2F and \ for
	// slashes, merges slashes, and cuts parameters (;name=value) off. The gateway serves a request
	// if both readings lead to one route.
	Plain []string

	EncodedSlash bool // %2F or %5C is in the path, in any number of encodings
}

// Read reads the path of a request. It refuses a path that some reading may lead out of a
// route.
func Read(u *url.URL) (Path, error) {
	raw := u.RawPath
	if raw == "" {
		raw = u.EscapedPath()
	}
	if !strings.HasPrefix(raw, "/") {
		return Path{}, fmt.Errorf("the path does not begin with a slash")
	}
	for i := range len(raw) {
		switch c := raw[i]; {
		case c == '\\', c == '#', control(c):
			return Path{}, fmt.Errorf("the path holds the character %q, which can't be in a URL", c)
		case c == '%' && !escapeAt(raw, i):
			return Path{}, fmt.Errorf("the path holds a %% without two hexadecimal digits behind it")
		}
	}
	p := Path{Raw: respell(raw)}
	for segment := range strings.SplitSeq(p.Raw[1:], "/") {
		decoded, err := url.PathUnescape(segment)
		if err != nil {
			return Path{}, err
		}
		p.Segments = append(p.Segments, decoded)
	}
	full := DecodeAll(p.Raw)
	p.EncodedSlash = strings.Contains(full, `\`) || strings.Count(full, "/") != strings.Count(p.Raw, "/")
	for i := range len(full) {
		if control(full[i]) {
			return Path{}, fmt.Errorf("the path holds the encoded control character %q", full[i])
		}
	}
	for segment := range strings.FieldsFuncSeq(full, func(c rune) bool { return c == '/' || c == '\\' }) {
		segment, _, _ = strings.Cut(segment, ";")
		switch strings.TrimRight(segment, " ") { // Windows drops blanks at the end
		case "":
		case ".", "..":
			return Path{}, fmt.Errorf(
				"the path holds the segment %q, plain or encoded; ask for the path that it leads to", segment)
		default:
			p.Plain = append(p.Plain, segment)
		}
	}
	return p, nil
}

// Below is the path behind its first n segments, with one slash at its beginning.
func (p Path) Below(n int) string {
	rest := p.Raw
	for range n {
		next := strings.IndexByte(rest[1:], '/')
		if next < 0 {
			return "/"
		}
		rest = rest[1+next:]
	}
	return "/" + strings.TrimLeft(rest, "/")
}

func control(c byte) bool { return c < ' ' || c == 0x7f }

func hexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// escapeAt reports whether the % at i begins an encoded byte.
func escapeAt(s string, i int) bool { return i+2 < len(s) && hexDigit(s[i+1]) && hexDigit(s[i+2]) }

// DecodeAll decodes a text completely in one pass: each byte that completes an encoded byte takes
// its place.
func DecodeAll(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		out = append(out, s[i])
		for n := len(out) - 3; n >= 0 && out[n] == '%' && hexDigit(out[n+1]) && hexDigit(out[n+2]); n = len(out) - 3 {
			out[n] = hexValue(out[n+1])<<4 | hexValue(out[n+2])
			out = out[:n+1]
		}
	}
	return string(out)
}

func hexValue(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// inPath are the bytes besides letters and digits that a path may hold unencoded: unreserved ones,
// sub-delimiters, and those that net/url lets pass.
const inPath = "-._~!$&'()*+,;=:@/[]%"

// respell encodes the bytes of a path that cannot be in a URL, such as letters of other alphabets,
// and keeps the others. net/url would respell the whole path and turn its %2F into slashes.
func respell(raw string) string {
	var out strings.Builder
	for i := range len(raw) {
		c := raw[i]
		if '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte(inPath, c) >= 0 {
			out.WriteByte(c)
			continue
		}
		fmt.Fprintf(&out, "%%%02X", c)
	}
	return out.String()
}
