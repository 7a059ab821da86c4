package participant_test

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// world is a site in virtual time: processes that call one another by the rules
// of the protocol, messages that are late, lost or answered twice, and an
// operator. One seed determines everything random.
type world struct {
	rng     *rand.Rand
	now     int // in units; a message takes 1 to 10
	queue   events
	order   int
	procs   []*proc
	log     *rollout.Log    // the committed log
	entries []rollout.Entry // its entries
	history rollouttest.History
	faults  faults
	without without
	traces  int
	aborted int // traces that ended before their work was done
	harmed  int // traces that ended so because of the site's policy
	copies  int // of calls, by the site's policy
	round   uint64
}

// faults are the faults of the world's processes and messages.
type faults struct {
	lostReplies float64 // share of replies that are lost
	crashes     int
	pauses      int  // number of processes frozen for longer than any lease
	slow        bool // a quarter of the processes learns new rules very late
	policy      bool // the site has a policy, which changes at each process at another time
}

// without switches off rules of the protocol, for the mutants.
type without struct {
	fetch   bool // a stale callee uses its own newest rules
	guard   bool // the callee does not check
	refusal bool // without an instance of the version, a caller uses any other
	silence bool // silent processes count as dead
	edge    bool // the graph lacks cron's calls
	token   bool // every hop decides by its own rules, without a snapshot

	routed   bool // a route of the policy chooses among the instances of all versions
	elseAny  bool // where a route leads nowhere, any other version will do
	sameCopy bool // a copy belongs to the trace of the call that it copies
	freeCopy bool // a copy holds no version back
}

type event struct {
	at, order int
	do        func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

func (w *world) after(units int, do func()) {
	w.order++
	heap.Push(&w.queue, event{w.now + units, w.order, do})
}

func (w *world) run(until int) {
	for len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
	w.now = until
}

func (w *world) delay() int            { return 1 + w.rng.IntN(10) }
func (w *world) time() time.Time       { return time.Unix(0, 0).Add(time.Duration(w.now) * time.Millisecond) }
func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// proc is one process: an instance of one version of one service.
type proc struct {
	w                *world
	name             string
	service, version string
	log              *rollout.Log
	ledger           participant.Ledger
	running          int
	dead, stopped    bool
	pausedTill       int
	slow             bool
	rules            sitePolicy
}

func (w *world) start(service, version string) *proc {
	p := &proc{
		w: w, name: fmt.Sprintf("%s-%s-%d", service, version, len(w.procs)), service: service,
		version: version, log: w.log,
	}
	p.slow = w.faults.slow && w.chance(0.25)
	w.procs = append(w.procs, p)
	return p
}

// deliver runs do at the process after a message's delay: later if it is
// frozen, never if it is dead.
func (p *proc) deliver(do func()) {
	p.w.after(p.w.delay(), func() { p.wake(do) })
}

func (p *proc) wake(do func()) {
	switch {
	case p.dead || p.stopped:
	case p.pausedTill > p.w.now:
		p.w.after(p.pausedTill-p.w.now, func() { p.wake(do) })
	default:
		do()
	}
}

// commit appends an entry and sends it to all processes, with delays.
func (w *world) commit(release string, rules map[string]rollout.Rule, retire ...rollout.Retirement) {
	e := w.log.Next(release, rules, retire...)
	next, err := w.log.Apply(e)
	if err != nil {
		panic(err)
	}
	w.log, w.entries = next, append(w.entries, e)
	for _, p := range w.procs {
		wait := w.delay()
		if p.slow {
			wait = 50 + w.rng.IntN(250)
		}
		w.after(wait, func() { p.wake(func() { p.learn(next) }) })
	}
}

// learn applies newer rules. A process never goes back.
func (p *proc) learn(l *rollout.Log) {
	if p.log.Last().Before(l.Last()) {
		p.log = l
	}
}

// trace is one outside request.
type trace struct {
	id       string
	token    rollout.Token
	spans    int
	executed bool // a call below the root was or may have been executed
	again    bool // the root has taken a fresh token before
	copy     bool // of a call, by the site's policy
	copies   int  // that its calls have made
}

// program holds the calls of each service's handlers: steps in order, and the
// calls of one step at once. "~" begins a one-way call. A job may rest for
// long.
var program = map[string][][]string{
	"portal": {{"auth"}, {"proc", "proc"}, {"~audit"}},
	"proc":   {{"auth", "db"}, {"~audit"}},
	"cron":   {{pause}, {"proc"}, {"~audit"}},
	"auth":   {{"db"}},
	"audit":  {{"auth"}},
	"db":     {},
}

const pause = "(pause)"

// callees returns the services that a service's handlers may call.
func callees(service string) []string {
	out := []string{}
	for _, step := range program[service] {
		for _, call := range step {
			if call == pause {
				continue
			}
			out = append(out, trim(call))
		}
	}
	return out
}

func trim(call string) string {
	if call[0] == '~' {
		return call[1:]
	}
	return call
}

// begin starts a trace at a root process.
func (w *world) begin(root *proc) {
	w.traces++
	t := &trace{id: fmt.Sprint("t", w.traces)}
	root.wake(func() { root.root(t) })
}

func (p *proc) root(t *trace) {
	t.token = p.log.Token(p.w.rng.Uint64(), "")
	p.execute(t, "", true, func(err error) {
		switch {
		case err == nil:
		case !t.executed && !t.again && errors.Is(err, rollout.ErrRetired):
			t.again = true
			t.id += "'"
			p.root(t) // no call was executed, so a fresh token is safe
		case errors.Is(err, errPolicy):
			p.w.harmed++
		default:
			p.w.aborted++
		}
	})
}

// execute runs the handler of the process's service. done receives its result.
func (p *proc) execute(t *trace, parent string, entry bool, done func(error)) {
	t.spans++
	id := fmt.Sprint(t.id, ".", t.spans)
	index := len(p.w.history.Spans)
	p.w.history.Spans = append(p.w.history.Spans, rollouttest.Span{
		Trace: t.id, ID: id, Parent: parent, Entry: entry, Service: p.service, Version: p.version,
		Process: p.name, Token: t.token, Applied: p.log.Last(), Begin: p.w.time(),
	})
	span := p.ledger.Begin(t.token.Generation, p.service)
	p.running++
	p.steps(t, id, span, program[p.service], func(err error) {
		p.running--
		p.w.history.Spans[index].End = p.w.time()
		span.Release()
		done(err)
	})
}

// steps makes the calls of one step at once, then continues with the rest.
func (p *proc) steps(t *trace, parent string, span *participant.Span, rest [][]string, done func(error)) {
	if len(rest) == 0 {
		p.w.after(p.w.delay(), func() { p.wake(func() { done(nil) }) })
		return
	}
	open, failed := len(rest[0]), error(nil)
	for _, name := range rest[0] {
		ended := func(err error) {
			failed = errors.Join(failed, err)
			if open--; open > 0 {
				return
			}
			if failed != nil {
				done(failed)
				return
			}
			p.steps(t, parent, span, rest[1:], done)
		}
		if name == pause {
			p.w.after(900, func() { p.wake(func() { ended(nil) }) })
			continue
		}
		if name[0] == '~' && t.copy { // refused: a copy changes nothing
			ended(nil)
			continue
		}
		if name[0] != '~' {
			p.mirror(t, trim(name))
			if fails, err := p.disturbed(); fails {
				ended(err)
				continue
			}
			p.call(t, parent, name, 1, ended)
			continue
		}
		span.HandOff()
		var once bool
		release := func(error) {
			if !once {
				once = true
				span.Release()
			}
		}
		p.send(t, parent, trim(name), release, func(error) {})
		p.w.after(300, func() { p.wake(func() { release(nil) }) }) // deadline of the hand-off
		ended(nil)
	}
}

// call sends, and sends again without an answer: same token, same version.
func (p *proc) call(t *trace, parent, service string, attempt int, done func(error)) {
	answered := false
	answer := func(err error) {
		if !answered {
			answered = true
			done(err)
		}
	}
	p.send(t, parent, service, func(error) {}, answer)
	p.w.after(150, func() {
		p.wake(func() {
			switch {
			case answered:
			case attempt < 3:
				answered = true
				p.call(t, parent, service, attempt+1, done)
			default:
				answer(fmt.Errorf("%s did not answer", service))
			}
		})
	})
}

// target returns an instance by the caller's rules.
func (p *proc) target(t *trace, service string) (*proc, error) {
	token := t.token
	if p.w.without.token {
		token = p.log.Token(token.Seed, token.Mark)
	}
	version, ruled, err := p.log.Resolve(service, token)
	if err != nil && p.w.without.fetch {
		token = p.log.Token(token.Seed, token.Mark)
		version, ruled, err = p.log.Resolve(service, token)
	}
	if err != nil {
		return nil, err
	}
	var fit, other []*proc
	for _, q := range p.w.procs {
		if q.service != service || q.dead || q.stopped {
			continue
		}
		if !ruled || q.version == version {
			fit = append(fit, q)
		} else {
			other = append(other, q)
		}
	}
	if len(fit) == 0 && p.w.without.refusal {
		fit = other
	}
	if len(fit) == 0 {
		return nil, rollouttest.ErrVersionUnavailable
	}
	if fit = p.route(fit, other); len(fit) == 0 {
		return nil, errPolicy
	}
	return fit[p.w.rng.IntN(len(fit))], nil
}

// send delivers one attempt. accepted receives the acceptance or refusal, done
// the end.
func (p *proc) send(t *trace, parent, service string, accepted, done func(error)) {
	q, err := p.target(t, service)
	if err != nil {
		p.w.history.Spans = append(p.w.history.Spans, rollouttest.Span{
			Trace: t.id, Parent: parent, Service: service, Process: p.name, Token: t.token,
			Applied: p.log.Last(), Refused: err,
		})
		accepted(err)
		p.w.after(1, func() { p.wake(func() { done(err) }) })
		return
	}
	q.deliver(func() {
		run := func() { q.receive(t, parent, p, accepted, done) }
		if q.log.Last().Before(t.token.Generation) && !p.w.without.fetch && !p.w.without.token {
			p.deliver(func() { // the caller has the rules, as each process before it
				rules := p.log
				q.deliver(func() { q.learn(rules); run() })
			})
			return
		}
		run()
	})
}

// receive plays the callee: check, count, accept, execute, answer.
func (p *proc) receive(t *trace, parent string, caller *proc, accepted, done func(error)) {
	if !p.w.without.guard && !p.w.without.token {
		if err := p.log.Admit(p.service, p.version, t.token); err != nil {
			p.w.history.Spans = append(p.w.history.Spans, rollouttest.Span{
				Trace: t.id, Parent: parent, Service: p.service, Version: p.version, Process: p.name, Token: t.token,
				Applied: p.log.Last(), Refused: err,
			})
			caller.deliver(func() { accepted(err); done(err) })
			return
		}
	}
	if p.rules.limits > 0 && p.w.chance(p.rules.limits) { // refused, unexecuted
		caller.deliver(func() { accepted(errPolicy); done(errPolicy) })
		return
	}
	t.executed = true
	p.execute(t, parent, false, func(err error) {
		if !p.w.chance(p.w.faults.lostReplies) {
			caller.deliver(func() { done(err) })
		}
	})
	if !p.w.chance(p.w.faults.lostReplies) {
		caller.deliver(func() { accepted(nil) })
	}
}

// alive returns the processes that a controller can't exclude.
func (w *world) alive() []string {
	var out []string
	for _, p := range w.procs {
		if !p.dead && !p.stopped {
			out = append(out, p.name)
		}
	}
	return slices.Clip(out)
}
