package e2e

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/skerry/skerry/console/e2e/stage"
)

// TestPagesRenewThemselves: an open page shows the death of an instance by itself, and its return. It is not loaded
// anew, does not jump, and stays where its reader is.
func TestPagesRenewThemselves(t *testing.T) {
	tab := signedIn(t)
	tab.Size(1440, 420) // so low that there is something to scroll
	tab.Open("/services/db")
	tab.Until("document.querySelectorAll('tbody tr:not(.group) .m-ok').length >= 2")
	stage.Look[bool](tab, `(function () {
		window.same = true;
		window.jumps = 0;
		window.empty = 0;
		new PerformanceObserver(function (list) {
			list.getEntries().forEach(function (e) { if (!e.hadRecentInput) { window.jumps += e.value; } });
		}).observe({type: "layout-shift"});
		new MutationObserver(function () {
			if (!document.querySelector("#main h1")) { window.empty++; }
		}).observe(document.body, {childList: true, subtree: true});
		scrollTo(0, 120);
		return true;
	}())`)
	tab.Asked()
	renewed(tab, 1)
	if asked := strings.Join(tab.Asked(), " "); !strings.Contains(asked, "/services/db") {
		t.Errorf("the page does not ask for itself: %s", asked)
	}
	if y := stage.Look[float64](tab, "scrollY"); y != 120 {
		t.Errorf("the page was scrolled to 120 px, and is at %v", y)
	}
	if jumps := stage.Look[float64](tab, "jumps"); jumps > 0.01 {
		t.Errorf("the page jumps when it renews itself: %v of the window", jumps)
	}

	lead := "document.querySelector('.lead').innerText"
	well := stage.Look[string](tab, lead)
	site.Process("db-v1-ops-4").Signal(syscall.SIGKILL)
	tab.Until(lead + " !== " + quoted(well))
	site.Serve("db", "v1", "ops-4")
	tab.Until(lead + " === " + quoted(well))
	if !stage.Look[bool](tab, "window.same === true") {
		t.Error("the page was loaded anew")
	}
	if n := stage.Look[int](tab, "window.empty"); n > 0 {
		t.Errorf("the page was empty %d times", n)
	}
	for _, fault := range tab.Faults() {
		t.Error(fault)
	}
}

// renewed waits until the page has renewed itself that often. It counts the answers that the page's script has worked
// in: the ages that a page shows are often the same before and after.
func renewed(tab *stage.Tab, times int) {
	stage.Look[bool](tab, `(function () {
		var fetch = window.fetch;
		window.renewed = 0;
		window.fetch = function () {
			return fetch.apply(window, arguments).then(function (answer) {
				var text = answer.text.bind(answer);
				answer.text = function () {
					return text().then(function (page) {
						setTimeout(function () { window.renewed++; }); // after what follows in the page
						return page;
					});
				};
				return answer;
			});
		};
		return true;
	}())`)
	tab.Until("window.renewed >= " + strconv.Itoa(times))
}
