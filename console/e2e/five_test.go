package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/skerry/skerry/console/e2e/stage"
	"github.com/skerry/skerry/internal/words"
)

// novice is an operator with a question and no knowledge of the console: it begins on the Overview, and presses what
// it can see.
type novice struct {
	*hand
	words.Language
}

// begin opens the Overview and counts from there.
func (n *novice) begin() {
	n.t.Helper()
	n.Open("/")
	n.clicks = 0
}

// link presses the first link or button that is seen with exactly this text, beside what only screen readers say.
func (n *novice) link(text string) {
	n.t.Helper()
	n.clicks++
	stage.Look[bool](n.Tab, `window.before = true`)
	seen := `Array.from(document.querySelectorAll("body a, body button")).find(function (e) {
		var copy = e.cloneNode(true);
		copy.querySelectorAll(".sr, .count").forEach(function (s) { s.remove(); });
		return copy.textContent.trim() === ` + quoted(text) + ` && e.checkVisibility({visibilityProperty: true});
	})`
	n.Until(seen)
	n.Do(chromedp.Click(chromedp.CSS("#" + stage.Look[string](n.Tab, `(function () {
		var e = `+seen+`;
		document.querySelectorAll("#to-follow").forEach(function (old) { old.removeAttribute("id"); });
		e.id = e.id || "to-follow";
		e.setAttribute("data-still", ""); // the page does not renew itself under the hand
		e.scrollIntoView({block: "center"});
		return e.id;
	}())`))))
	n.Until("window.before !== true && document.readyState === 'complete'")
}

// reads waits until the page says a text.
func (n *novice) reads(text string) {
	n.t.Helper()
	n.Until("document.querySelector('#main').innerText.includes(" + quoted(text) + ")")
}

// took fails the test when a task took more clicks than docs/console.md says.
func (n *novice) took(task string, most int) {
	n.t.Helper()
	if n.clicks > most {
		n.t.Errorf("%s, in %s: %d clicks, want %d at most", task, n.Language, n.clicks, most)
	}
}

// TestFiveTasks plays five tasks of an operator in both languages, as docs/console.md tells them.
func TestFiveTasks(t *testing.T) {
	h := newHand(t)
	h.Size(1440, 900)
	for i, l := range words.Languages {
		n := &novice{h, l}
		n.Cookie("lang", string(l))
		n.callers()
		n.access()
		n.takeOut()
		n.roll(fmt.Sprint("v", i+2))
		n.sick()
	}
}

// callers answers: which service calls auth most?
func (n *novice) callers() {
	n.t.Helper()
	n.begin()
	n.link("auth")
	n.Until("location.pathname === '/services/auth'")
	said, _, _ := strings.Cut(n.Text("service.most"), "{")
	n.reads(said)
	lead := stage.Look[string](n.Tab, "document.querySelector('.lead').innerText")
	if !strings.Contains(lead, "portal") && !strings.Contains(lead, "proc") {
		n.t.Errorf("the page of auth says %q", lead)
	}
	n.took("which service calls auth most", 1)
}

// access answers: which callers may call db?
func (n *novice) access() {
	n.t.Helper()
	n.begin()
	n.link("db")
	n.link(n.Text("service.may-call"))
	n.Until("location.pathname === '/policy/access'")
	n.reads(n.Text("access.allowed"))
	cells := stage.Look[int](n.Tab, "document.querySelectorAll('.matrix tbody td.cell-allowed').length")
	rows := stage.Look[int](n.Tab, "document.querySelectorAll('.matrix tbody tr').length")
	if cells < 1 || rows != 1 {
		n.t.Errorf("access to db is shown with %d callers that may, in %d rows", cells, rows)
	}
	n.took("what may call db", 2)
}

// takeOut takes the host ops-3 out for an hour.
func (n *novice) takeOut() {
	n.t.Helper()
	n.begin()
	n.link(n.Text("processes.title"))
	n.Until("location.pathname === '/processes'")
	row := "Array.from(document.querySelectorAll('tr.group')).find(e => e.innerText.includes('ops-3'))"
	n.Until(row)
	stage.Look[string](n.Tab, "Object.assign("+row+".querySelector('a'), {id: 'out-of-ops-3'}).dataset.still = 'yes'")
	n.press("#out-of-ops-3")
	n.press(".acts button[value=try]")
	n.fill("#reason", "a new disk")
	n.press("button[formaction='/policy/apply']")
	n.Until("location.pathname === '/policy'")
	n.reads("ops-3")
	n.took("take ops-3 out for an hour", 4)
	if text := site.Command(n.t, "", "policy", "show"); !strings.Contains(text, "ops-3") {
		n.t.Errorf("the policy does not speak of ops-3:\n%s", text)
	}
	n.Open("/services/db") // and back: the other tests want every instance
	n.Until("document.querySelectorAll('tbody tr:not(.group) .m-off').length > 0")
	n.begin()
	n.link(n.Text("policy.title"))
	n.link(n.Text("policy.back"))
	n.press(ask)
	n.fill(reason, "the disk is in")
	n.press("form[action$='/undo'] button")
	n.took("bring ops-3 back", 4)
}

// roll releases a version of proc, rolls it back, and cleans up.
func (n *novice) roll(version string) {
	n.t.Helper()
	site.Serve("proc", version, "ops-4")
	n.begin()
	n.link(n.Text("release.title"))
	n.Until("location.pathname === '/release'")
	n.fill(reason, "a faster proc")
	n.press(next)
	n.agree("start")
	n.comes("input[name=version]")
	n.fill("input[name=service]", "proc")
	n.fill("input[name=version]", version)
	n.fill("input[name=wish]", "1")
	n.step("ship")
	n.comes("input[name=ramp]")
	n.fill("input[name=ramp]", "100")
	n.fill("input[name=every]", "1s")
	n.fill("input[name=min_calls]", "1")
	n.step("commit")
	n.comes(".tools form button")
	n.press(".tools form button")
	n.step("rollback")
	n.took("release proc and roll back", 9)
	n.comes("form[action='/release/plan'] input[name=step][value=clean]")
	n.step("clean")
	n.comes("form[action='/release/plan'] input[name=step][value=start]")
	if p := site.Process("proc-" + version + "-ops-4"); !p.Over() { // it may have ended when it was cleaned
		p.Signal(syscall.SIGTERM)
	}
}

// comes waits until the page of a release has a form: a step goes on at the console.
func (n *novice) comes(selector string) {
	n.t.Helper()
	n.Until("document.querySelector(" + quoted(selector) + ") !== null")
}

// sick answers: which instance is sick, and why?
func (n *novice) sick() {
	n.t.Helper()
	site.Process("db-v1-ops-4").Signal(syscall.SIGKILL)
	n.Open("/")
	n.Until("document.querySelector('.finding a[href^=\"/history\"]') !== null")
	finding := stage.Look[string](n.Tab, "document.querySelector('.finding:has(a[href^=\"/history\"])').innerText")
	for _, want := range []string{"db/v1", "ops-4"} {
		if !strings.Contains(finding, want) {
			n.t.Errorf("the finding lacks %s:\n%s", want, finding)
		}
	}
	n.clicks = 0
	n.link(n.Text("finding.open-history"))
	n.reads("ops-4/")
	n.took("which instance is sick", 1)
	site.Serve("db", "v1", "ops-4")
	n.Open("/")
	n.Until("document.querySelector('.finding a[href^=\"/history\"]') === null")
}
