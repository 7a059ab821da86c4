//go:build linux

package guarantees

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// record is one call of a consumer.
type record struct {
	caller   string
	start    time.Time
	took     time.Duration
	who      string // name of the provider that answered; for a failed call the instance, or "-"
	code     string // "ok" or the rpc.Code
	executed string // 0 unknown, 1 not, 2 was executed: only for failed calls
	text     string
}

func (r record) failed() bool { return r.code != "ok" }

// journal holds the lines of a test's consumers so far.
type journal struct {
	mu      sync.Mutex
	records []record
	answers map[pair]answered
	events  map[string]time.Time // ready, serve, left
	lists   map[string][]listing
	fatal   []string
}

// pair is a consumer and a provider that has answered it.
type pair struct{ caller, who string }

// answered is when the first answer came and when the last answered call began. Scenes wait for both, and the records
// are too many to be searched each time.
type answered struct{ first, last time.Time }

func (a answered) and(b answered) answered {
	if a.first.IsZero() || b.first.Before(a.first) {
		a.first = b.first
	}
	if b.last.After(a.last) {
		a.last = b.last
	}
	return a
}

// listing is a state of a consumer's list.
type listing struct {
	at    time.Time
	names []string // of providers; with a * those that no live source lists
}

func (l listing) has(name string) bool {
	return slices.Contains(l.names, name) || slices.Contains(l.names, name+"*")
}

func newJournal() *journal {
	return &journal{answers: map[pair]answered{}, events: map[string]time.Time{}, lists: map[string][]listing{}}
}

// follow reads a process's lines until it ends.
func (j *journal) follow(name string, r io.Reader) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		j.line(name, sc.Text())
	}
}

func (j *journal) line(name, line string) {
	kind, rest, _ := strings.Cut(line, " ")
	j.mu.Lock()
	defer j.mu.Unlock()
	switch kind {
	case "call":
		r, err := parseRecord(rest)
		if err != nil {
			j.fatal = append(j.fatal, fmt.Sprintf("%s: %q: %v", name, line, err))
			return
		}
		r.caller = name
		j.records = append(j.records, r)
		if !r.failed() {
			p := pair{name, r.who}
			j.answers[p] = j.answers[p].and(answered{r.start.Add(r.took), r.start})
		}
	case "ready", "serve", "left":
		ns, _ := strconv.ParseInt(rest, 10, 64)
		j.events[name+" "+kind] = time.Unix(0, ns)
	case "list":
		at, names, _ := strings.Cut(rest, " ")
		ns, _ := strconv.ParseInt(at, 10, 64)
		j.lists[name] = append(j.lists[name], listing{time.Unix(0, ns), strings.Fields(names)})
	default:
		j.fatal = append(j.fatal, name+": "+line)
	}
}

func parseRecord(s string) (record, error) {
	f := strings.SplitN(s, " ", 6)
	if len(f) != 6 {
		return record{}, fmt.Errorf("%d fields", len(f))
	}
	start, err1 := strconv.ParseInt(f[0], 10, 64)
	took, err2 := strconv.ParseInt(f[1], 10, 64)
	if err1 != nil || err2 != nil {
		return record{}, fmt.Errorf("times %q %q", f[0], f[1])
	}
	return record{"", time.Unix(0, start), time.Duration(took), f[2], f[3], f[4], f[5]}, nil
}

// calls returns the records for which keep holds, in the order of their start.
func (j *journal) calls(keep func(record) bool) []record {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []record
	for _, r := range j.records {
		if keep(r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b record) int { return a.start.Compare(b.start) })
	return out
}

// failures returns the failed calls that began in [from, to).
func (j *journal) failures(from, to time.Time) []record {
	return j.calls(func(r record) bool { return r.failed() && !r.start.Before(from) && r.start.Before(to) })
}

// firstAnswer returns the end of the first call that name answered, or zero.
func (j *journal) firstAnswer(name string) time.Time { return j.firstAnswerTo("", name) }

// firstAnswerTo is the same for the calls of one consumer; "" means any.
func (j *journal) firstAnswerTo(caller, name string) time.Time { return j.answered(caller, name).first }

// lastAnswer returns the begin of the last call that name answered, or zero.
func (j *journal) lastAnswer(name string) time.Time { return j.answered("", name).last }

// answered is about the calls of one consumer; "" means any.
func (j *journal) answered(caller, name string) (all answered) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for p, a := range j.answers {
		if p.who == name && (caller == "" || p.caller == caller) {
			all = all.and(a)
		}
	}
	return all
}

// at returns when a process reported an event, or zero.
func (j *journal) at(name, event string) time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.events[name+" "+event]
}

// listings returns all states of a consumer's list, in order.
func (j *journal) listings(consumer string) []listing {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lists[consumer])
}

// shows reports whether a consumer lists exactly these now.
func (j *journal) shows(consumer string, names ...string) bool {
	all := j.listings(consumer)
	slices.Sort(names)
	return len(all) > 0 && slices.Equal(all[len(all)-1].names, names)
}

// unlisted returns when a name that was listed before, as stale or not, first left a consumer's
// list, or zero.
func (j *journal) unlisted(consumer, name string) time.Time {
	had := false
	for _, l := range j.listings(consumer) {
		has := l.has(name)
		if had && !has {
			return l.at
		}
		had = has
	}
	return time.Time{}
}

func (j *journal) fatals() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.fatal)
}

// setUp bounds the preparation of a scene. It is not a promise: many scenes begin at once, with
// dozens of processes on one machine.
const setUp = 30 * time.Second

// eventually waits until ok holds and fails the test with what after limit.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) time.Time {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		if ok() {
			return time.Now()
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// noFailures fails the test if a call that began in [from, to) failed.
func noFailures(t *testing.T, j *journal, from, to time.Time) {
	t.Helper()
	failed := j.failures(from, to)
	for i, r := range failed {
		if i == 5 {
			break
		}
		t.Logf("failed call %v after the start of the scene: %s %s %s", r.start.Sub(from).Round(time.Millisecond),
			r.who, r.code, r.text)
	}
	total := len(j.calls(func(r record) bool { return !r.start.Before(from) && r.start.Before(to) }))
	if len(failed) > 0 {
		t.Fatalf("%d of %d calls failed, want 0", len(failed), total)
	}
	if total < 50 {
		t.Fatalf("only %d calls were made: the scene proves nothing", total)
	}
	t.Logf("%d calls, 0 failed", total)
}
