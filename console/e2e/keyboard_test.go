package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/skerry/skerry/console/e2e/stage"
)

// focus tells of the elements that a person can use, in the order of the page; at is the place of the one that has the
// focus, -1 when it is another one.
const focus = `(function () {
	var all = Array.from(document.querySelectorAll(
		"a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")).filter(function (e) {
		return e.tabIndex >= 0 && !e.disabled && e.getClientRects().length > 0 &&
			e.checkVisibility({visibilityProperty: true});
	});
	var e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
	return JSON.stringify({Of: all.length, At: all.indexOf(e), Is: e.outerHTML.slice(0, 150),
		Ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
		Inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth});
}())`

type focused struct {
	Of, At       int
	Is           string
	Ring, Inside bool
}

func focusOf(t *testing.T, tab *stage.Tab) (f focused) {
	t.Helper()
	if err := json.Unmarshal([]byte(stage.Look[string](tab, focus)), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestKeyboardReachesEverything walks over every page by the tab key: all that can be pressed is reached, in the order
// in which it is read, and it can be seen where the keyboard is.
func TestKeyboardReachesEverything(t *testing.T) {
	tab := signedIn(t)
	for _, p := range site.Pages(t, tab.Session()) {
		tab.Size(1440, 900)
		tab.Open(p.Address)
		of := focusOf(t, tab).Of
		for want := range of {
			tab.Do(chromedp.KeyEvent(kb.Tab))
			f := focusOf(t, tab)
			if f.Of != of {
				break // the page has renewed itself with more or fewer links; another page shows the order
			}
			if f.At != want {
				t.Errorf("%s: tab %d of %d leads to place %d: %s", p.Address, want+1, of, f.At, f.Is)
				break
			}
			if !f.Ring || !f.Inside {
				t.Errorf("%s: the focus is not seen at %s (ring %v, within the window %v)", p.Address, f.Is, f.Ring,
					f.Inside)
			}
			if want == 0 && p.Pattern != "/wall" && !strings.Contains(f.Is, `href="#main"`) {
				t.Errorf("%s: the first stop is not the link to the page: %s", p.Address, f.Is)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	tab := signedIn(t)
	tab.Do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	if id := stage.Look[string](tab, "document.activeElement.id"); id != "main" {
		t.Errorf("the first link of the page leads to %q, not behind the links of all pages", id)
	}
	keys := stage.Look[map[string]string](tab, `Object.fromEntries(Array.from(
		document.querySelectorAll(".rail a[data-key]")).map(function (a) { return [a.dataset.key, a.pathname]; }))`)
	if len(keys) < 6 || keys["s"] != "/services" {
		t.Fatalf("the pages have the keys %v", keys)
	}
	for key, path := range keys {
		tab.Open("/wall")
		tab.Open("/services/auth")
		tab.Do(chromedp.KeyEvent("g"), chromedp.KeyEvent(key))
		tab.Until("location.pathname === " + quoted(path) + " && document.readyState === 'complete'")
	}
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, // types what is not prevented
		input.DispatchKeyEventTypeKeyUp} {
		stage.Call(tab, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Key: "/", Text: "/"})
	}
	tab.Until("document.activeElement.id === 'q'")
	tab.Do(chromedp.KeyEvent("pro"), chromedp.KeyEvent(kb.Enter))
	tab.Until("location.pathname + location.search === '/services?q=pro' && document.readyState === 'complete'")
	if rows := stage.Look[string](tab, "document.querySelector('tbody').innerText"); !strings.Contains(rows, "proc") ||
		strings.Contains(rows, "portal") {
		t.Errorf("the search for pro shows %q", rows)
	}
	tab.Do(chromedp.KeyEvent("w"))
	tab.Until("location.pathname === '/wall'")
	for _, fault := range tab.Faults() {
		t.Error(fault)
	}
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}
