package console

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/skerry/skerry"
)

// Config configures a console. Node is required; it must know all services (skerry.WithAllServices).
type Config struct {
	Node    *skerry.Node
	Cluster string
	Title   string       // what people call the site; "" is the cluster
	Host    string       // on which the console runs
	Release string       // of skerry
	Hosts   []string     // names by which browsers reach the console, beside IP addresses and localhost
	Logger  *slog.Logger // nil: slog.Default

	Operator string  // at the terminal where the console runs; the links of Console.Link sign in by this name
	Signers  Signers // nil: the site's key signs what the console changes

	LinkUsed func() // a browser has signed in by a link; may be nil
}

// Console serves the pages of a site to browsers that have signed in by a [Console.Link]. It listens nowhere. Its
// methods may be called from any goroutine.
type Console struct {
	http.Handler
	doctors  *doctors
	doors    *doors
	live     *live
	operator string
}

// New returns a console. It asks nothing before [Console.Run].
func New(cfg Config) *Console {
	l := newLive(cfg)
	c := serve(l, cfg)
	c.live = l
	return c
}

// Run looks at the site until ctx ends: every two seconds while pages are open, else once a minute.
func (c *Console) Run(ctx context.Context) { c.live.run(ctx) }

// Link makes the path of a link by which a browser signs in: once, in the next ten minutes. It is for the operator at
// the console's own terminal, and gives every right.
func (c *Console) Link() string {
	return "/in#" + c.doors.link(grant{name: c.operator, role: roleAdmin, terminal: true})
}

// serve makes the handler of a site's pages.
func serve(of site, cfg Config) *Console {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	c := &handler{site: of, node: cfg.Node, log: cfg.Logger, doors: newDoors(cfg.LinkUsed), signers: cfg.Signers,
		audit: &auditLog{cfg.Logger}, doctors: doctorsOf(cfg.Node), running: make(chan struct{}, mostActions)}
	inside, posts := http.NewServeMux(), http.NewServeMux()
	inside.HandleFunc("GET /events", c.events)
	for _, p := range pages {
		inside.HandleFunc("GET "+p.Path, func(w http.ResponseWriter, r *http.Request) { c.page(w, r, p) })
	}
	for _, a := range actions {
		posts.HandleFunc("POST "+a.Path, func(w http.ResponseWriter, r *http.Request) { c.perform(w, r, a) })
	}
	inside.Handle("POST /", posts)
	inside.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { c.failed(w, r, errNoPage) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{hash}/{name}", serveStatic)
	mux.HandleFunc("GET /set", c.set)
	mux.HandleFunc("GET /in", c.signIn)
	mux.HandleFunc("POST /in", c.enter)
	mux.Handle("/", c.gate(inside))
	forms := func(r *http.Request) bool {
		_, pattern := posts.Handler(r)
		return pattern != "" || r.URL.Path == "/in"
	}
	return &Console{Handler: guarded(mux, cfg.Hosts, forms), doors: c.doors, doctors: c.doctors,
		operator: cmp.Or(cfg.Operator, "terminal")}
}

// handler makes pages.
type handler struct {
	site    site
	node    *skerry.Node // nil in tests of pages
	log     *slog.Logger
	doors   *doors
	signers Signers // may be nil
	audit   *auditLog
	doctors *doctors
	running chan struct{} // has a place for each action
}

// guarded refuses what no page of the console sends, and says to the browser what a page may load: files of this
// console only, see docs/security.md. forms reports whether a form may be sent to the path of a request.
func guarded(next http.Handler, hosts []string, forms func(*http.Request) bool) http.Handler {
	cross := http.NewCrossOriginProtection()
	inner := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policyOfContent)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer a form has no origin
		h.Set("Cache-Control", "no-store")
		if !hostAllowed(r.Host, hosts) {
			http.Error(w, "this console is not reached by the name "+strings.ToValidUTF8(r.Host, "?")+
				"; use an IP address, localhost, or a name of console.hosts", http.StatusMisdirectedRequest)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && (r.Method != http.MethodPost || !forms(r)) {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "this address is only read", http.StatusMethodNotAllowed)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

const policyOfContent = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// hostAllowed reports whether a browser that was led here by this name looks at the console that it means: a
// stranger's name may lead to this address, too (DNS rebinding).
func hostAllowed(host string, allowed []string) bool {
	name := host
	if a, err := netip.ParseAddrPort(host); err == nil {
		return a.IsValid()
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.Contains(name[i:], "]") {
		name = name[:i]
	}
	name = strings.Trim(name, "[]")
	if _, err := netip.ParseAddr(name); err == nil || strings.EqualFold(name, "localhost") {
		return true
	}
	for _, a := range allowed {
		if strings.EqualFold(name, a) {
			return true
		}
	}
	return false
}

// set keeps the language or the theme of a browser, and leads back.
func (c *handler) set(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for _, name := range []string{"lang", "theme"} {
		if v := q.Get(name); v != "" && len(v) <= 8 {
			http.SetCookie(w, &http.Cookie{Name: cookiePrefix + name, Value: v, Path: "/", HttpOnly: true,
				SameSite: http.SameSiteStrictMode, MaxAge: int(365 * 24 * time.Hour / time.Second)})
		}
	}
	http.Redirect(w, r, ownPath(q.Get("back")), http.StatusSeeOther)
}

const cookiePrefix = "skerry-console-"
