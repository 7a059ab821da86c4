//go:build linux

package consistency

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// note is a line that a process writes.
type note struct {
	Kind    string        `json:"kind"`
	At      time.Time     `json:"at"`
	ID      string        `json:"id,omitempty"`
	Trace   string        `json:"trace,omitempty"`
	Parent  string        `json:"parent,omitempty"`
	Entry   bool          `json:"entry,omitempty"`
	Service string        `json:"service,omitempty"`
	Version string        `json:"version,omitempty"`
	Process string        `json:"process,omitempty"`
	Token   string        `json:"token,omitempty"`
	Applied string        `json:"applied,omitempty"`
	Log     string        `json:"log,omitempty"`  // hash of the entry of Applied
	Code    string        `json:"code,omitempty"` // "" for success
	Text    string        `json:"text,omitempty"`
	Key     string        `json:"key,omitempty"`
	PID     int           `json:"pid,omitempty"` // of the process that is ready
	Took    time.Duration `json:"took,omitempty"`
}

// The kinds of notes.
const (
	ready   = "ready"   // the process is there
	left    = "left"    // it has ended without an error
	began   = "began"   // a plan has begun
	ended   = "ended"   // it has ended or failed
	refused = "refused" // a call was not executed because of the release
	asked   = "asked"   // a user's request is over
	counted = "counted" // orphans of a leaving process, in Text
	fatal   = "fatal"
)

// refusals are the codes by which calls are refused, as the checker knows them.
var refusals = map[string]error{
	"retired":             rollout.ErrRetired,
	"wrong_version":       rollout.ErrWrongVersion,
	"rules_needed":        rollout.ErrStale,
	"version_unavailable": rollouttest.ErrVersionUnavailable,
	"orphan":              participant.ErrOrphan,
	"rules_forked":        rollout.ErrOtherLog,
}

// lines writes notes from many goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) note(n note) {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // every note can be encoded
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(append(text, '\n')) // without a reader the test is over
}

// book holds the notes of the processes of a site.
type book struct {
	mu       sync.Mutex
	notes    map[string][]note // all but ended, by kind
	ends     map[string]note   // by span
	finished map[string]time.Time
}

func newBook() *book {
	return &book{notes: map[string][]note{}, ends: map[string]note{}, finished: map[string]time.Time{}}
}

// follow reads the lines of a process to their end.
func (b *book) follow(name string, r io.Reader) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var n note
		if err := json.Unmarshal(in.Bytes(), &n); err != nil {
			n = note{Kind: fatal, At: time.Now(), Text: in.Text()}
		}
		if n.Process == "" {
			n.Process = name
		}
		b.mu.Lock()
		if n.Kind == ended {
			b.ends[n.ID] = n
		} else {
			b.notes[n.Kind] = append(b.notes[n.Kind], n)
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finished[name] = time.Now()
}

// of returns the notes of a kind for which keep holds.
func (b *book) of(kind string, keep func(note) bool) []note {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []note
	for _, n := range b.notes[kind] {
		if keep == nil || keep(n) {
			out = append(out, n)
		}
	}
	return out
}

// count returns how many notes of a kind there are for which keep holds.
func (b *book) count(kind string, keep func(note) bool) int { return len(b.of(kind, keep)) }

// over returns when the process's lines ended, zero while it runs.
func (b *book) over(name string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.finished[name]
}

// open returns the spans that have begun and not ended.
func (b *book) open() (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.notes[began] {
		if _, over := b.ends[n.ID]; !over {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// met reports whether the span of a note executed a version of a service.
func met(service, version string) func(note) bool {
	return func(n note) bool { return n.Service == service && n.Version == version }
}

// spans returns the spans for the checker.
func (b *book) spans(faulted func(note) bool) ([]rollouttest.Span, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	tokens := map[string]string{} // of the calls that a span has made
	for _, n := range b.notes[began] {
		tokens[n.Parent] = n.Token
	}
	var out []rollouttest.Span
	for _, n := range slices.Concat(b.notes[began], b.notes[refused]) {
		end, over := b.ends[n.ID]
		minted := "" // before its first executed call, the token of an entry may have been replaced
		if n.Entry && over {
			minted, n.Token = end.Applied, end.Token
		} else if t := tokens[n.ID]; n.Entry && t != "" && t != n.Token {
			minted, n.Token = generationOf(t), t
		}
		s := rollouttest.Span{Trace: n.Trace, ID: n.ID, Parent: n.Parent, Entry: n.Entry, Service: n.Service,
			Version: n.Version,
			Process: n.Process, Faulted: faulted(n), Refused: refusals[n.Code], Log: n.Log}
		var err error
		if s.Token, err = rollout.ParseToken(n.Token); err != nil && (n.Token != "" || n.Kind == began) {
			return nil, fmt.Errorf("span %s: %w", n.ID, err)
		}
		if n.Kind == began {
			s.Begin, s.End, s.Refused = n.At, end.At, nil
			if s.Applied, err = rollout.ParseGeneration(n.Applied); err != nil {
				return nil, fmt.Errorf("span %s: %w", n.ID, err)
			}
			if s.Minted, err = rollout.ParseGeneration(minted); err != nil && minted != "" {
				return nil, fmt.Errorf("span %s: %w", n.ID, err)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// generationOf is the generation of a token.
func generationOf(token string) string {
	t, err := rollout.ParseToken(token)
	if err != nil {
		return ""
	}
	return t.Generation.String()
}
