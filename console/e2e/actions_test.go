package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/skerry/skerry/console/e2e/stage"
)

// hand presses the buttons of a tab, and remembers which actions they led to.
type hand struct {
	*stage.Tab
	t       *testing.T
	pressed map[string]bool // by the name of the action
	actions []action
	axe     string
	checked map[string]bool // pages, by their path and forms
	clicks  int
}

type action struct {
	name string
	path *regexp.Regexp
}

func newHand(t *testing.T) *hand {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(stage.Root(t), "console", "actions.go"))
	if err != nil {
		t.Fatal(err)
	}
	h := &hand{Tab: signedIn(t), t: t, pressed: map[string]bool{}, axe: stage.Axe(t),
		checked: map[string]bool{}}
	row := regexp.MustCompile(`\{Name: "([a-z-]+)", Path: "([^"]+)"`)
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		path := regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(m[2]), "[^/]+")
		h.actions = append(h.actions, action{m[1], regexp.MustCompile("^" + path + "$")})
	}
	if len(h.actions) < 10 {
		t.Fatalf("console/actions.go has only %d actions", len(h.actions))
	}
	return h
}

// fill types a text into a field in place of the one that it has.
func (h *hand) fill(field, text string) {
	h.t.Helper()
	found := stage.Look[bool](h.Tab, `(function () {
		var e = Array.from(document.querySelectorAll("#main " + `+quoted(field)+`)).find(function (e) {
			return e.checkVisibility({visibilityProperty: true});
		});
		if (e) { e.focus(); if (e.select) { e.select(); } }
		return Boolean(e);
	}())`)
	if !found {
		h.t.Fatalf("there is no field %s at %s", field, h.Address())
	}
	h.Do(chromedp.KeyEvent(text))
}

// press presses a button by a real click, and waits for the page that follows. It fails the test when the page says
// that the action was not done.
func (h *hand) press(button string) {
	h.t.Helper()
	h.clicks++
	stage.Look[bool](h.Tab, `window.before = true`)
	h.Sent()
	target := stage.Look[string](h.Tab, `(function () {
		var e = Array.from(document.querySelectorAll("#main " + `+quoted(button)+`)).find(function (e) {
			return e.checkVisibility({visibilityProperty: true});
		});
		if (!e) { return ""; }
		e.id = e.id || "to-press";
		e.setAttribute("data-still", ""); // the page does not renew itself under the hand
		e.scrollIntoView({block: "center"});
		return e.id;
	}())`)
	if target == "" {
		h.t.Fatalf("there is no button %s at %s:\n%s", button, h.Address(),
			stage.Look[string](h.Tab, "document.querySelector('#main').innerText"))
	}
	h.Do(chromedp.Click(chromedp.CSS("#" + target)))
	h.Until("window.before !== true && document.readyState === 'complete'")
	for _, asked := range h.Sent() {
		for _, a := range h.actions {
			if a.path.MatchString(asked) {
				h.pressed[a.name] = true
			}
		}
	}
	if failed := stage.Look[string](h.Tab, `Array.from(document.querySelectorAll("#main [role=alert]")).map(
		function (e) { return e.innerText; }).join("\n")`); failed != "" {
		h.t.Fatalf("%s at %s: %s", button, h.Address(), failed)
	}
	h.check()
}

// check looks at the page that an action has led to, once for each set of forms that it has.
func (h *hand) check() {
	h.t.Helper()
	page := stage.Look[string](h.Tab, `location.pathname + Array.from(document.forms).map(function (f) {
		return f.action + f.elements.length;
	}).join()`)
	if h.checked[page] {
		return
	}
	h.checked[page] = true
	for _, width := range []int64{1440, 390} {
		h.Size(width, 900)
		if wide := stage.Look[string](h.Tab, tooWide); wide != "" {
			h.t.Errorf("%s, at %d px: the page scrolls sideways: %s", h.Address(), width, wide)
		}
	}
	h.Size(1440, 900)
	for _, barrier := range h.Barriers(h.axe) {
		h.t.Errorf("%s: %s", h.Address(), barrier)
	}
	for _, fault := range h.Faults() {
		h.t.Errorf("%s: %s", h.Address(), fault)
	}
}

// tick clicks on a box, or opens what is folded up.
func (h *hand) tick(box string) {
	h.t.Helper()
	h.Do(chromedp.Click(chromedp.CSS(box)))
}

// shows waits until the page has a text.
func (h *hand) shows(text string) {
	h.t.Helper()
	h.Until("document.querySelector('#main').innerText.includes(" + quoted(text) + ")")
}

// until looks at a page again and again until it has a text.
func (h *hand) until(path, text string) {
	h.t.Helper()
	for end := time.Now().Add(siteLimit); ; time.Sleep(200 * time.Millisecond) {
		h.Open(path)
		page := stage.Look[string](h.Tab, "document.querySelector('#main').innerText")
		if strings.Contains(page, text) {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("%s lacks %q after %v:\n%s", path, text, siteLimit, page)
		}
	}
}

// siteLimit bounds what the site does after a button.
const siteLimit = 40 * time.Second

// TestEveryButton makes changes of the policy and two releases by the buttons of the pages, as an operator does: every
// action of console/actions.go is asked for by a page, and the site does it.
func TestEveryButton(t *testing.T) {
	h := newHand(t)
	h.Cookie("lang", "en")
	h.Size(1440, 900)
	h.policy()
	h.release()
	h.rest()
	for _, a := range h.actions {
		if !h.pressed[a.name] && !slices.Contains(elsewhere, a.name) {
			t.Errorf("no button was pressed that asks for the action %s", a.name)
		}
	}
}

// elsewhere are actions that other tests ask for: TestSignIn, and tests of package console.
var elsewhere = []string{"out", "release-without"}

// policy changes the policy: tries a text, applies it with a time to confirm, confirms it, switches a plan on and off,
// and brings the policy before back.
func (h *hand) policy() {
	h.t.Helper()
	h.Open("/policy/edit")
	h.fill("#service", "auth")
	h.fill("#rate", "5000")
	h.press("button[value=insert]")
	if text := stage.Look[string](h.Tab, "document.querySelector('#text').value"); !strings.Contains(text, "5000") {
		h.t.Fatalf("the form put nothing into the text:\n%s", text)
	}
	h.press(".acts button[value=try]")
	h.fill("#reason", "the tokens are checked on a weak host")
	if !stage.Look[bool](h.Tab, "document.querySelector('input[name=confirm]').checked") {
		h.tick("input[name=confirm]")
	}
	h.press("button[formaction='/policy/apply']")
	h.Until("document.querySelector('h1').innerText === 'Policy 3'")
	h.press(ask)
	h.fill(reason, "the limit is wide enough")
	h.press("form[action='/policy/confirm'] button")
	h.Open("/policy")
	if waits := stage.Look[bool](h.Tab, "document.querySelector('form[action=\"/policy/confirm\"]') !== null"); waits {
		h.t.Error("the policy waits for a confirmation after it was confirmed")
	}
	for range 2 { // on, and off
		number := stage.Look[string](h.Tab, "document.querySelector('h1').innerText")
		h.press(ask)
		h.fill(reason, "a storm of orders")
		h.press("form[action='/policy/plan'] button")
		h.Open("/policy")
		h.Until("document.querySelector('h1').innerText !== " + quoted(number))
	}
	h.Open("/policy/2")
	h.press(ask)
	h.fill(reason, "the limit is not needed")
	h.press("form[action='/policy/2/undo'] button")
	if text := site.Command(h.t, "", "policy", "show"); strings.Contains(text, "5000") {
		h.t.Errorf("the policy before did not come back:\n%s", text)
	}
}

const (
	ask    = "form[action='/policy/ask'] button" // the first one
	reason = "input[name=reason]"
)

// release plays two releases of auth: v2 is committed to half of the users, held, committed to all and cleaned; v3 is
// committed and rolled back.
func (h *hand) release() {
	h.t.Helper()
	h.start("new format of tokens")
	h.ship("v2")
	h.fill("input[name=ramp]", "50,100")
	h.fill("input[name=every]", "5m")
	h.fill("input[name=min_calls]", "1")
	h.step("commit")
	h.until("/release", "50 %")
	h.fill(reason, "the shift ends")
	h.press("form[action='/release/hold'] button")
	h.until("/release", "Commit…")
	h.fill("input[name=ramp]", "100")
	h.fill("input[name=every]", "1s")
	h.fill("input[name=min_calls]", "1")
	h.step("commit")
	h.until("/release", "Clean…")
	h.step("clean")
	h.until("/release", "Clean by root@ops-1 has ended")
	h.until("/release", "Start a release…")

	h.start("tokens with a date")
	h.ship("v3")
	h.fill("input[name=ramp]", "100")
	h.fill("input[name=every]", "1s")
	h.fill("input[name=min_calls]", "1")
	h.step("commit")
	h.until("/release", "Clean…")
	h.press(".tools form button")
	h.step("rollback")
	h.until("/release", "Clean…")
	h.step("clean")
	h.until("/release", "Clean by root@ops-1 has ended")
	h.until("/release", "Start a release…")
	log := site.Command(h.t, "", "release", "log")
	for _, want := range []string{"new format of tokens", "commit", "roll back", "clean"} {
		if !strings.Contains(log, want) {
			h.t.Errorf("the log of releases lacks %q:\n%s", want, log)
		}
	}
}

// start opens a release.
func (h *hand) start(why string) {
	h.t.Helper()
	h.Open("/release")
	h.fill(reason, why)
	h.press(next)
	h.agree("start")
	h.until("/release", "Ship…")
}

const next = "form[action='/release/plan'] button.main" // the one filled button

// ship starts a version of auth and ships it.
func (h *hand) ship(version string) {
	h.t.Helper()
	site.Serve("auth", version, "ops-4")
	h.until("/release", "auth/"+version)
	h.fill("input[name=service]", "auth")
	h.fill("input[name=version]", version)
	h.fill("input[name=wish]", "1")
	h.step("ship")
	h.until("/release", "Commit…")
}

// step takes a step of the release: asks for what it will do, if that is not on the page, and does it.
func (h *hand) step(name string) {
	h.t.Helper()
	form := "form[action='/release/" + name + "']"
	if !stage.Look[bool](h.Tab, "document.querySelector("+quoted(form)+") !== null") {
		h.press(next)
	}
	h.agree(name)
}

// typed is the text that a question asks to type.
var typed = regexp.MustCompile(`(?:Type|请输入) (\S+) (?:to go on|以继续)`)

// agree answers the question of a step. The page asks again when the site has changed since.
func (h *hand) agree(name string) {
	h.t.Helper()
	form := "form[action='/release/" + name + "']"
	for range 3 {
		asked := stage.Look[string](h.Tab, "(document.querySelector("+quoted(form)+") || {innerText: ''}).innerText")
		if asked == "" {
			return
		}
		if m := typed.FindStringSubmatch(asked); m != nil {
			h.fill("input[name=typed]", m[1])
		}
		if why := form + " " + reason + ":not([type=hidden])"; stage.Look[bool](h.Tab,
			"document.querySelector("+quoted(why)+") !== null") {
			h.fill(why, "as planned")
		}
		h.press(form + " button[type=submit]:not([data-copy])")
	}
	h.t.Fatalf("the page asks for %s again and again:\n%s", name,
		stage.Look[string](h.Tab, "document.querySelector('#main').innerText"))
}

// rest presses the buttons of other pages.
func (h *hand) rest() {
	h.t.Helper()
	h.Open("/processes")
	h.press("form[action='/processes/doctor'] button")
	h.Open("/services/db/call?method=read")
	h.fill("#body", `{"key": "pump-1"}`)
	h.fill("#name", "read") // the policy does not declare it idempotent
	h.press("form[action='/services/db/call'] button")
	h.shows("pump-1")
	h.silence()
	other := signedIn(h.t)
	h.Open("/sessions")
	h.tick("tr:not(:has(.chip)) details summary")
	h.fill("details[open] "+reason, "it was left open")
	h.press("details[open] button")
	other.Open("/")
	if at := other.Address(); at != "/in" {
		h.t.Errorf("a session that was ended opens %s", at)
	}
}

// silence lets a process stand still until it is found, silences that, and shows it again.
func (h *hand) silence() {
	h.t.Helper()
	p := site.Process("db-v1-ops-4")
	p.Signal(syscall.SIGSTOP)
	defer p.Signal(syscall.SIGCONT)
	h.until("/", "not answer")
	id := stage.Look[string](h.Tab, `fetch("/?format=json").then(function (r) { return r.json(); }).then(function (d) {
		return (d.overview.findings.find(function (f) { return f.kind === "silent"; }) || {id: ""}).id;
	})`)
	for _, what := range []string{"silence", "show"} {
		form := "form[action='/findings/" + id + "/" + what + "']"
		h.tick("details:has(" + form + ") summary")
		h.fill(form+" "+reason, "it is being repaired")
		h.press(form + " button")
	}
	h.shows("It is shown again")
}
