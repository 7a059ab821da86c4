package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/netip"
	"net/url"
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
	secret [32]byte // of the forms' tokens

	mu       sync.Mutex
	links    map[[32]byte]link     // by hash of the token
	sessions map[[32]byte]*session // by hash of the cookie
	tries    map[netip.Addr]*tries
	now      func() time.Time
	used     func() // a link was used
}

// grant is what a link gives to the browser that signs in by it.
type grant struct {
	name     string
	role     role
	long     time.Duration // that the session lasts; 0: sessionTime
	terminal bool          // made at the terminal where the console runs
}

type link struct {
	grant
	until time.Time
}

// session is a browser that has signed in.
type session struct {
	id       [32]byte // hash of its cookie
	name     string
	role     role
	terminal bool // signed in by a link of the console's own terminal
	addr     netip.Addr
	begun    time.Time
	ends     time.Time

	seen time.Time // guarded by doors.mu, as is done
	done []done    // newest last
}

type tries struct {
	n     int
	since time.Time
}

func newDoors(used func()) *doors {
	if used == nil {
		used = func() {}
	}
	d := &doors{links: map[[32]byte]link{}, sessions: map[[32]byte]*session{}, tries: map[netip.Addr]*tries{},
		now: time.Now, used: used}
	rand.Read(d.secret[:])
	return d
}

// mac is a text that only this console can make.
func (d *doors) mac(use string, of []byte) []byte {
	h := hmac.New(sha256.New, d.secret[:])
	h.Write([]byte(use + "\x00"))
	h.Write(of)
	return h.Sum(nil)
}

// token is 32 random bytes as text.
func token() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// link makes a token for one sign-in.
func (d *doors) link(g grant) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	t := token()
	d.links[sha256.Sum256([]byte(t))] = link{g, d.now().Add(linkTime)}
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
	l, ok := d.links[h]
	delete(d.links, h)
	if !ok || now.After(l.until) || len(d.sessions) >= mostEntries {
		if len(d.tries) < mostEntries {
			tried.n++
			d.tries[from] = tried
		}
		return "", 0
	}
	cookie = token()
	id := sha256.Sum256([]byte(cookie))
	long := sessionTime
	if l.long > 0 {
		long = min(long, l.long)
	}
	d.sessions[id] = &session{id: id, name: l.name, role: l.role, terminal: l.terminal, addr: from, begun: now,
		ends: now.Add(long), seen: now}
	d.used()
	return cookie, 0
}

// known returns the session of a cookie, nil without one.
func (d *doors) known(cookie string) *session {
	if cookie == "" {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	s := d.sessions[sha256.Sum256([]byte(cookie))]
	if s != nil {
		s.seen = d.now()
	}
	return s
}

// leave ends a session.
func (d *doors) leave(id [32]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, id)
}

// sweep forgets what is over.
func (d *doors) sweep() {
	now := d.now()
	for h, l := range d.links {
		if now.After(l.until) {
			delete(d.links, h)
		}
	}
	for h, s := range d.sessions {
		if now.Sub(s.seen) > idleTime || now.After(s.ends) {
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
		if s := c.doors.known(cookieOf(r, "session")); s != nil {
			next.ServeHTTP(w, withActor(r, actor{s.name, s.role, addrOf(r), s}))
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
	from := addrOf(r)
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

// leave is the action of signing out.
func (c *handler) leave(_ context.Context, by actor, _ url.Values) (outcome, error) {
	c.doors.leave(by.session.id)
	return outcome{To: "/in", after: func(w http.ResponseWriter) {
		w.Header().Set("Clear-Site-Data", `"cookies", "storage"`)
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1})
	}}, nil
}

// addrOf is the address that a request comes from.
func addrOf(r *http.Request) (from netip.Addr) {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		from = at.Addr().Unmap().WithZone("")
	}
	return from
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
