package console

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skerry/skerry/internal/words"
)

// as is a console with a session of a role.
func as(t testing.TB, c *Console, name string, r role) member {
	t.Helper()
	w := enter(c, c.doors.link(grant{name: name, role: r}))
	if w.Code != http.StatusSeeOther {
		t.Fatalf("signing in: status %d", w.Code)
	}
	return member{c, w.Result().Cookies()[0]}
}

// token is the one of the session's forms.
func (m member) token() string {
	s, _ := m.doors.known(m.cookie.Value)
	return m.doors.formToken(s)
}

// post sends a form as the page of the session does.
func post(t testing.TB, m member, path string, form url.Values,
	edits ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	form = maps.Clone(form)
	if form == nil {
		form = url.Values{}
	}
	if !form.Has("csrf") {
		form.Set("csrf", m.token())
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Host = "127.0.0.1:7700"
	r.Header.Set("Origin", "http://127.0.0.1:7700")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w
}

// withAction adds an action to the table for a test, and returns the number of its executions.
func withAction(t *testing.T, a action) *int {
	t.Helper()
	n, do, before := new(int), a.Do, actions
	a.Do = func(c *handler, ctx context.Context, by actor, form url.Values) (outcome, error) {
		*n++
		if do == nil {
			return outcome{Said: plain("it is done: " + form.Get("reason"))}, nil
		}
		return do(c, ctx, by, form)
	}
	actions = append([]action{a}, actions...)
	t.Cleanup(func() { actions = before })
	return n
}

// filled is a path without braces.
func filled(path string) string {
	path = strings.ReplaceAll(path, "{number}", "18") // of the policy
	return regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "historian")
}

// TestEveryRouteWithEveryRole walks over the tables of pages and actions with every role, and without one.
func TestEveryRouteWithEveryRole(t *testing.T) {
	table := actions
	for _, a := range table {
		t.Run(a.Name, func(t *testing.T) {
			n := withAction(t, action{Name: a.Name, Path: a.Path, Role: a.Role, Reason: true})
			actions = actions[:1]
			c := serve(still{night()}, Config{})
			why := url.Values{"reason": {"because"}}
			for _, r := range []role{roleViewer, roleOperator, roleAdmin} {
				*n = 0
				w := post(t, as(t, c, "li", r), filled(a.Path), why)
				if may := r >= a.Role; may != (*n == 1) || !may && w.Code == http.StatusOK {
					t.Errorf("%s as %s: done %d times, status %d", a.Path, r, *n, w.Code)
				}
			}
			*n = 0
			if post(t, member{c, &http.Cookie{Name: "x"}}, filled(a.Path), url.Values{"csrf": {"x"}}); *n > 0 {
				t.Errorf("%s is done without a session", a.Path)
			}
			if words.English.Text("action."+a.Name) == "action."+a.Name {
				t.Errorf("there is no text action.%s for the history", a.Name)
			}
		})
	}
	c := serve(still{night()}, Config{})
	for _, r := range []role{roleViewer, roleOperator, roleAdmin} {
		m := as(t, c, "li", r)
		for _, p := range pages {
			want := http.StatusOK
			if r < p.Role {
				want = http.StatusForbidden
			}
			if w := get(t, m, filled(p.Link())); w.Code != want {
				t.Errorf("%s as %s: status %d, want %d", p.Path, r, w.Code, want)
			}
		}
		for _, f := range sessionFiles {
			if w := get(t, m, filled(f.Path)); (w.Code == http.StatusForbidden) != (r < f.Role) {
				t.Errorf("%s as %s: status %d", f.Path, r, w.Code)
			}
		}
	}
}

// TestTableOfActions: what changes the site is for operators, has a reason, and is written to the audit log.
func TestTableOfActions(t *testing.T) {
	ownReason := []string{"policy-apply", "call"} // asks for it itself, to keep what was typed; needs none
	paths := map[string]bool{}
	for _, a := range actions {
		if a.Role == roleViewer && a.Name != "out" {
			t.Errorf("%s has no role", a.Name)
		}
		if a.Role != roleViewer && !a.Quiet && !a.Reason && !slices.Contains(ownReason, a.Name) {
			t.Errorf("%s is done without a reason", a.Name)
		}
		if paths[a.Path] || !strings.HasPrefix(a.Path, "/") || a.Do == nil {
			t.Errorf("%s: the path %s is there twice, or is none", a.Name, a.Path)
		}
		paths[a.Path] = true
	}
}

// TestForgedForms: without the origin, with another one, without the token or with that of another session, by another
// name of the host, and by GET nothing is done.
func TestForgedForms(t *testing.T) {
	n := withAction(t, action{Name: "test", Path: "/test", Role: roleOperator, Reason: true})
	c := serve(still{night()}, Config{})
	li, wang := as(t, c, "li", roleOperator), as(t, c, "wang", roleAdmin)
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	why := func() url.Values { return url.Values{"reason": {"because"}} }
	for what, edit := range map[string]func(*http.Request){
		"no origin":      func(r *http.Request) { r.Header.Del("Origin") },
		"another origin": header("Origin", "http://evil.example"),
		"another port":   header("Origin", "http://127.0.0.1:7701"),
		"another scheme": header("Origin", "https://127.0.0.1:7700"),
		"null":           header("Origin", "null"),
		"cross-site":     header("Sec-Fetch-Site", "cross-site"),
		"same-site":      header("Sec-Fetch-Site", "same-site"),
		"another host":   func(r *http.Request) { r.Host = "evil.example" },
		"get":            func(r *http.Request) { r.Method = http.MethodGet },
		"a multipart form": header("Content-Type",
			"multipart/form-data; boundary=x"),
	} {
		post(t, li, "/test", why(), edit)
		if *n > 0 {
			t.Fatalf("%s: the action is done", what)
		}
	}
	for _, form := range []url.Values{{"csrf": {""}}, {"csrf": {wang.token()}}, {"csrf": {strings.Repeat("0", 32)}}} {
		form.Set("reason", "because")
		if w := post(t, li, "/test", form); *n > 0 || w.Code == http.StatusOK {
			t.Errorf("a form with token %q: status %d, done %d times", form.Get("csrf"), w.Code, *n)
		}
	}
	for _, why := range []string{"", "  ", "a\nb", strings.Repeat("x", reasonSize+1), "\xff"} {
		if post(t, li, "/test", url.Values{"reason": {why}}); *n > 0 {
			t.Errorf("the reason %.20q is taken", why)
		}
	}
	large := url.Values{"reason": {"x"}, "text": {strings.Repeat("x", actionSize)}}
	if w := post(t, li, "/test", large); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large form: status %d", w.Code)
	}
	if post(t, li, "/test", why()); *n != 1 {
		t.Errorf("a good form: done %d times", *n)
	}
}

// TestOutcomeIsShown: the browser is led back to the page, which shows what was done, to this session only.
func TestOutcomeIsShown(t *testing.T) {
	fail := false
	withAction(t, action{Name: "test", Path: "/test/{service}", Role: roleOperator, Reason: true,
		Do: func(_ *handler, _ context.Context, _ actor, form url.Values) (outcome, error) {
			if fail {
				return outcome{}, errors.New("<b>no</b>")
			}
			return outcome{Said: plain(form.Get("service") + ": " + form.Get("reason"))}, nil
		}})
	c := serve(still{night()}, Config{})
	li, wang := as(t, c, "li", roleOperator), as(t, c, "wang", roleOperator)
	w := post(t, li, "/test/auth", url.Values{"reason": {"because"}, "back": {"/services?q=a"}})
	to := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/services?done=") {
		t.Fatalf("status %d, to %s", w.Code, to)
	}
	for range 2 { // pages renew themselves
		if !strings.Contains(get(t, li, to).Body.String(), "auth: because") {
			t.Error("the page does not show the outcome")
		}
	}
	if strings.Contains(get(t, wang, to).Body.String(), "auth: because") {
		t.Error("another session sees the outcome")
	}
	fail = true
	for _, back := range []string{"//evil.example", "https://evil.example", ""} {
		w = post(t, li, "/test/auth", url.Values{"reason": {"because"}, "back": {back}})
		to = w.Header().Get("Location")
		if !strings.HasPrefix(to, "/?done=") {
			t.Errorf("back to %q leads to %s", back, to)
		}
	}
	if body := get(t, li, to).Body.String(); !strings.Contains(body, "&lt;b&gt;no&lt;/b&gt;") {
		t.Error("the page does not show the error")
	}
	w = post(t, li, "/test/auth?format=json", url.Values{"reason": {"because"}})
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"error":"\u003cb\u003eno`) {
		t.Errorf("as JSON: status %d, %s", w.Code, w.Body)
	}
}

// TestConfirmAtTheTerminal: where the session has no key, the page shows the command with its code, and gives the file
// that it needs to this session only.
func TestConfirmAtTheTerminal(t *testing.T) {
	withAction(t, action{Name: "test", Path: "/test", Role: roleOperator, Reason: true,
		Do: func(c *handler, _ context.Context, by actor, _ url.Values) (outcome, error) {
			if _, ok := c.operator(by); ok {
				return outcome{Said: plain("signed")}, nil
			}
			return outcome{Confirm: &confirmation{Command: "skerry policy apply p.yaml", Code: "K7QF-2MWD",
				File: "p.yaml", Text: "policy: 1\n<b>"}}, nil
		}})
	c := serve(still{night()}, Config{Operator: "li", Signers: keys{"li"}})
	li, other := as(t, c, "li", roleOperator), as(t, c, "li", roleOperator)
	to := post(t, li, "/test", url.Values{"reason": {"because"}}).Header().Get("Location")
	body := get(t, li, to).Body.String()
	if !strings.Contains(body, "skerry policy apply p.yaml --code K7QF-2MWD") {
		t.Error("the page does not show the command with its code")
	}
	path := "/done/" + strings.TrimPrefix(to, "/?done=")
	if w := get(t, li, path); w.Body.String() != "policy: 1\n<b>" || !strings.Contains(body, path) ||
		!strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("the file at %s: status %d, %s", path, w.Code, w.Body)
	}
	if w := get(t, other, path); w.Code != http.StatusNotFound {
		t.Errorf("the file for another session: status %d", w.Code)
	}
	terminal := member{c, enter(c, c.Link()).Result().Cookies()[0]}
	to = post(t, terminal, "/test", url.Values{"reason": {"because"}}).Header().Get("Location")
	if body := get(t, terminal, to).Body.String(); !strings.Contains(body, "signed") {
		t.Error("the session of the terminal does not sign")
	}
}
