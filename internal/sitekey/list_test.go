package sitekey

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseList(t *testing.T) {
	a, b := New(), New()
	for name, text := range map[string]string{
		"plain":         a.Text() + "\n" + b.Text() + "\n",
		"no last break": a.Text() + "\n" + b.Text(),
		"Windows":       "\ufeff" + a.Text() + "\r\n\r\n" + b.Text() + "\r\n",
		"comments": "# the site's keys\n\n  " + a.Text() + " # of 2026\n\t" + strings.ToUpper(b.Text()) +
			"\t\n#" + New().Text(),
	} {
		got, err := ParseList(text)
		if err != nil || len(got) != 2 || got[0].Key != a || got[1].Key != b {
			t.Errorf("%s: %v, %v, want both keys in order", name, got, err)
		}
	}
	noted, err := ParseList(Line{Key: a, Note: " of\n2026 #1 "}.Format() + "\n" + Line{Key: b}.Format())
	if err != nil || len(noted) != 2 || noted[0] != (Line{a, 1, "of 2026 #1"}) || noted[1] != (Line{b, 2, ""}) {
		t.Errorf("lines come back as %v, %v", noted, err)
	}
	var many strings.Builder
	for range Most + 1 {
		fmt.Fprintln(&many, New().Text())
	}
	for _, c := range []struct{ text, want string }{
		{"", "holds no key"},
		{"# nothing\n \n", "holds no key"},
		{a.Text() + "\n" + b.Text()[:40], "line 2: 36 letters"},
		{a.Text() + " " + b.Text(), "line 1: several words"},
		{a.Text() + "\n\n" + a.Text(), "line 3: the same key stands in line 1"},
		{many.String(), "line 17: more than 16 keys"},
		{"\xff\xfe" + a.Text(), "line 1: this is no site key"},
		{strings.Repeat("x", 1<<16), "line 1: this is no site key"},
	} {
		_, err := ParseList(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: %v, want an error with %q", c.text, err, c.want)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%.20q: the error has %d bytes", c.text, len(err.Error()))
		}
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("\ufeff" + fixed + "\r\n# x\n")
	f.Add(fixed + "\n" + fixed)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseList(text)
		if (err == nil) != (len(list) > 0) || len(list) > Most {
			t.Errorf("%d keys and %v", len(list), err)
		}
	})
}
