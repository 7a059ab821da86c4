package stage

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	mostKinds    = 100 // that a walk over the pages returns
	mostVariants = 4   // of one page, by the names in its query
)

// Page is an address of the console.
type Page struct {
	Pattern string // as in console/routes.go
	Address string // path and query
}

// Name is a name of the page for files: services-service.
func (p Page) Name() string {
	name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(p.Pattern, "-"), "-")
	if u, err := url.Parse(p.Address); err == nil && u.RawQuery != "" {
		name += "-by-" + strings.Join(queryNames(u), "-")
	}
	if name == "" {
		return "overview"
	}
	return name
}

// Pages walks over the pages by their links, and returns one address of each kind: of those that differ only in the
// values of their path and query, the first, and of each page a few. session is the cookie of a browser that has
// signed in.
func (s *Site) Pages(t T, session string) (list []Page) {
	t.Helper()
	patterns, files := patterns(t, "pages"), patterns(t, "sessionFiles")
	var waiting []string
	for _, p := range patterns {
		if !strings.Contains(p, "{") {
			waiting = append(waiting, p)
		}
	}
	known, variants := map[string]bool{}, map[string]int{}
	for len(waiting) > 0 {
		address := waiting[0]
		waiting = waiting[1:]
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if patternOf(files, u.Path) != "" {
			continue
		}
		pattern := patternOf(patterns, u.Path)
		if pattern == "" {
			t.Errorf("a link leads to %s, which is no page of console/routes.go", address)
			continue
		}
		kind := pattern + "?" + strings.Join(queryNames(u), "&")
		if known[kind] {
			continue
		}
		if variants[pattern]++; variants[pattern] > mostVariants {
			continue
		}
		known[kind] = true
		if len(list) == mostKinds {
			t.Fatalf("there are more than %d kinds of pages", mostKinds)
		}
		list = append(list, Page{pattern, address})
		waiting = append(waiting, s.linksOf(t, session, address)...)
	}
	for _, p := range patterns {
		if !slices.ContainsFunc(list, func(page Page) bool { return page.Pattern == p }) {
			t.Errorf("no link leads to the page %s of console/routes.go", p)
		}
	}
	return list
}

// patterns are the addresses in a table of console/routes.go.
func patterns(t T, table string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), "console", "routes.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(string(text), "var "+table+" = ")
	rows, _, _ = strings.Cut(rows, "\n}\n")
	for _, m := range regexp.MustCompile(`Path:\s+"([^"]+)"`).FindAllStringSubmatch(rows, -1) {
		list = append(list, strings.TrimSuffix(m[1], "{$}"))
	}
	if len(list) == 0 {
		t.Fatalf("console/routes.go has no table %s", table)
	}
	return list
}

// patternOf is the pattern of a path. One without braces is stronger.
func patternOf(patterns []string, path string) string {
	if slices.Contains(patterns, path) {
		return path
	}
	for _, p := range patterns {
		expression := regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(p), "[^/]+")
		if regexp.MustCompile("^" + expression + "$").MatchString(path) {
			return p
		}
	}
	return ""
}

func queryNames(u *url.URL) (names []string) {
	for name := range u.Query() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// linksOf are the pages that a page leads to.
func (s *Site) linksOf(t T, session, address string) (list []string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.Origin+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "skerry-console-session-" + r.URL.Port(), Value: session})
	client := http.Client{Timeout: stepLimit, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		return fmt.Errorf("leads on to %s", r.URL)
	}}
	begun := time.Now()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", address, resp.StatusCode, err)
	}
	t.Logf("%s: %d KiB in %v", address, len(body)>>10, time.Since(begun).Round(time.Millisecond))
	for _, m := range regexp.MustCompile(`<a [^>]*href="([^"]+)"`).FindAllStringSubmatch(string(body), -1) {
		link := html.UnescapeString(m[1])
		u, err := url.Parse(link)
		if err != nil || !strings.HasPrefix(link, "/") || u.Query().Has("format") || u.Path == "/set" {
			continue
		}
		u.Fragment = ""
		list = append(list, u.String())
	}
	return list
}
