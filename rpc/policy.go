package rpc

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/tracecontext"
	"github.com/skerry/skerry/policy"
)

// SitePolicy gives a server the policy of its site. Its methods are safe for concurrent use, take no lock that is held
// for long, and allocate nothing.
type SitePolicy interface {
	Table() *policy.Table      // in force now; nil: none
	Living(service string) int // instances of a service in the site; 0: not known
}

// policyEvery is how long a connection uses what it has found out about a kind of call, while the table stays.
const policyEvery = time.Second

// unlistedEvery is the same while the instances that share a limit are not known yet. The list of a service is
// fetched only when a limit needs it.
const unlistedEvery = 20 * time.Millisecond

// How a caller is known to have its name.
const (
	byCertificate = "certificate" // TLS has verified it
	byName        = "name"        // the caller says so, without proof
	byAddress     = "address"     // it has no name
)

// policed is what the policy says about one kind of call. The reader of a connection owns it.
type policed struct {
	table   *policy.Table
	checked time.Time
	from    *PeerInfo
	claimed string // the caller's name as it says
	proof   string

	rules   *policy.Rules // nil: there is nothing to check
	request policy.Request
	living  int       // instances of the service; 0: no limit has asked
	gates   []gateUse // of the limits that have matched

	denied  denial       // the last one
	limited *policy.Item // that refused the latest call over a limit
}

// denial is what is known about calls that one item of access refuses.
type denial struct {
	by       *policy.Item // nil: the default
	enforced bool
	row      *deniedRow // counts them; nil: has no place yet
	err      error      // with enforced
}

// current reports whether p is still true for a call. Where there is nothing to check, the caller does not matter.
func (p *policed) current(r *serverCall, table *policy.Table, now time.Time) bool {
	return p.table == table && p.request.Method == r.info.Method && (p.rules == nil || p.from == r.info.from &&
		p.claimed == r.info.Caller && now.Sub(p.checked) < policyEvery)
}

// obeyPolicy checks access and limits of the site's policy, before anything else of the call runs.
func (r *serverCall) obeyPolicy(now time.Time) (Code, error) {
	s := r.conn.s
	if s.cfg.Policy == nil {
		return Unknown, nil
	}
	table := s.cfg.Policy.Table()
	if table == nil || r.served == s.unknown || s.draining.Load() { // a draining server refuses all calls as such
		return Unknown, nil
	}
	p := r.counted.policed
	if p == nil || !p.current(r, table, now) {
		p = r.police(p, table, now)
		r.counted.policed = p
	}
	if p.rules == nil {
		return Unknown, nil
	}
	q := &p.request
	q.Baggage = r.info.Baggage
	q.Seed, q.Mark, q.Seeded = r.traceFacts()
	code, err := r.access(p, now)
	if err == nil {
		code, err = r.limit(p, now)
	}
	q.Baggage, q.Mark = "", "" // they keep the memory of a message
	return code, err
}

// police finds out what the policy says about calls like this one. old may be nil.
func (r *serverCall) police(old *policed, table *policy.Table, now time.Time) *policed {
	c := r.conn
	p := &policed{table: table, checked: now, from: r.info.from}
	rules := table.Rules(r.served.name, r.info.Method)
	p.claimed = strings.Clone(r.info.Caller)
	p.request.Method = r.kind.name
	if r.kind.name != r.info.Method {
		p.request.Method = strings.Clone(r.info.Method)
	}
	if !rules.Protects() {
		return p
	}
	p.rules = rules
	p.request.Caller, p.proof = p.from.caller(p.claimed)
	p.request.Host, p.request.Version = c.s.cfg.Host, r.served.version
	if f := c.facts; f != nil {
		p.request.Zone = f.zone
		if f.name == p.claimed {
			p.request.CallerVersion, p.request.Tags = f.version, f.tags
		}
	}
	if old == nil || old.rules != rules {
		return p
	}
	if old.living > 0 {
		p.count(c.s, r.served.name)
	}
	if old.living == p.living {
		p.gates = old.gates
	}
	return p
}

// count notes the instances of a service that share a limit of the site. While they are not known, this one has all of
// it, and looks again soon.
func (p *policed) count(s *Server, service string) {
	if p.living = s.cfg.Policy.Living(service); p.living < 1 {
		p.living = 1
		p.checked = p.checked.Add(unlistedEvery - policyEvery)
	}
}

// caller returns the name of a caller for the policy, and how it is known. A certificate that TLS has verified has the
// name, whatever the caller says; of several names in it the caller says which.
func (p *PeerInfo) caller(claimed string) (name, proof string) {
	if cert := p.Certificate; cert != nil {
		names := append([]string{cert.Subject.CommonName}, cert.DNSNames...)
		names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
		switch {
		case slices.Contains(names, claimed):
			return claimed, byCertificate
		case len(names) > 0:
			return names[0], byCertificate
		}
	} else if claimed != "" && claimed != unnamed {
		return claimed, byName
	}
	if at := p.Addr.Addr(); at.IsValid() {
		return "ip:" + at.String(), byAddress
	}
	return "ip:", byAddress
}

// traceFacts returns seed and mark of the trace that the call belongs to, or that begins with it.
func (r *serverCall) traceFacts() (seed uint64, mark string, known bool) {
	if r.info.token != "" {
		t, err := rollout.ParseRaw(r.info.token)
		return t.Seed, t.Mark, err == nil
	}
	if r.info.Baggage != "" {
		if text := tracecontext.Member(r.info.Baggage, tracecontext.TokenMember); text != "" {
			t, err := rollout.ParseToken(text)
			return t.Seed, t.Mark, err == nil
		}
		mark = tracecontext.Member(r.info.Baggage, tracecontext.MarkMember)
	}
	if r.info.Trace == "" && r.kind.admission != nil {
		r.info.Trace = tracecontext.NextSpan("") // as beginTrace would do
	}
	if r.info.Trace == "" && tracecontext.Member(r.info.Baggage, tracecontext.KeyMember) == "" {
		return 0, mark, false
	}
	return seedOf(&r.info), mark, true
}

// access refuses a call that the caller may not make, or counts it only.
func (r *serverCall) access(p *policed, now time.Time) (Code, error) {
	allowed, enforced, by := p.rules.Access(&p.request)
	if allowed {
		return Unknown, nil
	}
	d := &p.denied
	if d.row != nil && d.by == by && d.enforced == enforced {
		d.row.add(now)
	} else {
		key := p.deniedKey(r.served.name, r.kind.name, by, enforced)
		*d = denial{by: by, enforced: enforced, row: r.conn.s.denied.count(key, now)}
		if enforced {
			d.err = p.refusal(r.served.name, by)
		}
	}
	if !enforced {
		return Unknown, nil
	}
	return AccessDenied, d.err
}

func (p *policed) deniedKey(service, method string, by *policy.Item, enforced bool) deniedKey {
	key := deniedKey{service: service, method: method, caller: p.request.Caller, proof: p.proof, enforced: enforced}
	if by != nil {
		key.item = by.Key
	}
	return key
}

// refusal says which item refuses the call.
func (p *policed) refusal(service string, by *policy.Item) error {
	caller := p.request.Caller
	if p.proof == byName {
		caller += " (a name without proof)"
	}
	if by == nil {
		return fmt.Errorf("by the site's policy %s may not call %s.%s: no item of access.allow lets it, and the "+
			"default is deny", caller, service, p.request.Method)
	}
	return fmt.Errorf("by the site's policy %s may not call %s.%s: %s", caller, service, p.request.Method,
		itemText(by))
}

// itemText is the place of an item in the text of the policy, with its name.
func itemText(i *policy.Item) string {
	if i.Name == "" {
		return i.Key
	}
	return fmt.Sprintf("%s (%s)", i.Key, i.Name)
}

// limit takes the call's place within each limit that matches, or refuses the call. releaseLimits gives them back.
func (r *serverCall) limit(p *policed, now time.Time) (Code, error) {
	var room [8]*policy.Item
	items := p.rules.Limits(&p.request, room[:0])
	if len(items) == 0 {
		return Unknown, nil
	}
	s := r.conn.s
	at := int64(now.Sub(s.begun))
	held := heldLimits.Get().(*limitsHeld)
	for _, item := range items {
		u := p.gate(s, r.served.name, item)
		if err := u.enter(at); err != nil {
			held.undo()
			p.limited = item
			return Limited, err
		}
		held.gates = append(held.gates, heldGate{u.gate, u.interval})
	}
	r.limits = held
	return Unknown, nil
}

// undoLimits gives back all that a call took of the policy's limits, because it does not run.
func (r *serverCall) undoLimits() {
	if r.limits != nil {
		r.limits.undo()
		r.limits = nil
	}
}

// releaseLimits gives back the call's places within the policy's limits.
func (r *serverCall) releaseLimits() {
	if r.limits == nil {
		return
	}
	r.limits.leave()
	r.limits = nil
}

// gate finds the use of a limit by this kind of call.
func (p *policed) gate(s *Server, service string, item *policy.Item) *gateUse {
	for i := range p.gates {
		if p.gates[i].item == item {
			return &p.gates[i]
		}
	}
	if item.Per == perSite && p.living == 0 {
		p.count(s, service)
	}
	g := s.gates.of(p.table, service, item)
	p.gates = append(p.gates, newGateUse(g, item, service, calleeShare(item, p.living)))
	return &p.gates[len(p.gates)-1]
}

// gateUse is a limit with the share that this instance has of it.
type gateUse struct {
	gate            *policyGate
	item            *policy.Item
	most            int64 // calls at a time; 0: any
	interval, ahead int64 // as in callGate
	pendingErr      error
	rateErr         error
}

// share is the part of a limit that this process may use: times/of of its numbers.
type share struct {
	times, of int64
	say       string // for the text of a refusal
}

// calleeShare is the share of one of living instances.
func calleeShare(item *policy.Item, living int) share {
	if item.Per != perSite {
		return share{times: 1, of: 1}
	}
	return share{1, int64(living), fmt.Sprintf(", of which each of %d instances has its share", living)}
}

// newGateUse returns the use of a share. A share has at least one call at a time, and one at once.
func newGateUse(g *policyGate, item *policy.Item, service string, part share) gateUse {
	u := gateUse{gate: g, item: item}
	if item.Pending > 0 {
		u.most = max(1, int64(item.Pending)*part.times/part.of)
		u.pendingErr = fmt.Errorf("%s: %d calls at a time are allowed by the site's policy%s: %s", service,
			item.Pending, part.say, itemText(item))
	}
	if item.Rate > 0 {
		burst := int64(cmp.Or(item.Burst, max(1, item.Rate/10)))
		u.interval = max(1, int64(time.Second)*part.of/(int64(item.Rate)*part.times))
		u.ahead = max(1, burst*part.times/part.of) * u.interval
		u.rateErr = fmt.Errorf("%s: %d calls a second are allowed by the site's policy%s: %s", service, item.Rate,
			part.say, itemText(item))
	}
	return u
}

const perSite = "site"

func (u *gateUse) enter(now int64) error {
	g := u.gate
	if n := g.pending.Add(1); u.most > 0 && n > u.most {
		g.pending.Add(-1)
		return u.pendingErr
	}
	if u.interval > 0 && !spend(&g.used, now, u.interval, u.ahead) {
		g.pending.Add(-1)
		return u.rateErr
	}
	return nil
}

// callerFacts is what a caller says about itself when it connects.
type callerFacts struct {
	name, version, zone string
	tags                map[string]string
}

// Names in a client's greeting that stand for facts instead of services.
const (
	factName    = internalPrefix + "caller"
	factVersion = internalPrefix + "caller.version"
	factZone    = internalPrefix + "caller.zone"
	factTag     = internalPrefix + "caller.tag."
)

// maxTags is the largest number of tags that a client tells of itself.
const maxTags = 32

// facts returns what this process tells of itself, in at most maxOffered bytes.
func (cfg *ClientConfig) facts() (list []offered) {
	if cfg.Facts == nil {
		return nil
	}
	zone, version, tags := cfg.Facts()
	size := 0
	add := func(name, value string) {
		if n := len(name) + len(value) + 2*binary.MaxVarintLen16; value != "" && size+n <= maxOffered {
			size += n
			list = append(list, offered{name, value})
		}
	}
	add(factName, cfg.Caller)
	add(factZone, zone)
	add(factVersion, version)
	keys := slices.Sorted(maps.Keys(tags))
	for _, key := range keys[:min(len(keys), maxTags)] {
		add(factTag+key, tags[key])
	}
	return list
}

// readFacts returns the facts in a client's greeting, nil without any.
func (g *greeting) readFacts() *callerFacts {
	f, known := &callerFacts{}, false
	for _, o := range g.offers {
		rest, of := strings.CutPrefix(o.service, factName)
		if !of {
			continue
		}
		known = true
		switch tag, isTag := strings.CutPrefix(o.service, factTag); {
		case rest == "":
			f.name = o.version
		case o.service == factVersion:
			f.version = o.version
		case o.service == factZone:
			f.zone = o.version
		case isTag && len(f.tags) < maxTags:
			if f.tags == nil {
				f.tags = map[string]string{}
			}
			f.tags[tag] = o.version
		}
	}
	if !known {
		return nil
	}
	return f
}
