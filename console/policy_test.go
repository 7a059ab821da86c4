package console

import (
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/testsite"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/internal/words"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// policySite is a real site: greeter, its caller, and a console.
func policySite(t *testing.T) (*Console, *skerry.Node) {
	t.Helper()
	t.Parallel() // it waits
	port := testsite.Port(t)
	provider := open(t, port, "greeter")
	if err := provider.Handle(t.Context(), "greeter", wire.NewInternalProcessor(greeter{})); err != nil {
		t.Fatal(err)
	}
	caller := open(t, port, "caller")
	c, err := New(Config{Node: open(t, port, "", skerry.AsObserver(), skerry.WithAllServices()), Cluster: "test",
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); c.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	eventually(t, "all processes are seen", func() bool {
		c.live.look(t.Context())
		return c.live.current.Load().Answered() == 2
	})
	greet := skerry.Stub(caller, "greeter", wire.NewInternalClient)
	for range 20 {
		if err := greet().Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return c, provider
}

var (
	formText   = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)"[^>]*>(.*?)</form>`)
	inputText  = regexp.MustCompile(`<input([^>]*)>`)
	areaText   = regexp.MustCompile(`(?s)<textarea[^>]*name="([^"]*)"[^>]*>\n?(.*?)</textarea>`)
	selectText = regexp.MustCompile(`(?s)<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>`)
	attribute  = regexp.MustCompile(`([a-z]+)(?:="([^"]*)")?`)
)

// formOf reads the form of an action from a page, as a browser sends it.
func formOf(t *testing.T, page, action string) url.Values {
	t.Helper()
	for _, f := range formText.FindAllStringSubmatch(page, -1) {
		if html.UnescapeString(f[1]) != action {
			continue
		}
		v := url.Values{}
		for _, in := range inputText.FindAllStringSubmatch(f[2], -1) {
			a := map[string]string{}
			for _, m := range attribute.FindAllStringSubmatch(in[1], -1) {
				a[m[1]] = html.UnescapeString(m[2])
			}
			if _, checked := a["checked"]; a["name"] != "" && (a["type"] != "checkbox" || checked) {
				v.Add(a["name"], a["value"])
			}
		}
		for _, m := range areaText.FindAllStringSubmatch(f[2], -1) {
			v.Set(m[1], strings.ReplaceAll(html.UnescapeString(m[2]), "\n", "\r\n"))
		}
		for _, m := range selectText.FindAllStringSubmatch(f[2], -1) {
			chosen := regexp.MustCompile(`value="([^"]*)" selected`).FindStringSubmatch(m[2])
			if chosen != nil {
				v.Set(m[1], html.UnescapeString(chosen[1]))
			}
		}
		return v
	}
	t.Fatalf("the page has no form of %s:\n%s", action, page)
	return nil
}

// with is a form with other values.
func with(v url.Values, pairs ...string) url.Values {
	for n := 0; n < len(pairs); n += 2 {
		v.Set(pairs[n], pairs[n+1])
	}
	return v
}

// follow is the page to which an action leads.
func follow(t *testing.T, m member, path string, v url.Values) string {
	t.Helper()
	w := post(t, m, path, v)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("%s: status %d\n%s", path, w.Code, w.Body)
	}
	return get(t, m, w.Header().Get("Location")).Body.String()
}

func has(t *testing.T, page string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(html.UnescapeString(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

// TestPolicyFromEditToUndo: an operator puts an item into the text by the form, tries it, applies it with a
// confirmation, confirms it, switches a plan, and brings the policy before back, by pages without a script.
func TestPolicyFromEditToUndo(t *testing.T) {
	c, provider := policySite(t)
	m := as(t, c, "li", roleOperator)
	obeyed := func() uint64 { return provider.Membership().Policy().Status().Number }

	page := get(t, m, "/policy/edit?kind=limits&service=greeter&caller=caller").Body.String()
	page = post(t, m, "/policy/edit", with(formOf(t, page, "/policy/edit"), "do", "insert", "rate", "1", "per",
		"instance",
		"why", "it calls in a loop", "plan", "")).Body.String()
	has(t, page, "policy: 1\nservices:\n  greeter:\n    limits:\n      - {match: {caller: caller}, rate: 1, "+
		"per: instance, "+
		"why: \"it calls in a loop\"}\n")
	v := formOf(t, page, "/policy/edit")
	v.Set("text", "# the hall\r\n"+v.Get("text")+"plans:\r\n  storm: {services: {greeter: {retries: 0}}}\r\n")
	page = post(t, m, "/policy/edit", with(v, "do", "try")).Body.String()
	has(t, page, "Dry run", "limit 1/s per instance", "greeter", "2 of 2 processes answered", "Apply…",
		"+# the hall", "skerry policy apply policy.yaml --on 0 --confirm 10m")
	if strings.Contains(page, `note ok-n`) {
		t.Error("a trial shows an empty outcome")
	}
	if obeyed() != 0 {
		t.Fatal("a trial was applied")
	}

	v = formOf(t, page, "/policy/edit")
	if v.Get("confirm") != "10m" {
		t.Errorf("the change would stay without a confirmation: %v", v)
	}
	if w := post(t, m, "/policy/apply", v); w.Code == http.StatusSeeOther || obeyed() != 0 ||
		!strings.Contains(w.Body.String(), "# the hall") {
		t.Fatal("without a reason it is applied, or the text is lost")
	}
	page = follow(t, m, "/policy/apply", with(v, "reason", "greeter drowns"))
	has(t, page, "Policy 1 is obeyed by 2 of 2 processes.", "caller may call each instance of greeter 1 times a second",
		"it calls in a loop", "line 6", "Policy 1 goes back by itself in", "li", "greeter drowns", "Obeyed by 2 of 2")
	if obeyed() != 1 {
		t.Fatalf("greeter obeys policy %d", obeyed())
	}

	page = post(t, m, "/policy/ask", formOf(t, page, "/policy/ask")).Body.String()
	has(t, page, "keep policy 1", "If it is not kept, no policy is in force", "2 of 2 processes answered")
	page = follow(t, m, "/policy/confirm", with(formOf(t, page, "/policy/confirm"), "reason", "it helps"))
	has(t, page, "Policy 2 is obeyed by 2 of 2")
	if strings.Contains(page, "goes back by itself") {
		t.Error("a confirmed policy goes back")
	}
	page = post(t, m, "/policy/ask", with(formOf(t, page, "/policy/ask"), "for", "1h")).Body.String()
	has(t, page, "switch plan storm on", "or for 1h", "skerry policy plan on 'storm' --for 1h",
		"2 of 2 processes answered", "would have been treated otherwise")
	if obeyed() != 2 {
		t.Fatal("a question was applied")
	}
	page = follow(t, m, "/policy/plan", with(formOf(t, page, "/policy/plan"), "reason", "a big day"))
	has(t, page, "Policy 3 is obeyed by 2 of 2", "is not tried again", "plan storm", "ends in 59 min")
	if n := strings.Count(page, "Bring back…"); n != 2 {
		t.Errorf("%d of 3 policies are offered to be brought back", n)
	}
	page = get(t, m, "/policy/1").Body.String()
	has(t, page, "+# the hall", "This will bring the text of policy 1 back")
	page = post(t, m, "/policy/ask", formOf(t, page, "/policy/ask")).Body.String()
	has(t, page, "bring policy 1 of li", "Dry run", "2 of 2 processes answered")
	page = follow(t, m, "/policy/1/undo", with(formOf(t, page, "/policy/1/undo"), "reason", "the day is over"))
	has(t, page, "Policy 4 is obeyed by 2 of 2", "the text of 1 came back")
	if obeyed() != 4 || strings.Contains(page, "ends in 59 min") {
		t.Errorf("greeter obeys policy %d; the plan is on still", obeyed())
	}
	if body := get(t, m, "/history").Body.String(); !strings.Contains(body, `href="/policy/4"`) {
		t.Error("the history does not lead to a change")
	}
}

// TestQuestionsHaveATrial: before a plan is switched on, before an older policy comes back and before a policy is kept,
// the page says what that would have done with the calls of the last minutes: of which caller, to which method.
func TestQuestionsHaveATrial(t *testing.T) {
	c, provider := policySite(t)
	m := as(t, c, "li", roleOperator)
	apply := func(text, confirm string) {
		t.Helper()
		page := get(t, m, "/policy/edit").Body.String()
		follow(t, m, "/policy/apply", with(formOf(t, page, "/policy/edit"), "text", text, "reason", "test", "confirm",
			confirm))
	}
	const deny = "access: {mode: enforce, default: allow, deny: [{caller: caller, method: ping}]}"
	ask := func(page string, pairs ...string) string {
		t.Helper()
		return html.UnescapeString(post(t, m, "/policy/ask", with(formOf(t, page, "/policy/ask"), pairs...)).
			Body.String())
	}
	refuses := []string{"refuses 20 of 20 calls (100 %), all of caller", "ping, from caller"}
	keep := func() string {
		t.Helper()
		page := ask(get(t, m, "/policy").Body.String())
		follow(t, m, "/policy/confirm", with(formOf(t, page, "/policy/confirm"), "reason", "test"))
		return page
	}
	apply("policy: 1\nservices:\n  greeter: {"+deny+"}\n", "10m")
	has(t, keep(), "keep policy 1", "If it is not kept, no policy is in force")
	apply("policy: 1\nplans:\n  storm: {services: {greeter: {"+deny+"}}}\n", "10m")
	apply("policy: 1\n# again\nplans:\n  storm: {services: {greeter: {"+deny+"}}}\n", "10m")
	has(t, get(t, m, "/policy").Body.String(), "Then policy 2 is in force again.") // 3 was not kept
	page := keep()
	has(t, page, "keep policy 4", "If it is not kept, policy 2 comes back")
	has(t, page, refuses...)
	page = ask(get(t, m, "/policy").Body.String())
	has(t, page, "switch plan storm on")
	has(t, page, refuses...)
	page = ask(get(t, m, "/policy/1").Body.String())
	has(t, page, "bring policy 1 of li")
	has(t, page, refuses...)
	stale := with(formOf(t, get(t, m, "/policy/1").Body.String(), "/policy/ask"), "hash", "00")
	has(t, follow(t, m, "/policy/ask", stale), "The policy in force is 5")
	if n := provider.Membership().Policy().Status().Number; n != 5 {
		t.Errorf("a question has made policy %d", n)
	}
}

// TestItemsOfAText: the page lists the items of its text. One is changed by the form, which keeps what it does not
// know, moved to another service, and taken out; comments stay. Nothing is applied.
func TestItemsOfAText(t *testing.T) {
	site := night()
	m := as(t, serve(still{site}, Config{Logger: slog.New(slog.DiscardHandler)}), "li", roleOperator)
	const text = "policy: 1\n# the hall\nservices:\n  auth:\n    limits:\n      # of report\n" +
		"      - {match: {caller: [report, bill], zone: a}, rate: 50, burst: 9, per: instance, expires: 2h} # slow\n" +
		"      - rate: 90\n        per: site\n    weights:\n      - {tag: {rack: r1}, weight: 5}\n" +
		"    fallback:\n      - {match: {method: logo}, on: [timeout], reply: {a: [1]}}\nlanes:\n" +
		"  - {name: inner, match: {ip: 10.0.0.1}}\n"
	send := func(v url.Values, pairs ...string) (int, url.Values, string) {
		w := post(t, m, "/policy/edit", with(v, pairs...))
		return w.Code, formOf(t, w.Body.String(), "/policy/edit"), html.UnescapeString(w.Body.String())
	}
	v := formOf(t, get(t, m, "/policy/edit").Body.String(), "/policy/edit")
	_, v, page := send(v, "text", text, "do", "form:limits")
	has(t, page, "Items of the text", "change:services.auth.limits[0]", "remove:services.auth.limits[1]",
		"change:services.auth.fallback[0]", "remove:lanes[0]", "remove:services.auth.weights[0]")
	if strings.Contains(page, "change:lanes[0]") || strings.Contains(page, "change:services.auth.weights[0]") {
		t.Error("what the form can't hold is offered to be changed by it")
	}
	_, v, page = send(v, "do", "change:services.auth.limits[0]")
	has(t, page, `match: {zone: "a"}, burst: 9`)
	for name, want := range map[string]string{"caller": "report, " +
		"bill", "rate": "50", "per": "instance", "expires": "2h",
		"service": "auth", "item": "services.auth.limits[0]"} {
		if v.Get(name) != want {
			t.Errorf("the form has %s %q, want %q", name, v.Get(name), want)
		}
	}
	_, changed, page := send(v, "do", "replace", "rate", "70", "expires", "", "why", "faster now")
	const line = "      # of report\n      - {match: {caller: [report, bill], zone: \"a\"}, rate: 70, per: instance, " +
		"why: \"faster now\", burst: 9} # slow\n      - rate: 90\n"
	has(t, page, line)
	_, changed, _ = send(changed, "do", "change:services.auth.fallback[0]")
	_, changed, page = send(changed, "do", "replace", "codes", "timeout, breaker_open")
	has(t, page, `on: [timeout, breaker_open], reply: {"a":[1]}`)
	_, changed, _ = send(changed, "do", "change:services.auth.limits[1]")
	_, changed, page = send(changed, "do", "replace", "service", "historian")
	has(t, page, "  historian:\n    limits:\n      - {rate: 90, per: site}\n")
	_, changed, _ = send(changed, "do", "remove:services.auth.limits[0]")
	_, changed, _ = send(changed, "do", "remove:lanes[0]")
	if got := changed.Get("text"); strings.Contains(got, "70") || strings.Contains(got, "lanes") ||
		!strings.Contains(got, "# the hall") || !strings.Contains(got, "rack") {
		t.Errorf("the text became\n%s", got)
	}
	for what, bad := range map[string]url.Values{
		"an item that is gone": with(url.Values{}, "text", text, "do", "remove:services.auth.limits[7]"),
		"another item " +
			"now": with(url.Values{}, "text", text, "do", "replace", "kind", "limits", "service", "auth", "rate",
			"1", "item", "services.auth.limits[1]", "print", v.Get("print")),
		"no form": with(url.Values{}, "text", text, "do", "change:lanes[0]"),
	} {
		if code, _, page := send(bad); code != http.StatusUnprocessableEntity || !strings.Contains(page, text) {
			t.Errorf("%s: status %d\n%s", what, code, page)
		}
	}
	site.Policy.Current.Text = text
	page = get(t, m, "/policy").Body.String()
	link := regexp.MustCompile(`href="(/policy/edit\?item=[^"]*)"`).FindStringSubmatch(page)
	if link == nil {
		t.Fatal("the page of the policy leads to no item")
	}
	if body := get(t, m, html.UnescapeString(link[1])).Body.String(); !strings.Contains(body, "Put the change into") {
		t.Errorf("%s does not fill the form", link[1])
	}
}

// TestTwoPolicyOperators: of two operators that edit at once the second one is told what has changed, keeps its text,
// and goes on upon the new policy; a form of an old page undoes nothing.
func TestTwoPolicyOperators(t *testing.T) {
	c, provider := policySite(t)
	li, wang := as(t, c, "li", roleOperator), as(t, c, "wang", roleOperator)
	begin := func(m member, text string) url.Values {
		page := get(t, m, "/policy/edit").Body.String()
		return with(formOf(t, page, "/policy/edit"), "text", text, "do", "try", "reason", "because", "confirm", "")
	}
	const first, second = "policy: 1\nservices:\n  greeter: {retries: 2}\n",
		"policy: 1\nservices:\n  greeter: {timeout: 2s}\n"
	v, w := begin(li, first), begin(wang, second)
	follow(t, li, "/policy/apply", v)
	stale := post(t, wang, "/policy/apply", w)
	page := stale.Body.String()
	if stale.Code != http.StatusUnprocessableEntity {
		t.Fatalf("status %d: %s", stale.Code, page)
	}
	has(t, page, "The text was made on policy 0, and the policy in force is 1", "Policy 1 of li came since.",
		"+  greeter: {retries: 2}", "greeter: {timeout: 2s}")
	page = post(t, wang, "/policy/edit", with(formOf(t, page, "/policy/edit"), "do", "rebase")).Body.String()
	has(t, page, "-  greeter: {retries: 2}", "+  greeter: {timeout: 2s}")
	old := url.Values{"hash": {""}} // of the page before any policy
	follow(t, wang, "/policy/apply", with(formOf(t, page, "/policy/edit"), "reason", "slow", "confirm", ""))
	if n := provider.Membership().Policy().Status().Number; n != 2 {
		t.Fatalf("policy %d is obeyed", n)
	}
	has(t, follow(t, li, "/policy/1/undo", with(old, "reason", "back")), "The policy in force is 2 of wang by now.")
	if n := provider.Membership().Policy().Status().Number; n != 2 {
		t.Errorf("a form of an old page has made policy %d", n)
	}
}

// TestHostilePolicyTexts: mistakes come with their lines, in both languages; what is no text, too long or too deep is
// refused, and no text becomes markup.
func TestHostilePolicyTexts(t *testing.T) {
	c, provider := policySite(t)
	m := as(t, c, "li", roleOperator)
	send := func(text, do string, edits ...func(*http.Request)) (int, string) {
		w := post(t, m, "/policy/edit", url.Values{"text": {text}, "do": {do}, "on": {"0"}, "hash": {""}}, edits...)
		return w.Code, w.Body.String()
	}
	for _, c := range []struct{ text, english, chinese string }{
		{"policy: 1\nservices:\n  greeter:\n    limit: 1\n", "no such key", "没有这个键"},
		{"policy: 1\nservices:\n  greeter:\n    limits: [{rate: 5, per: hall}]\n", "line 4", "第 4 行"},
		{"policy: 2\n", "upgrade skerry here", "请升级"},
	} {
		for l, want := range map[language]string{english: c.english, chinese: c.chinese} {
			code, page := send(c.text, "try", in(l))
			if code != http.StatusUnprocessableEntity || !strings.Contains(html.UnescapeString(page), want) {
				t.Errorf("%q in %s: status %d, lacks %q\n%s", c.text, l, code, want, page)
			}
		}
	}
	deep := "policy: 1\nservices: " + strings.Repeat("{a: ", 20_000) + strings.Repeat("}", 20_000)
	bomb := "policy: 1\na: &a [x, x]\n"
	for i := 'b'; i < 'z'; i++ {
		bomb += string(i) + ": &" + string(i) + " [*" + string(i-1) + ", *" + string(i-1) + "]\n"
	}
	for name, text := range map[string]string{"binary": "policy: 1\n\x00\x01", "no UTF-8": "\xff\xfe", "deep": deep,
		"bomb": bomb, "long": "policy: 1 # " + strings.Repeat("x", form.MaxText), "empty": "",
		"markup": "policy: 1\n</textarea><script>alert(1)</script>"} {
		for _, do := range []string{"try", "insert", "form:access", "rebase"} {
			code, page := send(text, do)
			if code == http.StatusInternalServerError || strings.Contains(page, "<script>alert") ||
				do == "try" && code != http.StatusUnprocessableEntity {
				t.Errorf("%s, %s: status %d", name, do, code)
			}
		}
	}
	if code, _ := send(strings.Repeat("x", editSize), "try"); code != http.StatusRequestEntityTooLarge {
		t.Errorf("a form of %d bytes: status %d", editSize, code)
	}
	evil := `"><script>alert(1)</script>`
	w := post(t, m, "/policy/edit", url.Values{"text": {"policy: 1\n"}, "do": {"insert"}, "kind": {"access"},
		"service": {evil}, "caller": {evil}, "why": {evil}, "plan": {evil}, "expires": {""}})
	if strings.Contains(w.Body.String(), "<script>alert") {
		t.Error("a field becomes markup")
	}
	for _, v := range []url.Values{{"kind": {"weights"}}, {"kind": {"weights"}, "service": {"a"}, "at": {"h"},
		"weight": {"-1"}}, {"kind": {"limits"}, "service": {"a"}}, {"kind": {"limits"}, "service": {"a"},
		"rate": {"9e9"}},
		{"kind": {"fallback"}, "service": {"a"}, "method": {"m"}, "reply": {"{"}}, {"kind": {"access"},
			"service": {"a"}},
		{"kind": {"limits"}, "service": {"a"}, "rate": {"1"}, "expires": {"soon"}}} {
		v.Set("text", "policy: 1\n")
		v.Set("do", "insert")
		w := post(t, m, "/policy/edit", v)
		if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "policy: 1\n</textarea>") {
			t.Errorf("%v: status %d", v, w.Code)
		}
	}
	if n := provider.Membership().Policy().Status().Number; n != 0 {
		t.Errorf("policy %d was made", n)
	}
}

// TestViewersChangeNoPolicy: a viewer sees no form and no link to one, and is refused.
func TestViewersChangeNoPolicy(t *testing.T) {
	c := serve(still{night()}, Config{Logger: slog.New(slog.DiscardHandler)})
	m := as(t, c, "guest", roleViewer)
	for _, path := range []string{"/policy", "/policy/18", "/policy/access", "/history", "/services/auth"} {
		page := get(t, m, path).Body.String()
		for _, no := range []string{`method="post" action="/policy`, "/policy/edit"} {
			if strings.Contains(page, no) {
				t.Errorf("%s shows a viewer %s", path, no)
			}
		}
	}
	if w := get(t, m, "/policy/edit"); w.Code != http.StatusForbidden {
		t.Errorf("the form: status %d", w.Code)
	}
	for _, path := range []string{"/policy/edit", "/policy/apply", "/policy/confirm", "/policy/18/undo",
		"/policy/plan"} {
		w := post(t, m, path, url.Values{"reason": {"because"}, "text": {"policy: 1\n"}, "do": {"try"}})
		if w.Code != http.StatusForbidden && w.Code != http.StatusSeeOther {
			t.Errorf("%s: status %d", path, w.Code)
		}
		if w.Code == http.StatusSeeOther {
			has(t, get(t, m, w.Header().Get("Location")).Body.String(), "Only the role operator may do this")
		}
	}
}

// TestRulesOfAService: a service's page has what the policy says about it, and leads to the form with the weight of
// each host.
func TestRulesOfAService(t *testing.T) {
	s := night()
	s.Policy.Current.Text = "policy: 1\nservices:\n  auth:\n    timeout: 500ms\n  historian:\n    timeout: 7s\n" +
		"  \"*\":\n    retries: 3\n"
	h := signedIn(t, still{s}, Config{Logger: slog.New(slog.DiscardHandler)})
	page := get(t, h, "/services/auth", in(english)).Body.String()
	has(t, page, "500ms")
	const drain = "/policy/edit?kind=weights&service=auth&place=host&at=ops-1&weight=0"
	has(t, page, drain)
	if strings.Contains(page, "7s") {
		t.Error("the page has the rule of another service")
	}
	if g := s.rulesOf("auth"); len(g) != 2 || g[0].Service != "auth" || g[1].Service != policy.Every {
		t.Errorf("rules: %+v", g)
	}
	has(t, get(t, h, drain).Body.String(), `value="ops-1"`)
}

// TestAccessMatrix: a cell says what the policy says and when the caller has called last, and leads to the form.
func TestAccessMatrix(t *testing.T) {
	s := night()
	s.Policy.Current.Text = "policy: 1\nservices:\n  auth:\n    access: {mode: audit, default: deny, " +
		"allow: [{caller: " +
		"portal}]}\n  historian:\n    access: {mode: enforce, default: deny, " +
		"allow: [{caller: report, method: query}, " +
		"{caller: web}]}\n"
	s.Policy.Uses = []use{{"portal", "auth", 900, s.At.Add(-5 * time.Minute)}, {"portal", "historian", 7, time.Time{}},
		{"report", "historian", 9, s.At}}
	h := signedIn(t, still{s}, Config{Logger: slog.New(slog.DiscardHandler)})
	content, err := s.accessPage(&http.Request{URL: &url.URL{}})
	if err != nil {
		t.Fatal(err)
	}
	p := content.(*accessPage)
	states := map[string]string{}
	for _, row := range p.Rows {
		for _, cell := range row.Cells {
			states[row.Service+" "+cell.Caller] = cell.State
		}
	}
	for cell, want := range map[string]string{"auth portal": "allowed", "auth report": "counted",
		"historian portal": "refused",
		"historian report": "partly", "historian web": "allowed", "gateway portal": "free"} {
		if states[cell] != want {
			t.Errorf("%s is %q, want %q", cell, states[cell], want)
		}
	}
	page := get(t, h, "/policy/access").Body.String()
	has(t, page, "2 of 5 services have an access list", "5 min ago", "before 01:12:10",
		"/policy/edit?caller=portal&kind=access&service=historian&verb=allow")
	if body := get(t, h, "/policy/access?service=hist&caller=web").Body.String(); strings.Contains(body, ">portal<") {
		t.Error("the filter lets another caller pass")
	}
}

// TestPolicySentences: each kind of item is a sentence in both languages, with its line.
func TestPolicySentences(t *testing.T) {
	s := night()
	s.Policy.Current.Text = `policy: 1
lanes:
  - {name: pilots, match: {tenant: t7}, gets: preview}
services:
  auth:
    timeout: 500ms
    retries: 1
    max_pending: 9
    methods: {verify: {timeout: 100ms, retries: 2}}
    limits:
      - {match: {caller: report}, rate: 50, per: site, expires: 2h, why: "it loops"}
      - {pending: 500, per: instance}
    access: {mode: enforce, default: deny, allow: [{caller: [portal, report], method: verify}], deny: [{caller: old}]}
    weights: [{host: ops-7, weight: 20, expires: 7h}]
    route: [{match: {zone: hall-3}, to: {zone: hall-3}, else: all}]
    fallback: [{match: {method: getAvatar}, on: [always], reply: {url: ""}, expires: 1h}]
    faults: [{match: {mark: drill}, delay: 200ms, percent: 10, expires: 10m}]
`
	for l, wants := range map[language][]string{english: {"A call of verify may take 100ms",
		"A call is tried again once",
		"report may call auth 50 times a second, all instances together", "“it loops”",
		"line 11", "line 13", "ends in 2 h 0 min",
		"A call runs at most 500 at a time in one instance", "portal, report may call auth.verify",
		"old may not call auth",
		"Any other call is refused", "host ops-7 has the weight 20 instead of 100",
		"A call, with zone hall-3 goes to zone hall-3, or to all when none is there",
		`A call of getAvatar is answered with {"url":""}, and not sent`, "waits 200ms on purpose", "max_pending is 9",
		"4 items end by themselves, the next in 10 min", "that begins a trace gets the mark preview"},
		chinese: {"对 verify 的调用最长 100ms", "report 每秒可以调用 auth 50 次，所有实例合计", "其他调用一律拒绝",
			"第 11 行",
			"有 4 项会自动失效，最早的还剩 10 分"}} {
		h := signedIn(t, still{s}, Config{Logger: slog.New(slog.DiscardHandler)})
		page := get(t, h, "/policy", in(l)).Body.String()
		has(t, page, wants...)
		if strings.Contains(page, "rule.") || words.English.Text("rule.lane") == "rule.lane" {
			t.Errorf("a sentence in %s has no text", l)
		}
	}
}

// TestPolicyOfKeyedOperators: where operators have keys and the session has none, nothing is done, and the page shows
// the command with the text.
func TestPolicyOfKeyedOperators(t *testing.T) {
	c, provider := policySite(t)
	keyed := serve(c.live, Config{Node: c.live.cfg.Node, Signers: keys{"wang"},
		Logger: slog.New(slog.DiscardHandler)})
	m := as(t, keyed, "li", roleOperator)
	page := get(t, m, "/policy/edit").Body.String()
	page = follow(t, m, "/policy/apply", with(formOf(t, page, "/policy/edit"), "text",
		"policy: 1\nservices:\n  greeter: {retries: 2}\n", "reason", "it's slow"))
	has(t, page, "Nothing is done yet.",
		`skerry policy apply policy.yaml --on 0 --confirm 10m --why 'it'\''s slow' --code `)
	link := regexp.MustCompile(`href="(/done/[^"]*)" download="policy.yaml"`).FindStringSubmatch(page)
	if link == nil {
		t.Fatalf("the page has no link to the text:\n%s", page)
	}
	if text := get(t, m, link[1]).Body.String(); text != "policy: 1\nservices:\n  greeter: {retries: 2}\n" {
		t.Errorf("the file has %q", text)
	}
	if n := provider.Membership().Policy().Status().Number; n != 0 {
		t.Errorf("policy %d was made", n)
	}
}

// TestUnconfirmedPolicyIsUnderWay: the first page says that a policy ends by itself.
func TestUnconfirmedPolicyIsUnderWay(t *testing.T) {
	s := night()
	s.Policy.Current.Confirm, s.Policy.Current.At = 10*time.Minute, s.At.Add(-time.Minute)
	s.Policy.Newest = s.Policy.Current
	h := signedIn(t, still{s}, Config{})
	body := get(t, h, "/").Body.String()
	if !strings.Contains(body, "Policy 18 goes back, unless it is confirmed") || !strings.Contains(body, "9 min") {
		t.Error("the first page does not say that the policy waits to be confirmed")
	}
}
