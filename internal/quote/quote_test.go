package quote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"auth/v2 10.0.0.5:7000", "auth/v2 10.0.0.5:7000"},
		{"中文　名字 é 😀", "中文　名字 é 😀"},
		{"\x1b[2J", `\x1b[2J`},
		{"a\nb\r\tc\x00\x7f", `a\nb\r\tc\x00\x7f`},
		{"\u0085\u009b31m", `\u0085\u009b31m`},
		{"\xff\xc3(", `\xff\xc3(`},
		{"\u202e\u2066\u200b\u200d\ufeff\u00ad\u2028", `\u202e\u2066\u200b\u200d\ufeff\u00ad\u2028`},
		{"\u3164\u2800\ufe0f\U000e0041\U000e0100", `\u3164\u2800\ufe0f\U000e0041\U000e0100`},
		{"\u00a0", `\u00a0`},
		{`C:\new`, `C:\new`},
		{"\ufffd", "\ufffd"},
	} {
		if got := Text(c.in); got != c.want {
			t.Errorf("%+q: %s, want %s", c.in, got, c.want)
		}
	}
}

// hidesNothing fails when text could move a cursor or break a line.
func hidesNothing(t *testing.T, text string, lines bool) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%q is no UTF-8", text)
	}
	for _, r := range text {
		own := lines && layout(r)
		if (r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x200b && r <= 0x200f ||
			r == 0x2028) &&
			!own {
			t.Errorf("%q holds %U", text, r)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\x1b[2Jb", "\u202e", "\xff\xfe", "\\x1b", "中\n", "\U000e0041\u0085"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := Text(s)
		hidesNothing(t, text, false)
		if again := Text(text); again != text {
			t.Errorf("quoted twice: %q, then %q", text, again)
		}
		if Visible(s) != (text == s) {
			t.Errorf("Visible(%q) is %v", s, Visible(s))
		}
		hidesNothing(t, string(Lines(s)), true)
		hidesNothing(t, string(Sprintf("%s|%v|%5.3s|%q", s, []string{s}, s, s)), false)
		hidesNothing(t, string(Error(errors.New(s))), false)

		var out bytes.Buffer
		w := NewWriter(&out)
		for i := range len(s) { // each character in pieces
			if _, err := w.Write([]byte{s[i]}); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
		hidesNothing(t, out.String(), true)
		if want := string(Lines(s)); out.String() != want {
			t.Errorf("in pieces %q, at once %q", out.String(), want)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add("a\x7f\u0085\u202e\U000e0041\x1b\n")
	f.Fuzz(func(t *testing.T, s string) {
		doc, err := json.Marshal(map[string]string{s: s})
		if err != nil {
			t.Fatal(err)
		}
		var before, after map[string]string
		quoted := JSON(doc)
		hidesNothing(t, string(quoted), true)
		if err := errors.Join(json.Unmarshal(doc, &before), json.Unmarshal(quoted, &after)); err != nil {
			t.Fatalf("%s: %v", quoted, err)
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("%s means something else than %s", quoted, doc)
		}
	})
}

func TestFormat(t *testing.T) {
	bad := "x\x1b[1m\ny"
	if got, want := Sprintf("a\n%s %-3d %q %v", bad, 7, bad, Safe("own\nline")),
		Safe("a\nx\\x1b[1m\\ny 7   \"x\\x1b[1m\\ny\" own\nline"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	inner := Errorf("open %s: %w", bad, fs.ErrNotExist)
	outer := Errorf("%w\nNext: %s", inner, bad)
	if got, want := outer.Error(), "open x\\x1b[1m\\ny: file does not exist\nNext: x\\x1b[1m\\ny"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(outer, fs.ErrNotExist) {
		t.Error("the chain of errors is cut")
	}
	details := errors.New("failed to connect to `db`:\n\t10.0.0.1: refused\n\t10.0.0.2: \x1b[31mrefused")
	if got, want := Errorf("%w", details).Error(),
		"failed to connect to `db`: 10.0.0.1: refused; 10.0.0.2: \\x1b[31mrefused"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Join(outer, nil, details); strings.Count(got.Error(), "\n") != 2 || !errors.Is(got, fs.ErrNotExist) {
		t.Errorf("joined: %q", got)
	}
	if Join(nil, nil) != nil {
		t.Error("an error of none")
	}
}

func TestWriter(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	fmt.Fprint(w, "a\tb\n\x1b[2J\r")
	w.Overwrite("50%\x1b[2J")
	w.Wipe()
	if err := w.Value("\x1b\n"); err != nil { // not a terminal
		t.Fatal(err)
	}
	if got, want := out.String(), "a\tb\n\\x1b[2J\\r\r50%\\x1b[2J\x1b[K\r\x1b[K\x1b\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
