package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/skerry/skerry/console/e2e/stage"
)

// TestSignIn: a link opens the console once and leaves no trace in the address; signing out closes it.
func TestSignIn(t *testing.T) {
	link := site.Link(t)
	tab := browser.Tab(t, site.Origin)
	tab.Open("/in") // a link may come while the page of signing in is open
	tab.SignIn(link)
	token := link[strings.IndexByte(link, '#')+1:]
	if at := stage.Look[string](tab, "location.href"); strings.Contains(at, token) || tab.Address() != "/" {
		t.Errorf("the link leads to %s", at)
	}
	for _, asked := range tab.Asked() {
		if path, _, _ := strings.Cut(asked, "#"); strings.Contains(path, token) {
			t.Errorf("the token is sent in an address: %s", asked)
		}
	}
	if cookies := stage.Look[string](tab, "document.cookie"); cookies != "" {
		t.Errorf("scripts read the cookies %s", cookies)
	}
	session := tab.Session()
	if len(session) < 32 {
		t.Errorf("the session has the cookie %q", session)
	}

	other := browser.Tab(t, site.Origin)
	other.Open(link)
	other.Until("document.querySelector('[role=alert]') !== null")
	other.Open("/")
	if at := other.Address(); at != "/in" {
		t.Errorf("a used link leads to %s", at)
	}

	tab.Do(chromedp.Click(chromedp.CSS("form[action='/out'] button")))
	tab.Until("location.pathname === '/in'")
	tab.Open("/")
	if at := tab.Address(); at != "/in" {
		t.Errorf("after signing out the console shows %s", at)
	}
	tab.Cookie("session", session)
	tab.Open("/services")
	if at := tab.Address(); at != "/in" {
		t.Errorf("the cookie of a session that has ended opens %s", at)
	}
}

// TestLeaksAreSeen: the network log has requests that leave the console, which the other tests take for faults.
func TestLeaksAreSeen(t *testing.T) {
	tab := browser.Tab(t, site.Origin)
	tab.Open("about:blank")
	stage.Look[bool](tab, "(new Image()).src = 'http://192.0.2.1/x', true")
	fetched(tab, "http://192.0.2.1/y")
	faults := strings.Join(tab.Faults(), "\n")
	for _, path := range []string{"http://192.0.2.1/x", "http://192.0.2.1/y"} {
		if !strings.Contains(faults, "a request leaves the console: "+path) {
			t.Errorf("a request for %s is not noticed:\n%s", path, faults)
		}
	}
	signed := signedIn(t)
	signed.Faults()
	fetched(signed, "http://192.0.2.1/z")
	if faults := strings.Join(signed.Faults(), "\n"); !strings.Contains(faults, "Content Security Policy") {
		t.Errorf("a page of the console may load from elsewhere:\n%s", faults)
	}
}

// fetched lets a script of the page ask for an address, and reports whether it was answered.
func fetched(tab *stage.Tab, address string) bool {
	return stage.Look[bool](tab, "fetch("+quoted(address)+
		").then(function () { return true; }, function () { return false; })")
}
