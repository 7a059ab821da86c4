package participant

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/rollout"
)

// ledger counts the spans that are alive in one process: handlers that run,
// roots that were begun, and calls handed to others that those have not yet
// accepted. It may be used from any goroutine; counting takes no lock while
// the rules stay the same.
//
// What it reports is windowed: a span counts for the round in which it ended,
// too. Without that, a chain of one-way calls can hop round the collector and
// never be seen (a test shows the shortest such schedule).
type ledger struct {
	mu    sync.Mutex
	cells map[class]*cell
	round uint64         // of the last report
	after uint64         // of the report before it, with which its window begins
	held  map[class]bool // what the last report said, for a repeated question
	// carried is what was alive after the first report of the round.
	carried map[class]bool
	emptied chan struct{} // closed when a watched cell is empty; nil: nobody waits
}

// class is what spans are counted by: the generation they read, what they
// run, the service/version that executes them ("" for a root that is no
// handler), and, when the work has said so, whom alone it still calls.
type class struct {
	generation rollout.Generation
	origin     string
	running    string
	narrow     bool
	only       string // services, by commas
	outside    bool   // brought by a caller that has not shown that it is of the site
}

// cell counts the spans of one class. A cell that a report found empty is
// gone for good: its count stays far below zero.
type cell struct {
	ledger  *ledger
	class   class
	live    atomic.Int64
	ended   atomic.Bool            // a span was alive since the last report and is no more
	watched atomic.Bool            // somebody waits until it is empty
	from    atomic.Pointer[string] // of outside: the address of the newest caller
}

const gone = -1 << 40

// begin counts a span; false: the cell is gone.
func (c *cell) begin() bool { return c.live.Add(1) > 0 }

// end says that a span was there before it is there no more: a report that
// comes between the two sees it twice, never not at all.
func (c *cell) end() {
	if !c.ended.Load() {
		c.ended.Store(true)
	}
	if c.live.Add(-1) == 0 && c.watched.Load() {
		c.ledger.wake()
	}
}

// span is one unit of work that holds its generation. It is released when its
// handler has ended and every hand-off was accepted or given up.
type span struct {
	cell  *cell
	holds atomic.Int32 // 1 for the handler, 1 for each open hand-off
}

// begin counts a span of the class.
func (l *ledger) begin(k class) *cell {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.cells[k]
	if c == nil {
		if l.cells == nil {
			l.cells = map[class]*cell{}
		}
		c = &cell{ledger: l, class: k}
		l.cells[k] = c
	}
	c.begin()
	return c
}

// begin makes s the span that c has counted.
func (s *span) begin(c *cell) {
	s.cell = c
	s.holds.Store(1)
}

// handOff keeps the span counted until the receiver of a one-way call has
// counted its own: call release when it has accepted, refused, or the call's
// deadline has passed. False: the span is over and holds nothing.
func (s *span) handOff() bool {
	for {
		n := s.holds.Load()
		if n == 0 {
			return false
		}
		if s.holds.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends one hold: the handler's own, or that of one hand-off.
func (s *span) release() {
	switch n := s.holds.Add(-1); {
	case n == 0:
		s.cell.end()
	case n < 0:
		panic("rollout: span released twice")
	}
}

// drop is release for a hold that handOff may not have taken.
func (s *span) drop() {
	if s.holds.Load() > 0 {
		s.release()
	}
}

// report answers a round's question: what reads a generation before until and
// was alive at any time since the answer to an earlier round, whose number is
// after. The same round asked again gives an answer that includes the first
// one, so that a lost answer loses nothing; an older round is answered like
// the current one, whose number is returned. Round 0 only looks.
func (l *ledger) report(round uint64, until rollout.Generation) (held []rollout.Inflight, answered, after uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	again := round <= l.round
	if !again {
		l.after, l.round, l.held, l.carried = l.round, round, l.carried, nil
	}
	if l.held == nil {
		l.held = map[class]bool{}
	}
	live, from := map[class]int64{}, map[class]string{}
	for k, c := range l.cells {
		live[k] = max(0, c.live.Load())
		if a := c.from.Load(); a != nil {
			from[k] = *a
		}
		if !l.look(c) {
			continue
		}
		l.held[k] = true
		if again { // nobody may read this answer: the next round says it, too
			if l.carried == nil {
				l.carried = map[class]bool{}
			}
			l.carried[k] = true
		}
	}
	for k := range l.held {
		if k.generation.Before(until) && !(k.narrow && k.only == "") {
			held = append(held, k.held(int(live[k]), from[k]))
		}
	}
	slices.SortFunc(held, rollout.Inflight.Compare)
	return held, l.round, l.after
}

func (k class) held(live int, from string) rollout.Inflight {
	h := rollout.Inflight{What: k.origin, Generation: k.generation, Live: live, Outside: k.outside, From: from}
	if k.narrow {
		h.Calls = strings.Split(k.only, ",")
	}
	return h
}

// idle reports whether no span that is alive reads a generation from floor, or
// from stranger of one brought from outside, to before until, those aside that
// call only some; else more is closed when it is worth asking again.
func (l *ledger) idle(floor, stranger, until rollout.Generation) (yes bool, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.emptied == nil {
		l.emptied = make(chan struct{})
	}
	yes = true
	for k, c := range l.cells {
		if !k.generation.Before(until) || k.generation.Before(floor) || k.narrow || k.outside && k.generation.Before(stranger) {
			continue
		}
		c.watched.Store(true) // before the count is read: it may fall now
		yes = yes && c.live.Load() <= 0
	}
	return yes, l.emptied
}

func (l *ledger) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.emptied != nil {
		close(l.emptied)
		l.emptied = nil
	}
}

// look reports whether a span of the cell was alive since the last look, and
// takes an empty cell out. live is read before ended, as end writes them the
// other way round.
func (l *ledger) look(c *cell) bool {
	alive := c.live.Load() > 0
	held := c.ended.Swap(false) || alive
	if !alive && c.live.CompareAndSwap(0, gone) {
		delete(l.cells, c.class)
		held = held || c.ended.Load() // came and went meanwhile
	}
	return held
}

// runningSpans is the number of spans being executed, by service/version.
func (l *ledger) runningSpans() map[string]int {
	out := map[string]int{}
	l.each(func(k class, n int) {
		if k.running != "" {
			out[k.running] += n
		}
	})
	return out
}

// liveSpans is the number of spans alive by generation, for status pages.
func (l *ledger) liveSpans() map[rollout.Generation]int {
	out := map[rollout.Generation]int{}
	l.each(func(k class, n int) { out[k.generation] += n })
	return out
}

func (l *ledger) each(f func(k class, n int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, c := range l.cells {
		if n := c.live.Load(); n > 0 {
			f(k, int(n))
		}
	}
}
