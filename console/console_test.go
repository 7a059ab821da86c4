package console

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/words"
)

// still is a site that does not change.
type still struct{ s *snapshot }

func (f still) snapshot(context.Context) *snapshot { return f.s }

// night is the site of the examples: portal and report call historian, and the instance of that on ops-4 fails.
func night() *snapshot {
	at := time.Date(2026, 11, 29, 3, 12, 10, 0, time.Local)
	s := &snapshot{Cluster: "launch-site-1", Title: "一号发射场", Host: "ops-1", Release: "0.1.0", At: at,
		Oldest: 400 * time.Millisecond, Begun: at.Add(-2 * time.Hour)}
	listed := func(service, version string, hosts ...string) {
		for i, host := range hosts {
			s.Entries = append(s.Entries, discovery.Entry{Service: service, Version: version, State: discovery.OK,
				Addr: fmt.Sprintf("10.20.0.%s:70%02d", host[4:], len(service)+i), Weight: 100, Share: 1, Zone: "hall-3",
				Owner: host + "/412/a", Started: at.Add(-438 * time.Hour),
				Sources: []discovery.SourceListing{{Name: "database"}, {Name: "lan"}}})
		}
	}
	listed("auth", "v1", "ops-1", "ops-2", "ops-3")
	listed("auth", "v2", "ops-4", "ops-5", "ops-6")
	listed("gateway", "v5", "ops-1", "ops-2")
	listed("historian", "v4", "ops-2", "ops-4", "ops-7")
	listed("portal", "v3", "ops-1", "ops-2", "ops-3", "ops-5")
	listed("report", "v3", "ops-5", "ops-6")
	for i := range s.Entries {
		if e := &s.Entries[i]; e.Service == "historian" && strings.HasPrefix(e.Owner, "ops-4/") {
			e.State, e.Why, e.Since = discovery.Suspect, "3 calls in a row failed", at.Add(-10*time.Minute)
		}
	}
	calls := func(to *[]flow, caller, service, version, method, addr string, n, failed int64, d time.Duration) {
		f := flow{Caller: caller, Service: service, Version: version, Method: method, Instance: addr, Calls: n,
			Failed: failed}
		f.Latency.Add(d, n)
		if failed > 0 {
			f.Kinds = map[string]int64{"timeout": failed}
		}
		*to = append(*to, f)
	}
	for _, to := range []*[]flow{&s.Flows, &s.Before} {
		failed := int64(0)
		if to == &s.Flows {
			failed = 460
		}
		calls(to, "gateway", "portal", "v3", "home", "10.20.0.1:7006", 12360, failed/9, 30*time.Millisecond)
		calls(to, "gateway", "report", "v3", "day", "10.20.0.5:7006", 360, 0, 90*time.Millisecond)
		calls(to, "portal", "auth", "v1", "verify", "10.20.0.1:7004", 24000, 0, 4*time.Millisecond)
		calls(to, "portal", "historian", "v4", "query", "10.20.0.2:7009", 2400, 0, 40*time.Millisecond)
		calls(to, "portal", "historian", "v4", "query", "10.20.0.4:7010", 1080, failed, 400*time.Millisecond)
		calls(to, "report", "historian", "v4", "query", "10.20.0.7:7011", 360, 0, 40*time.Millisecond)
	}
	calls(&s.Flows, "portal", "auth", "v2", "verify", "10.20.0.4:7004", 23800, 0, 5*time.Millisecond)
	calls(&s.Flows, "ip:10.20.0.99", "historian", "v4", "latest", "10.20.0.2:7009", 120, 0, 20*time.Millisecond)
	s.Attempts = slices.Clone(s.Flows)
	s.Flows[len(s.Flows)-1].Served = true
	s.Own, s.Trends = map[place]*figures{}, map[string][]int64{}
	for _, f := range s.Flows {
		for i := range s.Entries {
			if e := &s.Entries[i]; e.Addr == f.Instance && e.Service == f.Service {
				own := figures{}
				own.add(flow{Calls: f.Calls, Latency: f.Latency})
				s.Own[place{e.Owner, e.Service, e.Version}] = &own
			}
		}
		if s.Trends[f.Service] == nil {
			s.Trends[f.Service] = make([]int64, 30)
		}
		for i := range s.Trends[f.Service] {
			s.Trends[f.Service][i] += f.Calls/6 + int64(i%4)*f.Calls/60
		}
	}
	s.Untold = untold{Older: []string{"ops-7/412/a"}, Kinds: 3, Calls: 40}
	for i := range 60 {
		s.Hour = append(s.Hour, point{At: at.Add(time.Duration(i-59) * time.Minute), Calls: 600 + float64(i%7)*20,
			Failed: 0.0002 * float64(i%3), P99: time.Duration(40+i%5) * time.Millisecond, Instances: 20})
	}
	s.Policy.Current = policylog.Entry{Cluster: s.Cluster, Number: 18, By: "li", At: at.Add(-time.Minute),
		Why: "report slows verify down", Text: "policy: 1\nservices:\n  auth:\n    timeout: 500ms\nplans:\n" +
			"  storm: {why: more orders, services: {auth: {timeout: 1s}}}\n"}
	s.Policy.Newest = s.Policy.Current
	s.Policy.Log = []policylog.Entry{s.Policy.Current}
	for _, host := range []string{"ops-1", "ops-2", "ops-3", "ops-4", "ops-5", "ops-6", "ops-7"} {
		s.Processes = append(s.Processes, processInfo{Name: host + "/412/a", Host: host, Addr: "10.20.0.1:7001",
			Release: "0.1.0", Up: 438 * time.Hour, Runs: []string{"auth/v1"}, Policy: 18,
			Sources: []string{"database", "lan"}})
	}
	for i := range s.Processes[:6] {
		s.Processes[i].Condition = &control.Condition{Process: s.Processes[i].Name,
			Clock: time.Duration(i) * time.Second / 10, Doubt: time.Millisecond, Memory: int64(40+i) << 20,
			Sources: []control.SourceState{
				{Name: "database", Others: 6}, {Name: "lan", Others: 6, Heard: 12 * time.Second}}}
	}
	s.Processes[5].Policy = 17
	s.Processes[6].Silent = "no answer for 72 s"
	s.Findings = s.find()
	return s
}

// member is a console with the cookie of a browser that has signed in.
type member struct {
	*Console
	cookie *http.Cookie
}

func (m member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cookie := *m.cookie
	if strings.HasPrefix(cookie.Name, sessionCookie) {
		cookie.Name = secretCookie(r, sessionCookie)
	}
	r.AddCookie(&cookie)
	m.Console.ServeHTTP(w, r)
}

func signedIn(t testing.TB, of site, cfg Config) member {
	t.Helper()
	c := serve(of, cfg)
	w := enter(c, c.Link())
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		t.Fatalf("signing in: status %d", w.Code)
	}
	return member{c, w.Result().Cookies()[0]}
}

// enter sends the form of signing in.
func enter(c *Console, link string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/in", strings.NewReader(url.Values{"token": {link}}.Encode()))
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

func get(t *testing.T, h http.Handler, path string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1:7700"
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func in(l language) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Accept-Language", string(l)) }
}

// paths are the addresses of all pages.
func paths() (list []string) {
	for _, p := range pages {
		list = append(list, filled(p.Link()))
	}
	return append(list, "/nowhere")
}

func TestEveryPage(t *testing.T) {
	h := signedIn(t, still{night()}, Config{})
	key := regexp.MustCompile(`[>"](` + strings.Join(sections(), "|") + `)\.[a-z-]+`)
	style := regexp.MustCompile(`<[^>]* (style|on[a-z]+)=`)
	for _, l := range languages {
		for _, path := range paths() {
			w := get(t, h, path, in(l))
			body := w.Body.String()
			if want := 200; path == "/nowhere" {
				if w.Code != 404 {
					t.Errorf("%s: status %d", path, w.Code)
				}
			} else if w.Code != want {
				t.Errorf("%s: status %d: %s", path, w.Code, body)
			}
			if !strings.Contains(body, `<html lang="`+string(l)+`"`) {
				t.Errorf("%s in %s is in another language", path, l)
			}
			if m := key.FindString(body); m != "" {
				t.Errorf("%s in %s lacks the text of %s", path, l, m)
			}
			if m := regexp.MustCompile(`\{[a-z]+\}`).FindString(body); m != "" {
				t.Errorf("%s in %s lacks the value of %s", path, l, m)
			}
			if m := style.FindString(body); m != "" {
				t.Errorf("%s has %q, which the browser does not obey", path, m)
			}
			if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
				t.Errorf("%s in %s has a value that can't be shown", path, l)
			}
		}
	}
}

func sections() (list []string) {
	for _, k := range words.Keys(english) {
		section, _, _ := strings.Cut(k, ".")
		list = append(list, section)
	}
	return compact(list)
}

func TestPagesAsJSON(t *testing.T) {
	h := signedIn(t, still{night()}, Config{})
	for _, p := range pages {
		path := filled(p.Link())
		w := get(t, h, path+"?format=json")
		var doc map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if _, ok := doc[p.Name].(map[string]any); !ok || doc["cluster"] != "launch-site-1" {
			t.Errorf("%s has no %s", path, p.Name)
		}
	}
}

// TestStrangersAreRefused: other origins, other names, and everything that is no reading.
func TestStrangersAreRefused(t *testing.T) {
	h := signedIn(t, still{night()}, Config{Hosts: []string{"console.hall"}})
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for name, status := range map[string]int{"127.0.0.1:7700": 200, "localhost:7700": 200, "[::1]:7700": 200,
		"::1":          200,
		"console.hall": 200, "CONSOLE.hall:7700": 200, "evil.example": 421, "evil.example:7700": 421,
		"":                       421,
		"127.0.0.1:7700.evil":    421,
		"localhost:evil":         421,
		"127.0.0.1.evil.example": 421} {
		if w := get(t, h, "/", host(name)); w.Code != status {
			t.Errorf("host %q: status %d, want %d", name, w.Code, status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"} {
		if w := get(t, h, "/", func(r *http.Request) { r.Method = method }); w.Code != 405 {
			t.Errorf("%s: status %d", method, w.Code)
		}
	}
	for _, back := range []string{"//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)",
		"/%09/evil.example", "/%0a/evil.example", "%09//evil.example"} {
		w := get(t, h, "/set?lang=zh&back="+back)
		if to := w.Header().Get("Location"); to != "/" {
			t.Errorf("back to %s leads to %s", back, to)
		}
	}
}

// TestHostileNames: what processes say of themselves is text, on every page.
func TestHostileNames(t *testing.T) {
	const evil = `"><script>alert(1)</script><a href='javascript:x`
	s := night()
	for i := range s.Entries {
		if s.Entries[i].Service == "historian" {
			s.Entries[i].Why, s.Entries[i].Owner, s.Entries[i].Version = evil, evil, evil
		}
	}
	s.Entries = append(s.Entries, discovery.Entry{Service: evil, Addr: evil, Owner: evil, Zone: evil, Why: evil,
		State: discovery.Suspect, Weight: 1})
	s.Flows = append(s.Flows, flow{Caller: evil, Service: evil, Method: evil, Instance: evil, Calls: 100, Failed: 100,
		Kinds: map[string]int64{evil: 100}})
	s.Processes[0].Name, s.Processes[0].Silent = evil, evil
	s.Policy.Current.Text, s.Policy.Current.Why, s.Policy.Current.By = evil, evil, evil
	s.Policy.Log[0] = s.Policy.Current
	s.Title, s.Cluster = evil, evil
	s.Findings = s.find()
	h := signedIn(t, still{s}, Config{})
	for _, path := range paths() {
		for _, query := range []string{"", "?q=%22%3E%3Cscript%3Ealert(1)",
			"?state=%22%3E%3Cscript&zone=%3Cscript&page=-7"} {
			body := get(t, h, path+query).Body.String()
			if strings.Contains(body, "<script>alert") || strings.Contains(body, "<script&") ||
				strings.Contains(body, `href="javascript:`) {
				t.Errorf("%s%s holds a script of a stranger", path, query)
			}
		}
	}
}

// TestCommandsHoldNamesAsOneWord: a command that a page offers to copy runs nothing that a process has put into a name.
func TestCommandsHoldNamesAsOneWord(t *testing.T) {
	const evil = "db; reboot\n\x1b[201~it's"
	const word = `skerry ls 'db; reboot??[201~it'\''s'`
	s := night()
	s.Flows = append(s.Flows, flow{Caller: "x", Service: evil, Calls: 100, Failed: 100})
	s.Findings = s.find()
	i := slices.IndexFunc(s.Findings, func(f finding) bool { return strings.Contains(f.Do, "reboot") })
	if i < 0 || s.Findings[i].Do != word {
		t.Errorf("the command of the finding is not %s: %+v", word, s.Findings)
	}
	h := signedIn(t, still{s}, Config{})
	body := get(t, h, "/services/"+url.PathEscape(evil)).Body.String()
	if want := `data-copy="` + template.HTMLEscapeString(word) + `"`; !strings.Contains(body, want) {
		t.Errorf("the page of the service holds no %s", want)
	}
}

// TestSlowBodiesEnd: the body of a request that has not signed in is not waited for without end.
func TestSlowBodiesEnd(t *testing.T) {
	c := serve(still{night()}, Config{})
	for _, path := range []string{"/release/start", "/in", "/"} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest("POST", "http://127.0.0.1:7700"+path, strings.NewReader("token=x"))
		if path == "/" {
			r.Method = "GET"
		}
		c.ServeHTTP(w, r)
		if w.read.IsZero() || time.Until(w.read) > bodyTime {
			t.Errorf("%s %s: the body may take until %v", r.Method, path, w.read)
		}
	}
}

// deadlines records the deadline of reading.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error { d.read = at; return nil }

// large is a site of 1,000 services with 10,000 instances on 200 hosts. Each service has two callers, two methods and
// two versions.
func large() *snapshot {
	s := night()
	for i := range 1000 {
		service := fmt.Sprintf("service-%03d", i)
		s.Trends[service] = make([]int64, 30)
		for j := range 10 {
			e := discovery.Entry{Service: service, Version: fmt.Sprint("v", j%2), State: discovery.OK,
				Weight: 100, Share: 1, Addr: fmt.Sprintf("10.21.%d.%d:7001", i%250, j), Zone: fmt.Sprint("zone-", j%4),
				Owner: fmt.Sprintf("host-%d/%d/a", (i+j)%200, i)}
			s.Entries = append(s.Entries, e)
			s.Own[place{e.Owner, service, e.Version}] = &figures{Calls: 60, Latency: recent.Steps{10: 50, 12: 10}}
			s.Attempts = append(s.Attempts, flow{Caller: service, Service: service, Version: e.Version,
				Instance: e.Addr, Calls: 60})
			s.Trends[service][j] = int64(j)
		}
		for j := range 8 {
			f := flow{Caller: fmt.Sprintf("service-%03d", (i+1+j%2*100)%1000), Service: service,
				Method: fmt.Sprint("method", j/2%2), Version: fmt.Sprint("v", j/4), Calls: 60,
				Failed: int64(i % 400 / 399), Latency: recent.Steps{8: 30, 10: 20, 20: 10}}
			s.Flows, s.Before = append(s.Flows, f), append(s.Before, f)
		}
		s.Processes = append(s.Processes, processInfo{Name: fmt.Sprintf("host-%d/%d/a", i%200, i), Policy: 18})
	}
	s.rows = s.services()
	s.Findings = s.find()
	return s
}

func TestLargeSiteFitsOnPages(t *testing.T) {
	s := large()
	h := signedIn(t, still{s}, Config{})
	for _, p := range pages {
		path := filled(strings.ReplaceAll(p.Link(), "{service}", "service-007"))
		if w := get(t, h, path); w.Code != 200 || w.Body.Len() > 300<<10 {
			t.Errorf("%s: status %d, %d KiB", path, w.Code, w.Body.Len()>>10)
		}
	}
}

// BenchmarkLargeSite measures the pages of a large site, and what a look at it computes.
func BenchmarkLargeSite(b *testing.B) {
	s := large()
	h := signedIn(b, still{s}, Config{Logger: slog.New(slog.DiscardHandler)})
	for _, p := range pages {
		path := filled(strings.ReplaceAll(p.Link(), "{service}", "service-007"))
		b.Run(p.Name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Host = "127.0.0.1"
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size)/1024, "KiB")
		})
	}
	b.Run("calls", func(b *testing.B) {
		var calls []control.RecentCalls // of both sides
		for i, f := range s.Flows {
			made := control.RecentCalls{Process: fmt.Sprintf("host-%d/%d/a", i%200, i%1000), Caller: f.Caller,
				Service: f.Service, Method: f.Method, Version: f.Version, Calls: f.Calls, Latency: f.Latency, Rate: 1}
			served := made
			served.Served, served.Twice = true, true
			calls = append(calls, made, served)
		}
		for b.Loop() {
			s.Flows, s.Own = flowsOf(calls), ownFigures(calls)
		}
	})
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			s.rows = nil
			s.rows = s.services()
			s.Findings = s.find()
		}
	})
}
