package control

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/spans"
	"github.com/skerry/skerry/rpc"
)

// TraceFilter selects traces: those with one span that fits every field. A field with its zero value fits every span.
type TraceFilter struct {
	Service string
	Method  string
	Failure string // code
	Mark    string // of the release
	Since   time.Duration
	Slower  time.Duration
	Failed  bool // those that failed, the newest first; false: the slowest first
	Most    int  // traces; 0 and more than MostTraces count as MostTraces
}

// MostTraces is the largest number of traces of one list.
const MostTraces = 50

// Traces are traces as the processes of the site remember them.
type Traces struct {
	List     []Trace
	Answered int               // processes
	Silent   map[string]string // by process: why it tells nothing
	More     bool              // there are further ones
	Every    int               // calls that are neither slow nor failed are kept of one trace in this many
}

// errSpansTooOld: the process is of a release that keeps no spans.
var errSpansTooOld = errors.New("its release of skerry is too old to keep spans")

// told is a span with the process that has told it, and its time by the clock of this process.
type told struct {
	spans.Span
	process string
	at      time.Time
}

// Tracer finds traces through a node. Its methods may be called from any goroutine. The first question waits for the
// lists of processes, later ones do not.
type Tracer struct{ s *site }

// NewTracer returns a tracer, which asks nothing yet.
func NewTracer(n *skerry.Node) *Tracer { return &Tracer{newSite(n)} }

// List asks every other process of the site for its slowest or failed calls, and then for all spans of their traces.
func (t *Tracer) List(ctx context.Context, f TraceFilter) (Traces, error) {
	if f.Most <= 0 || f.Most > MostTraces {
		f.Most = MostTraces
	}
	q := spans.Filter{Service: f.Service, Method: f.Method, Failure: f.Failure, Mark: f.Mark, Since: f.Since,
		Slower: f.Slower, Slowest: !f.Failed}
	if f.Failed && q.Failure == "" {
		q.Failure = spans.AnyFailure
	}
	others, err := t.s.others(ctx)
	if err != nil {
		return Traces{}, err
	}
	q.Most = min(max(spansAsked/max(len(others), 1), leastAsked), mostAsked)
	found, first := t.ask(ctx, others, q)
	ids, more := choose(found, f)
	all := first
	if len(ids) > 0 {
		var whole []told
		whole, all = t.ask(ctx, others, spans.Filter{Traces: ids})
		all.List = join(append(whole, found...), ids)
	}
	all.More = more || first.More
	return all, nil
}

// Bounds of the spans that are asked for to make a list: of all processes, and of each one.
const (
	spansAsked = 5000
	mostAsked  = 200
	leastAsked = 20
)

// choose picks the traces of a list, the slowest or the newest first.
func choose(found []told, f TraceFilter) (ids [][16]byte, more bool) {
	slices.SortStableFunc(found, func(a, b told) int {
		if f.Failed {
			return b.at.Compare(a.at)
		}
		return cmp.Compare(b.Took, a.Took)
	})
	seen := map[[16]byte]bool{}
	for _, s := range found {
		if seen[s.Trace] {
			continue
		}
		if len(ids) == f.Most {
			return ids, true
		}
		seen[s.Trace] = true
		ids = append(ids, s.Trace)
	}
	return ids, false
}

// One asks every other process of the site for the spans of one trace. The list is empty when none keeps any.
func (t *Tracer) One(ctx context.Context, id [16]byte) (Traces, error) {
	others, err := t.s.others(ctx)
	if err != nil {
		return Traces{}, err
	}
	found, all := t.ask(ctx, others, spans.Filter{Traces: [][16]byte{id}})
	all.List = join(found, [][16]byte{id})
	return all, nil
}

// ask asks all processes at once.
func (t *Tracer) ask(ctx context.Context, others []membership.Member, f spans.Filter) (found []told, all Traces) {
	all = Traces{Silent: map[string]string{}, Every: spans.Every}
	for _, k := range others {
		all.Silent[k.Owner.String()] = errNoAnswer.Error()
	}
	own := time.Now()
	mine, more := t.s.n.Spans().Find(f)
	for _, s := range mine { // the console of a program that calls services itself
		found = append(found, told{s, t.s.m.Owner().String(), own.Add(-s.Began)})
	}
	all.More = more
	var mu sync.Mutex
	t.s.m.Each(ctx, others, func(ctx context.Context, p *membership.Peer) {
		asked := time.Now()
		list, more, err := p.Spans(ctx, f)
		answered := time.Now()
		mu.Lock()
		defer mu.Unlock()
		process := p.Owner.String()
		if err != nil {
			all.Silent[process] = spanSilence(err)
			return
		}
		delete(all.Silent, process)
		all.Answered++
		all.More = all.More || more
		// The ages are those of the moment in which the process has looked, between question and answer.
		looked := asked.Add(answered.Sub(asked) / 2)
		for _, s := range list {
			found = append(found, told{s, process, looked.Add(-s.Began)})
		}
	})
	return found, all
}

// spanSilence says why a process tells no spans.
func spanSilence(err error) string {
	if rpc.CodeOf(err) == rpc.UnknownMethod {
		err = errSpansTooOld
	}
	return err.Error()
}

// ParseTraceID reads a trace id or a traceparent, also with the quotes, blanks or header name that are copied with it.
func ParseTraceID(text string) (id [16]byte, err error) {
	_, after, named := strings.Cut(text, ":")
	if named {
		text = after
	}
	s := strings.ToLower(strings.Trim(text, " \t\r\n\"'"))
	if parts := strings.Split(s, "-"); len(parts) >= 4 {
		s = parts[1]
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || [16]byte(b) == id {
		return id, fmt.Errorf("%.80q is neither a traceparent (00-TRACE-SPAN-FLAGS) nor a trace id of 32 hexadecimal "+
			"digits", text)
	}
	return [16]byte(b), nil
}
