package release

import (
	"errors"
	"fmt"
	"time"

	"github.com/skerry/skerry/bench/sim"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/rollouttest"
)

// request is one request from outside: a trace.
type request struct {
	id         string
	entry      int
	begun      time.Duration
	ended      time.Duration
	over       bool
	err        error
	spans      int
	executed   bool    // a call below the gateway was executed, or may have been
	live       []*span // being executed
	versions   map[string]string
	mixed      bool // G1 is broken: two versions of one service
	mixedSuite bool // G2 is broken: old and new members of the release
	memo       any  // the strategy's
}

// span is the part that one process has in a request.
type span struct {
	request *request
	process *process
	parent  *span
	id      string
	work    *sim.Work
	step    int // of the work that comes next
	memo    any // the strategy's
	log     int // its place in site.spans
}

// errUnavailable: there is no instance of the version.
var errUnavailable = rollouttest.ErrVersionUnavailable

// arrive begins a request at its gateway.
func (s *site) arrive(i int, a arrival) {
	r := &request{id: fmt.Sprint("r", i), entry: a.call.Work.Service, begun: s.Now(), versions: map[string]string{}}
	s.requests = append(s.requests, r)
	s.open++
	work := &sim.Work{Service: -1, Steps: [][]*sim.Call{{a.call}}}
	root := &span{request: r, process: s.gateways[a.gateway], work: work}
	s.strategy.begin(root, func() {
		s.execute(root, func(err error) {
			r.over, r.err, r.ended = true, err, s.Now()
			s.open--
		})
	})
}

// execute runs a span in its process and tells how it ended.
func (s *site) execute(p *span, done func(error)) {
	r := p.request
	r.spans++
	p.id = fmt.Sprint(r.id, ".", r.spans)
	r.live = append(r.live, p)
	p.process.running++
	s.record(p, nil)
	if p.parent != nil {
		s.judge(p)
	}
	s.steps(p, func(err error) {
		p.process.running--
		s.spans[p.log].End = instant(s.Now())
		for i, o := range r.live {
			if o == p {
				r.live = append(r.live[:i:i], r.live[i+1:]...)
				break
			}
		}
		s.strategy.ended(p)
		done(err)
	})
}

// judge keeps account of the versions that the request has met.
func (s *site) judge(p *span) {
	r := p.request
	if v, met := r.versions[p.process.service]; met && v != p.process.version {
		r.mixed = true
	}
	r.versions[p.process.service] = p.process.version
	for _, m := range s.world.modules {
		for _, v := range s.world.modules {
			a, b := r.versions[m], r.versions[v]
			r.mixedSuite = r.mixedSuite || a != "" && b != "" && a != b
		}
	}
	r.mixedSuite = r.mixedSuite || r.mixed
}

// steps makes the calls of one step at once, then goes on with the next.
func (s *site) steps(p *span, done func(error)) {
	s.After(p.work.Pause, func() {
		if p.step == len(p.work.Steps) {
			done(nil)
			return
		}
		calls := p.work.Steps[p.step]
		p.step++
		open, failed := len(calls), error(nil)
		ended := func(err error) {
			failed = errors.Join(failed, err)
			if open--; open > 0 {
				return
			}
			if failed != nil {
				done(failed)
				return
			}
			s.steps(p, done)
		}
		for _, c := range calls {
			if c.OneWay {
				s.attempt(p, c, 0, func(error) {})
				ended(nil)
				continue
			}
			s.attempt(p, c, 0, ended)
		}
	})
}

// attempt sends a call; when its reply is lost, the caller sends it again.
func (s *site) attempt(p *span, c *sim.Call, n int, done func(error)) {
	service, a := s.world.graph.Names[c.Work.Service], c.Attempts[n]
	hold := s.strategy.sending(p)
	s.strategy.route(p, service, a.Pick, func(version string, err error) {
		fit := s.offered(service, version)
		if err == nil && len(fit) == 0 {
			err = errUnavailable
		}
		if err != nil {
			hold()
			s.record(&span{request: p.request, process: &process{name: p.process.name, service: service}, parent: p,
				memo: p.memo}, err)
			done(err)
			return
		}
		q := &span{request: p.request, process: fit[a.Pick%uint64(len(fit))], parent: p, work: c.Work}
		answer := func(err error) {
			s.After(a.Back, func() {
				s.strategy.returned(p, q, err)
				done(err)
			})
		}
		if a.LostFor > 0 {
			answer = func(error) {}
			s.After(a.LostFor, func() { s.attempt(p, c, n+1, done) })
		}
		s.After(a.There, func() { s.receive(q, hold, answer) })
	})
}

// receive is the callee: it may refuse before anything is executed.
func (s *site) receive(q *span, accepted func(), answer func(error)) {
	if q.process.stopped {
		accepted()
		answer(errUnavailable)
		return
	}
	s.strategy.receive(q, func(err error) {
		if err == nil {
			q.request.executed = true
			s.After(message, accepted)
			s.execute(q, answer)
			return
		}
		s.record(q, err)
		accepted()
		answer(err)
	})
}

// record writes the span down for the checker of package rollouttest.
func (s *site) record(p *span, refused error) {
	r := rollouttest.Span{Trace: p.request.id, ID: p.id, Service: p.process.service, Version: p.process.version,
		Process: p.process.name, Entry: p.parent == nil, Refused: refused}
	if p.parent != nil {
		r.Parent = p.parent.id
	}
	if refused == nil {
		r.Begin = instant(s.Now())
	}
	r.Token, r.Applied = s.strategy.token(p)
	p.log = len(s.spans)
	s.spans = append(s.spans, r)
}

func instant(d time.Duration) time.Time { return time.Unix(0, 0).Add(d) }

// noToken is what strategies without tokens say.
var noToken rollout.Token
