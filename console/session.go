package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	linkTime    = 10 * time.Minute // that a link is valid, for one sign-in
	idleTime    = 30 * time.Minute // without a request of a person a session ends
	sessionTime = 12 * time.Hour   // it ends in any case
	mostEntries = 1000             // sessions, and links, that are remembered
	mostOfName  = 50               // sessions of one name
	addressTry  = 30               // free tries of an address with any names
	mostChecks  = 2                // passwords that are checked at once
	checkWait   = 5 * time.Second  // for a place among them
)

// doors lets browsers in: those with the token of a link, the password of a user or a certificate become sessions.
// Tokens are kept as hashes only.
type doors struct {
	now    func() time.Time
	used   func()     // a link of the console's own terminal was used
	users  *directory // nil: there is no file of users
	checks chan struct{}

	files  files
	saving sync.Mutex // one save at a time, before mu

	mu       sync.Mutex
	secret   [32]byte              // of the forms' tokens
	links    map[[32]byte]link     // by hash of the token
	sessions map[[32]byte]*session // by hash of the cookie
	brake    brake
	dirty    bool // the files have older sessions
}

// grant is what a sign-in gives to a browser.
type grant struct {
	name     string
	role     role
	long     time.Duration // that the session lasts; 0: sessionTime
	terminal bool          // by a link of the terminal where the console runs
	by       string        // byLink, byPassword, byCertificate
}

// The ways in.
const (
	byLink        = "link"
	byPassword    = "password"
	byCertificate = "certificate"
)

type link struct {
	grant
	until time.Time
}

// session is a browser that has signed in.
type session struct {
	id       [32]byte // hash of its cookie
	name     string
	role     role   // as it was granted
	by       string // the way in
	terminal bool   // signed in by a link of the console's own terminal, since the console's start
	addr     netip.Addr
	begun    time.Time
	ends     time.Time

	seen time.Time // guarded by doors.mu, as is done
	done []done    // newest last
}

func newDoors(used func(), users *directory) *doors {
	if used == nil {
		used = func() {}
	}
	d := &doors{links: map[[32]byte]link{}, sessions: map[[32]byte]*session{}, now: time.Now, used: used, users: users,
		brake: brake{map[string]*braked{}}, checks: make(chan struct{}, mostChecks)}
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

func isToken(t string) bool {
	b, err := hex.DecodeString(t)
	return err == nil && len(b) == 32
}

// link makes a token for one sign-in.
func (d *doors) link(g grant) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	t := token()
	g.by = byLink
	if len(d.links) < mostEntries {
		d.links[sha256.Sum256([]byte(t))] = link{g, d.now().Add(linkTime)}
	}
	return t
}

// redeem takes the link of a token, which is then used up. Guesses of 256 bits are hopeless, so no number of wrong
// tokens keeps a right one out.
func (d *doors) redeem(t string) (grant, bool) {
	if !isToken(t) {
		return grant{}, false
	}
	h := sha256.Sum256([]byte(t))
	d.mu.Lock()
	l, ok := d.links[h]
	delete(d.links, h)
	now := d.now()
	d.mu.Unlock()
	if !ok {
		l, ok = d.files.takeLink(h)
	}
	return l.grant, ok && !now.After(l.until) && l.until.Sub(now) <= linkTime // else the clock was set back
}

// begin makes a session, and returns its cookie. ok is false when there are too many.
func (d *doors) begin(g grant, from netip.Addr) (cookie string, s *session, ok bool) {
	cookie = token()
	s = d.beginAs(sha256.Sum256([]byte(cookie)), g, from)
	return cookie, s, s != nil
}

func (d *doors) beginAs(id [32]byte, g grant, from netip.Addr) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	d.makeRoom(g.name)
	if len(d.sessions) >= mostEntries {
		return nil
	}
	now, long := d.now(), sessionTime
	if g.long > 0 {
		long = min(long, g.long)
	}
	s := &session{id: id, name: g.name, role: g.role, by: g.by, terminal: g.terminal, addr: from, begun: now,
		ends: now.Add(long), seen: now}
	d.sessions[id] = s
	d.dirty = true
	if g.terminal {
		d.used()
	}
	return s
}

// makeRoom ends the session of a name that was used the longest ago, when the name has many.
func (d *doors) makeRoom(name string) {
	n, oldest := 0, (*session)(nil)
	for _, s := range d.sessions {
		if s.name != name {
			continue
		}
		if n++; oldest == nil || s.seen.Before(oldest.seen) {
			oldest = s
		}
	}
	if n >= mostOfName {
		delete(d.sessions, oldest.id)
	}
}

// known returns the session of a cookie with its present role, nil without one. A user that is no longer in the file of
// users has no session. A user with a smaller role in the file than at the sign-in has the smaller one.
func (d *doors) known(cookie string) (*session, role) { return d.ofCookie(cookie, false) }

func (d *doors) ofCookie(cookie string, byItself bool) (*session, role) {
	if cookie == "" {
		return nil, 0
	}
	return d.session(sha256.Sum256([]byte(cookie)), byItself)
}

// session is known by the hash of the cookie. The requests that a page makes by itself keep only a viewer's session
// awake, because that page may hang on a wall.
func (d *doors) session(id [32]byte, byItself bool) (*session, role) {
	d.mu.Lock()
	d.sweep()
	s := d.sessions[id]
	now := d.now()
	if s != nil && (!byItself || s.role == roleViewer) {
		if now.Sub(s.seen) > time.Minute {
			d.dirty = true
		}
		s.seen = now
	}
	d.mu.Unlock()
	if s == nil || s.by == byLink {
		if s == nil {
			return nil, 0
		}
		return s, s.role
	}
	u, ok := d.users.user(s.name, now)
	if !ok {
		d.end(id)
		return nil, 0
	}
	return s, u.role
}

// end ends a session, and reports whether there was one.
func (d *doors) end(id [32]byte) bool {
	d.mu.Lock()
	_, was := d.sessions[id]
	delete(d.sessions, id)
	d.dirty = true
	d.mu.Unlock()
	d.save()
	return was
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
			d.dirty = true
		}
	}
}

// password checks a name and a password. wait is how long the browser has to wait after too many wrong ones. A browser
// that has once signed in as the name has tries of its own, by its device cookie: a stranger that guesses at the same
// address, such as the one of a tunnel, does not keep it out.
func (d *doors) password(ctx context.Context, name, password, device string, from netip.Addr) (u User, ok bool,
	wait time.Duration) {
	if d.users == nil {
		return u, false, 0
	}
	at := brakedAddress(from)
	keys := map[string]int{"name " + at + " " + name: freeTries, "address " + at: addressTry}
	if d.knownDevice(name, device) {
		keys = map[string]int{"device " + device: freeTries}
	}
	select {
	case d.checks <- struct{}{}:
		defer func() { <-d.checks }()
	case <-ctx.Done():
		return u, false, checkWait
	case <-time.After(checkWait):
		return u, false, checkWait
	}
	d.mu.Lock()
	now := d.now()
	for key, free := range keys {
		wait = max(wait, d.brake.wait(key, free, now))
	}
	if wait > 0 {
		d.mu.Unlock()
		return u, false, wait
	}
	for key, free := range keys {
		d.brake.try(key, free, now)
	}
	d.mu.Unlock()
	if u, ok = d.users.check(name, password, now); ok {
		d.mu.Lock()
		for key := range keys {
			if !strings.HasPrefix(key, "address ") {
				d.brake.passed(key)
			}
		}
		d.mu.Unlock()
	}
	return u, ok, 0
}

// brakedAddress is what guesses are counted by: the address, or its network, as a host chooses IPv6 addresses in that
// at will.
func brakedAddress(from netip.Addr) string {
	if network, err := from.Prefix(64); err == nil && from.Is6() {
		return network.String()
	}
	return from.String()
}

// device is the cookie of a browser that has signed in as a name.
func (d *doors) device(name string) string {
	nonce := token()[:32]
	return nonce + hex.EncodeToString(d.mac("device", []byte(nonce+name))[:16])
}

func (d *doors) knownDevice(name, device string) bool {
	return len(device) == 64 && hmac.Equal([]byte(device[32:]),
		[]byte(hex.EncodeToString(d.mac("device", []byte(device[:32]+name))[:16])))
}
