package console

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/words"
)

//go:embed web/*.html
var templateFiles embed.FS

// templates are those of each page, by language and name. Commands that show no page do not parse them.
var templates = sync.OnceValue(parseTemplates)

func parseTemplates() map[language]map[string]*template.Template {
	all := map[language]map[string]*template.Template{}
	for _, l := range languages {
		all[l] = map[string]*template.Template{}
		base := template.Must(template.New("frame").Funcs(functions(l)).ParseFS(templateFiles, "web/frame.html",
			"web/parts.html"))
		for _, p := range append(pages, page{Name: "failed"}, page{Name: "in"}) {
			all[l][p.Name] = template.Must(template.Must(base.Clone()).ParseFS(templateFiles, "web/"+p.Name+".html"))
		}
	}
	return all
}

// functions are those of the templates.
func functions(l language) template.FuncMap {
	return template.FuncMap{
		"t":     func(key string, values ...any) string { return l.Text(key, values...) },
		"say":   func(t phrase) string { return t.In(l) },
		"told":  func(text any) string { return l.Sentence(fmt.Sprint(text)) },
		"lang":  func() language { return l },
		"file":  staticPath,
		"ic":    func(name string, class ...string) template.HTML { return icon("ic "+strings.Join(class, " "), name) },
		"dot":   func(kind string) template.HTML { return icon("d m-"+dotClass[kind], "d-"+kind) },
		"count": func(n any) string { return words.Value(n) },
		"rate":  rateText,
		"pct":   percent,
		"ms":    millis,
		"dms":   func(d time.Duration) string { return millis(ms(d)) },
		"span":  func(d time.Duration) string { return spanText(l, d) },
		"clock": func(t time.Time) string { return t.Local().Format("15:04:05") },
		"day":   func(t time.Time) string { return dayText(l, t) },
		"mb":    func(n int64) string { return strconv.FormatInt((n+1<<19)>>20, 10) },
		"spark": spark,
		"trend": trend,
		"query": withQuery,
		"with_json": func(at *url.URL) string {
			q := at.Query()
			q.Set("format", "json")
			return at.Path + "?" + q.Encode()
		},
		"sentence":    l.Sentence,
		"step":        l.Step,
		"seconds":     func(n int) string { return spanText(l, time.Duration(n)*time.Second) },
		"share":       func(part, all int64) string { return percent(100 * float64(part) / float64(max(all, 1))) },
		"effectTitle": func(e policychange.Effect) string { return e.Title(l) },
		"effectSays":  func(e policychange.Effect) string { return e.Sentence(l) },
		"exampleSays": func(x policychange.Example) string { return x.Text(l) },
		"offset":      offsetText,
		"faultKey":    faultKey,
		"join":        strings.Join,
		"dict":        dict,
		"list":        func(values ...string) []string { return values },
		"first":       firstOf,
		"short":       func(hash string) string { return hash[:min(len(hash), 12)] },
		"add":         func(a, b int) int { return a + b },
		"mul":         func(a, b int) int { return a * b },
		"half":        func(middle, width int) int { return middle - width/2 },
		"dec":         func(n int) int { return n - 1 },
		"inc":         func(n int) int { return n + 1 },
		"dotclass":    func(kind string) string { return dotClass[kind] },
		"pctOf":       func(part float64) string { return percent(100 * part) },
		"pct0":        func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) },
		"stamp":       func(t time.Time) string { return stampText(t, time.Now()) },
		"points":      func(points []point, of string) []float64 { return series(points, of) },
		"since":       time.Since,
		"sub":         func(a, b int) int { return a - b },
		"holder":      releases.HolderText,
		"heldfor":     heldFor,
		"role":        func(name string) string { return l.Text("release.role-" + name) },
		"round":       math.Round,
		"milliclock":  func(t time.Time) string { return t.Local().Format("15:04:05.000") },
	}
}

var dotClass = map[string]string{"ok": "ok", "warm": "info", "warn": "warn", "bad": "bad", "off": "off", "new": "info"}

func icon(class, name string) template.HTML {
	return template.HTML(`<svg class="` + strings.TrimSpace(class) + `" aria-hidden="true"><use href="` +
		staticPath("icons.svg") + `#` + name + `"/></svg>`)
}

// dict makes a map of names and values, for templates that take several.
func dict(values ...any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(values); i += 2 {
		m[values[i].(string)] = values[i+1]
	}
	return m
}

// firstOf are the first elements of a list, for templates.
func firstOf(n int, list any) any {
	switch list := list.(type) {
	case []dot:
		return list[max(0, len(list)-n):] // the worst are last
	case []string:
		return list[:min(n, len(list))]
	case []finding:
		return list[:min(n, len(list))]
	case []policychange.Effect:
		return list[:min(n, len(list))]
	case []policychange.Example:
		return list[:min(n, len(list))]
	case []serviceRow:
		return list[:min(n, len(list))]
	}
	return list
}

// withQuery is an address with one value of its query changed; "" takes it out, and the page begins anew.
func withQuery(at *url.URL, name, value string) string {
	q := at.Query()
	q.Del("page")
	q.Del("format")
	q.Del("done")
	if value == "" {
		q.Del(name)
	} else {
		q.Set(name, value)
	}
	if len(q) == 0 {
		return at.Path
	}
	return at.Path + "?" + q.Encode()
}

// frame is what each template gets.
type frame struct {
	Page    page
	Rail    [][]page
	URL     *url.URL
	Snap    *snapshot
	State   state
	Lang    language
	Other   language // to switch to
	Theme   string   // light, dark, or "" for the system's
	Title   string
	Command string
	Actor   actor  // the zero actor before signing in
	Token   string // of the session's forms
	Done    *done  // outcome of an action that the page shows; may be nil
	Users   bool   // names and passwords sign in, too
	Plain   bool   // the console is reached from other hosts without TLS
	Secure  bool   // this request came by TLS
	Cluster string
	Site    string // what people call it; "" is the cluster
	Content any
	From    string // path of the page that an action has drawn; "": the address is the page's own
}

// state is the one sentence of the site's state.
type state struct {
	Kind string // ok, warn, bad
	Text phrase
	More phrase
}

func (s *snapshot) state() state {
	worst := 0
	for _, f := range s.Findings {
		if f.Severity > note {
			worst++
		}
	}
	more := say("frame.size", "services", len(s.services()), "instances", s.instances())
	switch {
	case len(s.Findings) > 0 && s.Findings[0].Severity == grave:
		return state{"bad", say("frame.needs", "n", worst), s.Findings[0].What}
	case worst > 0:
		return state{"warn", say("frame.needs", "n", worst), s.Findings[0].What}
	case s.Asked() > 0 && s.Answered() == 0:
		return state{"warn", say("frame.nothing"), more}
	}
	quiet := 0
	for _, q := range s.Silenced {
		if q.Now != nil {
			quiet++
		}
	}
	if quiet > 0 {
		return state{"ok", say("frame.quiet"), say("frame.silenced", "n", quiet)}
	}
	return state{"ok", say("frame.well"), more}
}

// instances is the number of instances of the site's own services.
func (s *snapshot) instances() (n int) {
	for i := range s.Entries {
		if !strings.HasPrefix(s.Entries[i].Service, internalPrefix) {
			n++
		}
	}
	return n
}

// Asked is the number of processes that are known.
func (s *snapshot) Asked() int { return len(s.Processes) }

// Answered is the number of processes that have answered.
func (s *snapshot) Answered() (n int) {
	for _, p := range s.Processes {
		if p.Silent == "" {
			n++
		}
	}
	return n
}

// errNoPage: the address leads nowhere.
var errNoPage = errors.New("no page")

// page answers with a page, as HTML or JSON.
func (c *handler) page(w http.ResponseWriter, r *http.Request, p page) {
	if by := actorOf(r); by.Role < p.Role {
		c.refused(w, r, say("failed.denied", "role", p.Role.Phrase(), "own", by.Role.Phrase()))
		return
	}
	s := c.snapshot(r.Context())
	content, err := p.content(c, s, r)
	if err != nil {
		c.failed(w, r, err)
		return
	}
	if r.URL.Query().Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.Encode(map[string]any{"cluster": s.Cluster, "at": s.At, "oldest_answer_s": s.Oldest.Seconds(),
			"asked": s.Asked(), "answered": s.Answered(), p.Name: content})
		return
	}
	if f, ok := content.(interface{ file() (string, any) }); ok && r.URL.Query().Get("format") == "file" {
		sendFile(w, f)
		return
	}
	if t, ok := content.(tabled); ok && r.URL.Query().Get("format") == "csv" {
		sendTable(w, t, languageOf(cookieOf(r, "lang"), r.Header.Get("Accept-Language")))
		return
	}
	c.render(w, r, http.StatusOK, p, s, content)
}

// sendFile answers with a document that a browser keeps as a file.
func sendFile(w http.ResponseWriter, f interface{ file() (string, any) }) {
	name, doc := f.file()
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(doc)
}

// snapshot is what is known of the site, with what the console itself keeps.
func (c *handler) snapshot(ctx context.Context) *snapshot {
	s := *c.site.snapshot(ctx)
	if e := c.doctors.last.Load(); e != nil {
		s.Doctor = e
	}
	s.Findings, s.Silenced = c.silences.split(s.Findings)
	s.calls = c.calls
	return &s
}

// commander is a content that knows its command line.
type commander interface{ command() string }

func (c *handler) render(w http.ResponseWriter, r *http.Request, status int, p page, s *snapshot, content any) {
	c.show(w, r, status, p, s, content, nil)
}

// show is render with the outcome of an action.
func (c *handler) show(w http.ResponseWriter, r *http.Request, status int, p page, s *snapshot, content any, d *done) {
	by := actorOf(r)
	if d == nil {
		d = c.doors.kept(by.session, r.URL.Query().Get("done"))
	}
	f := frame{Page: p, Rail: rail(by.Role), URL: r.URL, Snap: s, State: s.state(), Content: content, Actor: by,
		Token: c.doors.formToken(by.session), Done: d, Users: c.doors.users != nil, Plain: c.plain,
		Secure: r.TLS != nil, Cluster: c.cluster, Site: c.title,
		Lang: requested(r), Command: "skerry " + p.Command}
	if r.Method == http.MethodPost && p.Path != "" && !strings.Contains(p.Link(), "{") {
		f.URL, f.From = &url.URL{Path: p.Link()}, p.Link() // nothing else answers a GET
	}
	f.Theme = cookieOf(r, "theme")
	if f.Theme != "light" && f.Theme != "dark" {
		f.Theme = ""
	}
	f.Other = chinese
	if f.Lang == chinese {
		f.Other = english
	}
	f.Title = f.Lang.Text(p.Name + ".title")
	if service := r.PathValue("service"); service != "" {
		f.Title, f.Command = service, f.Command+" "+shellWord(service)
	}
	if p.Command == "" {
		f.Command = ""
	}
	if of, is := content.(commander); is {
		f.Command = of.command()
	}
	var b bytes.Buffer
	name := "frame"
	if p.Name == "wall" || p.Name == "in" {
		name = p.Name
	}
	if err := templates()[f.Lang][p.Name].ExecuteTemplate(&b, name, f); err != nil {
		c.log.Error("make a page of the console", "page", p.Name, "error", err)
		deny(w, r, "the page could not be made; the console's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Vary", "Accept-language, Cookie")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// failed answers with a page that says what was not found.
func (c *handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	what := plain(err.Error())
	if errors.Is(err, errNoPage) {
		what = say("failed.no-page", "path", r.URL.Path)
	}
	var said *notFound
	if errors.As(err, &said) {
		what = said.what
	}
	if r.URL.Query().Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		json.NewEncoder(w).Encode(map[string]string{"error": what.In(english)})
		return
	}
	c.render(w, r, http.StatusNotFound, page{Name: "failed"}, c.snapshot(r.Context()), what)
}

// refused answers with a page that says why the actor may not see what it has asked for.
func (c *handler) refused(w http.ResponseWriter, r *http.Request, what phrase) {
	if r.URL.Query().Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		json.NewEncoder(w).Encode(map[string]string{"error": what.In(english)})
		return
	}
	c.render(w, r, http.StatusForbidden, page{Name: "failed"}, c.snapshot(r.Context()), what)
}

// file answers with a file.
func (c *handler) file(w http.ResponseWriter, r *http.Request, f file) {
	if by := actorOf(r); by.Role < f.Role {
		c.refused(w, r, say("failed.denied", "role", f.Role.Phrase(), "own", by.Role.Phrase()))
		return
	}
	f.Serve(c, w, r)
}

// notFound is an error that a page shows in its reader's language.
type notFound struct{ what phrase }

func (e *notFound) Error() string { return e.what.In(english) }

func cookieOf(r *http.Request, name string) string {
	c, err := r.Cookie(cookiePrefix + name)
	if err != nil {
		return ""
	}
	return c.Value
}

// rail are the pages of the rail that a role sees, in groups.
func rail(of role) (groups [][]page) {
	for _, p := range pages {
		if p.Group == 0 || of < p.Role {
			continue
		}
		for len(groups) < p.Group {
			groups = append(groups, nil)
		}
		groups[p.Group-1] = append(groups[p.Group-1], p)
	}
	return groups
}

// pager leads through a long list.
type pager struct {
	Page, Pages, First, Last, All int
}

// perPage is the number of rows of one page.
const perPage = 50

// paged cuts the part of a list that the address asks for.
func paged[T any](list []T, r *http.Request) ([]T, pager) {
	p := pager{All: len(list), Pages: max(1, (len(list)+perPage-1)/perPage), Page: 1}
	if n, err := strconv.Atoi(r.URL.Query().Get("page")); err == nil {
		p.Page = min(max(n, 1), p.Pages)
	}
	first := (p.Page - 1) * perPage
	last := min(first+perPage, len(list))
	p.First, p.Last = min(first+1, last), last
	return list[first:last], p
}
