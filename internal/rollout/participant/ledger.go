package participant

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"
)

// ledger counts the live spans of one process: running handlers, roots, and
// one-way calls that their receivers have not accepted yet. It is safe for
// concurrent use. Counting takes no lock while the rules stay the same.
//
// A report covers a window: it also names spans that have ended since the report
// before. Otherwise a chain of one-way calls could always be in a process that
// was just asked, and never be reported. A test shows the shortest such order of
// events.
type ledger struct {
	mu    sync.Mutex
	cells map[class]*cell
	round uint64         // round of the last report
	after uint64         // the round before it, in which its window begins
	held  map[class]bool // the classes in the last report, for a repeated question
	// carried holds the classes that a repeated answer of the round has named.
	// The next round names them again, because that answer may be lost.
	carried map[class]bool
	emptied chan struct{} // closed when a watched cell is empty; nil: no goroutine waits
}

// class is the key by which spans are counted: the generation they read, the
// origin, the service/version that executes them ("" for a root that is not a
// handler), and the only services that they still call, if restricted.
type class struct {
	generation rollout.Generation
	origin     string
	running    string
	restricted bool   // by Trace.RestrictCalls
	only       string // with restricted: the services, joined by commas
	outside    bool   // brought by a caller that has not proved to belong to the site
}

// cell counts the spans of one class. A cell that a report finds empty is
// removed. Its count is then far below zero, so that begin fails.
type cell struct {
	ledger  *ledger
	class   class
	live    atomic.Int64
	ended   atomic.Bool            // a span has ended since the last report
	watched atomic.Bool            // a goroutine waits until it is empty
	from    atomic.Pointer[string] // for outside: the address of the newest caller
}

// removed is the count of a removed cell.
const removed = -1 << 40

// begin counts a span. It returns false if the cell was removed.
func (c *cell) begin() bool { return c.live.Add(1) > 0 }

// end sets ended before it lowers live. A report in between counts the span as
// alive and as ended, which does no harm; the reverse order could miss it.
func (c *cell) end() {
	if !c.ended.Load() {
		c.ended.Store(true)
	}
	if c.live.Add(-1) == 0 && c.watched.Load() {
		c.ledger.wake()
	}
}

// span is one unit of work that holds its generation. It ends when its handler
// has returned and every hand-off was accepted or given up.
type span struct {
	cell  *cell
	holds atomic.Int32 // 1 for the handler, 1 for each open hand-off
}

// begin counts a span of the class and returns its cell.
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

// begin makes s a span that c has counted.
func (s *span) begin(c *cell) {
	s.cell = c
	s.holds.Store(1)
}

// handOff adds a hold for a call that is sent: the span stays counted until the
// receiver counts its own. The caller releases the hold when the receiver has
// accepted or refused the call, or when its deadline has passed. handOff returns
// false, and adds no hold, if the span has ended.
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

// release ends one hold, the handler's or a hand-off's.
func (s *span) release() {
	switch n := s.holds.Add(-1); {
	case n == 0:
		s.cell.end()
	case n < 0:
		panic("rollout: span released twice")
	}
}

// drop is release after a handOff that may have returned false.
func (s *span) drop() {
	if s.holds.Load() > 0 {
		s.release()
	}
}

// report answers a round. held are the classes that read a generation older than
// until and were alive at any time since the answer to round after. A repeated
// answer to a round includes the first one, which may be lost. For an older round
// it answers the current one: answered is the number of the round that it has
// answered. Round 0 begins no window.
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
		if !l.observe(c) {
			continue
		}
		l.held[k] = true
		if again { // this answer may be lost: the next round names the class again
			if l.carried == nil {
				l.carried = map[class]bool{}
			}
			l.carried[k] = true
		}
	}
	for k := range l.held {
		if k.generation.Before(until) && !(k.restricted && k.only == "") {
			held = append(held, k.held(int(live[k]), from[k]))
		}
	}
	slices.SortFunc(held, rollout.Inflight.Compare)
	return held, l.round, l.after
}

func (k class) held(live int, from string) rollout.Inflight {
	h := rollout.Inflight{What: k.origin, Generation: k.generation, Live: live, Outside: k.outside, From: from}
	if k.restricted {
		h.Calls = strings.Split(k.only, ",")
	}
	return h
}

// idle reports whether no live span reads a generation in [floor, until), or in
// [outsideFloor, until) for spans from outside. Restricted spans are left out.
// more is closed when the caller should call idle again.
func (l *ledger) idle(floor, outsideFloor, until rollout.Generation) (yes bool, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.emptied == nil {
		l.emptied = make(chan struct{})
	}
	yes = true
	for k, c := range l.cells {
		if !k.generation.Before(until) || k.generation.Before(floor) || k.restricted ||
			k.outside && k.generation.Before(outsideFloor) {
			continue
		}
		c.watched.Store(true) // before the count is read, so that its fall to zero is not missed
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

// observe reports whether a span of the cell was alive since it was last called
// for the cell, and removes an empty cell. It reads live before ended, because
// end writes them in the reverse order.
func (l *ledger) observe(c *cell) bool {
	alive := c.live.Load() > 0
	held := c.ended.Swap(false) || alive
	if !alive && c.live.CompareAndSwap(0, removed) {
		delete(l.cells, c.class)
		held = held || c.ended.Load() // a span began and ended meanwhile
	}
	return held
}

// runningSpans returns the number of spans that run now, by service/version.
func (l *ledger) runningSpans() map[string]int {
	out := map[string]int{}
	l.each(func(k class, n int) {
		if k.running != "" {
			out[k.running] += n
		}
	})
	return out
}

// liveSpans returns the number of live spans by generation, for status pages.
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
