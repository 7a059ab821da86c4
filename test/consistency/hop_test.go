//go:build linux

package consistency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/rpc"
	"github.com/skerry/skerry/test/consistency/hop"
)

// agent carries out plans as one service.
type agent struct {
	part
	process string
	node    *skerry.Node
	out     *lines
	spans   atomic.Int64

	mu    sync.Mutex // orders the beginnings of spans with the applied entries
	stubs map[string]func() *hop.HopClient
}

func newAgent(p part, node *skerry.Node, out *lines) *agent {
	return &agent{part: p, process: node.Rollout().Process(), node: node, out: out,
		stubs: map[string]func() *hop.HopClient{}}
}

func (a *agent) Visit(ctx context.Context, text string) error {
	if a.FailsCopies && isCopy(ctx) {
		_ = a.do(ctx, text, false)
		return errors.New("the version can't bear copies")
	}
	if failed := a.do(ctx, text, slices.Contains(a.Entry, "visit")); failed != nil {
		return failed
	}
	return nil
}

func (a *agent) Post(ctx context.Context, text string) error {
	if failed := a.do(ctx, text, slices.Contains(a.Entry, "post")); failed != nil {
		return failed
	}
	return nil
}

// do carries out the plan of a call.
func (a *agent) do(ctx context.Context, text string, entry bool) *hop.Failed {
	var e errand
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return &hop.Failed{Code: "errand", Reason: err.Error()}
	}
	e = asCopy(ctx, e)
	span := a.begin(ctx, e, entry && e.Parent == "")
	failed := a.work(ctx, e.Trace, span, e.Plan)
	a.end(ctx, span, failed)
	return failed
}

// asCopy gives the copy of a call (mirror in the site's policy) a trace of its own: it has a token of its own, and no
// caller of the copied trace waits for it.
func asCopy(ctx context.Context, e errand) errand {
	if !isCopy(ctx) || strings.Contains(e.Trace, copied) {
		return e
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(rpc.CallInfoFrom(ctx).Trace, "00-"), "-")
	e.Trace, e.Parent = e.Trace+copied+id, "copied by "+e.Parent
	return e
}

// isCopy reports whether a call belongs to a copy.
func isCopy(ctx context.Context) bool {
	info := rpc.CallInfoFrom(ctx)
	return info != nil && tracecontext.Member(info.Baggage, tracecontext.MirrorMember) != ""
}

// copied stands in the name of the trace of a copy, between the name of the copied trace and its own W3C id.
const copied = "~copy-"

// begin notes that a plan has begun.
func (a *agent) begin(ctx context.Context, e errand, entry bool) string {
	id := fmt.Sprintf("%s#%d", a.Name, a.spans.Add(1))
	a.mu.Lock()
	defer a.mu.Unlock()
	log := a.node.Rollout().Log()
	a.out.note(note{Kind: began, ID: id, Trace: e.Trace, Parent: e.Parent, Entry: entry, Service: a.Service,
		Version: a.Version,
		Process: a.process, Token: tokenOf(ctx), Applied: log.Last().String(), Log: log.Hash(), At: time.Now()})
	return id
}

// end notes the end of a span, and the last token of its calls.
func (a *agent) end(ctx context.Context, id string, failed *hop.Failed) {
	n := note{Kind: ended, ID: id, Token: tokenOf(ctx), Applied: a.node.Rollout().Log().Last().String(), At: time.Now()}
	if failed != nil {
		n.Code, n.Text = failed.Code, failed.Reason
	}
	a.out.note(n)
}

func tokenOf(ctx context.Context) string {
	if t := participant.TraceFrom(ctx); t != nil {
		return t.Token().String()
	}
	return ""
}

// work carries out a plan.
func (a *agent) work(ctx context.Context, trace, span string, p plan) *hop.Failed {
	if p.Stubborn {
		ctx = context.WithoutCancel(ctx)
	}
	pause(ctx, p.Hold)
	for p.Until != "" && ctx.Err() == nil {
		if _, err := os.Stat(p.Until); err == nil {
			break
		}
		pause(ctx, 20*time.Millisecond)
	}
	if p.Forgets { // its callees know nothing of the trace
		ctx, trace, span = context.Background(), trace+"~"+span, ""
	}
	failures := make([]*hop.Failed, len(p.Calls))
	var all sync.WaitGroup
	for i, c := range p.Calls {
		if p.AtOnce {
			all.Go(func() { failures[i] = a.call(ctx, trace, span, c) })
			continue
		}
		if failures[i] = a.call(ctx, trace, span, c); failures[i] != nil {
			break
		}
	}
	all.Wait()
	for _, failed := range failures {
		if failed != nil {
			return failed
		}
	}
	pause(ctx, p.Rest)
	return nil
}

// call makes one call of a plan.
func (a *agent) call(ctx context.Context, trace, span string, p plan) *hop.Failed {
	if p.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Patience)
		defer cancel()
	}
	client, text := a.stub(p.To)(), errand{trace, span, p}.String()
	var err error
	if p.OneWay {
		err = client.Post(ctx, text)
	} else {
		err = client.Visit(ctx, text)
	}
	if err == nil {
		return nil
	}
	failed := failure(err)
	if refusals[failed.Code] != nil && !errors.As(err, new(*hop.Failed)) { // by its process, or without one
		a.out.note(note{Kind: refused, Trace: trace, Parent: span, Service: p.To, Process: a.process,
			Token: tokenOf(ctx), Code: failed.Code, Text: failed.Reason, At: time.Now()})
	}
	if p.Optional {
		return nil
	}
	return failed
}

// failure returns why a call failed, as reported by the first process that detected it.
func failure(err error) *hop.Failed {
	if failed, ok := errors.AsType[*hop.Failed](err); ok {
		return failed
	}
	return &hop.Failed{Code: rpc.CodeOf(err).String(), Reason: err.Error()}
}

func (a *agent) stub(service string) func() *hop.HopClient {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.stubs[service]
	if s == nil {
		s = skerry.Stub(a.node, service, hop.NewHopClient)
		a.stubs[service] = s
	}
	return s
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
