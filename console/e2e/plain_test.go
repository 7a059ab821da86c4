package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/skerry/skerry/console/e2e/stage"
)

// TestWithoutJavaScript signs in, reads every page, searches, changes the language and signs out in a browser that runs
// no script of a page.
func TestWithoutJavaScript(t *testing.T) {
	tab := browser.Tab(t, site.Origin)
	stage.Call(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	tab.Open("/")
	if at := tab.Address(); at != "/in" {
		t.Fatalf("without a session the console leads to %s", at)
	}
	tab.Do(chromedp.Click(chromedp.CSS("#token")), chromedp.KeyEvent(site.Link(t)+kb.Enter))
	tab.Until("document.querySelector('nav.rail') !== null")
	for _, p := range site.Pages(t, tab.Session()) {
		tab.Open(p.Address)
		if text := stage.Look[string](tab, "document.body.innerText"); len(text) < 100 {
			t.Errorf("%s has only the text %q", p.Address, text)
		}
		if asked := strings.Join(tab.Asked(), " "); strings.Contains(asked, "/events") {
			t.Errorf("%s runs its script all the same, the test shows nothing: %s", p.Address, asked)
		}
	}
	tab.Open("/")
	tab.Do(chromedp.Click(chromedp.CSS("#q")), chromedp.KeyEvent("auth"+kb.Enter))
	tab.Until("location.pathname + location.search === '/services?q=auth'")
	tab.Do(chromedp.Click(chromedp.CSS("tbody th a")))
	tab.Until("location.pathname === '/services/auth'")
	before := stage.Look[string](tab, "document.documentElement.lang")
	tab.Do(chromedp.Click(chromedp.CSS(".top a[hreflang]")))
	tab.Until("location.pathname === '/services/auth' && document.documentElement.lang !== " + quoted(before))
	tab.Do(chromedp.Click(chromedp.CSS("form[action='/out'] button")))
	tab.Until("location.pathname === '/in'")
	for _, fault := range tab.Faults() {
		t.Error(fault)
	}
}
