package stage

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// stepLimit bounds one step in a tab.
const stepLimit = 30 * time.Second

// Browser is a Chromium without a window.
type Browser struct {
	t   T
	ctx context.Context
}

// NewBrowser starts Chromium; the end of the test ends it.
func NewBrowser(t T) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v; scripts/setup installs it", err)
	}
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("headless", "new"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck}
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update",
		"disable-sync", "disable-dev-shm-usage", "hide-scrollbars", "disable-background-timer-throttling",
		"disable-backgrounding-occluded-windows", "disable-renderer-backgrounding"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	all, stopAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(all)
	t.Cleanup(func() {
		stop()
		stopAll()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &Browser{t, ctx}
}

// Tab is a page of a browser that knows nothing of other tabs: it has its own cookies.
type Tab struct {
	t      T
	ctx    context.Context
	origin string

	mu     sync.Mutex
	faults []string
	asked  []string // addresses, in order
	sent   []string // paths that forms were sent to, in order
}

// Tab opens an empty page. What it loads from elsewhere than origin is a fault.
func (b *Browser) Tab(t T, origin string) *Tab {
	t.Helper()
	tab := &Tab{t: t, origin: origin}
	ctx, stop := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.hear))
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	tab.ctx = ctx
	Call(tab, network.Enable, network.EnableParams{})
	return tab
}

// Call sends a command of Chromium's protocol.
func Call[P, R any](tab *Tab, command cdp.Command[P, R], params P) R {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, stepLimit)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		tab.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

func (tab *Tab) hear(e any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	fault := func(format string, args ...any) { tab.faults = append(tab.faults, fmt.Sprintf(format, args...)) }
	switch e := e.(type) {
	case *network.EventRequestWillBeSent:
		u := e.Request.URL
		tab.asked = append(tab.asked, u)
		if path, _, _ := strings.Cut(strings.TrimPrefix(u, tab.origin), "?"); e.Request.Method == "POST" {
			tab.sent = append(tab.sent, path)
		}
		if !strings.HasPrefix(u, tab.origin+"/") && !strings.HasPrefix(u, "data:") && u != "about:blank" {
			fault("a request leaves the console: %s", u)
		}
	case *runtime.EventExceptionThrown:
		fault("a script fails: %+v", e.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, a := range e.Args {
				fault("the browser's console: %s %s", a.Value, a.Description)
			}
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			fault("the browser's console: %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	}
}

// Faults returns what the browser has complained about since the last call, and requests that left the console.
func (tab *Tab) Faults() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	list := tab.faults
	tab.faults = nil
	return list
}

// Asked returns the addresses that the tab has asked for since the last call.
func (tab *Tab) Asked() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	list := tab.asked
	tab.asked = nil
	return list
}

// Sent returns the paths that forms of the tab were sent to since the last call.
func (tab *Tab) Sent() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	list := tab.sent
	tab.sent = nil
	return list
}

// Try runs actions within a bounded time.
func (tab *Tab) Try(actions ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(tab.ctx, stepLimit)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

// Do is Try for what must be possible.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	if err := tab.Try(actions...); err != nil {
		tab.t.Fatalf("%v, at %s\n%s", err, tab.Address(), strings.Join(tab.Faults(), "\n"))
	}
}

// Address is where the tab is: a path with its query.
func (tab *Tab) Address() string {
	ctx, cancel := context.WithTimeout(tab.ctx, stepLimit)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return err.Error()
	}
	return strings.TrimPrefix(at, tab.origin)
}

// Open goes to a path, or to an address, and waits until it is loaded.
func (tab *Tab) Open(path string) {
	tab.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = tab.origin + path
	}
	tab.Do(chromedp.Navigate(path))
}

// SignIn opens a link of the console, and waits for the page behind it.
func (tab *Tab) SignIn(link string) {
	tab.t.Helper()
	_ = tab.Try(chromedp.Navigate(link)) // its script may leave the page before it is loaded
	tab.Until("document.querySelector('nav.rail') !== null")
}

// Look returns the value of an expression in JavaScript, which may be a promise.
func Look[V any](tab *Tab, expression string) V {
	tab.t.Helper()
	v, err := look[V](tab, expression)
	if err != nil {
		tab.t.Fatalf("%.300s: %v, at %s", expression, err, tab.Address())
	}
	return v
}

func look[V any](tab *Tab, expression string) (V, error) {
	ctx, cancel := context.WithTimeout(tab.ctx, stepLimit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[V](expression, chromedp.EvalAwaitPromise))
}

// Until waits until an expression in JavaScript is true, on this page or the next.
func (tab *Tab) Until(expression string) {
	tab.t.Helper()
	for end := time.Now().Add(stepLimit); ; time.Sleep(20 * time.Millisecond) {
		is, err := look[bool](tab, "Boolean("+expression+")")
		if err == nil && is {
			return
		}
		if time.Now().After(end) {
			text, _ := look[string](tab, "document.body.innerText")
			tab.t.Fatalf("%s did not become true (%v) at %s:\n%.2000s", expression, err, tab.Address(), text)
		}
	}
}

// Cookie sets a cookie of the console, such as lang or theme.
func (tab *Tab) Cookie(name, value string) {
	tab.t.Helper()
	if name == "session" { // its name has the port
		name += "-" + tab.origin[strings.LastIndexByte(tab.origin, ':')+1:]
	}
	Call(tab, network.SetCookie, network.SetCookieParams{Name: "skerry-console-" + name, Value: value,
		URL: tab.origin + "/", Path: "/", SameSite: network.CookieSameSiteStrict})
}

// Session is the cookie that the console knows the tab by.
func (tab *Tab) Session() string {
	tab.t.Helper()
	for _, c := range Call(tab, network.GetCookies, network.GetCookiesParams{}).Cookies {
		if strings.HasPrefix(c.Name, "skerry-console-session") { // and the port
			return c.Value
		}
	}
	tab.t.Fatalf("the console gave no session at %s", tab.Address())
	return ""
}

// Size sets the size of the window in CSS pixels.
func (tab *Tab) Size(width, height int64) {
	tab.t.Helper()
	tab.Do(chromedp.EmulateViewport(width, height))
}
