package participant

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/skerry/skerry/internal/rollout"
)

// ledger counts the live spans of one process: running handlers, roots, and
// one-way calls that their receivers have not accepted yet. It may be used from
// any goroutine. Counting takes no lock while the rules stay the same.
//
// Reports are windowed: a span also counts for the round in which it ended.
// Without the window, a chain of one-way calls could stay ahead of the
// collector and never be seen. A test shows the shortest such schedule.
type ledger struct {
	mu    sync.Mutex
	cells map[class]*cell
	round uint64         // the last reported round
	after uint64         // the round before it, which begins its window
	held  map[class]bool // content of the last report, for a repeated question
	// carried is what was alive after the first report of the round.
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
	narrow     bool
	only       string // services, joined by commas
	outside    bool   // brought by a caller that has not proved to belong to the site
}

// cell counts the spans of one class. A cell that a report found empty is
// removed: its count stays far below zero.
type cell struct {
	ledger  *ledger
	class   class
	live    atomic.Int64
	ended   atomic.Bool            // a span has ended since the last report
	watched atomic.Bool            // a goroutine waits until it is empty
	from    atomic.Pointer[string] // for outside: the address of the newest caller
}

const gone = -1 << 40

// begin counts a span. It returns false if the cell was removed.
func (c *cell) begin() bool { return c.live.Add(1) > 0 }

// end sets ended before it lowers live. A report between the two sees the span
// twice, and none misses it.
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

// handOff keeps the span counted until the receiver of a one-way call counts
// its own. The caller then releases it: when the receiver has accepted or
// refused, or the call's deadline has passed. It returns false if the span has
// ended and holds nothing.
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

// drop is release for a hand-off that may have failed.
func (s *span) drop() {
	if s.holds.Load() > 0 {
		s.release()
	}
}

// report answers a round: the classes of generations before until that were
// alive at any time since the answer to the round after. The answer to a
// repeated round includes the first answer, so a lost answer loses nothing. An
// older round is answered like the current one, and answered is the current
// number. Round 0 does not start a window.
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
		if again { // this answer may be lost: the next round repeats it
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

// idle reports whether no live span reads a generation in [floor, until), or in
// [stranger, until) for spans from outside. Restricted spans are left out. If
// it is false, more is closed when the caller should ask again.
func (l *ledger) idle(floor, stranger, until rollout.Generation) (yes bool, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.emptied == nil {
		l.emptied = make(chan struct{})
	}
	yes = true
	for k, c := range l.cells {
		if !k.generation.Before(until) || k.generation.Before(floor) || k.narrow ||
			k.outside && k.generation.Before(stranger) {
			continue
		}
		c.watched.Store(true) // before the count is read, which may fall now
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
// removes an empty cell. It reads live before ended, because end writes them in
// the reverse order.
func (l *ledger) look(c *cell) bool {
	alive := c.live.Load() > 0
	held := c.ended.Swap(false) || alive
	if !alive && c.live.CompareAndSwap(0, gone) {
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
