package console

import (
	"cmp"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// action is something that a page offers to do, by a form that is sent to its path.
//
// A new action is a row of [actions], a method of handler for its Do, and a text action.NAME in both files of words
// (the history names it by that). The frame below does the rest, before Do: the name of the host, the origin of the
// form, its token, the session's role, the size of the form, and the reason. Before Do and after it the frame writes
// the audit log. Then it leads the browser back to the page, which shows the outcome.
//
// Its form in a template, where $ is the frame of the page:
//
//	{{if $.May "policy-undo"}}<form method="post" action="{{$.Action "policy-undo"}}">{{template "hidden" $}}
//	{{template "reason" $}}<button class="btn main" type="submit">…</button></form>
//	{{else}}{{template "mayn't" ($.Denied "policy-undo")}}{{end}}
//
// Where operators have keys, Do first asks handler.operator for the control.Operator of the session; see there.
type action struct {
	Name   string // as templates, the audit log and the words name it
	Path   string // pattern of its address, without the method POST
	Role   role   // the smallest that may
	Reason bool   // the form's field reason must say why
	Quiet  bool   // it changes nothing, so the audit log has no entry: a preview, a check
	Asks   string // fields of the form, and parts of the path, that say what is meant, for the audit log

	Limit time.Duration // that Do may take; 0: 30 s. A browser that goes away does not end it
	Size  int64         // of the form in bytes; 0: 64 KiB

	// Do does it. An error is shown to the actor and written to the audit log; one made by [refuse] is shown in the
	// actor's language. The outcome counts with an error, too.
	Do func(c *handler, ctx context.Context, by actor, form url.Values) (outcome, error)
}

// actions are all actions.
var actions = []action{
	{Name: "out", Path: "/out", Role: roleViewer, Do: (*handler).leave},
	{Name: "doctor", Path: "/processes/doctor", Role: roleOperator, Quiet: true, Limit: examineLimit,
		Do: (*handler).runDoctor},
	{Name: "call", Path: "/services/{service}/call", Role: roleOperator, Limit: callAsk + callTimeout + 2*time.Second,
		Size: callForm, Asks: "service method", Do: (*handler).tryCall},
	{Name: "finding-silence", Path: "/findings/{finding}/silence", Role: roleOperator, Reason: true,
		Asks: "finding", Do: (*handler).silenceFinding},
	{Name: "finding-show", Path: "/findings/{finding}/show", Role: roleOperator, Reason: true,
		Asks: "finding", Do: (*handler).endSilence},
	{Name: "session-end", Path: "/sessions/{session}/end", Role: roleAdmin, Reason: true,
		Asks: "session", Do: (*handler).endSession},
	{Name: "policy-edit", Path: "/policy/edit", Role: roleOperator, Quiet: true, Size: editSize,
		Do: (*handler).editPolicy},
	{Name: "policy-apply", Path: "/policy/apply", Role: roleOperator, Size: editSize,
		Asks: "on confirm", Do: (*handler).applyPolicy},
	{Name: "policy-ask", Path: "/policy/ask", Role: roleOperator, Quiet: true, Do: (*handler).askPolicy},
	{Name: "policy-confirm", Path: "/policy/confirm", Role: roleOperator, Reason: true,
		Asks: "hash", Do: changing("confirm")},
	{Name: "policy-undo", Path: "/policy/{number}/undo", Role: roleOperator, Reason: true,
		Asks: "number", Do: changing("undo")},
	{Name: "policy-plan", Path: "/policy/plan", Role: roleOperator, Reason: true,
		Asks: "plan to for", Do: changing("plan")},
	{Name: "release-plan", Path: "/release/plan", Role: roleOperator, Quiet: true, Do: (*handler).planRelease},
	{Name: "release-start", Path: "/release/start", Role: roleOperator, Reason: true, Do: stepOf("start")},
	{Name: "release-ship", Path: "/release/ship", Role: roleOperator, Reason: true,
		Asks: "service version old strategy", Do: stepOf("ship")},
	{Name: "release-commit", Path: "/release/commit", Role: roleOperator, Reason: true,
		Asks: "ramp", Do: stepOf("commit")},
	{Name: "release-rollback", Path: "/release/rollback", Role: roleOperator, Reason: true, Do: stepOf("rollback")},
	{Name: "release-clean", Path: "/release/clean", Role: roleOperator, Reason: true,
		Asks: "typed", Do: stepOf("clean")},
	{Name: "release-without", Path: "/release/without", Role: roleAdmin, Reason: true,
		Asks: "step dead", Do: (*handler).withoutProcess},
	{Name: "release-hold", Path: "/release/hold", Role: roleOperator, Reason: true, Do: (*handler).holdRelease},
}

// outcome is what an action has done.
type outcome struct {
	Said   phrase // to the actor
	To     string // path of the page that shows it; "": the page with the form
	Before string // what was changed, for the audit log: a number, a hash, or a short text
	After  string // what it is now

	// Confirm is set when the site's operators have keys and the session has none: nothing was done, and the page shows
	// the command that does it.
	Confirm *confirmation

	// Page names a page that is drawn with Content at once, instead of leading the browser to a page: for previews, and
	// for forms with mistakes, which keep what was typed.
	Page    string
	Content any

	after func(http.ResponseWriter)

	// later is set when the action goes on: it calls the function with its error when it has ended.
	later func(ended func(error))
}

// confirmation is a command that the operator runs at a terminal of its own, with its own key. Code is the short code
// of what the page has previewed, by [PolicyCode] or [StepCode]. The frame adds it to the command (--code), which does
// nothing when it would do something else.
type confirmation struct {
	Command string
	Code    string // "": the command does more than was previewed
	File    string // name of a file that the command needs; "": none
	Text    string // of the file
}

// done is an outcome as a page shows it.
type done struct {
	outcome
	ID     string
	Action string
	Failed *phrase // nil: it went well
}

// refused is an error that the actor is told in the language of its pages.
type refused struct{ what phrase }

func (e *refused) Error() string { return e.what.In(english) }

// refuse makes the error of an action that is not done, from a text of the catalogue.
func refuse(key string, values ...any) error { return &refused{say(key, values...)} }

// notDone is an error of a step that was only prepared, so that the audit log has it as refused; nil for nil.
func notDone(err error) error {
	if err == nil {
		return nil
	}
	return &refused{phraseOf(err)}
}

// phraseOf is an error as a page says it.
func phraseOf(err error) phrase {
	if r, ok := errors.AsType[*refused](err); ok {
		return r.what
	}
	return plain(err.Error())
}

const (
	actionLimit  = 30 * time.Second
	actionSize   = 64 << 10
	reasonSize   = 500 // letters
	mostActions  = 20  // at once, in the whole console
	keptOutcomes = 20  // of a session
)

// perform is the frame of all actions.
func (c *handler) perform(w http.ResponseWriter, r *http.Request, a action) {
	by := actorOf(r)
	if !sameOrigin(r) {
		deny(w, r, "this form is sent by the console's own page only", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, cmp.Or(a.Size, actionSize))
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(bodyTime))
	err := r.ParseForm()
	control.SetReadDeadline(time.Time{})
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			deny(w, r, "the form is too large", http.StatusRequestEntityTooLarge)
			return
		}
		deny(w, r, "the form can't be read", http.StatusBadRequest)
		return
	}
	form := r.PostForm
	if by.session == nil || !hmac.Equal([]byte(form.Get("csrf")), []byte(c.doors.formToken(by.session))) {
		c.turnAway(w, r, a, by, http.StatusForbidden, refuse("action.stale"))
		return
	}
	if by.Role < a.Role {
		c.turnAway(w, r, a, by, http.StatusForbidden, &refused{denied(a, by)})
		return
	}
	form.Set("reason", strings.TrimSpace(form.Get("reason")))
	if why := form.Get("reason"); a.Reason && !goodReason(why) {
		c.turnAway(w, r, a, by, http.StatusUnprocessableEntity, refuse("action.reason", "n", reasonSize))
		return
	}
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	default:
		c.turnAway(w, r, a, by, http.StatusServiceUnavailable, refuse("action.busy"))
		return
	}
	for _, name := range pathValues(a.Path) {
		form.Set(name, r.PathValue(name))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), cmp.Or(a.Limit, actionLimit))
	defer cancel()
	o, err := c.noted(ctx, a, by, form)
	status := http.StatusOK
	if err != nil {
		status = http.StatusUnprocessableEntity
	}
	c.finish(w, r, a, by, status, o, err)
}

// noted does an action, with a line of the audit log before it and one after it.
func (c *handler) noted(ctx context.Context, a action, by actor, form url.Values) (outcome, error) {
	if a.Quiet {
		return a.Do(c, ctx, by, form)
	}
	why, begun := form.Get("reason"), uint64(0)
	if a.Role > roleViewer { // signing out has an effect on the own session only
		r := recordOf(a, by, why, outcome{}, nil)
		r.Asked = a.asked(form)
		begun = c.audit.begin(r)
	}
	whole := false
	defer func() {
		if !whole { // a panic leaves the outcome unknown
			c.audit.lost(begun)
		}
	}()
	o, err := a.Do(c, ctx, by, form)
	whole = true
	ended := func(err error) { c.audit.end(begun, recordOf(a, by, why, o, err)) }
	if o.later != nil && err == nil {
		o.later(ended)
	} else {
		ended(err)
	}
	return o, err
}

// asked is what a form means, as the audit log has it before the action.
func (a action) asked(form url.Values) string {
	var parts []string
	for _, field := range strings.Fields(a.Asks) {
		if value := form.Get(field); value != "" {
			parts = append(parts, field+"="+short(value, 200))
		}
	}
	return strings.Join(parts, " ")
}

// turnAway writes the audit log of an action that is not done, and shows why.
func (c *handler) turnAway(w http.ResponseWriter, r *http.Request, a action, by actor, status int, err error) {
	if !a.Quiet || status == http.StatusForbidden {
		c.audit.add(recordOf(a, by, r.PostForm.Get("reason"), outcome{}, err))
	}
	c.finish(w, r, a, by, status, outcome{}, err)
}

// finish shows the outcome of an action.
func (c *handler) finish(w http.ResponseWriter, r *http.Request, a action, by actor, status int, o outcome, err error) {
	if o.Confirm != nil && o.Confirm.Code != "" && !strings.Contains(o.Confirm.Command, " --code ") {
		confirm := *o.Confirm
		confirm.Command += " --code " + confirm.Code
		o.Confirm = &confirm
	}
	d := done{outcome: o, Action: a.Name}
	if err != nil {
		what := phraseOf(err)
		d.Failed = &what
	}
	if o.after != nil && err == nil {
		o.after(w)
	}
	if r.URL.Query().Get("format") == "json" {
		answer := map[string]any{"action": a.Name, "done": err == nil && o.Confirm == nil, "said": o.Said.In(english)}
		if err != nil {
			answer["error"] = d.Failed.In(english)
		}
		if o.Confirm != nil {
			answer["command"], answer["code"] = o.Confirm.Command, o.Confirm.Code
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(answer)
		return
	}
	for _, p := range pages {
		if p.Name == o.Page && o.Content != nil && by.Role >= p.Role {
			c.show(w, r, status, p, c.snapshot(r.Context()), o.Content, &d)
			return
		}
	}
	to := cmp.Or(o.To, ownPath(r.PostForm.Get("back")))
	if by.session != nil && (d.Failed != nil || d.Said.Key != "" || d.Said.Plain != "" || d.Confirm != nil) {
		to = withDone(to, c.doors.keep(by.session, d))
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// confirmFile sends the file that a command to confirm needs.
func (c *handler) confirmFile(w http.ResponseWriter, r *http.Request) {
	d := c.doors.kept(actorOf(r).session, r.PathValue("id"))
	if d == nil || d.Confirm == nil || d.Confirm.File == "" {
		c.failed(w, r, errNoPage)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", d.Confirm.File))
	io.WriteString(w, d.Confirm.Text)
}

// denied says which role may do an action.
func denied(a action, by actor) phrase {
	return say("action.denied", "role", a.Role.Phrase(), "own", by.Role.Phrase())
}

// goodReason reports whether a text can stand in the history as a reason.
func goodReason(why string) bool {
	return why != "" && utf8.ValidString(why) && utf8.RuneCountInString(why) <= reasonSize &&
		!strings.ContainsFunc(why, unicode.IsControl)
}

// ownPath is a path of this console, "/" for anything else.
func ownPath(back string) string {
	if !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.Contains(back, "\\") ||
		strings.ContainsFunc(back, unicode.IsControl) { // which browsers leave out
		return "/"
	}
	return back
}

// withDone is a path with the number of the outcome that it shows.
func withDone(path, id string) string {
	at, err := url.Parse(path)
	if err != nil {
		return "/?done=" + id
	}
	q := at.Query()
	q.Set("done", id)
	at.RawQuery = q.Encode()
	return at.RequestURI()
}

// pathValues are the names in braces of a pattern.
func pathValues(pattern string) (names []string) {
	for part := range strings.SplitSeq(pattern, "/") {
		if strings.HasPrefix(part, "{") {
			names = append(names, strings.Trim(part, "{}."))
		}
	}
	return names
}

// actionNamed returns an action of the table. A name that is not there is a mistake in a template, which every test of
// the page finds.
func actionNamed(name string) action {
	for _, a := range actions {
		if a.Name == name {
			return a
		}
	}
	panic("console: there is no action " + name)
}

// May reports whether the session may do an action, so that a page draws its form.
func (f frame) May(name string) bool { return f.Actor.Role >= actionNamed(name).Role }

// Denied says which role may do an action.
func (f frame) Denied(name string) phrase { return denied(actionNamed(name), f.Actor) }

// Action is the path that the form of an action is sent to, with the values of the braces in its pattern.
func (f frame) Action(name string, values ...string) string {
	path := actionNamed(name).Path
	for i, v := range pathValues(path) {
		if i < len(values) {
			path = strings.Replace(path, "{"+v+"}", url.PathEscape(values[i]), 1)
		}
	}
	return path
}

// formToken is the token that forms of a session carry. Other origins can't read it.
func (d *doors) formToken(s *session) string {
	if s == nil {
		return ""
	}
	return hex.EncodeToString(d.mac("form", s.id[:])[:16])
}

// keep remembers an outcome for the pages of a session, and returns its number.
func (d *doors) keep(s *session, o done) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	o.ID = token()[:16]
	s.done = append(s.done, o)
	s.done = s.done[max(0, len(s.done)-keptOutcomes):]
	return o.ID
}

// kept returns an outcome of a session, nil when there is none of this number.
func (d *doors) kept(s *session, id string) *done {
	if s == nil || id == "" {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range s.done {
		if s.done[i].ID == id {
			o := s.done[i]
			return &o
		}
	}
	return nil
}
