package rpc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/policy"
)

// admission is how the calls of one method join their traces.
type admission struct {
	origin *participant.Origin
	stray  *participant.Origin       // counts calls at an entry while the rules send this version no new traces
	entry  func(method string) bool  // whether a call of the method without a token begins a trace
	admit  func(rollout.Token) error // rollout.Log.Admit of the service's version
	turn   func() error              // rollout.Log.CheckTurn of the service's version
}

// makeAdmissions prepares the admission of each method, and one for all methods of
// a processor that does not list them.
func (s *served) makeAdmissions(cfg *ServerConfig) {
	if cfg.Rollout == nil || strings.HasPrefix(s.name, internalPrefix) {
		return
	}
	running := s.name + "/" + s.version
	admit := func(t rollout.Token) error { return cfg.Rollout.Log().Admit(s.name, s.version, t) }
	turn := func() error { return cfg.Rollout.Log().CheckTurn(s.name, s.version) }
	entry := func(method string) bool { return cfg.Entry != nil && cfg.Entry(s.name, method) }
	always, never := func(string) bool { return true }, func(string) bool { return false }
	stray := func(name string) *participant.Origin {
		return cfg.Rollout.Origin(
			fmt.Sprintf("%s, an entry, called at %s, to which the rules send no request", name, s.version),
			running,
		)
	}
	s.anyAdmission = &admission{
		origin: cfg.Rollout.Origin(s.name, running),
		stray:  stray(s.name),
		admit:  admit,
		turn:   turn,
		entry:  entry,
	}
	for _, m := range s.methods {
		name := s.name + "." + m.name
		begins := never
		if entry(m.name) {
			begins = always
		}
		m.admission = &admission{
			origin: cfg.Rollout.Origin(name, running),
			stray:  stray(name),
			admit:  admit,
			turn:   turn,
			entry:  begins,
		}
	}
}

// joinTrace asks the rules whether this version may execute the call, before any
// of its code runs, and counts the call's span.
func (r *serverCall) joinTrace() (Code, error) {
	if r.kind.admission == nil {
		return Unknown, nil
	}
	code, err := r.admitToken(r.kind.admission, r.conn.s.cfg.Rollout)
	if err == nil {
		r.ctx.trace = &r.trace
	}
	return code, err
}

func (r *serverCall) admitToken(d *admission, agent *participant.Agent) (Code, error) {
	token, raw, err := r.info.rolloutToken()
	switch {
	case err != nil && errors.Is(err, rollout.ErrOldToken):
		return BadMessage, r.refuseOlder(err)
	case err != nil:
		return BadMessage, err
	case raw == "":
		return r.beginTrace(d, agent)
	}
	outside := ""
	err = d.admit(token)
	if r.info.from.outside() {
		outside = r.info.Peer
		if err == nil {
			err = agent.Log().AdmitOutside(token)
		}
	}
	if err == nil && r.info.unseen && token.Generation.Before(agent.Log().Last()) {
		err = rollout.ErrExpired // the trace has missed the rules of the site, and may begin anew
	}
	if err != nil {
		return RefusalCode(err), r.refusal(token, agent, err)
	}
	d.origin.Join(&r.trace, token, raw, outside)
	return Unknown, nil
}

// beginTrace handles a call without a token. A call at an entry begins a trace; any other call is
// an orphan. When the newest rules send this version no new traces, a call at an entry runs as an
// orphan too: a plain client could not act on the refusal.
func (r *serverCall) beginTrace(d *admission, agent *participant.Agent) (Code, error) {
	if r.info.Trace == "" {
		r.info.Trace = tracecontext.NextSpan("") // puts the calls of the handler into one W3C trace
	}
	seed, orphan := seedOf(&r.info), d.origin
	if d.entry(r.info.Method) {
		orphan = d.stray
		d.origin.Begin(&r.trace, seed, r.lane(agent, seed))
		token := r.trace.Token()
		err := d.admit(token)
		if err == nil {
			return Unknown, nil
		}
		r.trace.End()
		if r.conn.s.cfg.RefuseOrphans {
			return RefusalCode(err), r.refusal(token, agent, err)
		}
	} else if r.conn.s.cfg.RefuseOrphans {
		return Orphan, participant.ErrOrphan
	}
	if err := d.turn(); err != nil {
		return WrongVersion, fmt.Errorf("%s %s was called: %w", r.served.name, r.served.version, err)
	}
	orphan.Orphan(&r.trace, seed)
	return Unknown, nil
}

// lane is the mark of a trace that begins with the call: that of its baggage, else the one that a lane
// of the site's policy gives.
func (r *serverCall) lane(agent *participant.Agent, seed uint64) string {
	mark := tracecontext.Member(r.info.Baggage, tracecontext.MarkMember)
	if r.conn.s.cfg.Policy == nil || mark != "" {
		return mark
	}
	table := r.conn.s.cfg.Policy.Table()
	if !table.HasLanes() {
		return ""
	}
	lane := table.Lane(&policy.Request{
		Method:  r.info.Method,
		IP:      r.info.from.Addr.Addr().String(),
		Baggage: r.info.Baggage,
		Seed:    seed,
		Seeded:  true,
	})
	if lane != nil {
		mark, _ = laneMark(lane.Gets, agent)
	}
	return mark
}

// laneMark is the mark that a policy names. ok is false for preview, the mark of the open release, while
// there is no release to look at.
func laneMark(name string, agent *participant.Agent) (mark string, ok bool) {
	if name != previewMark {
		return name, true
	}
	release, open := agent.Log().Session()
	if !open || release.State != rollout.Prepared && release.State != rollout.Ramping {
		return "", false
	}
	return release.Mark, true
}

// endSpan ends the call's span.
func (r *serverCall) endSpan() {
	if r.ctx.trace != nil {
		r.trace.End()
	}
}

func (r *serverCall) refusal(t rollout.Token, agent *participant.Agent, err error) error {
	return fmt.Errorf(
		"%s %s, which has applied generation %v, was called with generation %v: %w",
		r.served.name,
		r.served.version,
		agent.Log().Last(),
		t.Generation,
		err,
	)
}

// rolloutToken returns the token of the call, parsed and raw; raw is "" without one.
func (i *CallInfo) rolloutToken() (t rollout.Token, raw string, err error) {
	if i.token != "" {
		t, err = rollout.ParseRaw(i.token)
		return t, i.token, err
	}
	if text := tracecontext.Member(i.Baggage, tracecontext.TokenMember); text != "" {
		t, err = rollout.ParseToken(text)
		return t, string(t.AppendRaw(nil)), err
	}
	return rollout.Token{}, "", nil
}

// seedOf returns the seed that draws the share of a trace that begins here: the sticky key, else
// the W3C trace id, else a random number.
func seedOf(info *CallInfo) uint64 {
	if seed, known := knownSeed(info); known {
		return seed
	}
	return rand.Uint64()
}

// knownSeed is the seed that every process finds for the trace of a call; known is false without one.
func knownSeed(info *CallInfo) (seed uint64, known bool) {
	if info == nil {
		return 0, false
	}
	if key := tracecontext.Member(info.Baggage, tracecontext.KeyMember); key != "" {
		return rollout.SeedOf(key), true
	}
	if id := tracecontext.ID(info.Trace); id != "" {
		return rollout.SeedOf(id), true
	}
	return 0, false
}
