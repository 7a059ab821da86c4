package console

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/words"
)

// historyPage answers: what was changed, when, by which operator, and why? Which processes have come and gone?
type historyPage struct {
	Filter  historyFilter  `json:"-"`
	Wrong   phrase         `json:"-"` // of the filter
	Counts  map[string]int `json:"-"` // by kind, of what else matches
	Kinds   []string       `json:"-"`
	Changes []change       `json:"changes"`
	Pager   pager          `json:"-"`
	Doubt   string         `json:"doubt,omitempty"`  // what of the logs is not believed
	Broken  string         `json:"broken,omitempty"` // the first broken line of the audit log
	Left    int            `json:"-"`                // that a file leaves out

	all []change // that match, as many as a file has
}

// The kinds of changes that come from the audit log and from the log of members, named by their icons.
const (
	signInKind = "key"
	deedKind   = "terminal"
	memberKind = "processes"
)

// unknownIt stands in the texts for the outcome of an action that has begun, has no line of its end, and is not under
// way here.
const unknownIt = "unknown"

// historyKinds are all kinds of changes.
var historyKinds = []string{"release", "policy", memberKind, deedKind, signInKind}

// historyFilter is what the address asks for.
type historyFilter struct{ Kind, Text, From, To string }

// Any reports whether a field of the form is filled in.
func (f historyFilter) Any() bool { return f.Text != "" || f.From != "" || f.To != "" }

// mostExported bounds the lines of a file.
const mostExported = 10_000

func (c *handler) historyPage(s *snapshot, r *http.Request) (any, error) {
	q := r.URL.Query()
	records, broken := c.audit.state()
	p := historyPage{Filter: historyFilter{q.Get("kind"), strings.TrimSpace(q.Get("q")), q.Get("from"), q.Get("to")},
		Counts: map[string]int{}, Kinds: historyKinds, Doubt: s.Policy.Doubt, Broken: broken}
	all := slices.Concat(s.changes(), s.comings(func(memberEvent) bool { return true }))
	all = append(all, deeds(records, c.audit.runs)...)
	newestFirst(all)
	within := p.period(s.At)
	list := []change{}
	for i := range all {
		c := &all[i]
		if !within(c.At) || !c.has(p.Filter.Text) {
			continue
		}
		p.Counts[""]++
		p.Counts[c.Kind]++
		if p.Filter.Kind == "" || p.Filter.Kind == c.Kind {
			list = append(list, *c)
		}
	}
	p.all = list[:min(len(list), mostExported)]
	p.Left = len(list) - len(p.all)
	p.Changes, p.Pager = paged(list, r)
	return p, nil
}

// deeds are the lines of the audit log. An action that has ended has one line. runs reports whether one that has begun
// with a record of a number is under way.
func deeds(records []record, runs func(uint64) bool) (list []change) {
	ended := map[uint64]bool{}
	for _, rec := range records {
		ended[rec.Of] = true
	}
	for _, rec := range records {
		switch line := rec.change(); {
		case rec.Outcome != begunIt:
			list = append(list, line)
		case !ended[rec.N]: // the line of its end says more than that of its begin
			if !runs(rec.N) {
				rec.Outcome = unknownIt
				line = rec.change()
				line.Unknown = true
			}
			list = append(list, line)
		}
	}
	return list
}

// period reports of a time whether it is in the period of the filter, which includes its first and last minute or day.
// A text that is no time is reported on the page, and bounds nothing.
func (p *historyPage) period(now time.Time) func(time.Time) bool {
	read := func(text string) (from, to time.Time) {
		if text == "" {
			return from, to
		}
		if day, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
			return day, day.AddDate(0, 0, 1)
		}
		at, err := minuteOf(text, now)
		if err != nil {
			p.Wrong = say("history.no-time", "time", text)
			return time.Time{}, time.Time{}
		}
		return at, at.Add(time.Minute)
	}
	from, _ := read(p.Filter.From)
	_, to := read(p.Filter.To)
	return func(at time.Time) bool { return !at.Before(from) && (to.IsZero() || at.Before(to)) }
}

// has reports whether a line has a text, in any language, without regard to case.
func (c *change) has(text string) bool {
	if text == "" {
		return true
	}
	fields := []string{c.Reason, c.By, c.Signer, c.Number, c.Hash}
	for _, l := range languages {
		fields = append(fields, c.What.In(l), c.Cause.In(l))
	}
	text = strings.ToLower(text)
	return slices.ContainsFunc(fields, func(f string) bool { return strings.Contains(strings.ToLower(f), text) })
}

// file implements the JSON file of a page: what the filter asks for, and not only one page of it.
func (p historyPage) file() (name string, doc any) {
	return "skerry-history.json", map[string]any{"changes": p.all, "left_out": p.Left}
}

// table implements the CSV file of a page.
func (p historyPage) table(l language) (name string, rows [][]string) {
	rows = [][]string{{"at", "kind", "what", "reason", "cause", "by", "signed_by", "number", "hash"}}
	for i := range p.all {
		c := &p.all[i]
		rows = append(rows, []string{c.At.Local().Format(time.RFC3339), c.Kind, c.What.In(l), c.Reason, c.Cause.In(l),
			c.By, c.Signer, c.Number, c.Hash})
	}
	return "skerry-history.csv", rows
}

// uncountedBefore is how [auditLog.add] ends the reason of a refusal that stands for others, too.
var uncountedBefore = regexp.MustCompile(`^(.*); (\d+) more were refused before$`)

// change is a record as a line of the history.
func (r record) change() change {
	c := change{At: r.At, Kind: deedKind, Reason: r.Reason, By: r.Name, Number: words.Grouped(int64(r.N)), Hash: r.hash}
	if r.Action == "in" || r.Action == "out" {
		c.Kind = signInKind
	}
	text, more := r.Why, ""
	if parts := uncountedBefore.FindStringSubmatch(text); parts != nil {
		text, more = parts[1], parts[2]
	}
	why := plain(text)
	if r.said.In(english) == text {
		why = r.said
	}
	for _, key := range []string{"history.wrong-link", "history.wrong-password", "history.wrong-wait"} {
		if text == say(key).In(english) {
			why = say(key)
		}
	}
	if more != "" && text != "" {
		why = say("history.and-more", "why", why, "n", more)
	}
	what := say("action." + r.Action)
	switch {
	case r.Action == "call" && r.Before != "":
		what = say("call.of", "method", r.Before)
	case strings.HasPrefix(r.Action, "finding-") && r.Before != "":
		what = say("history.about", "what", what, "about", r.Before)
	case r.Asked != "":
		what = say("history.asked", "what", what, "asked", r.Asked)
	}
	c.What = say("history.did-"+r.Outcome, "what", what, "address", r.Address, "why", why,
		"role", r.Role.Phrase())
	c.Line = c.What.In(english)
	return c
}

// exportAudit sends the audit log as it is kept: JSON lines, each with the hash of the line before.
func (c *handler) exportAudit(w http.ResponseWriter, r *http.Request) {
	dir := c.doors.files.dir
	names, err := segments(dir)
	if dir == "" || err != nil {
		c.failed(w, r, &notFound{say("history.no-log")})
		return
	}
	w.Header().Set("Content-Type", "application/jsonl; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", "console-audit-export.jsonl"))
	for _, name := range names {
		text, err := statedir.ReadFile(filepath.Join(dir, name))
		if err != nil {
			if !os.IsNotExist(err) {
				c.log.Error("a file of the console's audit log can't be read", "err", err)
			}
			continue
		}
		if _, err := w.Write(text); err != nil {
			return
		}
	}
}

// HistoryLine is a line of what a console keeps in its directory.
type HistoryLine struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"` // terminal: done in the console; key: sign-ins; processes: came, went
	What   string    `json:"what"` // in English
	Reason string    `json:"reason,omitempty"`
	Cause  string    `json:"cause,omitempty"`
	By     string    `json:"by,omitempty"`

	Unknown bool `json:"unknown,omitempty"` // the outcome of the action is not known
}

// History reads what the console that keeps its files in a directory has done, and which processes it has seen come
// and go: the newest lines, oldest first. A console may run meanwhile.
func History(dir string) ([]HistoryLine, error) {
	var records []record
	_, err := readAudit(dir, func(r record) {
		if records = append(records, r); len(records) > 2*keptRecords {
			records = slices.Clone(records[keptRecords:])
		}
	})
	if err != nil {
		return nil, err
	}
	members := &memberLog{dir: dir}
	if err := members.load(); err != nil {
		return nil, err
	}
	running := consoleRuns(dir)
	all := deeds(records[max(0, len(records)-keptRecords):], func(uint64) bool { return running })
	for _, e := range members.all() {
		all = append(all, e.change())
	}
	newestFirst(all)
	list := make([]HistoryLine, 0, len(all))
	for _, c := range slices.Backward(all) {
		list = append(list, HistoryLine{c.At, c.Kind, c.Line, c.Reason, c.Causes, c.By, c.Unknown})
	}
	return list, nil
}

// consoleRuns reports whether a console keeps its files in a directory now.
func consoleRuns(dir string) bool {
	path := filepath.Join(dir, lockFile)
	if _, err := statedir.Stat(path); err != nil {
		return false
	}
	lock, err := statedir.Lock(path)
	if err == nil {
		lock.Close()
	}
	return errors.Is(err, statedir.ErrLocked)
}

// command is the command line that shows the same.
func (p historyPage) command() string {
	switch p.Filter.Kind {
	case memberKind, deedKind, signInKind:
		return "skerry console history --kind " + p.Filter.Kind
	case "policy":
		return "skerry policy history"
	}
	return "skerry release log"
}
