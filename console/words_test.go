package console

import (
	"errors"
	"net/http"
	"regexp"
	"testing"
)

// TestRefusalsInChinese: what is said in front of the pages is in the language of the browser, and so are reasons in
// the words of a process within a text of the catalogue.
func TestRefusalsInChinese(t *testing.T) {
	h := signedIn(t, still{night()}, Config{})
	english := regexp.MustCompile(`[a-z]+ [a-z]+ [a-z]+`)
	for name, edit := range map[string]func(*http.Request){
		"another name":    func(r *http.Request) { r.Host = "evil" },
		"another method":  func(r *http.Request) { r.Method = http.MethodPut },
		"no session":      func(r *http.Request) { r.Header.Del("Cookie") },
		"another console": func(r *http.Request) { r.Method, r.URL.Path = http.MethodPost, "/out" },
	} {
		c := http.Handler(h)
		if name == "no session" {
			c = h.Console
		}
		text := get(t, c, "/?format=json", in(chinese), edit).Body.String()
		if !regexp.MustCompile(`\p{Han}`).MatchString(text) || english.MatchString(text) {
			t.Errorf("%s: %q", name, text)
		}
		if text := get(t, c, "/?format=json", edit).Body.String(); !english.MatchString(text) {
			t.Errorf("%s, in English: %q", name, text)
		}
	}
	why := errors.New("read the rule log: the rule log is frozen: no process of the site answers")
	for _, v := range []any{why, why.Error()} {
		p := say("release.unread", "why", v)
		if have := p.In(chinese); english.MatchString(have) {
			t.Error(have)
		}
		if have := p.In("en"); !english.MatchString(have) {
			t.Error(have)
		}
	}
}
