package webpath

import (
	"net/url"
	"strings"
	"testing"
)

func parse(t *testing.T, target string) *url.URL {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPathsThatAreRefused(t *testing.T) {
	for target, want := range map[string]string{
		"/a/../b": `".."`, "/a/%2e%2e/b": `".."`, "/a/%2E./b": `".."`, "/a/.": `"."`, "/%2e": `"."`, "/./a": `"."`,
		"/a/%252e%252e/b": `".."`, "/a/%25252e%2e/b": `".."`, "/a/%25%32%65%252e/b": `".."`,
		"/a/..%2fb": `".."`, "/a%2f..%2fb": `".."`, "/a/..%5cb": `".."`, "/a%5C..": `".."`, "/a/..%252fb": `".."`,
		"/a/..;x=1/b": `".."`, "/a/.%2e%3bx/b": `".."`, "/a/..%20/b": `".. "`,
		`/a\..\b`: "character", `/a\b`: "character", "/a%00b": "control", "/a%0ab": "control", "/a%250db": "control",
		"/a%7f": "control",
		"/a#b":  "character",
	} {
		if p, err := Read(parse(t, target)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want an error with %s", target, p, err, want)
		}
	}
}

func TestPathsThatPass(t *testing.T) {
	for _, c := range []struct{ target, raw, segments, plain string }{
		{"/", "/", "", ""},
		{"/a//b/", "/a//b/", "a||b|", "a|b"},
		{"//a", "//a", "|a", "a"},
		{"/a%2Fb%20c", "/a%2Fb%20c", "a/b c", "a|b c"},
		{"/a%5Cb", "/a%5Cb", `a\b`, "a|b"},
		{"/100%25", "/100%25", "100%", "100%"},
		{"/%2541", "/%2541", "%41", "A"},
		{"/a;v=1/b", "/a;v=1/b", "a;v=1|b", "a|b"},
		{"/...", "/...", "...", "..."},
		{"/a..b/.hidden", "/a..b/.hidden", "a..b|.hidden", "a..b|.hidden"},
		{"/报表/x%2Fy", "/%E6%8A%A5%E8%A1%A8/x%2Fy", "报表|x/y", "报表|x|y"},
		{"/a^b%2F>", "/a%5Eb%2F%3E", "a^b/>", "a^b|>"},
		{"/%c0%ae", "/%c0%ae", "\xc0\xae", "\xc0\xae"},
	} {
		p, err := Read(parse(t, c.target))
		if err != nil || p.Raw != c.raw || strings.Join(p.Segments, "|") != c.segments ||
			strings.Join(p.Plain, "|") != c.plain {
			t.Errorf("%s: %q %q %q, %v", c.target, p.Raw, p.Segments, p.Plain, err)
		}
	}
}

func TestPathBelowARoute(t *testing.T) {
	for _, c := range []struct {
		raw   string
		depth int
		want  string
	}{
		{"/a", 1, "/"}, {"/a/", 1, "/"}, {"/a/b/c", 1, "/b/c"}, {"/a//b", 1, "/b"},
		{"/a///evil.example/x", 1, "/evil.example/x"},
		{"/a/b//c", 1, "/b//c"}, {"/a%20b/c%2Fd", 1, "/c%2Fd"}, {"/x", 0, "/x"}, {"//x", 0, "/x"}, {"/a/b/c", 2, "/c"},
	} {
		if got := (Path{Raw: c.raw}).Below(c.depth); got != c.want {
			t.Errorf("%s below %d: %s, want %s", c.raw, c.depth, got, c.want)
		}
	}
}

func TestHostNames(t *testing.T) {
	for host, want := range map[string]string{
		"": "", "Intern.Example.ORG": "intern.example.org", "a.example.": "a.example", "a.example.:8080": "a.example",
		"LOCALHOST:80": "localhost", "a:": "a", "10.0.0.1:8080": "10.0.0.1", "[::1]:80": "[::1]",
		"[FE80:0::1]": "[fe80::1]", "under_score": "under_score",
	} {
		if got, err := HostName(host); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", host, got, err, want)
		}
	}
	for _, host := range []string{
		".", "..", "a..b", ".a", "a b", "a/b", "user@a", "a:b:80", ":80x", ":80", "a:0", "a:99999", "a:-1", "[::1",
		"[a]", "[1.2.3.4]", "::1",
		"报表.example", "a\x00", "a,b", "a%2eb", strings.Repeat("a", 254),
	} {
		if got, err := HostName(host); err == nil {
			t.Errorf("%q is %q", host, got)
		}
	}
}
