package gateway

import (
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/webpath"
)

// FuzzPath checks every path that passes: it is sent as it was matched, no number of decodings
// makes a segment of it lead upwards, and the path without the stripped part never begins with a
// host name.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/a/%2e%2e/b", "/a//b", "//h/x", "/%252e%252e%252f", `/a\b`, "/a;x/..;/b", "/a%00", "/x^%2F", "/a/..%5c",
		"/%25%32%65/b", "/报表", "/a/%2f%2fh", "/a/%5ch",
	} {
		f.Add(seed, uint8(1))
	}
	f.Fuzz(func(t *testing.T, target string, depth uint8) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || u.Opaque != "" {
			return
		}
		p, err := webpath.Read(u)
		if err != nil {
			return
		}
		decoded, err := url.PathUnescape(p.Raw)
		if sent := (&url.URL{Path: decoded, RawPath: p.Raw}).EscapedPath(); err != nil || sent != p.Raw {
			t.Errorf("%q is sent as %q, matched as %q, %v", target, sent, p.Raw, err)
		}
		again, err := webpath.Read(&url.URL{Path: decoded, RawPath: p.Raw})
		if err != nil || !slices.Equal(again.Segments, p.Segments) {
			t.Errorf("%q: read again it is %+v, %v", target, again, err)
		}
		e := entrance{Route: config.Route{Strip: true}, depth: int(depth)}
		below := p.Below(e.depth)
		for text, last := p.Raw, ""; text != last; {
			last = text
			text = decodeOnce(text)
			slashed := strings.ReplaceAll(text, `\`, "/")
			if strings.Contains(slashed+"/", "/../") || strings.Contains(slashed+"/", "/./") ||
				strings.ContainsAny(text, "\x00\r\n") {
				t.Errorf("%q passes, and is %q for a service", target, text)
			}
			if again := decodeOnce(below); !e.refusesEncodedSlash(p) &&
				(strings.HasPrefix(again, "//") || strings.HasPrefix(again, `/\`)) {
				t.Errorf("%q leaves %q", target, below)
			}
			below = decodeOnce(below)
		}
	})
}

// decodeOnce decodes the encoded bytes once, and keeps the rest.
func decodeOnce(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if b, err := hex.DecodeString(s[min(i+1, len(s)):min(i+3, len(s))]); s[i] == '%' && err == nil && len(b) == 1 {
			out.WriteByte(b[0])
			i += 2
			continue
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
