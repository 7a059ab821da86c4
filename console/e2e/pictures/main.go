// Pictures makes a picture of each page of the console, in both languages, both themes, and on a wide and a narrow
// window, of a running site. It is what make console-pictures runs.
//
//	go run ./pictures DIR
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/page"

	"github.com/skerry/skerry/console/e2e/stage"
	"github.com/skerry/skerry/internal/words"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pictures DIR")
		os.Exit(2)
	}
	os.Exit(stage.Alone(func(t stage.T) int {
		dir := os.Args[1]
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		site := stage.NewSite(t)
		tab := stage.NewBrowser(t).Tab(t, site.Origin)
		tab.SignIn(site.Link(t))
		site.Tell(t)
		for _, p := range site.Pages(t, tab.Session()) {
			for _, l := range words.Languages {
				for _, theme := range []string{"light", "dark"} {
					tab.Cookie("lang", string(l))
					tab.Cookie("theme", theme)
					for _, width := range []int64{1440, 390} {
						tab.Size(width, 900)
						tab.Open(p.Address)
						path := filepath.Join(dir, fmt.Sprintf("%s-%s-%s-%d.png", p.Name(), l, theme, width))
						if err := os.WriteFile(path, picture(tab, width), 0o644); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
		return 0
	}))
}

// tallest bounds a picture in CSS pixels.
const tallest = 2400

// picture is the whole page as PNG.
func picture(tab *stage.Tab, width int64) []byte {
	height := min(tallest, max(900, stage.Look[int64](tab, "document.documentElement.scrollHeight")))
	tab.Size(width, height)
	return stage.Call(tab, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng}).Data
}
