package console

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/statedir"
)

// Config configures a console. Node is required; it must know all services (skerry.WithAllServices).
type Config struct {
	Node    *skerry.Node
	Cluster string
	Title   string   // what people call the site; "" is the cluster
	Host    string   // on which the console runs
	Release string   // of skerry
	Hosts   []string // names by which browsers reach the console, beside IP addresses and localhost
	// Certificate is what the TLS of the console shows now; its names are hosts, too. It may be nil, and return nil.
	Certificate func() *x509.Certificate
	HSTS        time.Duration // that browsers come by TLS only, after each visit by TLS; 0: they are not told
	Logger      *slog.Logger  // nil: slog.Default

	// StateDir is where the console keeps its sessions and its audit log, with mode 0600; "" keeps neither. One console
	// at a time uses a directory.
	StateDir string
	Users    string // file of users; "": links only
	URL      string // of the console, for links; such as http://127.0.0.1:7700
	Plain    bool   // it is reached from other hosts without TLS: pages show a warning

	Operator string  // at the terminal where the console runs; the links of Console.Link sign in by this name
	Signers  Signers // nil: the site's key signs what the console changes

	LinkUsed func() // a browser has signed in by a link of Console.Link; may be nil
}

// Console serves the pages of a site to browsers that have signed in: by a [Console.Link], by one of [MakeLink], by a
// password, or by a certificate that the TLS of the listener has verified. [Console.Serve] serves it on a port; another
// server may serve it, too. Its methods may be called from any goroutine.
type Console struct {
	http.Handler
	doctors  *doctors
	calls    *testCalls
	silences *silences
	doors    *doors
	live     *live
	audit    *auditLog
	log      *slog.Logger
	steps    *runner
	operator string
	running  chan struct{} // has a place for each action
	lock     *os.File      // of the directory; nil without one
}

// New returns a console. It reads what the last run has kept in the directory, and asks nothing before [Console.Run].
func New(cfg Config) (*Console, error) {
	l := newLive(cfg)
	c := serve(l, cfg)
	c.live = l
	c.steps.open = func(by control.Operator, t releases.Teller) releases.Operations {
		return releases.New(cfg.Node, by, lookLimit, t, nil)
	}
	c.steps.after = l.look
	if err := c.open(cfg); err != nil {
		return nil, err
	}
	return c, nil
}

// open takes the directory, and what the last run has kept in it.
func (c *Console) open(cfg Config) (err error) {
	if cfg.StateDir == "" {
		return nil
	}
	if err := statedir.Make(cfg.StateDir); err != nil {
		return err
	}
	if c.lock, err = statedir.Lock(filepath.Join(cfg.StateDir, lockFile)); err != nil {
		if errors.Is(err, statedir.ErrLocked) {
			err = fmt.Errorf("another console keeps its sessions in %s: stop it, or name another state_dir",
				cfg.StateDir)
		}
		return err
	}
	defer func() {
		if err != nil {
			c.lock.Close()
		}
	}()
	if err := statedir.WriteFile(filepath.Join(cfg.StateDir, addressFile), []byte(cfg.URL+"\n")); err != nil {
		return err
	}
	audit, err := openAudit(cfg.StateDir, c.log, c.doors.now)
	if err != nil {
		return fmt.Errorf("the audit log of the console: %w", err)
	}
	c.audit.takeOver(audit)
	c.doors.files.dir = cfg.StateDir
	if err := c.silences.load(cfg.StateDir); err != nil {
		c.log.Warn("the findings that were silenced in the last run are shown again", "err", err)
	}
	if c.live != nil {
		c.live.policy.dir = cfg.StateDir
		if err := c.live.policy.load(); err != nil {
			c.log.Warn("the console does not know when rights were used before it began", "err", err)
		}
		c.live.members.dir = cfg.StateDir
		if err := c.live.members.load(); err != nil {
			c.log.Warn("the console does not know which processes there were in its last run", "err", err)
		}
	}
	if err := c.doors.load(); err != nil {
		c.log.Warn("the sessions of the last run are not believed and have ended", "err", err)
	}
	return nil
}

// Run looks at the site until ctx ends, every two seconds while pages are open, else once a minute, and keeps the
// sessions. Then it ends the steps of releases that operators have begun, where they are, waits up to five seconds for
// other actions, and gives the directory back.
func (c *Console) Run(ctx context.Context) {
	stop := c.steps.within(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { c.live.run(ctx) })
	wg.Go(func() { c.live.watchMembers(ctx) })
	wg.Go(func() { c.live.watchHosts(ctx) })
	wg.Go(func() { c.keepSaved(ctx) })
	wg.Wait()
	stop()
	c.settle()
	c.Close()
}

// actionsEnd is how long a console that ends waits for actions, so that the audit log has their outcome.
const actionsEnd = 5 * time.Second

// settle lets no further action begin, and waits for those that are under way.
func (c *Console) settle() {
	end := time.NewTimer(actionsEnd)
	defer end.Stop()
	for range cap(c.running) {
		select {
		case c.running <- struct{}{}:
		case <-end.C:
			return
		}
	}
}

// Close gives the directory back. Run does so, too.
func (c *Console) Close() {
	c.audit.close()
	if c.lock != nil {
		c.lock.Close()
	}
}

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
	var users *directory
	if cfg.Users != "" {
		users = newDirectory(cfg.Users, func(err error) {
			cfg.Logger.Error("the file of the console's users can't be read; no user may sign in", "err", err)
		})
	}
	doors := newDoors(cfg.LinkUsed, users)
	audit := newAuditLog(cfg.Logger, doors.now)
	steps := &runner{}
	c := &handler{site: steered{of, steps}, steps: steps, node: cfg.Node, log: cfg.Logger,
		doors: doors, signers: cfg.Signers, audit: audit,
		doctors: doctorsOf(cfg.Node), calls: testCallsOf(cfg.Node), silences: &silences{now: doors.now},
		plain: cfg.Plain, cluster: cfg.Cluster, title: cfg.Title,
		running: make(chan struct{}, mostActions)}
	inside, posts := http.NewServeMux(), http.NewServeMux()
	inside.HandleFunc("GET /events", c.events)
	for _, p := range pages {
		inside.HandleFunc("GET "+p.Path, func(w http.ResponseWriter, r *http.Request) { c.page(w, r, p) })
	}
	for _, f := range sessionFiles {
		inside.HandleFunc("GET "+f.Path, func(w http.ResponseWriter, r *http.Request) { c.file(w, r, f) })
	}
	for _, a := range actions {
		posts.HandleFunc("POST "+a.Path, func(w http.ResponseWriter, r *http.Request) { c.perform(w, r, a) })
	}
	inside.Handle("POST /", posts)
	inside.HandleFunc("GET /policy/apply", func(w http.ResponseWriter, r *http.Request) { // a page that was posted
		http.Redirect(w, r, "/policy/edit", http.StatusSeeOther)
	})
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
	return &Console{Handler: guarded(mux, cfg, forms), doors: doors, audit: audit, log: cfg.Logger,
		doctors: c.doctors, calls: c.calls, silences: c.silences, steps: steps,
		operator: cmp.Or(cfg.Operator, "terminal"), running: c.running}
}

// handler makes pages.
type handler struct {
	site    site
	node    *skerry.Node // nil in tests of pages
	log     *slog.Logger
	doors   *doors
	signers Signers // may be nil
	steps   *runner // of releases
	audit   *auditLog
	doctors *doctors
	calls   *testCalls
	streams openStreams

	silences *silences

	plain   bool // reached without TLS from other hosts
	cluster string
	title   string        // what people call the site
	running chan struct{} // has a place for each action
}

// guarded refuses what no page of the console sends, and says to the browser what a page may load: files of this
// console only, see docs/security.md. forms reports whether a form may be sent to the path of a request.
func guarded(next http.Handler, cfg Config, forms func(*http.Request) bool) http.Handler {
	strict := "max-age=" + strconv.FormatInt(int64(cfg.HSTS/time.Second), 10)
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
		if r.TLS != nil && cfg.HSTS > 0 {
			h.Set("Strict-Transport-Security", strict)
		}
		if !hostAllowed(r.Host, cfg.Hosts) && !hostAllowed(r.Host, cfg.names()) {
			deny(w, r, "this console is not reached by the name "+strings.ToValidUTF8(r.Host, "?")+
				"; use an IP address, localhost, or a name of console.hosts", http.StatusMisdirectedRequest)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead && (r.Method != http.MethodPost || !forms(r)) {
			h.Set("Allow", "GET, HEAD")
			deny(w, r, "this address is only read", http.StatusMethodNotAllowed)
			return
		}
		if r.ContentLength != 0 { // else the server would wait for the rest of a refused form without end
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
		}
		inner.ServeHTTP(w, r)
	})
}

const policyOfContent = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// names are those of the certificate that is in use.
func (cfg Config) names() []string {
	if cfg.Certificate == nil {
		return nil
	}
	leaf := cfg.Certificate()
	if leaf == nil {
		return nil
	}
	return leaf.DNSNames
}

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
		if _, err := strconv.ParseUint(name[i+1:], 10, 16); err != nil {
			return false
		}
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
