package control

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/wire"
)

// Condition is the clock, the memory and the registries of a process, as it sees them.
type Condition struct {
	Process string
	Clock   time.Duration // by which its clock is ahead of this one's
	Doubt   time.Duration // by which Clock may be wrong: half of the time of the question
	Memory  int64         // bytes that it takes on its host; 0: not known
	Sources []SourceState
}

// SourceState is a registry as a process sees it.
type SourceState struct {
	Name   string        // database or lan
	Lost   string        // why it can't be reached; "": it can
	Others int           // further processes that it lists or, of a LAN, that are heard there
	Heard  time.Duration // since one of those was heard; of a LAN with Others only
}

// mostSources bounds the registries that are believed of a process.
const mostSources = 4

// Conditions asks every other process of the site for its condition. Processes that do not answer, and those of older
// releases, are absent.
func Conditions(ctx context.Context, n *skerry.Node) (list []Condition, err error) {
	var mu sync.Mutex
	err = askMembers(ctx, n, func(ctx context.Context, p *membership.Peer) {
		asked := time.Now()
		told, err := p.Client().Condition(ctx)
		if err != nil {
			return
		}
		c := conditionOf(p.Owner.String(), told, asked, time.Now())
		mu.Lock()
		defer mu.Unlock()
		list = append(list, c)
	})
	slices.SortFunc(list, func(a, b Condition) int { return cmp.Compare(a.Process, b.Process) })
	return list, err
}

// conditionOf reads an answer that came between two times. It bounds every value, because a member may send any.
func conditionOf(process string, told *wire.Condition, asked, came time.Time) Condition {
	took := came.Sub(asked)
	c := Condition{Process: process, Doubt: took / 2, Memory: max(0, told.GetMemory()),
		Clock: time.UnixMicro(told.GetClockUs()).Sub(asked.Add(took / 2).Round(0))}
	for _, s := range told.GetSources() {
		if s == nil || !toldNames(s.GetName()) || len(c.Sources) == mostSources {
			continue
		}
		c.Sources = append(c.Sources, SourceState{Name: s.GetName(), Lost: quote.Text(s.GetLost()),
			Others: int(max(0, s.GetOthers())), Heard: time.Duration(max(0, s.GetHeardMs())) * time.Millisecond})
	}
	return c
}
