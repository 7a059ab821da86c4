package console

import (
	"context"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/testsite"
	"github.com/skerry/skerry/internal/wire"
)

// hiddenField is a field of a form that a page has filled in.
var hiddenField = regexp.MustCompile(`<input type="hidden" name="([a-z0-9_]+)" value="([^"]*)"`)

// question is the form of a question on a page, and where it is sent to.
func question(t *testing.T, body string) (path string, form url.Values) {
	t.Helper()
	card := between2(body, `<section class="card ask"`, "</section>")
	if card == "" {
		t.Fatalf("the page asks nothing: %s", noteOf(body))
	}
	form = url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(card, -1) {
		if m[1] != "csrf" { // the session's own
			form.Set(m[1], html.UnescapeString(m[2]))
		}
	}
	return html.UnescapeString(between2(card, `method="post" action="`, `"`)), form
}

// noteOf is the outcome that a page shows.
func noteOf(body string) string {
	return strings.TrimSpace(html.UnescapeString(between2(body, `<div class="note `, "</div></div>")))
}

// releaseSite is a real site whose releases are steered by pages.
type releaseSite struct {
	t       *testing.T
	console *Console
	host    func(service, version string) *skerry.Node
}

func newReleaseSite(t *testing.T) *releaseSite {
	t.Helper()
	shared := skerry.Config{Cluster: "test", Mode: config.ModeBroadcast,
		LAN:  config.LAN{Interfaces: []string{"127.0.0.0/8"}, Port: testsite.Port(t), Key: testsite.SiteKey},
		Stop: config.Stop{Grace: 300 * time.Millisecond, Drain: 5 * time.Second}}
	node := func(service, version string, opts ...skerry.Option) *skerry.Node {
		c := shared
		c.StateDir = t.TempDir()
		if service != "" {
			c.Service = config.Service{Name: service, Version: version}
		}
		n, err := skerry.Open(t.Context(), c, append(opts, skerry.WithLogger(slog.New(slog.DiscardHandler)))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return n
	}
	s := &releaseSite{t: t, host: func(service, version string) *skerry.Node {
		n := node(service, version)
		if err := n.Handle(t.Context(), service, wire.NewInternalProcessor(greeter{})); err != nil {
			t.Fatal(err)
		}
		return n
	}}
	c, err := New(Config{Node: node("", "", skerry.AsObserver(), skerry.WithAllServices()), Cluster: "test",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.console = c
	g := run.NewGroup(t.Context())
	g.Go(func(ctx context.Context) error { c.Run(ctx); return nil })
	t.Cleanup(func() { g.Stop() })
	return s
}

// plan asks for a step and returns the page with the question.
func (s *releaseSite) plan(m member, step string, fields ...string) string {
	s.t.Helper()
	form := url.Values{"step": {step}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	said := map[language]string{}
	for _, l := range languages {
		w := post(s.t, m, "/release/plan", form, in(l))
		if w.Code == http.StatusSeeOther {
			w = get(s.t, m, w.Header().Get("Location"), in(l))
		}
		said[l] = w.Body.String()
	}
	if found := englishIn(said[chinese]); len(found) > 0 {
		s.t.Errorf("%s in Chinese: %q", step, found)
	}
	return said[english]
}

// answer answers a question, and returns the page that shows what was done.
func (s *releaseSite) answer(m member, page string, edits ...string) string {
	s.t.Helper()
	path, form := question(s.t, page)
	if form.Get("reason") == "" {
		form.Set("reason", "because")
	}
	for i := 0; i < len(edits); i += 2 {
		form.Set(edits[i], edits[i+1])
	}
	w := post(s.t, m, path, form)
	if w.Code == http.StatusSeeOther {
		return get(s.t, m, w.Header().Get("Location")).Body.String()
	}
	return w.Body.String()
}

// step makes a step, which must say so.
func (s *releaseSite) step(m member, says, step string, fields ...string) {
	s.t.Helper()
	var typed []string
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "typed" {
			typed = []string{"typed", fields[i+1]}
		}
	}
	body := s.answer(m, s.plan(m, step, fields...), typed...)
	if strings.Contains(body, "The step is under way") {
		eventually(s.t, step+" ends", func() bool { p := s.console.steps.look(); return p != nil && !p.Runs() })
		body = get(s.t, m, "/release").Body.String()
	}
	if !strings.Contains(html.UnescapeString(body), says) {
		p := s.console.steps.look()
		s.t.Fatalf("%s: the page does not say %q, but %s (%+v)", step, says, noteOf(body), p)
	}
	for _, path := range []string{"/release", "/history"} {
		if found := englishIn(get(s.t, m, path, in(chinese)).Body.String()); len(found) > 0 {
			s.t.Errorf("%s in Chinese after %s: %q", path, step, found)
		}
	}
}

// now is the open release, or the last one.
func (s *releaseSite) now() rollout.Release {
	s.t.Helper()
	s.console.live.look(s.t.Context())
	if r := s.console.live.current.Load().Rollout.Session; r != nil {
		return *r
	}
	return rollout.Release{}
}

// up waits until the console lists a version as up.
func (s *releaseSite) up(service, version string) {
	s.t.Helper()
	eventually(s.t, service+"/"+version+" is up", func() bool {
		s.console.live.look(s.t.Context())
		for _, e := range s.console.live.current.Load().Entries {
			if e.Service == service && e.Version == version && e.State.Here() {
				return true
			}
		}
		return false
	})
}

// TestReleaseThroughPages brings out a version by forms from start to clean, and another one that is rolled back, on a
// real site by two operators. Each step does what the question said, and is in the log by its operator's name.
func TestReleaseThroughPages(t *testing.T) {
	t.Parallel() // it waits
	s := newReleaseSite(t)
	s.host("greeter", "v1")
	s.host("caller", "v1")
	s.up("greeter", "v1")
	s.up("caller", "v1")
	li, wang := as(t, s.console, "li", roleOperator), as(t, s.console, "wang", roleOperator)
	zhao, root := as(t, s.console, "zhao", roleViewer), as(t, s.console, "root", roleAdmin)

	early := s.plan(wang, "start", "reason", "too early")
	asked := s.plan(li, "start", "reason", "new greeting")
	if want := "open a release by li: new greeting"; !strings.Contains(asked, want) {
		t.Errorf("the question does not say %q", want)
	}
	s.step(li, "is open.", "start", "reason", "new greeting")
	if r := s.now(); r.By != "li" || r.Reason != "new greeting" || r.State != rollout.Prepared {
		t.Fatalf("the release is %+v", r)
	}
	if body := s.answer(wang, early); !strings.Contains(body, "is open since") &&
		!strings.Contains(body, "has gone on") {
		t.Errorf("a second release is started: %s", noteOf(body))
	}

	s.host("greeter", "v2")
	s.up("greeter", "v2")
	early = s.plan(wang, "rollback")
	s.step(wang, "Verifiers meet greeter/v2", "ship", "service", "greeter", "version", "v2")
	if body := s.answer(wang, early); s.now().State != rollout.Prepared || !strings.Contains(body, "Read it again") {
		t.Errorf("a rollback of another text is made: %s", noteOf(body))
	}

	// two operators look at the same state; the second answer is refused
	first, second := s.plan(li, "commit", "ramp", "50,100", "every", "1h", "max_failures", "1%"), s.plan(wang, "commit",
		"ramp", "100")
	for _, want := range []string{"send a growing share of the new requests to greeter/v2: 50%, 100%, with 1h between",
		"roll back when more than 1 % of the calls of greeter/v2 fail", "--ramp 50,100 --every 1h --max-failures 1%"} {
		if !strings.Contains(first, want) {
			t.Errorf("the question does not say %q", want)
		}
	}
	if body := s.answer(li, first); !strings.Contains(body, "The step is under way") {
		t.Errorf("a ramp is not under way: %s", noteOf(body))
	}
	eventually(t, "the first share is sent", func() bool { return s.now().Share == 5000 })
	if body := s.answer(wang, second); !strings.Contains(body, "has gone on since the page was made") ||
		s.now().Share != 5000 {
		t.Errorf("a stale commit is made: %s", noteOf(body))
	}
	if body := get(t, zhao, "/release").Body.String(); !strings.Contains(body, "Commit by li is under way") ||
		strings.Contains(body, `action="/release/`) {
		t.Error("a viewer does not see the step, or gets a form")
	}
	for _, path := range []string{"plan", "start", "ship", "commit", "rollback", "clean", "without", "hold"} {
		w := post(t, zhao, "/release/"+path+"?format=json", url.Values{"step": {"rollback"}, "reason": {"because"}})
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "Only the role") {
			t.Errorf("%s as a viewer: status %d, %s", path, w.Code, w.Body)
		}
	}
	if s.now().Back || !s.console.steps.look().Runs() {
		t.Error("a viewer has done something")
	}
	if body := s.plan(li, "commit", "dead", "other/1/a"); !strings.Contains(body, "Only the role") {
		t.Errorf("an operator declares a process dead: %s", noteOf(body))
	}
	if body := s.plan(root, "rollback", "dead", "other"); !strings.Contains(body, "host/pid/epoch") {
		t.Errorf("a whole host is declared dead: %s", noteOf(body))
	}

	// the rollback ends the ramp that the console watches
	s.step(wang, "is rolled back: new requests meet greeter/v1", "rollback")
	if r := s.now(); !r.Back || r.State != rollout.RollingBack {
		t.Fatalf("the release is %+v", r)
	}
	page := s.plan(wang, "clean")
	if body := s.answer(wang, page, "typed", "v1"); !strings.Contains(body, "Type v2, exactly") || s.now().Finished() {
		t.Errorf("clean by a wrong word: %s", noteOf(body))
	}
	s.step(wang, "Retired: greeter/v2", "clean", "typed", "v2")

	s.step(li, "is open.", "start", "reason", "once more")
	s.host("greeter", "v3")
	s.up("greeter", "v3")
	s.step(li, "Verifiers meet greeter/v3", "ship", "service", "greeter", "version", "v3", "wish", "1")
	s.step(li, "is committed: new requests meet greeter/v3", "commit", "ramp", "100")
	s.step(root, "Retired: greeter/v1", "clean", "typed", "v1")
	if r := s.now(); !r.Finished() {
		t.Errorf("the release is %+v", r)
	}
	by := map[string]bool{}
	for _, e := range s.console.live.current.Load().Rollout.Trail {
		by[e.By] = true
	}
	if !by["li"] || !by["wang"] || !by["root"] {
		t.Errorf("the log has steps by %v", by)
	}
}
