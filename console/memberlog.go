package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/statedir"
)

// memberEvent is a process that has come or gone, or a change of what one offers.
type memberEvent struct {
	At      time.Time     `json:"at"`
	Kind    string        `json:"kind"` // one of the constants below
	Process string        `json:"process"`
	Others  int           `json:"others,omitempty"` // further processes of which the same is said
	Runs    []string      `json:"runs,omitempty"`   // service/version; at most shownRuns
	Why     string        `json:"why,omitempty"`    // membership.Member.Gone
	After   time.Duration `json:"after_ns,omitempty"`
	Since   time.Time     `json:"since,omitzero"` // it was between this and At: no console looked
}

// The kinds of events of members.
const (
	memberJoined   = "joined"
	memberLeft     = "left" // by a goodbye
	memberLost     = "lost" // without one
	memberBack     = "back" // after it was lost
	memberEnded    = "ended"
	memberOffers   = "offers"
	memberWithdrew = "withdrew"
)

const (
	membersFile   = "console-members.json"
	keptEvents    = 500
	keptMembers   = 20_000           // processes that are compared
	shownRuns     = 8                // services of an event
	singleEvents  = 10               // of one kind at a time; more are one event
	settleTime    = 10 * time.Second // after the start, until lists are complete
	togetherTime  = 5 * time.Second  // what a process offers so soon after it has joined belongs to that
	stopTime      = time.Minute      // of a process, from its first withdrawal to its goodbye
	seenPeriod    = 10 * time.Minute // after which the time of the last comparison is kept anew
	comparePeriod = time.Second
)

// memberLog keeps what has changed between two looks at the list of processes.
type memberLog struct {
	dir string // "": memory only

	mu     sync.Mutex
	known  map[string]knownMember
	events []memberEvent // oldest first
	seen   time.Time     // of the last comparison; zero: there was none
	here   bool          // that was in this run
	kept   time.Time     // seen, as it stands in the file
	dirty  bool
}

// knownMember is a process as it was seen last.
type knownMember struct {
	Runs []string  `json:"runs,omitempty"`
	Lost time.Time `json:"lost,omitzero"` // zero: it is listed
}

// keptLog is the file of a memberLog.
type keptLog struct {
	Seen    time.Time              `json:"seen"`
	Members map[string]knownMember `json:"members"`
	Events  []memberEvent          `json:"events"`
}

// compare appends what has changed since the last comparison. The first one without a file only begins the log.
func (l *memberLog) compare(now time.Time, members []membership.Member, entries []discovery.Entry) {
	runs := offered(entries)
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.seen.IsZero()
	next := make(map[string]knownMember, len(members))
	var news []memberEvent
	for i := range members {
		process := members[i].Owner.String()
		if len(next) == keptMembers {
			break
		}
		was, known := l.known[process]
		is := was.next(members[i].Gone != "", runs[process], now)
		next[process] = is
		e := memberEvent{At: now, Process: process, Runs: is.Runs}
		switch e.Kind = changeOf(was, is, known); e.Kind {
		case "":
			news = append(news, l.changedOffers(e, was.Runs)...)
			continue
		case memberLost:
			e.Why = members[i].Gone
		case memberBack:
			e.After = now.Sub(was.Lost)
		}
		news = append(news, e)
	}
	for process, was := range l.known {
		if _, is := next[process]; !is && len(next) < keptMembers {
			e := memberEvent{At: now, Kind: memberLeft, Process: process, Runs: was.Runs}
			if !was.Lost.IsZero() {
				e.Kind = memberEnded
			}
			news = append(news, e)
		}
	}
	if !first {
		l.append(news, now)
	}
	l.dirty = l.dirty || first
	l.known, l.seen, l.here = next, now, true
}

// next is the process as it is seen now. A lost one keeps what it offered.
func (was knownMember) next(gone bool, runs []string, now time.Time) knownMember {
	switch {
	case !gone:
		return knownMember{Runs: runs}
	case was.Lost.IsZero():
		return knownMember{Runs: was.Runs, Lost: now}
	}
	return was
}

// changeOf is the kind of event that has happened to a process on the list, "" for none.
func changeOf(was, is knownMember, known bool) string {
	lost, wasLost := !is.Lost.IsZero(), !was.Lost.IsZero()
	switch {
	case !known && !lost:
		return memberJoined
	case known && lost && !wasLost:
		return memberLost
	case known && !lost && wasLost:
		return memberBack
	}
	return ""
}

// changedOffers are the services that a process offers newly, and no longer.
func (l *memberLog) changedOffers(e memberEvent, before []string) (list []memberEvent) {
	more := without(e.Runs, before)
	if e.Runs = without(before, e.Runs); len(e.Runs) > 0 {
		e.Kind = memberWithdrew
		list = append(list, e)
	}
	if len(more) > 0 && !l.joinedWith(e.Process, more, e.At) {
		e.Kind, e.Runs = memberOffers, more
		list = append(list, e)
	}
	return list
}

// append adds events to the log.
func (l *memberLog) append(news []memberEvent, now time.Time) {
	if len(news) == 0 {
		return
	}
	going := map[string]bool{}
	for i := range news {
		if k := news[i].Kind; k == memberLeft || k == memberLost {
			going[news[i].Process] = true
		}
	}
	withdrawn := l.takeWithdrawn(going, now)
	for i := range news {
		e := &news[i]
		if going[e.Process] {
			e.Runs = compact(slices.Concat(e.Runs, withdrawn[e.Process]))
		}
		e.Runs = e.Runs[:min(len(e.Runs), shownRuns)]
		if !l.here {
			e.Since = l.seen
		}
	}
	l.events = append(l.events, gathered(news)...)
	l.events = slices.Clone(l.events[max(0, len(l.events)-keptEvents):])
	l.dirty = true
}

// offered are the services of each process, in order.
func offered(entries []discovery.Entry) map[string][]string {
	runs := map[string][]string{}
	for i := range entries {
		e := &entries[i]
		if strings.HasPrefix(e.Service, internalPrefix) || e.State == discovery.Gone || len(e.Sources) == 0 {
			continue
		}
		runs[e.Owner] = append(runs[e.Owner], strings.TrimSuffix(e.Service+"/"+e.Version, "/"))
	}
	for process := range runs {
		runs[process] = compact(runs[process])
	}
	return runs
}

// without is what a list has, and another one has not.
func without(list, other []string) (rest []string) {
	for _, s := range list {
		if !slices.Contains(other, s) {
			rest = append(rest, s)
		}
	}
	return rest
}

// joinedWith adds services to the event of a process that has joined just now: lists show them a little later.
func (l *memberLog) joinedWith(process string, runs []string, now time.Time) bool {
	for i := len(l.events) - 1; i >= 0 && now.Sub(l.events[i].At) <= togetherTime; i-- {
		e := &l.events[i]
		if e.Process == process && (e.Kind == memberJoined || e.Kind == memberBack) {
			e.Runs = compact(slices.Concat(e.Runs, runs))
			e.Runs = e.Runs[:min(len(e.Runs), shownRuns)]
			l.dirty = true
			return true
		}
	}
	return false
}

// takeWithdrawn takes the events of the last withdrawals off the log, for processes that go now: a process that stops
// withdraws its services first. It returns these by process.
func (l *memberLog) takeWithdrawn(going map[string]bool, now time.Time) map[string][]string {
	runs := map[string][]string{}
	for i := len(l.events) - 1; i >= 0 && len(going) > 0 && now.Sub(l.events[i].At) <= stopTime; i-- {
		if e := l.events[i]; e.Kind == memberWithdrew && e.Others == 0 && going[e.Process] {
			runs[e.Process] = append(runs[e.Process], e.Runs...)
			l.events = slices.Delete(l.events, i, i+1)
		}
	}
	return runs
}

// gathered are events of one moment in order. Many of one kind become one event, because then the network of the
// console was away.
func gathered(news []memberEvent) (list []memberEvent) {
	slices.SortStableFunc(news, func(a, b memberEvent) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Why, b.Why), cmp.Compare(a.Process, b.Process))
	})
	for len(news) > 0 {
		n := 1
		for n < len(news) && news[n].Kind == news[0].Kind && news[n].Why == news[0].Why {
			n++
		}
		if n > singleEvents {
			e := news[0]
			e.Others, e.Runs = n-1, nil
			list = append(list, e)
		} else {
			list = append(list, news[:n]...)
		}
		news = news[n:]
	}
	return list
}

// all are the events, oldest first.
func (l *memberLog) all() []memberEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// load takes what the last run has kept.
func (l *memberLog) load() error {
	if l.dir == "" {
		return nil
	}
	path := filepath.Join(l.dir, membersFile)
	if err := private(path); err != nil {
		return err
	}
	text, err := statedir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var k keptLog
	if err := json.Unmarshal(text, &k); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.seen, l.kept, l.here = k.Members, k.Seen, k.Seen, false
	l.events = k.Events[max(0, len(k.Events)-keptEvents):]
	return nil
}

// save writes what has changed; at the end also when the console looked last.
func (l *memberLog) save(end bool) error {
	l.mu.Lock()
	if !l.here || l.dir == "" || !l.dirty && !end && l.seen.Sub(l.kept) < seenPeriod {
		l.mu.Unlock()
		return nil
	}
	k := keptLog{l.seen, maps.Clone(l.known), slices.Clone(l.events)}
	l.dirty = false
	l.mu.Unlock()
	text, err := json.Marshal(k)
	if err == nil {
		err = statedir.WriteFile(filepath.Join(l.dir, membersFile), text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept = k.Seen; err != nil {
		l.dirty = true
	}
	return err
}

// goneTexts are the texts of how a process has left the lists.
var goneTexts = map[string]string{
	"expired":                                 "history.gone-expired",
	"silent":                                  "history.gone-silent",
	"no registry lists it any more":           "history.gone-unlisted",
	"it has stopped introducing itself":       "history.gone-faded",
	"not heard of since this process started": "history.gone-unheard",
}

// reason is how a process has left the lists.
func (e memberEvent) reason() phrase {
	if key := goneTexts[e.Why]; key != "" {
		return say(key)
	}
	return plain(e.Why)
}

// change is an event as a line of the history.
func (e memberEvent) change() change {
	runs, why := say("history.no-service"), e.reason()
	if len(e.Runs) > 0 {
		runs = plain(strings.Join(e.Runs, ", "))
	}
	key := "history.member-" + e.Kind
	if e.Others > 0 {
		key = "history.members-" + e.Kind
	}
	what := say(key, "process", e.Process, "others", e.Others, "runs", runs, "time", lasting(e.After))
	c := change{At: e.At, Kind: memberKind, What: what, Cause: why, Bad: e.Kind == memberLost}
	if !e.Since.IsZero() {
		c.What = say("history.unseen", "what", what, "since", e.Since.Local().Format("2006-01-02 15:04"))
	}
	c.Line, c.Causes = c.What.In(english), c.Cause.In(english)
	return c
}
