package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	linkTime    = 10 * time.Minute // that a link is valid, for one sign-in
	idleTime    = 30 * time.Minute // without a request a session ends
	sessionTime = 12 * time.Hour   // it ends in any case
	mostTries   = 5                // failed sign-ins of an address, in tryTime
	tryTime     = time.Minute
	mostEntries = 1000 // sessions, links and addresses that are remembered
)

// doors lets browsers in: those with the token of a link become sessions. Tokens are kept as hashes only.
type doors struct {
	mu       sync.Mutex
	links    map[[32]byte]time.Time // by hash of the token, until when
	sessions map[[32]byte]*session  // by hash of the cookie
	tries    map[netip.Addr]*tries
	now      func() time.Time
	used     func() // a link was used
}

type session struct{ begun, seen time.Time }

type tries struct {
	n     int
	since time.Time
}

func newDoors(used func()) *doors {
	if used == nil {
		used = func() {}
	}
	return &doors{links: map[[32]byte]time.Time{}, sessions: map[[32]byte]*session{}, tries: map[netip.Addr]*tries{},
		now: time.Now, used: used}
}

// token is 32 random bytes as text.
func token() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// link makes a token for one sign-in.
func (d *doors) link() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	t := token()
	d.links[sha256.Sum256([]byte(t))] = d.now().Add(linkTime)
	return t
}

// enter takes a token and returns the cookie of a new session. wait is how long the address has to wait after too many
// wrong ones: other addresses do not.
func (d *doors) enter(t string, from netip.Addr) (cookie string, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	now := d.now()
	tried := d.tries[from]
	if tried == nil || now.Sub(tried.since) > tryTime {
		tried = &tries{since: now}
	}
	if tried.n >= mostTries {
		return "", tryTime - now.Sub(tried.since)
	}
	h := sha256.Sum256([]byte(t))
	until, ok := d.links[h]
	delete(d.links, h)
	if !ok || now.After(until) || len(d.sessions) >= mostEntries {
		if len(d.tries) < mostEntries {
			tried.n++
			d.tries[from] = tried
		}
		return "", 0
	}
	cookie = token()
	d.sessions[sha256.Sum256([]byte(cookie))] = &session{begun: now, seen: now}
	d.used()
	return cookie, 0
}

// known reports whether a cookie belongs to a session.
func (d *doors) known(cookie string) bool {
	if cookie == "" {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	s := d.sessions[sha256.Sum256([]byte(cookie))]
	if s == nil {
		return false
	}
	s.seen = d.now()
	return true
}

// leave ends a session.
func (d *doors) leave(cookie string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, sha256.Sum256([]byte(cookie)))
}

// sweep forgets what is over.
func (d *doors) sweep() {
	now := d.now()
	for h, until := range d.links {
		if now.After(until) {
			delete(d.links, h)
		}
	}
	for h, s := range d.sessions {
		if now.Sub(s.seen) > idleTime || now.Sub(s.begun) > sessionTime {
			delete(d.sessions, h)
		}
	}
	for a, t := range d.tries {
		if now.Sub(t.since) > tryTime {
			delete(d.tries, a)
		}
	}
}

const sessionCookie = cookiePrefix + "session"

// gate lets sessions pass, and everything else to the page of signing in only.
func (c *handler) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.doors.known(cookieOf(r, "session")) {
			next.ServeHTTP(w, r)
			return
		}
		if r.URL.Query().Get("format") == "json" || r.URL.Path == "/events" {
			http.Error(w, "sign in first", http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "/in", http.StatusSeeOther)
	})
}

// signIn is the page of signing in. The token of a link is behind its #, which no server's log has; a script sends it,
// or a person pastes it.
func (c *handler) signIn(w http.ResponseWriter, r *http.Request) {
	c.bare(w, r, http.StatusOK, phrase{})
}

func (c *handler) enter(w http.ResponseWriter, r *http.Request) {
	if !sameOrigin(r) {
		http.Error(w, "this form is sent by the console's own page only", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	var from netip.Addr
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		from, _ = netip.ParseAddr(host)
	}
	cookie, wait := c.doors.enter(tokenOf(r.PostFormValue("token")), from)
	switch {
	case wait > 0:
		c.bare(w, r, http.StatusTooManyRequests, say("in.wait", "n", int(wait.Seconds())+1))
	case cookie == "":
		c.log.Warn("a sign-in to the console was refused", "from", from)
		c.bare(w, r, http.StatusForbidden, say("in.wrong"))
	default:
		c.log.Info("a browser has signed in to the console", "from", from)
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: cookie, Path: "/", HttpOnly: true,
			SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func (c *handler) leave(w http.ResponseWriter, r *http.Request) {
	if !sameOrigin(r) {
		http.Error(w, "this form is sent by the console's own page only", http.StatusForbidden)
		return
	}
	c.doors.leave(cookieOf(r, "session"))
	w.Header().Set("Clear-site-Data", `"cookies", "storage"`)
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1})
	http.Redirect(w, r, "/in", http.StatusSeeOther)
}

// tokenOf takes a token out of what was pasted: the token, or the whole link.
func tokenOf(pasted string) string {
	for i := len(pasted) - 1; i >= 0; i-- {
		if pasted[i] == '#' {
			return pasted[i+1:]
		}
	}
	return pasted
}

// sameOrigin reports whether a form comes from a page of this console. Browsers send Origin with every form.
func sameOrigin(r *http.Request) bool {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	want := scheme + r.Host
	return subtle.ConstantTimeCompare([]byte(r.Header.Get("Origin")), []byte(want)) == 1
}

// bare answers with the page of signing in.
func (c *handler) bare(w http.ResponseWriter, r *http.Request, status int, what phrase) {
	c.render(w, r, status, page{Name: "in"}, &snapshot{}, what)
}
