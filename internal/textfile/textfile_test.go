package textfile

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
)

// wideText is text as UTF-16, with a mark or without.
func wideText(text string, bigEndian, mark bool) string {
	var b strings.Builder
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	for _, u := range units {
		pair := []byte{byte(u), byte(u >> 8)}
		if bigEndian {
			pair[0], pair[1] = pair[1], pair[0]
		}
		b.Write(pair)
	}
	return b.String()
}

func TestEncodings(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       string // "" for an error
		err        string
	}{
		{"plain", "cluster: 发射场\n", "cluster: 发射场\n", ""},
		{"empty", "", "", ""},
		{"mark", "\xef\xbb\xbfcluster: a\n", "cluster: a\n", ""},
		{"UTF-16 of PowerShell", wideText("cluster: a\n", false, true), "", "line 1: this is UTF-16"},
		{"UTF-16, big-endian", wideText("cluster: a\n", true, true), "", "line 1: this is UTF-16"},
		{"UTF-16 without a mark", wideText("cluster: a\n", false, false), "", "line 1: this is UTF-16"},
		{"UTF-32", "\xff\xfe\x00\x00a\x00\x00\x00", "", "line 1: this is UTF-32"},
		{"GBK", "cluster: a\n# \xb7\xa2\xc9\xe4\n", "", `line 2: the bytes "\xb7\xa2" are no UTF-8 (GBK, perhaps)`},
	} {
		got, err := UTF8([]byte(c.data))
		if _, ours := errors.AsType[*Error](err); string(got) != c.want || (err != nil) != (c.err != "") ||
			err != nil && !ours {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.err)
		}
	}
	if got, err := Plain([]byte("// \xb7\xa2\n")); err != nil || string(got) != "// \xb7\xa2\n" {
		t.Errorf("Plain refuses a comment in GBK: %q, %v", got, err)
	}
}
