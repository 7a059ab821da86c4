package e2e

import (
	"os"
	"testing"

	"github.com/skerry/skerry/console/e2e/stage"
)

// The site and the browser of all tests.
var (
	site    *stage.Site
	browser *stage.Browser
)

func TestMain(m *testing.M) {
	os.Exit(stage.Alone(func(t stage.T) int {
		site, browser = stage.NewSite(t), stage.NewBrowser(t)
		site.Steer(t)
		return m.Run()
	}))
}

// signedIn is a new tab that has signed in.
func signedIn(t *testing.T) *stage.Tab {
	t.Helper()
	tab := browser.Tab(t, site.Origin)
	tab.SignIn(site.Link(t))
	return tab
}
