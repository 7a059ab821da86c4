package console

import "net/http"

// page is a page of the console.
type page struct {
	Name    string // of its template, its section of the words, and its icon
	Path    string // pattern of its address
	Key     string // after g leads there; "": no key
	Command string // that shows the same, without "skerry "
	Group   int    // of the rail; 0: not on it
	Role    role   // the smallest that sees it; without one viewer
	Rel     string // page that is marked on the rail, for pages that are not on it
	Content func(*snapshot, *http.Request) (any, error)
	// From makes the content of a page that shows more than the site, in place of Content.
	From func(*handler, *snapshot, *http.Request) (any, error)
}

// file is what a session may load beside pages.
type file struct {
	Name  string
	Path  string
	Role  role // the smallest that may
	Serve func(*handler, http.ResponseWriter, *http.Request)
}

// sessionFiles are all of them.
var sessionFiles = []file{
	{Name: "audit", Path: "/history/audit.jsonl", Role: roleOperator, Serve: (*handler).exportAudit},
	{Name: "done", Path: "/done/{id}", Role: roleViewer, Serve: (*handler).confirmFile},
}

// File is the path of a file, "" when the session may not load it.
func (f frame) File(name string) string {
	for _, file := range sessionFiles {
		if file.Name == name && f.Actor.Role >= file.Role {
			return file.Path
		}
	}
	return ""
}

// pages are all pages, those of the rail in its order.
var pages = []page{
	{Name: "overview", Path: "/{$}", Key: "o", Command: "doctor", Group: 1, Content: (*snapshot).overviewPage},
	{Name: "services", Path: "/services", Key: "s", Command: "ls", Group: 1, Content: (*snapshot).servicesPage},
	{Name: "service", Path: "/services/{service}", Command: "ls", Rel: "services",
		Content: (*snapshot).servicePage},
	{Name: "call", Path: "/services/{service}/call", Command: "call", Role: roleOperator, Rel: "services",
		Content: (*snapshot).callPage},
	{Name: "topology", Path: "/topology", Key: "t", Command: "stats --by peer", Group: 1,
		Content: (*snapshot).topologyPage},
	{Name: "traces", Path: "/traces", Key: "c", Command: "trace", Group: 1, Content: (*snapshot).tracesPage},
	{Name: "release", Path: "/release", Key: "r", Command: "release status", Group: 2,
		Content: (*snapshot).releasePage},
	{Name: "policy", Path: "/policy", Key: "p", Command: "policy show", Group: 2, Content: (*snapshot).policyPage},
	{Name: "policy-edit", Path: "/policy/edit", Role: roleOperator, Rel: "policy",
		Content: (*snapshot).policyEditPage},
	{Name: "access", Path: "/policy/access", Command: "policy access", Rel: "policy",
		Content: (*snapshot).accessPage},
	{Name: "policy-change", Path: "/policy/{number}", Command: "policy show", Rel: "policy",
		Content: (*snapshot).policyChangePage},
	{Name: "processes", Path: "/processes", Key: "d", Command: "members", Group: 3,
		Content: (*snapshot).processesPage},
	{Name: "report", Path: "/processes/report", Command: "doctor --site --redacted --json", Rel: "processes",
		Content: (*snapshot).reportPage},
	{Name: "hosts", Path: "/hosts", Key: "n", Command: "site status", Group: 3, Content: (*snapshot).hostsPage},
	{Name: "history", Path: "/history", Key: "h", Command: "release log", Group: 3, From: (*handler).historyPage},
	{Name: "sessions", Path: "/sessions", Key: "u", Group: 3, Role: roleAdmin,
		From: func(c *handler, _ *snapshot, r *http.Request) (any, error) { return c.sessionsPage(r) }},
	{Name: "wall", Path: "/wall", Key: "", Command: "", Rel: "overview", Content: (*snapshot).overviewPage},
}

// content makes the content of a page.
func (p page) content(c *handler, s *snapshot, r *http.Request) (any, error) {
	if p.From != nil {
		return p.From(c, s, r)
	}
	return p.Content(s, r)
}

// link is the address of a page without parts in braces.
func (p page) Link() string {
	if p.Path == "/{$}" {
		return "/"
	}
	return p.Path
}
