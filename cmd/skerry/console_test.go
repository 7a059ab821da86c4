package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/console"
	"github.com/skerry/skerry/internal/policylog"
)

// TestConsoleBeyondLoopback: another address than loopback needs users, and TLS or --plain.
func TestConsoleBeyondLoopback(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	for what, c := range map[string]struct{ config, want string }{
		"no users":      {"", "needs users"},
		"no file":       {"console: {users: " + users + "}\n", "names no user"},
		"no TLS":        {"console: {users: " + users + "1}\n", "needs TLS"},
		"others' users": {"console: {users: " + users + "2}\n", "chmod 600"},
	} {
		for _, file := range []string{"1", "2"} {
			if code, _, errs := cli(t, "correct horse\n", "console", "user", "add", "li", "--file",
				users+file); code != 0 {
				t.Fatal(errs)
			}
		}
		if err := os.Chmod(users+"2", 0o644); err != nil {
			t.Fatal(err)
		}
		config := site(t, "state_dir: none\n"+c.config)
		for _, listen := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
			code, _, errs := cli(t, "", "console", "-c", config, "--listen", listen)
			if code != exitUsage || !strings.Contains(errs, c.want) {
				t.Errorf("%s, %s: exit code %d, %s", what, listen, code, errs)
			}
		}
		if err := os.Remove(users + "2"); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errs := cli(t, "", "console", "--listen", "ops-1:7700"); code != exitUsage {
		t.Errorf("a name: exit code %d, %s", code, errs)
	}
}

func TestConsoleUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	at := func(stdin string, args ...string) (int, string, string) {
		return cli(t, stdin, append([]string{"console", "user", "--file", file}, args...)...)
	}
	for _, c := range []struct {
		stdin, want string
		args        []string
	}{
		{"short\n", "too short", []string{"add", "li"}},
		{"", "empty", []string{"add", "li"}},
		{"correct horse\n", "no role", []string{"add", "li", "--role", "root"}},
		{"correct horse\n", "no name", []string{"add", "li wang"}},
		{"", "no user", []string{"remove", "li"}},
	} {
		if code, _, errs := at(c.stdin, c.args...); code != exitProblem || !strings.Contains(errs, c.want) {
			t.Errorf("%q: exit code %d, %s", c.args, code, errs)
		}
	}
	at("correct horse\n", "add", "li", "--role", "operator")
	at("", "add", "wang", "--certificate")
	_, out, _ := at("", "list")
	if !regexp.MustCompile(`li +operator +password\s+wang +viewer +certificate`).MatchString(out) {
		t.Errorf("list: %s", out)
	}
	text, err := os.ReadFile(file)
	info, _ := os.Stat(file)
	if err != nil || strings.Contains(string(text), "horse") || info.Mode().Perm() != 0o600 ||
		!strings.Contains(string(text), "pbkdf2-sha256:600000:") {
		t.Errorf("mode %v, %s", info.Mode(), text)
	}
	at("", "remove", "li")
	if _, out, _ := at("", "list"); strings.Contains(out, "li ") {
		t.Errorf("after remove: %s", out)
	}
}

// TestCodeOfTheConsole: a command with the code of a page does nothing when it would do something else.
func TestCodeOfTheConsole(t *testing.T) {
	cfg := site(t, "state_dir: none\n")
	offerClock(t, cfg)
	apply := func(text, code string) (int, string) {
		status, out, errs := cli(t, text, "policy", "apply", "-", "-c", cfg, "--yes", "--why", "test", "--code", code)
		return status, out + errs
	}
	const text = "policy: 1\nservices: {clock: {timeout: 5s}}\n"
	status, said := apply(text, "0000-0000")
	if status != exitProblem || !strings.Contains(said, "Nothing was done") {
		t.Fatalf("exit code %d: %s", status, said)
	}
	want := console.PolicyCode(policylog.Entry{}, policylog.Entry{Text: text})
	if !strings.Contains(said, want) {
		t.Errorf("the code is not %s, that of a page: %s", want, said)
	}
	if status, said = apply(text+"# more\n", want); status != exitProblem {
		t.Errorf("another text by this code: exit code %d: %s", status, said)
	}
	if status, said = apply(text, strings.ToLower(want)); status != exitOK {
		t.Errorf("by the code: exit code %d: %s", status, said)
	}
	if status, said = apply(text+"# more\n", want); status != exitProblem {
		t.Errorf("on another policy: exit code %d: %s", status, said)
	}
}

// browser is a client of a console that keeps cookies.
type browser struct {
	http.Client
	base string
}

func newBrowser(base string, config *tls.Config) *browser {
	jar, _ := cookiejar.New(nil)
	transport := &http.Transport{TLSClientConfig: config}
	return &browser{http.Client{Jar: jar, Transport: transport, Timeout: time.Minute}, base}
}

func (b *browser) get(t *testing.T, path string) (int, string) {
	t.Helper()
	answer, err := b.Get(b.base + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Request.URL.Path + " " + string(text)
}

func (b *browser) post(t *testing.T, path string, form url.Values) (int, string) {
	t.Helper()
	r, _ := http.NewRequest(http.MethodPost, b.base+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.base)
	answer, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Request.URL.Path + " " + string(text)
}

// lineWriter is a writer that hands its lines on.
type lineWriter chan string

func (l lineWriter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		l <- strings.TrimSpace(line)
	}
	return len(p), nil
}

// startConsole runs a console until the test ends, or stop is called, and returns its first link.
func startConsole(t *testing.T, args ...string) (link string, stop func()) {
	t.Helper()
	t.Setenv("JOURNAL_STREAM", "")
	ctx, cancel := context.WithCancel(t.Context())
	out, errs := make(lineWriter, 100), make(lineWriter, 100)
	ended := make(chan int, 1)
	go func() { ended <- execute(ctx, append([]string{"console"}, args...), strings.NewReader(""), out, errs) }()
	stop = func() {
		cancel()
		<-ended
		ended <- 0
	}
	t.Cleanup(stop)
	select {
	case link = <-out:
		return link, stop
	case code := <-ended:
		ended <- code
		close(errs)
		text := ""
		for line := range errs {
			text += line + "\n"
		}
		t.Fatalf("the console has ended: %d\n%s", code, text)
	}
	return "", stop
}

// TestConsoleSignsIn: by the terminal's link, and by one of console link, with the role and the name of that; a restart
// keeps the session, and the audit log has all of it.
func TestConsoleSignsIn(t *testing.T) {
	config := site(t, "state_dir: "+t.TempDir()+"\n")
	if code, _, errs := cli(t, "", "console", "link", "-c", config); code != exitUnreachable {
		t.Errorf("without a console: exit code %d, %s", code, errs)
	}
	addr := freeAddr(t)
	link, stop := startConsole(t, "-c", config, "--listen", addr)
	base, token, _ := strings.Cut(link, "/in#")
	if base != "http://"+addr {
		t.Fatalf("the link is %s", link)
	}
	first := newBrowser(base, nil)
	if status, body := first.post(t, "/in", url.Values{"token": {token}}); status != 200 || body[:2] != "/ " {
		t.Fatalf("status %d at %.200s", status, body)
	}
	if code, _, errs := cli(t, "", "console", "-c", config, "--listen", "127.0.0.1:0"); code != exitProblem ||
		!strings.Contains(errs, "another console") {
		t.Errorf("a second console: exit code %d, %s", code, errs)
	}
	code, out, errs := cli(t, "", "console", "link", "-c", config, "--role", "operator", "--by", "li", "--for", "2h")
	if code != 0 {
		t.Fatal(errs)
	}
	_, token, _ = strings.Cut(strings.TrimSpace(out), "/in#")
	li := newBrowser(base, nil)
	if status, body := li.post(t, "/in", url.Values{"token": {token}}); status != 200 || body[:2] != "/ " {
		t.Fatalf("status %d at %.200s", status, body)
	}
	if status, _ := newBrowser(base, nil).post(t, "/in", url.Values{"token": {token}}); status != http.StatusForbidden {
		t.Errorf("the link once more: status %d", status)
	}
	if status, _ := li.get(t, "/sessions"); status != http.StatusForbidden {
		t.Errorf("an operator's list of sessions: status %d", status)
	}
	_, body := first.get(t, "/sessions?format=json")
	if !strings.Contains(body, `"name": "li"`) || !strings.Contains(body, `"role": "operator"`) {
		t.Errorf("sessions: %s", body)
	}
	stop()
	startConsole(t, "-c", config, "--listen", addr)
	if status, body := li.get(t, "/history"); status != 200 || !strings.Contains(body, "/history") {
		t.Errorf("after a restart: status %d, %.100s", status, body)
	}
	code, out, errs = cli(t, "", "console", "verify", "-c", config)
	if code != 0 || !strings.Contains(out, "3 lines, 1 to 3") {
		t.Errorf("verify: %d, %s%s", code, out, errs)
	}
	code, out, errs = cli(t, "", "console", "history", "-c", config, "--kind", "key", "--last", "2")
	if code != 0 || strings.Count(out, "\n") != 3 || !strings.Contains(out, "Refused: Sign-in, from 127.0.0.1") {
		t.Errorf("history: %d, %s%s", code, out, errs)
	}
	if code, _, errs = cli(t, "", "console", "history", "-c", config, "--kind", "x"); code != exitUsage {
		t.Errorf("a kind that is none: %d, %s", code, errs)
	}
}

// TestVerifyNamesOpenActions: the check of an audit log names the actions without an outcome, after a
// console was killed.
func TestVerifyNamesOpenActions(t *testing.T) {
	dir, prev, text := t.TempDir(), "", ""
	for _, rest := range []string{
		`"action":"call","outcome":"begun","asked":"service=auth method=verify"`,
		`"action":"policy-undo","outcome":"begun","asked":"number=18"`,
		`"action":"call","outcome":"done","of":1`,
	} {
		line := fmt.Sprintf(`{"n":%d,"prev":%q,"at":"2026-11-29T03:12:10Z","name":"li","role":"operator",`+
			`"address":"::1",%s}`, strings.Count(text, "\n")+1, prev, rest)
		sum := sha256.Sum256([]byte(line))
		prev = hex.EncodeToString(sum[:])
		text += line + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "console-audit-000000000001.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := cli(t, "", "console", "verify", "--dir", dir)
	if code != 0 || !strings.Contains(out, "outcome unknown") || strings.Contains(out, "call") ||
		!strings.Contains(out, "policy-undo by li number=18") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if _, out, _ = cli(t, "", "console", "verify", "--dir", dir, "--json"); !strings.Contains(out, `"n": 2`) {
		t.Errorf("as JSON: %s", out)
	}
}

// TestNoLinkInTheJournal: links of the terminal have every right, and others may read the journal.
func TestNoLinkInTheJournal(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "8:1234")
	cfg := site(t, "state_dir: "+t.TempDir()+"\n")
	ctx, cancel := context.WithCancel(t.Context())
	out, errs, ended := make(lineWriter, 100), make(lineWriter, 100), make(chan int, 1)
	args := []string{"console", "-c", cfg, "--listen", "127.0.0.1:0"}
	go func() { ended <- execute(ctx, args, strings.NewReader(""), out, errs) }()
	said := <-errs
	cancel()
	<-ended
	if !strings.Contains(said, "skerry console link") || len(out) > 0 {
		t.Errorf("it says %q, and prints %d lines", said, len(out))
	}
}

// TestConsoleByTLS: beyond loopback a password signs in, and so does a certificate with the name of a user; one with
// another name, or of another authority, does not.
func TestConsoleByTLS(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	ca.issue(t, "server", "console.hall")
	users := filepath.Join(dir, "users")
	cli(t, "correct horse\n", "console", "user", "add", "li", "--role", "operator", "--file", users)
	cli(t, "", "console", "user", "add", "wang", "--role", "admin", "--certificate", "--file", users)
	config := site(t, fmt.Sprintf("state_dir: %[1]s\nconsole: {users: %[1]s/users}\n"+
		"tls: {cert: %[1]s/server.pem, key: %[1]s/server.key, ca: %[1]s/ca.pem}\n", dir))
	_, port, _ := net.SplitHostPort(freeAddr(t))
	link, _ := startConsole(t, "-c", config, "--listen", "0.0.0.0:"+port)
	if !strings.HasPrefix(link, "https://console.hall:"+port+"/in#") {
		t.Errorf("the link is %s", link)
	}
	trust := &tls.Config{RootCAs: ca.pool, ServerName: "console.hall"}
	base := "https://127.0.0.1:" + port
	b := newBrowser(base, trust)
	if status, _ := b.post(t, "/in", url.Values{"name": {"li"}, "password": {"correct cow"}}); status != 403 {
		t.Errorf("a wrong password: status %d", status)
	}
	status, body := b.post(t, "/in", url.Values{"name": {"li"}, "password": {"correct horse"}})
	if status != 200 || body[:2] != "/ " {
		t.Errorf("a password: status %d at %.100s", status, body)
	}
	at, _ := url.Parse(base)
	for _, c := range b.Jar.Cookies(at) {
		if !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("the cookie %s is for other hosts, too", c.Name)
		}
	}
	other := newAuthority(t, dir, "other")
	for _, c := range []struct {
		by   *authority
		name string
		in   bool
	}{{ca, "wang", true}, {ca, "portal", false}, {other, "wang", false}} {
		conf := trust.Clone()
		conf.Certificates = []tls.Certificate{c.by.issue(t, "client", c.name)}
		answer, err := newBrowser(base, conf).Get(base + "/sessions")
		in := err == nil && answer.StatusCode == 200 && answer.Request.URL.Path == "/sessions"
		if err == nil {
			answer.Body.Close()
		}
		if in != c.in {
			t.Errorf("a certificate of %s: signed in %v, %v", c.name, in, err)
		}
	}
}

// TestConsoleCert: a certificate is made once, shown, replaced on request only, and signed by an authority where the
// site has one.
func TestConsoleCert(t *testing.T) {
	dir := t.TempDir()
	config := site(t, "state_dir: "+dir+"\nconsole: {hosts: [console.hall]}\n")
	cert := func(args ...string) (code int, shown consoleCertShown, said string) {
		code, out, errs := cli(t, "", append([]string{"console", "cert", "-c", config, "--json"}, args...)...)
		if code == 0 && json.Unmarshal([]byte(out), &shown) != nil {
			t.Errorf("%v prints %s", args, out)
		}
		return code, shown, errs
	}
	if code, _, said := cert("--pem"); code == 0 {
		t.Errorf("a certificate that is not there is printed: %s", said)
	}
	for _, bad := range [][]string{{"--days", "0"}, {"--address", "hall"}, {"--name", "a b"}, {"--ca", "x"},
		{"--ca", "x", "--ca-key", "x"}} {
		if code, _, said := cert(bad...); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", bad, code, said)
		}
	}
	code, made, said := cert()
	if code != 0 || !made.Made || made.Names[0] != "console.hall" || made.SignedBy != "" ||
		made.Until.Sub(made.From) != certDays*24*time.Hour+certSkew {
		t.Fatalf("exit code %d, %+v, %s", code, made, said)
	}
	if info, err := os.Stat(made.File); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if _, shown, _ := cert(); shown.Made || shown.Fingerprint != made.Fingerprint {
		t.Errorf("the second time it is %+v", shown)
	}
	if code, _, said := cert("--name", "other"); code == 0 || !strings.Contains(said, made.Fingerprint) ||
		!strings.Contains(said, "--replace") {
		t.Errorf("another name without --replace: exit code %d, %s", code, said)
	}
	_, out, _ := cli(t, "", "console", "cert", "-c", config, "--pem")
	if block, rest := pem.Decode([]byte(out)); block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
		t.Errorf("--pem prints %s", out)
	}
	code, anew, _ := cert("--replace", "--days", "30")
	if code != 0 || anew.Replaced != made.Fingerprint || anew.Fingerprint == made.Fingerprint ||
		!slices.Equal(anew.Names, made.Names) || !slices.Equal(anew.Addresses, made.Addresses) {
		t.Errorf("the one in its place: %+v", anew)
	}
	ca := newAuthority(t, dir, "ca")
	ca.writeKey(t, "ca")
	by := []string{"--replace", "--ca", filepath.Join(dir, "ca.pem"), "--ca-key", filepath.Join(dir, "ca.key")}
	code, signed, said := cert(append(by, "--name", "console.hall", "--address", "10.20.0.1")...)
	if code != 0 || signed.SignedBy != "ca" || signed.Until.After(ca.cert.NotAfter) {
		t.Errorf("by an authority: exit code %d, %+v, %s", code, signed, said)
	}
	if code, _, said := cert("--replace"); code != exitUsage || !strings.Contains(said, "--ca-key") {
		t.Errorf("by no authority any more: exit code %d, %s", code, said)
	}
	os.Chmod(made.File, 0o644)
	if code, _, said := cert(); runtime.GOOS != "windows" && (code == 0 || !strings.Contains(said, "chmod 600")) {
		t.Errorf("a key that others read: exit code %d, %s", code, said)
	}
}

// TestConsoleUsesItsCert: a console on all addresses serves by the certificate that was made for it, names it, tells
// browsers to come by TLS, and uses the one that replaces it without a restart, by its names, too.
func TestConsoleUsesItsCert(t *testing.T) {
	dir := t.TempDir()
	cli(t, "correct horse\n", "console", "user", "add", "li", "--file", filepath.Join(dir, "users"))
	config := site(t, fmt.Sprintf("state_dir: %[1]s\nconsole: {users: %[1]s/users}\n", dir))
	made := func(args ...string) *tls.Config {
		_, _, errs := cli(t, "", append([]string{"console", "cert", "-c", config}, args...)...)
		_, out, _ := cli(t, "", "console", "cert", "-c", config, "--pem")
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(out)) {
			t.Fatalf("%v: %s", args, errs)
		}
		return &tls.Config{RootCAs: pool, ServerName: args[1]}
	}
	trust := made("--name", "console.hall")
	_, port, _ := net.SplitHostPort(freeAddr(t))
	link, _ := startConsole(t, "-c", config, "--listen", "0.0.0.0:"+port)
	if !strings.HasPrefix(link, "https://console.hall:"+port+"/in#") {
		t.Errorf("the link is %s", link)
	}
	answer := func(trust *tls.Config) (*http.Response, error) {
		r, _ := http.NewRequest(http.MethodGet, "https://127.0.0.1:"+port+"/in", nil)
		r.Host = trust.ServerName + ":" + port
		w, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}).Do(r)
		if err == nil {
			w.Body.Close()
		}
		return w, err
	}
	w, err := answer(trust)
	if err != nil || w.StatusCode != 200 || w.Header.Get("Strict-Transport-Security") != "max-age=86400" {
		t.Fatalf("%+v, %v", w, err)
	}
	trust = made("--name", "other.hall", "--replace")
	eventually(t, "the new certificate is used", func() bool {
		w, err := answer(trust)
		return err == nil && w.StatusCode == 200
	})
}

// authority issues certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{dir: dir, pool: x509.NewCertPool()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	a.write(t, name+".pem", "CERTIFICATE", der)
	return a
}

// issue writes FILE.pem and FILE.key for a name.
func (a *authority) issue(t *testing.T, file, name string) tls.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := x509.MarshalECPrivateKey(key)
	a.write(t, file+".pem", "CERTIFICATE", der)
	a.write(t, file+".key", "EC PRIVATE KEY", text)
	pair, err := tls.LoadX509KeyPair(filepath.Join(a.dir, file+".pem"), filepath.Join(a.dir, file+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// writeKey writes the authority's key.
func (a *authority) writeKey(t *testing.T, name string) {
	t.Helper()
	text, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name+".key", "EC PRIVATE KEY", text)
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(a.dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

var (
	editForm  = regexp.MustCompile(`(?s)<form[^>]* action="/policy/edit".*?</form>`)
	inputText = regexp.MustCompile(`<input[^>]* name="([^"]*)"[^>]* value="([^"]*)"`)
)

// applyIn sends a text from the page of the policy's text, and returns the page that follows.
func (b *browser) applyIn(t *testing.T, text, why string) string {
	t.Helper()
	_, page := b.get(t, "/policy/edit")
	form := url.Values{}
	for _, m := range inputText.FindAllStringSubmatch(editForm.FindString(page), -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	form.Set("text", text)
	form.Set("reason", why)
	form.Set("confirm", "")
	_, page = b.post(t, "/policy/apply", form)
	return html.UnescapeString(page)
}

// TestConsoleSignsAtItsTerminal: on a site with operators' keys a session of the terminal's link signs by the key that
// is unlocked there. Another one, also of the same name, is shown a command, which does the same at the operator's own
// terminal.
func TestConsoleSignsAtItsTerminal(t *testing.T) {
	key, line := newOperatorKey(t, "li")
	dir := t.TempDir()
	operators := filepath.Join(dir, "operators")
	if err := os.WriteFile(operators, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := site(t, "state_dir: "+filepath.Join(dir, "state")+"\nsite: {operators: "+operators+"}\n")
	n := offerClock(t, cfg)
	link, _ := startConsole(t, "-c", cfg, "--listen", freeAddr(t), "--key", key)
	base, token, _ := strings.Cut(link, "/in#")
	first := newBrowser(base, nil)
	first.post(t, "/in", url.Values{"token": {token}})
	if page := first.applyIn(t, policyText("1s"), "slow"); !strings.Contains(page, "Policy 1 is obeyed") {
		t.Fatalf("the page says %s", page)
	}
	if number, _ := policyOf(n); number != 1 {
		t.Errorf("policy %d is obeyed", number)
	}
	if _, out, _ := policyCommand(t, cfg, "", "history", "--json"); !strings.Contains(out, `"signer": "li"`) {
		t.Errorf("history says\n%s", out)
	}

	_, link, _ = cli(t, "", "console", "link", "-c", cfg, "--role", "operator", "--by", "li")
	_, token, _ = strings.Cut(strings.TrimSpace(link), "/in#")
	second := newBrowser(base, nil)
	second.post(t, "/in", url.Values{"token": {token}})
	page := second.applyIn(t, policyText("2s"), "slower")
	code := regexp.MustCompile(`--why 'slower' --code ([0-9A-Z]{4}-[0-9A-Z]{4})`).FindStringSubmatch(page)
	if number, _ := policyOf(n); number != 1 || code == nil {
		t.Fatalf("policy %d is obeyed; the page says %s", number, page)
	}
	status, out, errs := policyCommand(t, cfg, policyText("2s"), "apply", "-", "--on", "1", "--why", "slower", "--code",
		code[1], "--key", key, "--yes")
	if number, ms := policyOf(n); status != exitOK || number != 2 || ms != 2000 {
		t.Errorf("exit code %d, policy %d with %d ms\n%s%s", status, number, ms, out, errs)
	}
}

var stepForm = regexp.MustCompile(`(?s)<form[^>]* action="/release/start".*?</form>`)

// TestStepOfTheConsoleAtATerminal: a step of a release that a page shows as a command is made by that command.
func TestStepOfTheConsoleAtATerminal(t *testing.T) {
	key, line := newOperatorKey(t, "li")
	dir := t.TempDir()
	operators := filepath.Join(dir, "operators")
	if err := os.WriteFile(operators, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := site(t, "state_dir: "+filepath.Join(dir, "state")+"\nsite: {operators: "+operators+"}\n")
	offerClock(t, cfg)
	link, _ := startConsole(t, "-c", cfg, "--listen", freeAddr(t))
	base, token, _ := strings.Cut(link, "/in#")
	b := newBrowser(base, nil)
	b.post(t, "/in", url.Values{"token": {token}})
	fields := func(form string, more ...string) url.Values {
		v := url.Values{}
		for _, m := range inputText.FindAllStringSubmatch(form, -1) {
			v.Set(m[1], html.UnescapeString(m[2]))
		}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	_, page := b.get(t, "/release")
	_, page = b.post(t, "/release/plan", fields(page, "step", "start", "reason", "new format"))
	_, page = b.post(t, "/release/start", fields(stepForm.FindString(page), "reason", "new format"))
	page = html.UnescapeString(page)
	found := regexp.MustCompile(`(skerry release start .*?) --code ([0-9A-Z]{4}-[0-9A-Z]{4})`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("the page shows no command: %s", page)
	}
	args := []string{"release", "start", "-c", cfg, "--key", key, "--yes", "--reason", "new format", "--code"}
	if code, out, errs := cli(t, "", append(args, "0000-0000")...); code != exitProblem {
		t.Errorf("by another code: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := cli(t, "", append(args, found[2])...); code != exitOK {
		t.Errorf("by the code of %q: exit code %d\n%s%s", found[1], code, out, errs)
	}
}
