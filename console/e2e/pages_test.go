package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/skerry/skerry/console/e2e/stage"
	"github.com/skerry/skerry/internal/words"
)

// TestPages looks at each page in both languages, both themes, and on a wide and a narrow window: nothing is missing,
// no barrier is there for a person with another way of reading, nothing scrolls sideways but tables, and the browser
// has nothing to complain about.
func TestPages(t *testing.T) {
	first := signedIn(t)
	pages, axe := site.Pages(t, first.Session()), stage.Axe(t)
	var (
		all  sync.WaitGroup
		seen faults
	)
	defer func() {
		all.Wait()
		seen.report(t)
	}()
	for _, theme := range []string{"light", "dark"} { // in a tab each: two processors
		tab := browser.Tab(t, site.Origin)
		tab.Cookie("session", first.Session())
		tab.Cookie("theme", theme)
		all.Go(func() {
			for _, l := range words.Languages {
				tab.Cookie("lang", string(l))
				for _, p := range pages {
					if strings.Contains(p.Address, "?") && (l == words.Chinese) != (theme == "dark") {
						continue // the page itself is looked at in all four ways
					}
					lookAt(t, &seen, tab, p.Address, l, theme, axe)
				}
			}
		})
	}
}

// lookAt looks at one page of a tab.
func lookAt(t *testing.T, faults *faults, tab *stage.Tab, address string, l words.Language, theme, axe string) {
	tab.Size(1440, 900)
	tab.Open(address)
	at := address + " in " + string(l) + ", " + theme
	var seen struct {
		Lang, Theme, Title string
		Texts              []string
	}
	if err := json.Unmarshal([]byte(stage.Look[string](tab, textsOf)), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Lang != string(l) || seen.Theme != theme || seen.Title == "" || len(seen.Texts) < 3 {
		t.Errorf("%s: the page is in %s, %s, with the title %q and %d texts", at, seen.Lang, seen.Theme, seen.Title,
			len(seen.Texts))
	}
	for _, text := range seen.Texts {
		if fault := missing(text, l); fault != "" {
			faults.add(at, fault)
		}
	}
	for _, width := range []int64{1440, 390} {
		tab.Size(width, 900)
		if wide := stage.Look[string](tab, tooWide); wide != "" {
			faults.add(fmt.Sprint(at, ", ", width, " px"), "the page scrolls sideways: "+wide)
		}
		for _, barrier := range tab.Barriers(axe) {
			faults.add(fmt.Sprint(at, ", ", width, " px"), barrier)
		}
	}
	for _, fault := range tab.Faults() {
		faults.add(at, fault)
	}
}

// faults are what is wrong with pages: the same is often wrong with many.
type faults struct {
	mu    sync.Mutex
	where map[string][]string
}

func (f *faults) add(where, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.where == nil {
		f.where = map[string][]string{}
	}
	f.where[what] = append(f.where[what], where)
}

func (f *faults) report(t *testing.T) {
	for what, where := range f.where {
		t.Errorf("on %d pages, such as %s: %s", len(where), where[0], what)
	}
}

// textsOf are the texts of a page, and of the attributes that are read.
const textsOf = `(function () {
	var texts = [document.title], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		var node = walk.currentNode, text = node.data.trim();
		if (text && node.parentElement.closest("[lang]") === document.documentElement) { texts.push(text); }
	}
	document.querySelectorAll("*").forEach(function (e) {
		["title", "aria-label", "placeholder", "alt", "data-l"].forEach(function (a) {
			if (e.getAttribute(a)) { texts.push(e.getAttribute(a)); }
		});
	});
	var root = document.documentElement;
	return JSON.stringify({Lang: root.lang, Theme: root.dataset.theme || "", Title: document.title, Texts: texts});
}())`

// tooWide names what makes a page scroll sideways.
const tooWide = `(function () {
	var root = document.scrollingElement, width = root.clientWidth;
	if (root.scrollWidth <= width) { return ""; }
	var all = Array.from(document.querySelectorAll("body *"));
	return root.scrollWidth + " px in " + width + ": " + all.filter(function (e) {
		var wide = e.children.length ? 0 : Math.max(0, e.scrollWidth - e.clientWidth); // text beyond its box
		return e.getBoundingClientRect().right + wide > width + 1 && !e.closest(".scroll, .filters");
	}).slice(0, 5).map(function (e) { return e.outerHTML.slice(0, 120); }).join("\n");
}())`

var (
	word  = regexp.MustCompile(`[a-z]+(\.[a-z0-9-]+)+`) // the path of an item of the policy is one
	value = regexp.MustCompile(`\{[a-z]+\}|ZgotmplZ|<no value>|%!`)
)

// keys are those of the catalogue, and untranslated the English texts that have another Chinese one.
var keys, untranslated = catalogue()

func catalogue() (keys, english map[string]bool) {
	keys, english = map[string]bool{}, map[string]bool{}
	for _, k := range words.Keys(words.English) {
		keys[k] = true
		text := words.English.Text(k)
		if text != words.Chinese.Text(k) && len(text) > 3 && !strings.Contains(text, "{") {
			english[text] = true
		}
	}
	return keys, english
}

// missing says what a text lacks: a word of the catalogue, a value within it, or its translation.
func missing(text string, l words.Language) string {
	for _, w := range word.FindAllString(text, -1) {
		if keys[w] {
			return "the text of " + w + " is missing: " + text
		}
	}
	if v := value.FindString(text); v != "" {
		return "a value is missing: " + text
	}
	if l == words.Chinese && untranslated[text] {
		return "not in Chinese: " + text
	}
	return ""
}
