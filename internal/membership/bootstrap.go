package membership

import (
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/broadcast"
	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// How long a process that has just started looks for the rules of its site
// before traces may begin in it.
const (
	coldLimit = 2 * time.Second // whatever happens
	keptLimit = time.Second     // the same with rules of an earlier run at hand
	// the same while a process says that it has newer ones: on slow lines a connection takes seconds
	newsLimit  = 8 * time.Second
	aloneLimit = 700 * time.Millisecond // on a LAN without an answer: it has been asked at 0 s
	// without news from processes that have just started too: one has mostly learnt by then
	youngLimit = 300 * time.Millisecond
	coldAsks   = 3                      // processes asked at a time
	coldPause  = 300 * time.Millisecond // for which their answers are awaited before others are asked, too
)

// bootstrap decides when a process that has just started knows the rules of
// its site, or that there are none. One word is enough: the database's table,
// or a process that has run for longer than such a start can last and has
// nothing newer. It is a function of what is heard and the time.
type bootstrap struct {
	begun time.Time
	self  registry.Owner
	kept  bool                    // rules of an earlier run are at hand
	news  chan struct{}           // has a value when decide may say something else
	ask   func(registry.Instance) // puts the question; its end is told to answered

	mu      sync.Mutex
	sources map[string]*bootstrapSource
	others  map[registry.Owner]*bootstrapPeer
	applied rollout.Generation // here, by what is known so far
	silent  int                // processes that have not said by themselves what they know
	heard   time.Time          // when the last of the others was
	table   bool               // the database's rules were read
	over    bool               // decided
}

// bootstrapSource is what one registry has said.
type bootstrapSource struct{ database, lost, partial, answered bool }

// bootstrapPeer is another process.
type bootstrapPeer struct {
	in     registry.Instance
	old    bool               // has run for so long that it knows the rules itself
	said   bool               // what it has applied, and that is theirs
	theirs rollout.Generation //
	asked  time.Time          // when it was; its answer is awaited until told or failed
	wanted rollout.Generation // what it had announced then
	told   bool               // it has given what it has
	failed bool               // it gave no answer
}

// awaited reports whether the peer knows, or may know, more than is applied.
func (p *bootstrapPeer) awaited(applied rollout.Generation) bool {
	return !p.told && !p.failed && (!p.asked.IsZero() || !p.said || applied.Before(p.theirs))
}

// again has it asked once more when it was asked before it had what it has now.
func (p *bootstrapPeer) again() {
	if (p.told || p.failed) && p.wanted.Before(p.theirs) {
		p.asked, p.told, p.failed = time.Time{}, false, false
	}
}

func newBootstrap(self registry.Owner, sources []discovery.Source, kept bool, now time.Time) *bootstrap {
	b := &bootstrap{begun: now, self: self, kept: kept, news: make(chan struct{}, 1),
		sources: map[string]*bootstrapSource{}, others: map[registry.Owner]*bootstrapPeer{}}
	for _, s := range sources {
		b.sources[s.Name] = &bootstrapSource{database: s.Name == Database, partial: s.Name == broadcast.Source}
	}
	return b
}

// read notes that the database's rules were read and applied.
func (b *bootstrap) read() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table = true
	b.wake()
}

// list notes which processes a registry lists, and returns those to ask now.
func (b *bootstrap) list(source string, s registry.Snapshot, applied rollout.Generation,
	now time.Time) (ask []registry.Instance) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.wake()
	from := b.sources[source]
	if from == nil || b.over {
		return nil
	}
	if b.applied.Before(applied) {
		b.applied = applied
	}
	from.lost, from.answered = s.Lost != nil, from.answered || s.Lost == nil
	for _, in := range s.Instances {
		if in.Owner == b.self || from.lost {
			continue
		}
		theirs, said := announcedRules(in.Tags[rulesTag])
		p := b.others[in.Owner]
		if p != nil && said && p.theirs.Before(theirs) { // it has just learned them itself
			p.in, p.said, p.theirs = in, true, theirs
			p.again()
		}
		if p != nil || !said && b.silent == coldAsks {
			continue
		}
		if !said {
			b.silent++
		}
		old := !in.Started.IsZero() && now.Sub(in.Started) > coldLimit
		b.others[in.Owner], b.heard = &bootstrapPeer{in: in, old: old, theirs: theirs, said: said}, now
	}
	return b.choose(now)
}

// more returns the processes to ask besides those that have not answered yet.
func (b *bootstrap) more(now time.Time) []registry.Instance {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return nil
	}
	return b.choose(now)
}

// choose picks the processes to ask next: those with newer rules than the ones
// applied here, the newest first, and those that do not say what they have; a few at a time, as after the
// first answer the others mostly have nothing to add.
func (b *bootstrap) choose(now time.Time) (ask []registry.Instance) {
	asking := 0
	for _, p := range b.others {
		if !p.told && !p.failed && !p.asked.IsZero() && now.Sub(p.asked) < coldPause {
			asking++
		}
	}
	for ; asking < coldAsks; asking++ {
		var best *bootstrapPeer
		for _, p := range b.others { // in no order, so that not all ask the same
			if p.asked.IsZero() && p.awaited(b.applied) && (best == nil || best.theirs.Before(p.theirs)) {
				best = p
			}
		}
		if best == nil {
			break
		}
		best.asked, best.wanted = now, best.theirs
		ask = append(ask, best.in)
	}
	return ask
}

// remembered notes that a process is asked that was known before this one
// started.
func (b *bootstrap) remembered(owner registry.Owner) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.others[owner] = &bootstrapPeer{old: true, asked: b.begun}
}

// answered notes how a question has ended.
func (b *bootstrap) answered(owner registry.Owner, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.others[owner]; p != nil {
		p.told, p.failed = err == nil, err != nil
		if p.told && b.applied.Before(p.wanted) {
			b.applied = p.wanted
		}
		p.again()
	}
	b.wake()
}

func (b *bootstrap) wake() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// decide says why traces may begin, or "" and when to look again.
func (b *bootstrap) decide(now time.Time) (because string, again time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	because, again = b.weigh(now)
	b.over = because != ""
	return because, again
}

// done reports whether it is decided.
func (b *bootstrap) done() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

func (b *bootstrap) weigh(now time.Time) (because string, again time.Duration) {
	awaited, newer := 0, false
	for owner, p := range b.others {
		switch {
		case p.awaited(b.applied):
			awaited++
			newer = newer || p.said && b.applied.Before(p.theirs)
		case p.old && !p.failed:
			return owner.String() + " knows them", 0
		}
	}
	limit := coldLimit
	switch {
	case newer:
		limit = newsLimit
	case b.kept:
		limit = keptLimit
	}
	left := limit - now.Sub(b.begun)
	switch wait, lost := b.wait(awaited, now); {
	case b.table:
		return "the database has them", 0
	case left <= 0:
		return fmt.Sprintf("no process has said what they are for %v", limit), 0
	case lost && awaited > 0 && !b.kept:
		return "", min(left, coldPause)
	case lost:
		return "no registry can be reached", 0
	case wait <= 0 && len(b.others) == 0:
		return "no other process is there", 0
	case wait <= 0:
		return fmt.Sprintf("%d others, which have just started too, know no newer ones", len(b.others)), 0
	case awaited > 0:
		return "", min(wait, left, coldPause) // then others are asked
	default:
		return "", min(wait, left)
	}
}

// wait is how long the registries may still bring a process to ask; lost is
// set when none of them can be reached.
func (b *bootstrap) wait(awaited int, now time.Time) (wait time.Duration, lost bool) {
	lost = true
	for _, s := range b.sources {
		switch {
		case s.lost:
			continue
		case s.database, !s.partial && !s.answered, awaited > 0:
			wait = newsLimit // its word is awaited
		case len(b.others) > 0:
			wait = max(wait, youngLimit-now.Sub(b.heard))
		case s.partial:
			wait = max(wait, aloneLimit-now.Sub(b.begun))
		}
		lost = false
	}
	return wait, lost
}
