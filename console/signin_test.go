package console

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// usersFile writes a file of users with few rounds, so that tests are fast.
func usersFile(t *testing.T, dir string, passwords map[string]string) string {
	t.Helper()
	path := filepath.Join(dir, "users")
	text := ""
	for name, password := range passwords {
		hash, err := passwordHash(password, 10)
		if err != nil {
			t.Fatal(err)
		}
		text += name + " operator " + hash + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// signInAs sends a name and a password.
func signInAs(c *Console, name, password string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	form := url.Values{"name": {name}, "password": {password}}
	r := httptest.NewRequest(http.MethodPost, "/in", strings.NewReader(form.Encode()))
	r.Host = "127.0.0.1:7700"
	r.Header.Set("Origin", "http://127.0.0.1:7700")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

func fromAddr(addr string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = addr } }

// kept is a console that keeps its files in a directory, closed at the end of the test.
func keptConsole(t *testing.T, of site, cfg Config) *Console {
	t.Helper()
	c := serve(of, cfg)
	if err := c.open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestGuessing: guesses at a name wait longer and longer; the name from another address, another name, a browser that
// has signed in before, and a link do not, so that no stranger locks an operator out.
func TestGuessing(t *testing.T) {
	users := usersFile(t, t.TempDir(), map[string]string{"li": "correct horse", "wang": "correct horse"})
	synctest.Test(t, func(t *testing.T) {
		c := serve(still{night()}, Config{Users: users})
		stranger := fromAddr("10.0.0.9:4000")
		device := signInAs(c, "li", "correct horse", stranger).Result().Cookies()
		guess := func() int { return signInAs(c, "li", "guess", stranger).Code }
		for i := range freeTries {
			if code := guess(); code != http.StatusForbidden {
				t.Errorf("guess %d: status %d", i, code)
			}
		}
		for _, wait := range []time.Duration{1, 2, 4, 8, 15, 15} {
			time.Sleep(wait*time.Minute - 2*time.Second)
			if code := guess(); code != http.StatusTooManyRequests {
				t.Errorf("a guess within %v min: status %d", int(wait), code)
			}
			if code := signInAs(c, "li", "correct horse", stranger).Code; code != http.StatusTooManyRequests {
				t.Errorf("the password within %v min: status %d", int(wait), code)
			}
			if code := signInAs(c, "li", "correct horse", fromAddr("10.0.0.8:1")).Code; code != http.StatusSeeOther {
				t.Errorf("from another address: status %d", code)
			}
			if code := enter(c, c.Link(), stranger).Code; code != http.StatusSeeOther {
				t.Errorf("a link: status %d", code)
			}
			known := func(r *http.Request) {
				for _, cookie := range device {
					r.AddCookie(cookie)
				}
			}
			if code := signInAs(c, "li", "correct horse", stranger, known).Code; code != http.StatusSeeOther {
				t.Errorf("a browser that is known: status %d", code)
			}
			if code := signInAs(c, "wang", "correct horse", stranger).Code; code != http.StatusSeeOther {
				t.Errorf("another name: status %d", code)
			}
			time.Sleep(3 * time.Second)
			if code := guess(); code != http.StatusForbidden {
				t.Errorf("a guess after %v min: status %d", int(wait), code)
			}
		}
		time.Sleep(longestWait)
		if code := signInAs(c, "li", "correct horse", stranger).Code; code != http.StatusSeeOther {
			t.Errorf("after the wait: status %d", code)
		}
	})
}

// TestGuessingManyNames: an address that tries many names waits, too, and its names take bounded memory.
func TestGuessingManyNames(t *testing.T) {
	now := time.Now()
	b := brake{map[string]*braked{}}
	for i := range 3 * mostBraked {
		b.try(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), freeTries, now)
		now = now.Add(time.Millisecond)
	}
	if len(b.keys) > mostBraked {
		t.Errorf("%d keys are remembered", len(b.keys))
	}
	users := usersFile(t, t.TempDir(), map[string]string{"li": "correct horse"})
	synctest.Test(t, func(t *testing.T) {
		c := serve(still{night()}, Config{Users: users})
		codes := map[int]int{}
		for i := range 2 * addressTry {
			codes[signInAs(c, "user"+string(rune('a'+i%26))+string(rune('a'+i/26)), "guess").Code]++
		}
		if codes[http.StatusForbidden] != addressTry || codes[http.StatusTooManyRequests] != addressTry {
			t.Errorf("by status: %v", codes)
		}
	})
}

// TestUsersFile: a user that is taken out loses the session with the next request, a smaller role holds at once, and
// a file that others may read lets no user in.
func TestUsersFile(t *testing.T) {
	dir := t.TempDir()
	users := usersFile(t, dir, map[string]string{"li": "correct horse", "wang": "correct horse"})
	line, err := Users(users)
	if err != nil || len(line) != 2 {
		t.Fatal(line, err)
	}
	c := serve(still{night()}, Config{Users: users})
	now := time.Now()
	c.doors.now = func() time.Time { return now }
	session := func(name string) member {
		w := signInAs(c, name, "correct horse")
		if w.Code != http.StatusSeeOther {
			t.Fatalf("status %d", w.Code)
		}
		return member{c, w.Result().Cookies()[0]}
	}
	li, wang := session("li"), session("wang")
	if w := signInAs(c, "zhao", "correct horse"); w.Code != http.StatusForbidden {
		t.Errorf("a name that is not there: status %d", w.Code)
	}
	text, _ := os.ReadFile(users)
	os.WriteFile(users, []byte(strings.ReplaceAll(string(text), "li operator", "li viewer")), 0o600)
	now = now.Add(2 * usersPeriod)
	get(t, li, "/")
	if s, r := c.doors.known(li.cookie.Value); s == nil || r != roleViewer {
		t.Errorf("after the role was changed: %v", r)
	}
	if err := RemoveUser(users, "wang"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * usersPeriod)
	if w := get(t, wang, "/"); w.Code == http.StatusOK {
		t.Error("a user that was taken out still sees pages")
	}
	os.Chmod(users, 0o640)
	now = now.Add(2 * usersPeriod)
	if w := signInAs(c, "li", "correct horse"); w.Code != http.StatusForbidden {
		t.Errorf("by a file that others may read: status %d", w.Code)
	}
	if _, err := Users(users); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others may read: %v", err)
	}
	for _, bad := range []string{"li", "li operator", "li root certificate", "li operator plain",
		"l\x00i viewer certificate",
		"li viewer certificate\nli admin certificate", "li operator pbkdf2-sha256:0:AA:AA"} {
		if _, err := parseUsers("users", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestRestart: sessions go on after a restart, without the key of the terminal; those that were ended do not, and a
// file that others may read is not believed.
func TestRestart(t *testing.T) {
	cfg := Config{StateDir: filepath.Join(t.TempDir(), "a"), Operator: "li", Signers: keys{"li"}}
	c := keptConsole(t, still{night()}, cfg)
	first, second := enter(c, c.Link()).Result().Cookies()[0], enter(c, c.Link()).Result().Cookies()[0]
	if s, r := c.doors.known(first.Value); s == nil || !s.terminal || r != roleAdmin {
		t.Fatal("the link of the terminal gives less than every right")
	}
	if s, _ := c.doors.known(first.Value); !signs(c, s) {
		t.Error("the terminal's session does not sign")
	}
	post(t, member{c, second}, "/out", nil)
	if err := c.doors.save(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(cfg.StateDir, sessionsFile))
	if err != nil || strings.Contains(string(text), first.Value) {
		t.Errorf("the file has the cookie itself, or none: %v", err)
	}
	c.Close()
	c = keptConsole(t, still{night()}, cfg)
	if w := get(t, member{c, first}, "/"); w.Code != http.StatusOK {
		t.Errorf("after a restart: status %d", w.Code)
	}
	if s, _ := c.doors.known(first.Value); s == nil || signs(c, s) {
		t.Error("a session of the last run signs by the key of this one")
	}
	if w := get(t, member{c, second}, "/"); w.Code == http.StatusOK {
		t.Error("a session that was ended goes on after a restart")
	}
	c.doors.mu.Lock()
	c.doors.dirty = true
	c.doors.mu.Unlock()
	c.doors.save()
	c.Close()
	os.Chmod(filepath.Join(cfg.StateDir, sessionsFile), 0o644)
	c = keptConsole(t, still{night()}, cfg)
	if w := get(t, member{c, first}, "/"); w.Code == http.StatusOK {
		t.Error("a file of sessions that others may read is believed")
	}
}

// signs reports whether a session has the key of the terminal.
func signs(c *Console, s *session) bool {
	h := &handler{signers: keys{"li"}, doors: c.doors}
	op, ok := h.operator(actor{Name: s.name, session: s})
	return ok && op.Signer != nil
}

// keys are the keys of operators that are unlocked at a terminal.
type keys []string

func (k keys) Operators() bool { return true }

func (k keys) Signer(name string) operator.Signer {
	if slices.Contains(k, name) {
		return noSigner{}
	}
	return nil
}

type noSigner struct{}

func (noSigner) Sign(rollout.Purpose, string) (rollout.Proof, error) { return rollout.Proof{}, nil }

// TestWhichSessionSigns: only one that a link of the terminal has let in, by the name of the key. Without operators the
// site's key signs for all.
func TestWhichSessionSigns(t *testing.T) {
	for _, c := range []struct {
		signers  Signers
		terminal bool
		name     string
		ok, key  bool
	}{
		{nil, false, "li", true, false},
		{keys{"li"}, true, "li", true, true},
		{keys{"li"}, false, "li", false, false},
		{keys{"li"}, true, "wang", false, false},
		{keys{}, true, "li", false, false},
	} {
		h := &handler{signers: c.signers}
		op, ok := h.operator(actor{Name: c.name, session: &session{terminal: c.terminal}})
		if ok != c.ok || (op.Signer != nil) != c.key {
			t.Errorf("%+v: %v, signer %v", c, ok, op.Signer)
		}
	}
}

// TestLinksOfFiles: a link that another process has made signs in once, in time, with its role, and for its time; one
// in a file that others may read does not.
func TestLinksOfFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	request := LinkRequest{Name: "li", Role: "operator", For: 2 * time.Hour}
	if _, err := MakeLink(dir, request, time.Now()); err != ErrNoConsole {
		t.Errorf("without a console: %v", err)
	}
	c := keptConsole(t, still{night()}, Config{StateDir: dir, URL: "http://127.0.0.1:7700"})
	now := time.Now()
	c.doors.now = func() time.Time { return now }
	link, err := MakeLink(dir, request, now)
	if err != nil || !strings.HasPrefix(link, "http://127.0.0.1:7700/in#") {
		t.Fatal(link, err)
	}
	w := enter(c, link)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("status %d", w.Code)
	}
	li := member{c, w.Result().Cookies()[0]}
	if s, r := c.doors.known(li.cookie.Value); s.name != "li" || r != roleOperator || s.terminal {
		t.Errorf("the session is %+v", s)
	}
	if w := enter(c, link); w.Code != http.StatusForbidden {
		t.Errorf("once more: status %d", w.Code)
	}
	for range 5 {
		now = now.Add(24 * time.Minute)
		get(t, li, "/")
	}
	if now = now.Add(time.Second); get(t, li, "/").Code == http.StatusOK {
		t.Error("a session of two hours lasts longer")
	}
	link, _ = MakeLink(dir, request, now.Add(-linkTime-time.Second))
	if w := enter(c, link); w.Code != http.StatusForbidden {
		t.Errorf("an old link: status %d", w.Code)
	}
	link, _ = MakeLink(dir, request, now)
	names, _ := filepath.Glob(filepath.Join(dir, linkPrefix+"*"))
	if len(names) != 1 {
		t.Fatalf("files of links: %v", names)
	}
	os.Chmod(names[0], 0o644)
	if w := enter(c, link); w.Code != http.StatusForbidden {
		t.Errorf("a link that others may read: status %d", w.Code)
	}
	for _, r := range []LinkRequest{{"", "viewer", time.Hour}, {"li", "root", time.Hour},
		{"li", "viewer", 13 * time.Hour}, {"li", "viewer", 0}, {"l i", "viewer", time.Hour}} {
		if _, err := MakeLink(dir, r, now); err == nil {
			t.Errorf("%+v makes a link", r)
		}
	}
}

// TestAuditLog: every action and sign-in is a line, refused ones, too, and the history shows them.
func TestAuditLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	c := keptConsole(t, still{night()}, Config{StateDir: dir, Operator: "wang"})
	enter(c, strings.Repeat("0", 64))
	admin := member{c, enter(c, c.Link()).Result().Cookies()[0]}
	li := as(t, c, "li", roleViewer)
	s, _ := c.doors.known(li.cookie.Value)
	row := sessionRowOf(s)
	post(t, li, "/sessions/"+row+"/end", url.Values{"reason": {"mine"}})
	post(t, admin, "/sessions/"+row+"/end", url.Values{"reason": {"lost laptop"}})
	if w := get(t, li, "/"); w.Code == http.StatusOK {
		t.Error("a session that was ended goes on")
	}
	w := get(t, admin, "/history/audit.jsonl")
	var got []string
	for line := range strings.Lines(w.Body.String()) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Action+" "+r.Name+" "+r.Outcome+" "+r.Reason)
	}
	want := []string{"in  refused ", "in wang done ", "in li done ", "session-end li refused mine",
		"session-end wang begun lost laptop", "session-end wang done lost laptop"}
	if !slices.Equal(got, want) {
		t.Errorf("the log has\n%q, want\n%q", got, want)
	}
	body := get(t, admin, "/history?kind=terminal").Body.String()
	if !strings.Contains(body, "lost laptop") || !strings.Contains(body, "mine") {
		t.Error("the history does not show what was done in the console")
	}
	if body := get(t, admin, "/history?kind=terminal", in(chinese)).Body.String(); !strings.Contains(body, "只有管理员") {
		t.Error("the history in Chinese does not say why something was refused")
	}
	if w := get(t, as(t, c, "zhao", roleViewer), "/history/audit.jsonl"); w.Code != http.StatusForbidden {
		t.Errorf("a viewer loads the audit log: status %d", w.Code)
	}
	report, err := VerifyAudit(dir, "")
	if err != nil || report.Broken != nil || report.Lines != 7 || report.First != 1 || report.Last != 7 {
		t.Errorf("%+v, %v", report, err)
	}
	if r, _ := VerifyAudit(dir, report.Head[:hashDigits]); !r.Found {
		t.Error("the last line's hash is not found")
	}
	if r, _ := VerifyAudit(dir, strings.Repeat("0", 64)); r.Found {
		t.Error("the hash of no line is found")
	}
}

func sessionRowOf(s *session) string {
	const digits = "0123456789abcdef"
	b := ""
	for _, x := range s.id[:sessionIDSize] {
		b += string(digits[x>>4]) + string(digits[x&15])
	}
	return b
}

// TestBrokenChain: a line that was changed, taken out, moved or added is named, the log goes on behind it, and the
// history says so; a torn last line is cut off.
func TestBrokenChain(t *testing.T) {
	name := filepath.Join
	make5 := func(t *testing.T) (dir, path string, lines []string) {
		dir = name(t.TempDir(), "a")
		c := keptConsole(t, still{night()}, Config{StateDir: dir})
		for range 5 {
			c.audit.add(record{Action: "out", Name: "li", Outcome: didIt})
		}
		c.Close()
		found, _ := segments(dir)
		text, err := os.ReadFile(name(dir, found[0]))
		if err != nil {
			t.Fatal(err)
		}
		return dir, name(dir, found[0]), slices.Collect(strings.Lines(string(text)))
	}
	for what, c := range map[string]struct {
		edit func([]string) []string
		line int
	}{
		"changed":   {func(l []string) []string { l[1] = strings.Replace(l[1], `"li"`, `"lx"`, 1); return l }, 3},
		"taken out": {func(l []string) []string { return slices.Delete(l, 2, 3) }, 3},
		"beheaded":  {func(l []string) []string { return slices.Delete(l, 0, 2) }, 1},
		"moved":     {func(l []string) []string { l[1], l[2] = l[2], l[1]; return l }, 2},
		"added":     {func(l []string) []string { return slices.Insert(l, 2, l[1]) }, 3},
		"no record": {func(l []string) []string { l[3] = "x\n"; return l }, 4},
		"a first": {func(l []string) []string {
			l[0] = strings.Replace(l[0], `"prev":""`, `"prev":"00"`, 1)
			return l
		}, 1},
		"two values": {func(l []string) []string {
			l[4] = strings.TrimSuffix(l[4], "\n") + l[4]
			return l
		}, 5},
	} {
		t.Run(what, func(t *testing.T) {
			dir, path, lines := make5(t)
			os.WriteFile(path, []byte(strings.Join(c.edit(lines), "")), 0o600)
			for range 2 {
				report, err := VerifyAudit(dir, "")
				if err != nil || report.Broken == nil || report.Broken.Line != c.line {
					t.Fatalf("%+v, %v", report.Broken, err)
				}
				again := keptConsole(t, still{night()}, Config{StateDir: dir})
				again.audit.add(record{Action: "out", Name: "li", Outcome: didIt})
				m := as(t, again, "li", roleViewer)
				if !strings.Contains(get(t, m, "/history").Body.String(), filepath.Base(path)+", line") {
					t.Error("the history does not say so")
				}
				again.Close()
			}
		})
	}
	t.Run("torn", func(t *testing.T) {
		dir, path, lines := make5(t)
		text := strings.Join(lines, "")
		os.WriteFile(path, []byte(text[:len(text)-20]), 0o600)
		if report, err := VerifyAudit(dir, ""); err != nil || report.Torn == 0 || report.Broken != nil {
			t.Errorf("%+v, %v", report, err)
		}
		c := keptConsole(t, still{night()}, Config{StateDir: dir})
		c.Close()
		report, err := VerifyAudit(dir, "")
		if err != nil || report.Torn != 0 || report.Broken != nil || report.Lines != 5 {
			t.Errorf("after the next start: %+v, %v", report, err)
		}
	})
}

// TestAuditLogIsBounded: files are full at a size, the oldest go, and the rest is still a chain; refused sign-ins
// beyond a number a minute are counted only.
func TestAuditLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	l, err := openAudit(dir, serve(still{night()}, Config{}).log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	now := time.Now()
	l.now = func() time.Time { return now }
	l.full, l.most = 5000, 20000
	long := strings.Repeat("x", 5000)
	for range 100 {
		l.add(record{Action: "out", Name: "li", Outcome: didIt, Reason: long})
	}
	names, _ := segments(dir)
	size := int64(0)
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	report, err := VerifyAudit(dir, "")
	if size > l.most+2000 || len(names) < 3 || err != nil || report.Broken != nil || report.First == 1 ||
		report.Last != 100 {
		t.Errorf("%d bytes in %d files, %+v, %v", size, len(names), report, err)
	}
	for _, name := range names {
		old := now.Add(-keptTime - time.Hour)
		os.Chtimes(filepath.Join(dir, name), old, old)
	}
	now = now.Add(25 * time.Hour)
	l.add(record{Action: "out", Name: "li", Outcome: didIt})
	if names, _ := segments(dir); len(names) != 1 {
		t.Errorf("files that are too old: %v", names)
	}
	l.full, l.most = segmentSize, keptSize
	before, err := VerifyAudit(dir, "")
	if err != nil || before.Broken != nil {
		t.Errorf("%+v, %v", before, err)
	}
	for range 10 * mostRefusals {
		l.add(record{Action: "in", Outcome: refusal})
	}
	now = now.Add(2 * time.Minute)
	l.add(record{Action: "in", Name: "li", Outcome: didIt})
	report, err = VerifyAudit(dir, "")
	if err != nil || report.Broken != nil || report.Lines != before.Lines+mostRefusals+1 {
		t.Errorf("%+v, %v", report, err)
	}
	recent, _ := l.state()
	want := fmt.Sprint(9*mostRefusals, " more were refused before")
	if why := recent[len(recent)-1].Why; !strings.Contains(why, want) {
		t.Errorf("the rest is not counted: %q", why)
	}
	for range 24 * 60 {
		now = now.Add(time.Minute)
		l.add(record{Action: "in", Outcome: refusal})
	}
	after, err := VerifyAudit(dir, "")
	if n := after.Lines - report.Lines; err != nil || n > 2*dayRefusals {
		t.Errorf("a day of refusals is %d lines, %v", n, err)
	}
	if len(recent[0].Reason) > maxText+4 {
		t.Errorf("a reason of %d bytes", len(recent[0].Reason))
	}
}

// TestHeaders: every answer has them, also that to a stranger.
func TestHeaders(t *testing.T) {
	c := serve(still{night()}, Config{})
	m := as(t, c, "li", roleAdmin)
	for path, h := range map[string]http.Handler{"/": m, "/in": c, "/nowhere": m, "/history?format=json": m} {
		got := get(t, h, path).Header()
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; " +
				"img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; " +
				"frame-ancestors 'none'",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "same-origin",
			"Cache-Control":                "no-store",
		} {
			if got.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, got.Get(name))
			}
		}
	}
	for _, by := range []struct {
		hsts time.Duration
		tls  *tls.ConnectionState
		want string
	}{{time.Hour, &tls.ConnectionState{}, "max-age=3600"}, {time.Hour, nil, ""}, {0, &tls.ConnectionState{}, ""}} {
		h := serve(still{night()}, Config{HSTS: by.hsts})
		got := get(t, h, "/in", func(r *http.Request) { r.TLS = by.tls }).Header().Get("Strict-Transport-Security")
		if got != by.want {
			t.Errorf("HSTS of %v by TLS %v: %q", by.hsts, by.tls != nil, got)
		}
	}
	out := post(t, m, "/out", nil)
	if out.Header().Get("Clear-Site-Data") == "" {
		t.Error("signing out leaves the browser's data")
	}
	cookie := enter(c, c.Link()).Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure {
		t.Errorf("the cookie is %v", cookie)
	}
}

// TestGETChangesNothing: no page and no file of a session changes a session, a link or the audit log.
func TestGETChangesNothing(t *testing.T) {
	c := serve(still{night()}, Config{})
	m := as(t, c, "li", roleAdmin)
	before, _ := c.audit.state()
	var all []string
	for _, a := range actions {
		all = append(all, filled(a.Path))
	}
	for _, f := range sessionFiles {
		all = append(all, f.Path)
	}
	for _, path := range append(all, paths()...) {
		for _, query := range []string{"", "?csrf=" + m.token() + "&reason=x", "?format=json"} {
			get(t, m, path+query)
		}
	}
	if after, _ := c.audit.state(); len(after) != len(before) {
		t.Errorf("the audit log has %d lines more", len(after)-len(before))
	}
	if w := get(t, m, "/"); w.Code != http.StatusOK || len(c.doors.sessions) != 1 {
		t.Errorf("status %d, %d sessions", w.Code, len(c.doors.sessions))
	}
}

// TestPlainIsShown: a console without TLS that other hosts reach says so, also where a password is typed.
func TestPlainIsShown(t *testing.T) {
	for _, plain := range []bool{false, true} {
		c := serve(still{night()}, Config{Plain: plain})
		m := as(t, c, "li", roleViewer)
		for path, h := range map[string]http.Handler{"/": m, "/in": c} {
			if got := strings.Contains(get(t, h, path).Body.String(), "without TLS"); got != plain {
				t.Errorf("plain %v, %s: shown %v", plain, path, got)
			}
		}
	}
}

// TestCode: the code depends on every part and on where it ends.
func TestCode(t *testing.T) {
	seen := map[string]bool{}
	for _, parts := range [][]string{{}, {""}, {"a", "b"}, {"ab"}, {"a", "b", ""}, {"b", "a"}} {
		code := Code(parts...)
		if len(code) != 9 || code[4] != '-' || seen[code] {
			t.Errorf("%q has the code %s", parts, code)
		}
		seen[code] = true
	}
}

// TestSessionsOfOneName: a name with many sessions loses the one that was used the longest ago, and no other name
// loses one.
func TestSessionsOfOneName(t *testing.T) {
	c := serve(still{night()}, Config{})
	li := as(t, c, "li", roleViewer)
	first := as(t, c, "wang", roleViewer)
	for range mostOfName {
		as(t, c, "wang", roleViewer)
	}
	if s, _ := c.doors.known(first.cookie.Value); s != nil || len(c.doors.sessions) != mostOfName+1 {
		t.Errorf("%d sessions", len(c.doors.sessions))
	}
	if s, _ := c.doors.known(li.cookie.Value); s == nil {
		t.Error("another name has lost its session")
	}
}

// TestCookiesOfTwoPorts: browsers keep the cookies of all ports of a host together.
func TestCookiesOfTwoPorts(t *testing.T) {
	names := map[string]bool{}
	for _, host := range []string{"127.0.0.1:7700", "127.0.0.1:7701", "[::1]:7702", "[::1]", "hall"} {
		names[secretCookie(&http.Request{Host: host}, sessionCookie)] = true
	}
	if len(names) != 4 {
		t.Errorf("the names are %v", names)
	}
}

// TestPagesThatRenewThemselves: an open page keeps no session of an operator awake, and that of a viewer, on a wall,
// for twelve hours.
func TestPagesThatRenewThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(still{night()}, Config{})
		li, wall := as(t, c, "li", roleOperator), as(t, c, "wall", roleViewer)
		byItself := func(r *http.Request) { r.Header.Set("Skerry-Renew", "1") }
		for range 7 {
			time.Sleep(5 * time.Minute)
			get(t, li, "/", byItself)
			if w := get(t, wall, "/wall", byItself); w.Code != http.StatusOK {
				t.Fatalf("the wall: status %d", w.Code)
			}
		}
		if w := get(t, li, "/"); w.Code == http.StatusOK {
			t.Error("an open page keeps the session of an operator awake")
		}
	})
}

// TestGuessesAtOnce: tries count before their outcome is known.
func TestGuessesAtOnce(t *testing.T) {
	users := usersFile(t, t.TempDir(), map[string]string{"li": "correct horse"})
	synctest.Test(t, func(t *testing.T) {
		c := serve(still{night()}, Config{Users: users})
		var checked atomic.Int64
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if signInAs(c, "li", "guess").Code == http.StatusForbidden {
					checked.Add(1)
				}
			})
		}
		wg.Wait()
		if n := checked.Load(); n != freeTries {
			t.Errorf("%d guesses at once were checked", n)
		}
	})
}
