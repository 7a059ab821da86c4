package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/policytext"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/textdiff"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/policy/form"
)

// policyEditPage is a text on its way to become the policy. Form and text are one: the form puts an item into the text.
type policyEditPage struct {
	Number   uint64              `json:"made_on"` // of the policy that the text was made on; 0: none
	Hash     string              `json:"hash"`    // of the same
	Text     string              `json:"text"`
	Problems []textProblem       `json:"problems"`
	Tried    *policychange.Trial `json:"tried,omitempty"`
	Diff     []diffLine          `json:"-"`
	Left     int                 `json:"-"` // lines of the difference that are not shown
	Added    int                 `json:"-"`
	Gone     int                 `json:"-"`
	Stale    *staleText          `json:"stale,omitempty"`
	Form     itemForm            `json:"-"`
	Kinds    []string            `json:"-"`
	Services []string            `json:"-"`
	Plans    []string            `json:"-"`
	Items    []itemOfText        `json:"-"`
	More     int                 `json:"-"` // further items of the text
	Although []string            `json:"-"` // faults that the operator accepts
	Confirm  string              `json:"-"` // time after which it goes back; "": it stays
	Reason   string              `json:"-"`
	Same     bool                `json:"-"` // the text is in force
	Command  string              `json:"-"`
}

// textProblem is a mistake with its line.
type textProblem struct {
	form.Problem
	At string `json:"at,omitempty"` // the line's text
}

// staleText says what has changed since a text was made.
type staleText struct {
	Newest uint64     `json:"newest"`
	By     string     `json:"by"`
	Why    string     `json:"why"`
	Diff   []diffLine `json:"-"`
}

type diffLine struct{ Kind, Text string } // add, del, at, or ""

// Bounds of the page.
const (
	shownDiff     = 400
	shownProblems = 50
	editSize      = 3*form.MaxText + 64<<10 // of the form: a byte of the text may become three
	confirmTime   = "10m"
)

// policyEditPage begins with the text in force, or with an older one (?from=NUMBER), and with a form that a link fills.
func (s *snapshot) policyEditPage(r *http.Request) (any, error) {
	p := &policyEditPage{Text: policychange.TextOf(s.Policy.Current), Form: itemFormOf(r.URL.Query()),
		Confirm: confirmTime}
	if e := s.Policy.Current; e.Number > 0 {
		p.Number, p.Hash = e.Number, e.Hash()
	}
	if from := r.URL.Query().Get("from"); from != "" {
		e, ok := s.policyNumbered(from)
		if !ok {
			return nil, &notFound{say("policy.unknown", "number", short(from, 20))}
		}
		p.Text = policychange.TextOf(e)
	}
	if key := r.URL.Query().Get("item"); key != "" {
		p.Form.Item = "" // an item that can't be chosen stands in the list
		_ = p.chooseItem(key)
	}
	if r.URL.Query().Get("insert") != "" {
		p.insertItem()
	}
	s.furnish(p)
	p.Items, p.More = itemsOf(p.Text)
	return p, nil
}

// insertItem puts the item of a link into the text, where that can be done. An item that ends by itself needs no
// confirmation that keeps it.
func (p *policyEditPage) insertItem() {
	item, err := p.Form.item()
	if err != nil {
		return // the form shows what it has
	}
	text, err := policytext.Insert(p.Text, item)
	if err != nil {
		return
	}
	if p.Form.Expires != "" {
		p.Confirm = ""
	}
	p.Text, p.Form = text, itemFormOf(url.Values{"kind": {p.Form.Kind}})
	p.Problems = problemsOf(text, false)
}

// policyNumbered is an entry of the log: of several of one number the one that won.
func (s *snapshot) policyNumbered(number string) (policylog.Entry, bool) {
	n, err := strconv.ParseUint(strings.ReplaceAll(number, ",", ""), 10, 64) // as pages show it, too
	for _, e := range slices.Backward(s.Policy.Log) {
		if err == nil && e.Number == n {
			return e, true
		}
	}
	return policylog.Entry{}, false
}

// furnish adds what the forms of a page offer.
func (s *snapshot) furnish(p *policyEditPage) {
	p.Kinds = itemKinds
	for _, r := range s.services() {
		p.Services = append(p.Services, r.Name)
	}
	slices.Sort(p.Services)
	p.Services = p.Services[:min(len(p.Services), 500)]
	p.Plans = sorted(plansOf(p.Text))
}

// draft reads the form of the page.
func (c *handler) draft(ctx context.Context, v url.Values) (*policyEditPage, error) {
	text := strings.ReplaceAll(v.Get("text"), "\r\n", "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	p := &policyEditPage{Text: text, Hash: v.Get("hash"), Form: itemFormOf(v), Confirm: v.Get("confirm"),
		Although: v["although"], Reason: v.Get("reason")}
	p.Although = p.Although[:min(len(p.Although), 100)]
	p.Number, _ = strconv.ParseUint(v.Get("on"), 10, 64)
	var err error
	switch {
	case len(text) > form.MaxText:
		p.Text, err = "", refuse("edit.large", "bytes", len(text), "most", form.MaxText)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		p.Text, err = strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�"), refuse("edit.binary")
	}
	c.site.snapshot(ctx).furnish(p)
	return p, err
}

// editPolicy puts an item into the text, or tries the text. It changes nothing.
func (c *handler) editPolicy(ctx context.Context, by actor, v url.Values) (outcome, error) {
	p, err := c.draft(ctx, v)
	shown := outcome{Page: "policy-edit", Content: p}
	if err != nil {
		return shown, err
	}
	defer func() { p.Items, p.More = itemsOf(p.Text) }()
	do, kind, _ := strings.Cut(v.Get("do"), ":")
	switch do {
	case "form":
		if slices.Contains(itemKinds, kind) {
			p.Form.Kind = kind
		}
		p.Form.Item, p.Form.Print, p.Form.Also = "", "", ""
		return shown, nil
	case "change":
		return shown, p.chooseItem(kind)
	case "replace":
		err := p.replaceItem()
		p.Problems = problemsOf(p.Text, false)
		return shown, err
	case "remove":
		err := p.removeItem(kind)
		p.Problems = problemsOf(p.Text, false)
		return shown, err
	case "insert":
		item, err := p.Form.item()
		if err != nil {
			return shown, err
		}
		text, err := policytext.Insert(p.Text, item)
		if err != nil {
			return shown, err
		}
		p.Text = text
		p.Problems = problemsOf(text, false)
		return shown, nil
	}
	s, err := c.policySite(ctx, control.Operator{Name: by.Name})
	if err != nil {
		return shown, err
	}
	if do == "rebase" {
		p.Number, p.Hash = s.Now.Number, ""
		if s.Now.Number > 0 {
			p.Hash = s.Now.Hash()
		}
	}
	return shown, c.try(ctx, s, p)
}

// try compares the text of a page with the site.
func (c *handler) try(ctx context.Context, s *policychange.Site, p *policyEditPage) error {
	read, ok := p.read(s)
	if !ok {
		return refuse("edit.mistakes", "n", len(p.Problems))
	}
	p.stale(s)
	t, err := s.Trial(ctx, policychange.Draft{Text: p.Text, Policy: read, Remarks: remarks(p.Problems)}, nil,
		c.node.Explain(""))
	if err != nil {
		return err
	}
	p.Tried, p.Same = &t, len(t.Lines) == 0
	p.Diff, p.Left = diffOf(t.Lines)
	for _, line := range t.Lines {
		switch {
		case strings.HasPrefix(line, "+"):
			p.Added++
		case strings.HasPrefix(line, "-"):
			p.Gone++
		}
	}
	p.Command = applyCommand(p)
	return nil
}

// applyPolicy makes the text the policy of the site.
func (c *handler) applyPolicy(ctx context.Context, by actor, v url.Values) (outcome, error) {
	p, err := c.draft(ctx, v)
	shown := outcome{Page: "policy-edit", Content: p}
	defer func() { p.Items, p.More = itemsOf(p.Text) }()
	if err != nil {
		return shown, err
	}
	if !goodReason(p.Reason) {
		return shown, refuse("action.reason", "n", reasonSize)
	}
	confirm := time.Duration(0)
	if p.Confirm != "" {
		confirm, err = time.ParseDuration(p.Confirm)
		if err != nil || confirm < policychange.ConfirmLeast || confirm > policychange.ConfirmMost {
			return shown, refuse("edit.confirm", "value", short(p.Confirm, 40))
		}
	}
	op, signs := c.operator(by)
	s, err := c.policySite(ctx, op)
	if err != nil {
		return shown, err
	}
	read, ok := p.read(s)
	if !ok {
		return shown, refuse("edit.mistakes", "n", len(p.Problems))
	}
	shown.Before = policychange.Title(s.Now)
	if p.stale(s); p.Stale != nil {
		return shown, refuse("edit.stale", "number", p.Number, "newest", p.Stale.Newest)
	}
	step, err := s.ToApply(ctx, policychange.Draft{Text: p.Text, Policy: read, Remarks: remarks(p.Problems),
		Confirm: confirm, Although: p.Although, Why: p.Reason, Origin: "console"}, c.node.Explain(""))
	switch {
	case err != nil:
		return shown, notDone(err)
	case step.Same:
		return shown, refuse("edit.same", "number", s.Now.Number)
	case len(step.Faults) > 0:
		return shown, errors.Join(c.try(ctx, s, p), refuse("edit.faults", "faults", strings.Join(step.Faults, "; ")))
	}
	if !signs {
		shown.Page, shown.Content = "", nil
		shown.To = "/policy"
		shown.Confirm = &confirmation{Command: applyCommand(p), Code: PolicyCode(s.Now, step.Entry),
			File: policyFile, Text: p.Text}
		return shown, nil
	}
	o, err := c.makePolicy(ctx, s, step)
	if err != nil {
		shown.Said = o.Said
		return shown, err
	}
	return o, nil
}

// faultKey names a fault where the operator accepts it: by its item, or by the process.
func faultKey(fault string) string {
	key, _, _ := strings.Cut(fault, ": ")
	return key
}

// policyFile is the name of the file in commands.
const policyFile = "policy.yaml"

// applyCommand is the command that does the same.
func applyCommand(p *policyEditPage) string {
	words := []string{"skerry policy apply", policyFile, "--on", strconv.FormatUint(p.Number, 10)}
	if p.Confirm != "" {
		words = append(words, "--confirm", p.Confirm)
	}
	for _, key := range p.Although {
		words = append(words, "--although", shellText(key))
	}
	return strings.Join(append(words, "--why", shellText(p.Reason)), " ")
}

// shellText is a text as one word of a shell. Characters that are not seen become question marks: a terminal obeys
// some of them even between quotes, when a command is pasted.
func shellText(s string) string {
	s = strings.Map(func(r rune) rune {
		if !quote.Visible(string(r)) {
			return '?'
		}
		return r
	}, s)
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// read reads the text strictly, with its mistakes at their lines.
func (p *policyEditPage) read(s *policychange.Site) (*policy.Policy, bool) {
	if strings.Contains(policychange.TextOf(s.Now), "\r\n") { // browsers send each end of a line in the same way
		p.Text = strings.ReplaceAll(p.Text, "\n", "\r\n")
	}
	read, _ := form.Read([]byte(p.Text))
	p.Problems = problemsOf(p.Text, true)
	return read, read != nil
}

// problemsOf are the mistakes of a text; with notes also what is unusual and may be meant so.
func problemsOf(text string, notes bool) []textProblem {
	lines := strings.Split(text, "\n")
	list := []textProblem{}
	_, found := form.Read([]byte(text))
	for _, f := range found {
		if f.Note && !notes {
			continue
		}
		p := textProblem{Problem: f}
		if f.Line > 0 && f.Line <= len(lines) {
			p.At = short(lines[f.Line-1], 120)
		}
		list = append(list, p)
	}
	return list[:min(len(list), shownProblems)]
}

// remarks are the notes among the problems of a text.
func remarks(problems []textProblem) (list []string) {
	for _, p := range problems {
		if p.Note {
			list = append(list, "note: "+p.String())
		}
	}
	return list
}

// stale looks whether the text was made on the policy in force.
func (p *policyEditPage) stale(s *policychange.Site) {
	hash := ""
	if s.Now.Number > 0 {
		hash = s.Now.Hash()
	}
	if p.Number == s.Now.Number && p.Hash == hash {
		p.Stale = nil
		return
	}
	p.Stale = &staleText{Newest: s.Now.Number, By: s.Now.By, Why: s.Now.Why}
	base, known := policylog.Entry{}, p.Number == 0
	for _, e := range s.State.Log.Entries() {
		if e.Hash() == p.Hash {
			base, known = e, true
		}
	}
	if known {
		p.Stale.Diff, _ = diffOf(textdiff.Unified(policychange.TextOf(base), policychange.TextOf(s.Now)))
	}
}

// diffOf are the lines of a difference, and how many are left out.
func diffOf(lines []string) (list []diffLine, left int) {
	left = max(0, len(lines)-shownDiff)
	for _, line := range lines[:len(lines)-left] {
		kind := map[byte]string{'+': "add", '-': "del", '@': "at"}[line[0]]
		list = append(list, diffLine{kind, line})
	}
	return list, left
}

// policySite reads the policy of the site for an operator.
func (c *handler) policySite(ctx context.Context, by control.Operator) (*policychange.Site, error) {
	if c.node == nil {
		return nil, refuse("edit.no-site")
	}
	s := policychange.New(c.node, by, c.site.snapshot(ctx).Cluster)
	return s, notDone(s.Read(ctx))
}

// makePolicy makes a prepared change, waits until it is obeyed, and says so.
func (c *handler) makePolicy(ctx context.Context, s *policychange.Site, step policychange.Step) (outcome, error) {
	o := outcome{To: "/policy", Before: policychange.Title(s.Now)}
	begun := time.Now()
	put, kept, err := s.Make(ctx, step.Entry)
	if errors.Is(err, policylog.ErrStale) {
		return o, refuse("edit.raced")
	}
	if err != nil {
		return o, err
	}
	o.After = put.String()
	r, err := s.Outcome(ctx, put, kept, begun)
	if c.steps.after != nil {
		c.steps.after(ctx) // the page that follows shows it
	}
	if err != nil {
		o.Said = plain(err.Error()) // it is made
		return o, nil
	}
	o.Said = say("edit.done", "number", r.Number, "n", r.Obeyed, "all", len(r.Processes))
	return o, nil
}
