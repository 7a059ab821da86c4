package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/skerry/skerry/console/e2e/stage"
)

// TestHistorianPage: a browser shows the values of the example of streams as they come, by Server-Sent Events, and asks
// for earlier ones by its WebSocket. When the gateway is started again, the browser resumes by Last-Event-ID: no value
// is lost, and none comes twice.
func TestHistorianPage(t *testing.T) {
	h := site.Historian(t)
	tab := browser.Tab(t, h.Origin)
	for shown := false; !shown; { // the gateway may not listen yet, or not know the services
		if tab.Try(chromedp.Navigate(h.Origin+"/")) == nil {
			shown = stage.Look[bool](tab, "document.querySelector('#sensors') !== null")
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the page does not come")
		default:
		}
	}
	tab.Until("document.querySelector('[data-tag=pressure]') !== null")
	const at = "document.querySelector('[data-tag=pressure]').dataset.t"
	for range 3 {
		was := stage.Look[string](tab, at)
		tab.Until(at + " !== " + quoted(was))
	}
	tab.Faults() // of addresses that did not answer yet
	stage.Look[bool](tab, `document.querySelector("#ago").value = "0", true`)
	tab.Do(chromedp.Click(chromedp.CSS("#ask button")))
	tab.Until("/^pressure was [345]\\.\\d\\d at /.test(document.querySelector('#answer').textContent)")
	tab.Do(chromedp.Click(chromedp.CSS("#ask button")))
	for _, fault := range tab.Faults() {
		t.Error(fault)
	}

	stage.Look[bool](tab, `(function () {
		window.follow = function (since, seen) {
			var events = new EventSource("/historian/watch?args=" +
				encodeURIComponent(JSON.stringify({r: {tags: ["pressure"], since: since}})));
			events.onmessage = function (e) { seen.push(JSON.parse(e.data).t); };
			events.onopen = function () { window.opened++; };
			return seen;
		};
		window.opened = 0;
		window.resumed = follow(0, []);
		return true;
	}())`)
	tab.Until("resumed.length > 5")
	h.StopGateway()
	before := stage.Look[int](tab, "resumed.length")
	h.StartGateway()
	tab.Until("opened > 1 && resumed.length > 10 + " + fmt.Sprint(before))
	tab.Until("(window.whole = window.whole || follow(0, [])).length >= resumed.length")
	if !stage.Look[bool](tab, "resumed.every(function (t, i) { return t === whole[i]; })") {
		t.Errorf("the resumed stream brought %v, and all values are %v", stage.Look[[]int64](tab, "resumed"),
			stage.Look[[]int64](tab, "whole"))
	}
}
