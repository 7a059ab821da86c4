package console

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/internal/words"
)

// historyPage answers: what was changed, when, by which operator, and why?
type historyPage struct {
	Kind    string         `json:"-"`
	Counts  map[string]int `json:"-"`
	Changes []change       `json:"changes"`
	Pager   pager          `json:"-"`
	Doubt   string         `json:"doubt,omitempty"`  // what of the logs is not believed
	Broken  string         `json:"broken,omitempty"` // the first broken line of the audit log
}

// The kinds of changes that come from the audit log, named by their icons.
const (
	signInKind = "key"
	deedKind   = "terminal"
)

// unknownIt stands in the texts for the outcome of an action that has begun, has no line of its end, and is not under
// way here.
const unknownIt = "unknown"

func (c *handler) historyPage(s *snapshot, r *http.Request) (any, error) {
	records, broken := c.audit.state()
	p := historyPage{Kind: r.URL.Query().Get("kind"), Counts: map[string]int{}, Doubt: s.Policy.Doubt, Broken: broken}
	list := []change{}
	all := s.changes()
	ended := map[uint64]bool{}
	for _, rec := range records {
		ended[rec.Of] = true
	}
	for _, rec := range records {
		line := rec.change()
		switch {
		case rec.Outcome != begunIt:
			all = append(all, line)
		case !ended[rec.N]: // the line of its end says more than that of its begin
			if !c.audit.runs(rec.N) {
				rec.Outcome = unknownIt
				line = rec.change()
				line.Unknown = true
			}
			all = append(all, line)
		}
	}
	slices.SortStableFunc(all, func(a, b change) int { return b.At.Compare(a.At) })
	for _, c := range all {
		p.Counts[""]++
		p.Counts[c.Kind]++
		if p.Kind == "" || p.Kind == c.Kind {
			list = append(list, c)
		}
	}
	p.Changes, p.Pager = paged(list, r)
	return p, nil
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
