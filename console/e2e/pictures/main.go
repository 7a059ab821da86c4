package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/chromedp/cdproto/page"

	"github.com/skerry/skerry/console/e2e/stage"
	"github.com/skerry/skerry/internal/words"
)

func main() {
	after := flag.Duration("after", 0, "how long the site runs before, so that figures have a past")
	docs := flag.String("docs", "", "directory of the documentation's pictures, to which the chosen ones are written")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: pictures [-after TIME] [-docs DIR] DIR")
		os.Exit(2)
	}
	os.Exit(stage.Alone(func(t stage.T) int {
		c := camera{t: t, dir: flag.Arg(0), site: stage.NewSite(t)}
		if err := os.MkdirAll(c.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		c.tab = stage.NewBrowser(t).Tab(t, c.site.Origin)
		c.tab.Open("/in")
		c.all("signin", "/in")
		c.tab.SignIn(c.site.Link(t))
		c.site.Steer(t)
		c.site.Release(t)
		for end := time.Now().Add(*after); time.Now().Before(end); time.Sleep(time.Second) {
			c.tab.Open("/") // keeps the session, and the console awake
		}
		for _, p := range c.site.Pages(t, c.tab.Session()) {
			c.all(p.Name(), p.Address)
		}
		c.site.Process("db-v1-ops-3").Signal(syscall.SIGKILL)
		c.site.Stutter("db-v1-ops-4")
		c.tab.Open("/")
		c.tab.Until("document.querySelector('.state.bad, .state.warn') !== null")
		time.Sleep(troubleTime)
		for _, p := range c.site.Pages(t, c.tab.Session()) {
			if slices.Contains([]string{"/", "/services", "/services/{service}", "/topology", "/processes", "/wall"},
				p.Pattern) {
				c.all("trouble-"+p.Name(), p.Address)
			}
		}
		c.all("trouble-services-db", "/services/db")
		if *docs != "" {
			if err := choose(c.dir, *docs); err != nil {
				t.Fatal(err)
			}
		}
		return 0
	}))
}

// troubleTime passes before pictures of trouble, so that the figures of the last minute have it.
const troubleTime = 40 * time.Second

// camera makes pictures of a tab.
type camera struct {
	t    stage.T
	dir  string
	site *stage.Site
	tab  *stage.Tab
}

// all makes all pictures of a page.
func (c *camera) all(name, address string) {
	for _, l := range words.Languages {
		for _, theme := range []string{"light", "dark"} {
			c.tab.Cookie("lang", string(l))
			c.tab.Cookie("theme", theme)
			for _, width := range []int64{1440, 390} {
				c.tab.Size(width, 900)
				c.tab.Open(address)
				path := filepath.Join(c.dir, fmt.Sprintf("%s-%s-%s-%d.png", name, l, theme, width))
				if err := os.WriteFile(path, c.picture(width), 0o644); err != nil {
					c.t.Fatal(err)
				}
			}
		}
	}
}

// tallest bounds a picture in CSS pixels.
const tallest = 2400

// picture is the whole page as PNG.
func (c *camera) picture(width int64) []byte {
	height := min(tallest, max(900, stage.Look[int64](c.tab, "document.documentElement.scrollHeight")))
	c.tab.Size(width, height)
	return stage.Call(c.tab, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng}).Data
}
