package rpc

import (
	"fmt"
	"sync"
	"time"

	"github.com/skerry/skerry/policy"
)

// ForeignCall is a call that this process forwards to a service of another protocol, such as HTTP. The service obeys
// no policy itself, so its access and limits are obeyed by the processes that forward calls to it.
type ForeignCall struct {
	Service   string
	From      PeerInfo       // its name for the policy is that of its certificate, else its address
	Request   policy.Request // without Caller
	Instances int            // of the service; each has the limits "per: instance"
	Sharing   int            // processes that forward calls to the service, this one included; they share every limit
}

// AdmitForeign applies access and limits of the site's policy to a call that this process forwards. A call that the
// policy refuses gets an *[Error] with the code AccessDenied or Limited. When it is known how long a limit stays
// reached, an error of its chain has a method RetryAfter() time.Duration. Without an error the call may go on, and end
// must be called once when it has ended.
func (s *Server) AdmitForeign(c *ForeignCall) (end func(), err error) {
	if s.cfg.Policy == nil {
		return func() {}, nil
	}
	table := s.cfg.Policy.Table()
	rules := table.Rules(c.Service, c.Request.Method)
	if !rules.Protects() {
		return func() {}, nil
	}
	p := &policed{rules: rules, request: c.Request}
	p.request.Caller, p.proof = c.From.caller("")
	now := time.Now()
	if allowed, enforced, by := rules.Access(&p.request); !allowed {
		s.denied.count(p.deniedKey(c.Service, c.Request.Method, by, enforced), now)
		if enforced {
			return nil, c.refused(AccessDenied, p.refusal(c.Service, by))
		}
	}
	held, err := s.limitForeign(c, table, p, now)
	if err != nil {
		return nil, c.refused(Limited, err)
	}
	return held.leave, nil
}

func (c *ForeignCall) refused(code Code, why error) error {
	return &Error{Code: code, Executed: NotExecuted, Service: c.Service, Method: c.Request.Method, Err: why}
}

// limitForeign takes the call's place within each limit that matches.
func (s *Server) limitForeign(c *ForeignCall, table *policy.Table, p *policed, now time.Time) (*limitsHeld, error) {
	var room [8]*policy.Item
	held := heldLimits.Get().(*limitsHeld)
	at := int64(now.Sub(s.begun))
	for _, item := range p.rules.Limits(&p.request, room[:0]) {
		u := s.foreign.use(s, table, c, item)
		if err := u.enter(at); err != nil {
			held.undo()
			if err == u.rateErr {
				err = &overRate{err, time.Duration(max(0, u.gate.used.Load()+u.interval-u.ahead-at))}
			}
			return nil, err
		}
		held.gates = append(held.gates, heldGate{u.gate, u.interval})
	}
	return held, nil
}

// leave gives the places back, because the call has ended.
func (h *limitsHeld) leave() {
	for _, g := range h.gates {
		g.gate.pending.Add(-1)
	}
	h.free()
}

// overRate says when a rate has room for a call again.
type overRate struct {
	error
	after time.Duration
}

// RetryAfter returns the time until then. Other calls may take the room.
func (e *overRate) RetryAfter() time.Duration { return e.after }

// maxForeign bounds the limits that are kept for foreign calls. They are made anew when there are more.
const maxForeign = 10_000

// foreignGates keeps the uses of limits by foreign calls. It is safe for concurrent use.
type foreignGates struct {
	mu    sync.Mutex
	table *policy.Table // the uses are of this one
	uses  map[foreignKey]*gateUse
}

type foreignKey struct {
	item               *policy.Item
	service            string
	instances, sharing int
}

// use returns the use of a limit by a call.
func (g *foreignGates) use(s *Server, table *policy.Table, c *ForeignCall, item *policy.Item) *gateUse {
	key := foreignKey{item, c.Service, max(1, c.Instances), max(1, c.Sharing)}
	if item.Per == perSite {
		key.instances = 1
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table != table || g.uses == nil || len(g.uses) >= maxForeign {
		g.table, g.uses = table, map[foreignKey]*gateUse{}
	}
	u := g.uses[key]
	if u == nil {
		part := share{times: int64(key.instances), of: int64(key.sharing)}
		if part.times > 1 {
			part.say = fmt.Sprintf(" for each of %d instances", part.times)
		}
		if part.of > 1 {
			part.say += fmt.Sprintf(", of which each of %d gateways has its share", part.of)
		}
		made := newGateUse(s.gates.of(table, c.Service, item), item, c.Service, part)
		u = &made
		g.uses[key] = u
	}
	return u
}
