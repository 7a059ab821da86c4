package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/skerry/skerry/console/e2e/stage"
)

// TestTryCall: an operator calls a method of a running service from its page. The reply stays while the page renews
// itself, as does what is typed, and the history has the call.
func TestTryCall(t *testing.T) {
	tab := signedIn(t)
	tab.Open("/services/auth")
	tab.Do(chromedp.Click(chromedp.CSS("a.btn[href='/services/auth/call']")))
	tab.Until("location.pathname === '/services/auth/call'")
	tab.Until("document.querySelectorAll('a[href*=\"method=\"]').length > 1")
	tab.Do(chromedp.Click(chromedp.CSS("a[href$='method=getToken']")))
	tab.Until("document.querySelector('#body') !== null && document.querySelector('#body').value.includes('user')")
	stage.Look[bool](tab, `(function () { document.querySelector("#body").value = '{"user": "ada"}'; return true; }())`)
	tab.Do(chromedp.Click(chromedp.CSS("#name")), chromedp.KeyEvent("getToken"+kb.Enter))
	tab.Until("document.querySelector('pre.reply') !== null")
	reply := stage.Look[string](tab, "document.querySelector('pre.reply').innerText")
	if !strings.Contains(reply, `"`) {
		t.Errorf("the reply is shown as %q", reply)
	}
	renewed(tab, 2)
	now := stage.Look[string](tab, "(document.querySelector('pre.reply') || {}).innerText || ''")
	if now != reply {
		t.Errorf("after the page has renewed itself the reply is %q", now)
	}
	if typed := stage.Look[string](tab, "document.querySelector('#body').value"); !strings.Contains(typed, "ada") {
		t.Errorf("after the call the form has %q", typed)
	}
	tab.Open("/history")
	tab.Until("document.body.innerText.includes('Test call of auth.getToken')")
	for _, fault := range tab.Faults() {
		t.Error(fault)
	}
}
