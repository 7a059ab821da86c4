package skerry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/registry"
	"github.com/skerry/skerry/rollout"
)

// How long a process that has just started looks for the rules of its site
// before traces may begin in it.
const (
	coldLimit  = 2 * time.Second        // whatever happens
	keptLimit  = time.Second            // the same with rules of an earlier run at hand
	newsLimit  = 8 * time.Second        // the same while a process says that it has newer ones: on slow lines a connection takes seconds
	aloneLimit = 700 * time.Millisecond // on a LAN where nobody answers: it has been asked at 0 s
	youngLimit = 300 * time.Millisecond // without news where all who answer have just started, too: mostly long enough for what one of them has just learned
	coldAsks   = 3                      // processes asked at a time
	coldPause  = 300 * time.Millisecond // for which their answers are awaited before others are asked, too
)

// coldStart decides when a process that has just started knows the rules of
// its site, or that there are none. One word is enough: the database's table,
// or a process that has run for longer than such a start can last and has
// nothing newer. It is a function of what is heard and the time.
type coldStart struct {
	begun time.Time
	self  registry.Owner
	kept  bool                    // rules of an earlier run are at hand
	news  chan struct{}           // has a value when decide may say something else
	ask   func(registry.Instance) // puts the question; its end is told to answered

	mu      sync.Mutex
	sources map[string]*coldSource
	others  map[registry.Owner]*coldPeer
	applied rollout.Generation // here, by what is known so far
	silent  int                // of the others, those who have not said by themselves what they know
	heard   time.Time          // when the last of the others was
	table   bool               // the database's rules were read
	over    bool               // decided
}

// coldSource is what one registry has said.
type coldSource struct{ database, lost, partial, answered bool }

// coldPeer is another process.
type coldPeer struct {
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
func (p *coldPeer) awaited(applied rollout.Generation) bool {
	return !p.told && !p.failed && (!p.asked.IsZero() || !p.said || applied.Before(p.theirs))
}

// again has it asked once more when it was asked before it had what it has now.
func (p *coldPeer) again() {
	if (p.told || p.failed) && p.wanted.Before(p.theirs) {
		p.asked, p.told, p.failed = time.Time{}, false, false
	}
}

func newColdStart(self registry.Owner, sources []discovery.Source, kept bool, now time.Time) *coldStart {
	c := &coldStart{begun: now, self: self, kept: kept, news: make(chan struct{}, 1),
		sources: map[string]*coldSource{}, others: map[registry.Owner]*coldPeer{}}
	for _, s := range sources {
		c.sources[s.Name] = &coldSource{database: s.Name == sourceDatabase, partial: s.Name == sourceLAN}
	}
	return c
}

// read notes that the database's rules were read and applied.
func (c *coldStart) read() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.table = true
	c.wake()
}

// list notes whom a registry lists, and returns those who are to be asked now.
func (c *coldStart) list(source string, s registry.Snapshot, applied rollout.Generation, now time.Time) (ask []registry.Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wake()
	from := c.sources[source]
	if from == nil || c.over {
		return nil
	}
	if c.applied.Before(applied) {
		c.applied = applied
	}
	from.lost, from.answered = s.Lost != nil, from.answered || s.Lost == nil
	for _, in := range s.Instances {
		if in.Owner == c.self || from.lost {
			continue
		}
		theirs, said := announcedRules(in.Tags[rulesTag])
		p := c.others[in.Owner]
		if p != nil && said && p.theirs.Before(theirs) { // it has just learned them itself
			p.in, p.said, p.theirs = in, true, theirs
			p.again()
		}
		if p != nil || !said && c.silent == coldAsks {
			continue
		}
		if !said {
			c.silent++
		}
		old := !in.Started.IsZero() && now.Sub(in.Started) > coldLimit
		c.others[in.Owner], c.heard = &coldPeer{in: in, old: old, theirs: theirs, said: said}, now
	}
	return c.choose(now)
}

// more returns who is to be asked besides those who have not answered yet.
func (c *coldStart) more(now time.Time) []registry.Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil
	}
	return c.choose(now)
}

// choose picks who is asked next: who has newer rules than those applied here,
// the newest first, or does not say what he has; a few at a time, as after the
// first answer the others mostly have nothing to add.
func (c *coldStart) choose(now time.Time) (ask []registry.Instance) {
	asking := 0
	for _, p := range c.others {
		if !p.told && !p.failed && !p.asked.IsZero() && now.Sub(p.asked) < coldPause {
			asking++
		}
	}
	for ; asking < coldAsks; asking++ {
		var best *coldPeer
		for _, p := range c.others { // in no order, so that not all ask the same
			if p.asked.IsZero() && p.awaited(c.applied) && (best == nil || best.theirs.Before(p.theirs)) {
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
func (c *coldStart) remembered(owner registry.Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.others[owner] = &coldPeer{old: true, asked: c.begun}
}

// answered notes how a question has ended.
func (c *coldStart) answered(owner registry.Owner, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.others[owner]; p != nil {
		p.told, p.failed = err == nil, err != nil
		if p.told && c.applied.Before(p.wanted) {
			c.applied = p.wanted
		}
		p.again()
	}
	c.wake()
}

func (c *coldStart) wake() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// decide says why traces may begin, or "" and when to look again.
func (c *coldStart) decide(now time.Time) (because string, again time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	because, again = c.weigh(now)
	c.over = because != ""
	return because, again
}

// done reports whether it is decided.
func (c *coldStart) done() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

func (c *coldStart) weigh(now time.Time) (because string, again time.Duration) {
	awaited, newer := 0, false
	for owner, p := range c.others {
		switch {
		case p.awaited(c.applied):
			awaited++
			newer = newer || p.said && c.applied.Before(p.theirs)
		case p.old && !p.failed:
			return owner.String() + " knows them", 0
		}
	}
	limit := coldLimit
	switch {
	case newer:
		limit = newsLimit
	case c.kept:
		limit = keptLimit
	}
	left := limit - now.Sub(c.begun)
	switch wait, lost := c.wait(awaited, now); {
	case c.table:
		return "the database has them", 0
	case left <= 0:
		return fmt.Sprintf("nobody has said what they are for %v", limit), 0
	case lost && awaited > 0 && !c.kept:
		return "", min(left, coldPause)
	case lost:
		return "no registry can be reached", 0
	case wait <= 0 && len(c.others) == 0:
		return "nobody else is there", 0
	case wait <= 0:
		return fmt.Sprintf("%d others, which have just started too, know no newer ones", len(c.others)), 0
	case awaited > 0:
		return "", min(wait, left, coldPause) // then others are asked
	default:
		return "", min(wait, left)
	}
}

// wait is how long the registries may still bring somebody to ask; lost is
// set when none of them can be reached.
func (c *coldStart) wait(awaited int, now time.Time) (wait time.Duration, lost bool) {
	lost = true
	for _, s := range c.sources {
		switch {
		case s.lost:
			continue
		case s.database, !s.partial && !s.answered, awaited > 0:
			wait = newsLimit // its word is awaited
		case len(c.others) > 0:
			wait = max(wait, youngLimit-now.Sub(c.heard))
		case s.partial:
			wait = max(wait, aloneLimit-now.Sub(c.begun))
		}
		lost = false
	}
	return wait, lost
}

// learnFirst lets traces begin when the rules are known.
func (n *Node) learnFirst(ctx context.Context) error {
	defer n.known()
	for {
		because, again := n.cold.decide(time.Now())
		if because != "" {
			n.log.Info("traces may begin", "rules", n.rules.Log().Last().String(), "because", because,
				"took", time.Since(n.cold.begun).Round(time.Millisecond))
			n.rules.ExpireEmpty()
			n.learnAhead() // from those whose answers were not waited for
			return nil
		}
		for _, in := range n.cold.more(time.Now()) {
			n.cold.ask(in)
		}
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-n.cold.news:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// hearMembers takes in whom a registry lists as processes of the site.
func (n *Node) hearMembers(source string, snap registry.Snapshot) {
	now := time.Now()
	news := n.members.heard(source, snap, now)
	for _, in := range n.cold.list(source, snap, n.rules.Log().Last(), now) {
		n.cold.ask(in)
	}
	if news && n.cold.done() {
		n.learnAhead()
	}
}

// askCold asks another process for its rules while this one starts.
func (n *Node) askCold(in registry.Instance) {
	n.askFirst(member{Owner: in.Owner, Addr: in.Addr(), TLS: in.TLS, Also: in.Tags[registry.AlsoTag], mark: in.Tags[registry.HostTag]}, n.fetchRules)
}

// askKept asks processes that were known when this one ran before: they may
// be there when no registry is.
func (n *Node) askKept() {
	kept := n.members.list()
	for _, m := range kept[:min(len(kept), coldAsks)] {
		n.cold.remembered(m.Owner)
		n.askFirst(m, func(ctx context.Context, m member) error {
			p, err := n.peer(m)
			if err == nil {
				err = p.same(ctx) // its address may be another's by now
			}
			if err != nil {
				return err
			}
			return n.fetchRules(ctx, m)
		})
	}
}

// askFirst puts a question that the cold start waits for.
func (n *Node) askFirst(m member, question func(context.Context, member) error) {
	n.lookout.Go(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, newsLimit)
		defer cancel()
		err := question(ctx, m)
		n.cold.answered(m.Owner, err)
		if err != nil {
			n.log.Debug("no rules from a process that was asked at the start", "process", m.Owner.String(), "err", err)
		}
		return nil
	})
}
