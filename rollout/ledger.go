package rollout

import "sync"

// Ledger counts the spans that are alive in one process: handlers that run,
// roots that were begun, and calls handed to others that those have not yet
// accepted. It may be used from any goroutine.
//
// What it reports is windowed: a span counts for the round in which it ended,
// too. Without that, a chain of one-way calls can hop round the collector and
// never be seen (a test shows the shortest such schedule).
type Ledger struct {
	mu    sync.Mutex
	cells map[class]*cell
	round uint64         // of the last report
	held  map[class]bool // what the last report said, for a repeated question
	execs map[string]int // running spans, by the service/version that executes them
}

// class is what spans are counted by: the generation they read, and what
// they run, from which follows which services they can still reach.
type class struct {
	generation Generation
	origin     string
}

type cell struct {
	live  int
	ended bool // a span of the class was alive since the last report and is no more
}

// Span is one unit of work that holds its generation. It is released when its
// handler has ended and every hand-off was accepted or given up.
type Span struct {
	ledger  *Ledger
	class   class
	holds   int    // guarded by ledger.mu: 1 for the handler, 1 for each open hand-off
	running string // service/version that executes it; "" for a root that is no handler
}

// Begin counts a span. origin names what runs (service.method, or the name of
// a job); a [Reach] tells from it which services the span can still call.
func (l *Ledger) Begin(g Generation, origin string) *Span { return l.begin(g, origin, "") }

func (l *Ledger) begin(g Generation, origin, running string) *Span {
	s := &Span{ledger: l, class: class{g, origin}, holds: 1, running: running}
	l.mu.Lock()
	defer l.mu.Unlock()
	if running != "" {
		if l.execs == nil {
			l.execs = map[string]int{}
		}
		l.execs[running]++
	}
	c := l.cells[s.class]
	if c == nil {
		if l.cells == nil {
			l.cells = map[class]*cell{}
		}
		c = &cell{}
		l.cells[s.class] = c
	}
	c.live++
	return s
}

// HandOff keeps the span counted until the receiver of a one-way call has
// counted its own: call Release when it has accepted, refused, or the call's
// deadline has passed.
func (s *Span) HandOff() {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.holds++
}

// Release ends one hold: the handler's own, or that of one hand-off.
func (s *Span) Release() {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	if s.holds == 0 {
		panic("rollout: span released twice")
	}
	if s.holds--; s.holds == 0 {
		c := s.ledger.cells[s.class]
		c.live--
		c.ended = true
		if s.running != "" {
			s.ledger.execs[s.running]--
		}
	}
}

// Reach reports whether work of an origin can still cause a call of a
// service. It may say yes too often, never too rarely.
type Reach func(origin, service string) bool

// Anything is the Reach of those who know nothing: everybody reaches all.
func Anything(string, string) bool { return true }

// Report answers a round's question: for each service that is asked about,
// the least generation of any span that could reach it and was alive at any
// time since the report of the round before. Services that nobody can reach
// are left out. The same round asked again gives an answer that includes the
// first one, so that a lost answer loses nothing; an older round is answered
// like the current one, whose number is returned.
func (l *Ledger) Report(round uint64, services []string, reach Reach) (least map[string]Generation, answered uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if round > l.round || l.held == nil {
		l.round, l.held = round, map[class]bool{}
	}
	for k, c := range l.cells {
		if c.live > 0 || c.ended {
			l.held[k] = true
		}
		c.ended = false
		if c.live == 0 {
			delete(l.cells, k)
		}
	}
	least = map[string]Generation{}
	for k := range l.held {
		for _, s := range services {
			if !reach(k.origin, s) {
				continue
			}
			if g, ok := least[s]; !ok || k.generation.Before(g) {
				least[s] = k.generation
			}
		}
	}
	return least, l.round
}

// Running is the number of spans being executed, by service/version.
func (l *Ledger) Running() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for k, n := range l.execs {
		if n > 0 {
			out[k] = n
		}
	}
	return out
}

// Live is the number of spans alive by generation, for status pages.
func (l *Ledger) Live() map[Generation]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[Generation]int{}
	for k, c := range l.cells {
		if c.live > 0 {
			out[k.generation] += c.live
		}
	}
	return out
}
