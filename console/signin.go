package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/run"
)

const (
	sessionCookie = cookiePrefix + "session"
	deviceCookie  = cookiePrefix + "device"
	hostPrefix    = "__Host-" // such a cookie comes from this host and by TLS only
)

// secretCookie is the name of a cookie that proves something. It has the port, as browsers keep one set of cookies for
// all ports of a host: so consoles of two sites, by two tunnels, have two sessions.
func secretCookie(r *http.Request, name string) string {
	if at := strings.LastIndexByte(r.Host, ':'); at >= 0 && !strings.HasSuffix(r.Host, "]") {
		name += "-" + r.Host[at+1:]
	}
	if r.TLS != nil {
		return hostPrefix + name
	}
	return name
}

func setSecretCookie(w http.ResponseWriter, r *http.Request, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: secretCookie(r, name), Value: value, Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil, MaxAge: int(age.Seconds())})
}

func secretOf(r *http.Request, name string) string {
	c, err := r.Cookie(secretCookie(r, name))
	if err != nil {
		return ""
	}
	return c.Value
}

// gate lets sessions pass, and everything else to the page of signing in only.
func (c *handler) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, role := c.doors.ofCookie(secretOf(r, sessionCookie), byItself(r))
		if s == nil {
			s, role = c.byCertificate(r)
		}
		if s != nil {
			trusted(r)
			next.ServeHTTP(w, withActor(r, actor{s.name, role, addrOf(r), s}))
			return
		}
		if r.URL.Query().Get("format") == "json" || r.URL.Path == "/events" || r.Method == http.MethodPost {
			deny(w, r, "sign in first", http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "/in", http.StatusSeeOther)
	})
}

// byItself reports whether a page has made a request by itself, to renew what it shows.
func byItself(r *http.Request) bool {
	return r.Header.Get("Skerry-Renew") != "" || r.URL.Path == "/events"
}

// byCertificate is the session of a client's certificate, which the TLS of the listener has verified. Its name must
// stand in the file of users.
func (c *handler) byCertificate(r *http.Request) (*session, role) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.PeerCertificates) == 0 {
		return nil, 0
	}
	proof := r.TLS.PeerCertificates[0]
	u, ok := c.doors.users.user(proof.Subject.CommonName, c.doors.now())
	if !ok {
		return nil, 0
	}
	id := sha256.Sum256(append([]byte(byCertificate+"\x00"), proof.Raw...))
	if s, role := c.doors.session(id, byItself(r)); s != nil {
		return s, role
	}
	s := c.doors.beginAs(id, grant{name: u.Name, role: u.role, by: byCertificate}, addrOf(r))
	if s == nil {
		return nil, 0
	}
	c.audit.add(record{Action: "in", Name: u.Name, Role: u.role, Address: addrOf(r).String(), Outcome: didIt,
		After: byCertificate})
	return s, u.role
}

// signIn is the page of signing in. The token of a link is behind its #, which no server's log has; a script sends it,
// or the user pastes it.
func (c *handler) signIn(w http.ResponseWriter, r *http.Request) {
	c.bare(w, r, http.StatusOK, phrase{})
}

// bodyTime is how long a form may take to come.
const bodyTime = 30 * time.Second

// refusalNoise is the longest time that a refused sign-in waits besides the check, so that answers tell no name.
const refusalNoise = 100 * time.Millisecond

// enter takes the form of signing in: the token of a link, or a name and a password.
func (c *handler) enter(w http.ResponseWriter, r *http.Request) {
	if !sameOrigin(r) {
		deny(w, r, "this form is sent by the console's own page only", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	from, way := addrOf(r), byLink
	name, g, ok, wait := "", grant{}, false, time.Duration(0)
	if t := r.PostFormValue("token"); t != "" {
		g, ok = c.doors.redeem(tokenOf(t))
		name = g.name
	} else {
		way, name = byPassword, r.PostFormValue("name")
		var u User
		if goodName(name) {
			u, ok, wait = c.doors.password(r.Context(), name, r.PostFormValue("password"), secretOf(r, deviceCookie),
				from)
		}
		g = grant{name: u.Name, role: u.role, by: byPassword}
	}
	cookie := ""
	if ok {
		cookie, _, ok = c.doors.begin(g, from)
	}
	if !ok {
		if !goodName(name) {
			name = ""
		}
		why := "link"
		switch {
		case wait > 0:
			why = "wait"
		case way == byPassword:
			why = "password"
		}
		why = say("history.wrong-" + why).In(english)
		c.audit.add(record{Action: "in", Name: name, Address: from.String(), Outcome: refusal, Why: why})
		var noise [1]byte
		rand.Read(noise[:])
		run.Sleep(r.Context(), refusalNoise+refusalNoise*time.Duration(noise[0])/256)
		switch {
		case wait > 0:
			c.bare(w, r, http.StatusTooManyRequests, say("in.wait", "n", int(wait.Seconds())+1))
		case way == byPassword:
			c.bare(w, r, http.StatusForbidden, say("in.wrong-password"))
		default:
			c.bare(w, r, http.StatusForbidden, say("in.wrong"))
		}
		return
	}
	c.audit.add(record{Action: "in", Name: g.name, Role: g.role, Address: from.String(), Outcome: didIt, After: way})
	trusted(r)
	c.doors.save()
	setSecretCookie(w, r, sessionCookie, cookie, 0)
	if way == byPassword {
		setSecretCookie(w, r, deviceCookie, c.doors.device(g.name), 365*24*time.Hour)
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// leave is the action of signing out.
func (c *handler) leave(_ context.Context, by actor, _ url.Values) (outcome, error) {
	c.doors.end(by.session.id)
	return outcome{To: "/in", after: func(w http.ResponseWriter) {
		w.Header().Set("Clear-Site-Data", `"cache", "cookies", "storage"`)
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
	return pasted[strings.LastIndexByte(pasted, '#')+1:]
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
