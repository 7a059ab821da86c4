//go:build linux

package attack

import (
	"slices"
	"sync"
	"testing"

	"github.com/skerry/skerry/internal/drain"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

const strangerOwner = "laptop/666/1"

// stranger is the laptop without any key.
func (s *site) stranger() identity {
	return identity{name: "stranger", laptop: s.laptop(), cluster: s.cluster, owner: strangerOwner}
}

// outsiders are all identities that are not members of the site.
func (s *site) outsiders(t *testing.T) []identity {
	t.Helper()
	all := []identity{s.stranger()}
	if s.keys {
		other := s.stranger()
		k := sitekey.New()
		other.name, other.key = "other key", &k
		all = append(all, other)
	}
	if s.tls {
		other := s.stranger()
		other.name, other.cert = "other authority", newAuthority(t).client(t, s.ca)
		all = append(all, other)
	}
	if s.tls && s.keys {
		evil := s.stranger()
		evil.name, evil.cert = "certificate without key", s.ca.client(t, s.ca)
		all = append(all, evil)
	}
	return all
}

// member is an identity that the set-up counts as a process of the site: a key, a certificate, or,
// without both, another program of the host.
func (s *site) member(t *testing.T) identity {
	t.Helper()
	m := s.stranger()
	m.name, m.member = "member", true
	switch {
	case s.keys:
		m.key = &s.key
	case s.tls:
		m.cert = s.ca.client(t, s.ca)
	default:
		m.laptop = s.on(0)
	}
	return m
}

// reaches reports whether an outsider's connection can carry a call.
func (s *site) reaches(i identity) bool {
	return i.key == nil && i.name != "other authority" && (!s.tls || i.cert != nil)
}

// tip is the newest entry that a process has applied.
func (s *site) tip(t *testing.T, process string) rollout.Position {
	t.Helper()
	page, err := s.member(t).internal(t, s.addr(process)).Log(t.Context(), "0")
	must(t, err)
	if len(page.Records) == 0 {
		return rollout.Position{}
	}
	r, err := rollout.ParseRecord(page.Records[len(page.Records)-1])
	must(t, err)
	e, err := r.Open()
	must(t, err)
	return e.Position()
}

// unmoved fails the test unless both processes still end with an entry.
func (s *site) unmoved(t *testing.T, at rollout.Position) {
	t.Helper()
	for _, p := range []string{"provider", "consumer"} {
		if now := s.tip(t, p); now != at {
			t.Errorf("%s has applied %v, it had %v", p, now, at)
		}
	}
}

// step brings an honest entry, from a stranger when it is signed, because the bearer of an entry
// does not matter.
func (s *site) step(t *testing.T, version string) rollout.Entry {
	t.Helper()
	e := s.li.signed(t, s.entry(t, s.tip(t, "provider"), version))
	for _, p := range []string{"provider", "consumer"} {
		if _, err := s.member(t).internal(t, s.addr(p)).Bring(t.Context(), records(e)); err != nil {
			t.Fatalf("bring an entry that an operator has signed: %v", err)
		}
		if now := s.tip(t, p); now != e.Position() {
			t.Fatalf("%s has applied %v, brought was %v", p, now, e.Position())
		}
	}
	return e
}

// TestAttacks makes every attack on the wire in the four set-ups.
func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, u := range setUps {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, u, holdLines)
			for _, a := range attacks {
				if a.fits == nil || a.fits(u) {
					t.Run(a.name, func(t *testing.T) {
						if a.heavy {
							heavy.Lock()
							defer heavy.Unlock()
						}
						s.unharmed(t, func(t *testing.T) { a.make(t, s) })
					})
				}
			}
			for _, a := range restarts {
				if a.fits == nil || a.fits(u) {
					t.Run(a.name, func(t *testing.T) { a.make(t, s) })
				}
			}
		})
	}
}

// attack is one kind of attack, made on a site with running calls.
type attack struct {
	name  string
	fits  func(setUp) bool // nil: every set-up
	make  func(*testing.T, *site)
	heavy bool // it loads the processor: one at a time
}

// heavy is held by an attack that would slow the other sites of this machine.
var heavy sync.Mutex

func withKeys(u setUp) bool      { return u.keys }
func withOperators(u setUp) bool { return u.operators() }

var attacks = []attack{
	{"a stranger asks and steers", nil, strangerSteers, false},
	{"entries without proof", nil, unprovenEntries, false},
	{"a member without operator's key steers", withOperators, memberSteers, false},
	{"a promise becomes no commit", withOperators, promiseCommitted, false},
	{"another command abandons", withOperators, abandonedByAnother, false},
	{"old entries again, in another order, and elsewhere", withOperators, replayedEntries, false},
	{"orders to drain", nil, ordersToDrain, false},
	{"rounds out of reach", nil, hugeRounds, false},
	{"ghosts", nil, ghosts, false},
	{"little asks for much", withKeys, amplified, false},
	{"connections led on", withKeys, relayed, false},
	{"the key under another cluster's name", withKeys, otherCluster, false},
	{"tokens of strangers", func(u setUp) bool { return u.keys || !u.tls }, strangersTokens, false},
	{"tokens far ahead", nil, manyFarTokens, false},
	{"false providers", nil, fakeProviders, false},
	{"goodbyes and alarms in another name", nil, falseWords, false},
	{"a member in the clear", nil, plainMember, false},
	{"all connections taken", nil, loris, true},
	{"handshakes that stand", func(u setUp) bool { return u.keys || u.tls }, tlsStall, true},
	{"bombs", nil, listBomb, true},
	{"callers without end", nil, manyCallers, true},
	{"waiters", nil, waiters, true},
}

var restarts = []attack{
	{"a flood, and a recording", withKeys, floodAndReplay, false},
	{"nothing survives a restart", nil, survivesRestart, false},
	{"an entry of a removed operator", withOperators, removedOperator, false},
}

// strangerSteers calls every method for members.
func strangerSteers(t *testing.T, s *site) {
	before := s.tip(t, "provider")
	e := s.entry(t, before, "v9")
	for _, process := range []string{"provider", "consumer"} {
		for _, i := range s.outsiders(t) {
			c, ctx := i.internal(t, s.addr(process)), t.Context()
			if !s.reaches(i) {
				if err := c.Ping(ctx); err == nil {
					t.Errorf("%s: %s gets a connection", process, i.name)
				}
				continue
			}
			id, err := c.WhoAmI(ctx)
			if err != nil || id.Cluster != s.cluster || id.Owner.Host != "" || id.UptimeMs != 0 ||
				len(id.Services) > 0 {
				t.Errorf("%s: whoAmI tells %s %v, %v", process, i.name, id, err)
			}
			_, errDescribe := c.Describe(ctx)
			_, errLog := c.Log(ctx, "0")
			_, errPromised := c.Promised(ctx)
			_, errReport := c.Report(ctx, -1, "0", 0)
			_, errMembers := c.Members(ctx)
			_, errEnded := c.Ended(ctx, &wire.Owner{Host: "x", Pid: 1}, "x/y")
			_, errSees := c.Sees(ctx, []string{"auth"})
			_, errServed := c.Served(ctx, 1, nil)
			_, errLeave := c.Leave(ctx, "auth", "v1")
			_, errCut := c.CutStreams(ctx, "auth", "v1")
			_, errDrains := c.Drains(ctx)
			_, errDenied := c.Denied(ctx)
			_, errDoctor := c.Doctor(ctx)
			_, errCondition := c.Condition(ctx)
			_, errRefusals := c.Refusals(ctx)
			_, errPolicies := c.Policies(ctx, nil)
			_, errBrought := c.BringPolicies(ctx, nil)
			_, errTry := c.TryPolicy(ctx, []byte("policy: 1\n"), 60, nil)
			_, errStreams := c.Streams(ctx)
			_, errRecent := c.Recent(ctx, 60)
			_, errSpans := c.Spans(ctx, &wire.SpanQuery{})
			_, errIdl := c.Idl(ctx, "auth")
			order := drain.Order{Verb: drain.Begin, Cluster: s.cluster, To: strangerOwner, Number: 1}
			_, errObey := c.Obey(ctx, []byte(order.Text()), mustText(t, s.li.sign(t, drain.Purpose, order.Text())))
			ghost := &wire.Member{Owner: &wire.Owner{Host: "ghost", Pid: 1, Epoch: 1}, Addr: "10.77.0.3:1"}
			refusals := map[string]error{
				"describe": errDescribe, "log": errLog, "promised": errPromised, "report": errReport,
				"members": errMembers,
				"ended":   errEnded, "sees": errSees, "served": errServed, "leave": errLeave,
				"drains": errDrains, "obey": errObey, "denied": errDenied,
				"condition": errCondition,
				"doctor":    errDoctor, "refusals": errRefusals, "policies": errPolicies, "bringPolicies": errBrought,
				"tryPolicy": errTry, "recent": errRecent, "spans": errSpans, "idl": errIdl,
				"cutStreams": errCut,
				"streams":    errStreams,
				"introduce":  c.Introduce(ctx, ghost), "farewell": c.Farewell(ctx, ghost.Owner),
				"promise": c.Promise(ctx, records(e)[0], undertaking(t, "x", rollout.Proof{})),
				"abandon": c.Abandon(ctx, records(e)[0], undertaking(t, "x", rollout.Proof{})),
				"bar":     c.Bar(ctx, records(e)[0], undertaking(t, "x", rollout.Proof{})),
			}
			open := []string{"ping", "bring", "whoAmI"}
			for method := range wire.NewInternalProcessor(nil).ProcessorMap() {
				if _, tried := refusals[method]; !tried && !slices.Contains(open, method) {
					t.Errorf("no stranger has tried %s", method)
				}
			}
			for what, err := range refusals {
				refusedAs(t, process+": "+i.name+": "+what, err, rpc.NotMember)
			}
		}
	}
	s.unmoved(t, before)
	host := s.lan.Host(laptopHost).IP(0)
	for _, p := range []*process{s.provider, s.consumer} {
		if s.tls {
			p.says(t, 60, "connection closed", host)
		}
		if !s.tls || s.keys {
			p.says(t, 2, "for members of the site was refused", host)
		}
	}
}

// unprovenEntries brings, over the open method, entries that no operator has signed, and entries
// signed for another purpose.
func unprovenEntries(t *testing.T, s *site) {
	before := s.tip(t, "provider")
	mallory := newOperator(t, "mallory")
	base := s.entry(t, before, "v9")
	altered := s.li.signed(t, base).Record()
	altered.Body = s.entry(t, before, "v8").Body()
	bad := map[string][][]byte{
		"roll": records(base),
		"retire": records(s.entry(t, before, "v9", func(e *rollout.Entry) {
			e.Rules, e.Retire = nil, []rollout.Retirement{{Service: "auth", Version: "v1", Floor: e.Generation}}
		})),
		"last": records(s.entry(t, before, "v9", func(e *rollout.Entry) {
			e.Generation = rollout.Generation{Timeline: 1<<32 - 1, N: 1<<64 - 1}
		})),
		"far": records(s.entry(t, before, "v9", func(e *rollout.Entry) {
			e.Generation.N = 1<<62 - 1
			e.Generation.Timeline = 1<<31 - 1
		})),
		"unknown operator": records(mallory.signed(t, base)),
		"for a promise":    records(base.WithProof(s.li.sign(t, rollout.ForPromise, base.Body()))),
		"the words": records(base.WithProof(s.li.sign(t, rollout.ForPromise,
			base.PromiseText("x")))),
		"other body": {altered.Marshal()},
		"by the site's key": records(base.WithProof(rollout.Proof{Kind: rollout.SiteProof,
			Signature: make([]byte, 32)})),
		"no entry": {[]byte(`{"body":"skerry-entry 1\n{","proofs":[]}`)},
	}
	if !s.operators() {
		bad["signed, where nothing can be checked"] = records(s.li.signed(t, base))
	}
	for _, process := range []string{"provider", "consumer"} {
		for _, i := range append(s.outsiders(t), s.member(t)) {
			if !i.member && !s.reaches(i) || i.member && !s.operators() {
				continue // it gets no connection, or it may: other programs of the host are members
			}
			for what, r := range bad {
				if _, err := i.internal(t, s.addr(process)).Bring(t.Context(), r); err == nil {
					t.Errorf("%s takes %q of %s", process, what, i.name)
				} else {
					rulesRefused(t, process+": "+i.name+": "+what, err, "unproven", "entry", "fork")
				}
			}
			if _, err := i.internal(t, s.addr(process)).Bring(t.Context(), make([][]byte, 5000)); err == nil {
				t.Errorf("%s takes 5000 records of %s", process, i.name)
			}
		}
	}
	s.unmoved(t, before)
	if s.operators() && !(s.tls && !s.keys) || !s.operators() {
		for _, p := range []*process{s.provider, s.consumer} {
			if s.reaches(s.stranger()) {
				p.says(t, 3, "was refused", "what=bring", s.lan.Host(laptopHost).IP(0))
			}
		}
	}
	if s.operators() {
		e := s.step(t, "v1") // the control: the same, signed
		if e.Generation.N != before.Generation.N+1 {
			t.Errorf("the signed entry is %v", e.Generation)
		}
	}
}

// memberSteers is a broken process of the site without an operator's key.
func memberSteers(t *testing.T, s *site) {
	before, i := s.tip(t, "provider"), s.member(t)
	e := s.entry(t, before, "v9")
	mallory := newOperator(t, "mallory")
	for _, process := range []string{"provider", "consumer"} {
		c, ctx := i.internal(t, s.addr(process)), t.Context()
		for what, words := range map[string][]byte{
			"without proof":  undertaking(t, "x", rollout.Proof{}),
			"by another key": mallory.asks(t, rollout.Entry.PromiseText, e, "x"),
			"for another command": undertaking(t, "x",
				s.li.sign(t, rollout.ForPromise, e.PromiseText("y"))),
			"for another verb": s.li.asks(t, rollout.Entry.AbandonText, e, "x"),
		} {
			rulesRefused(t, process+": promise "+what, c.Promise(ctx, records(e)[0], words), "unproven")
			rulesRefused(t, process+": bar "+what, c.Bar(ctx, records(e)[0], words), "unproven")
		}
		if left, err := c.Leave(ctx, "auth", "v1"); err != nil || left {
			t.Errorf("%s: a version that is not retired leaves: %v, %v", process, left, err)
		}
		if p, err := c.Promised(ctx); err != nil || len(p) > 0 {
			t.Errorf("%s has promised %q, %v", process, p, err)
		}
	}
	s.unmoved(t, before)
}

// promiseCommitted: a process that was asked to promise tries to commit.
func promiseCommitted(t *testing.T, s *site) {
	before, i := s.tip(t, "provider"), s.member(t)
	e := s.entry(t, before, "v9")
	words := s.li.asks(t, rollout.Entry.PromiseText, e, "command-1")
	var asked rollout.Undertaking
	mustJSON(t, words, &asked)
	for _, process := range []string{"provider", "consumer"} {
		c, ctx := i.internal(t, s.addr(process)), t.Context()
		must(t, c.Promise(ctx, records(e)[0], words))
		for what, r := range map[string][][]byte{"bare": records(e),
			"with the promise's proof": records(e.WithProof(asked.Proof))} {
			_, err := c.Bring(ctx, r)
			rulesRefused(t, process+": commit "+what, err, "unproven")
		}
	}
	s.unmoved(t, before)
	for _, process := range []string{"provider", "consumer"} {
		must(t, i.internal(t, s.addr(process)).Abandon(t.Context(), records(e)[0],
			s.li.asks(t, rollout.Entry.AbandonText, e, "command-1")))
	}
}

// abandonedByAnother: one command can't take back what another one requested.
func abandonedByAnother(t *testing.T, s *site) {
	e := s.entry(t, s.tip(t, "provider"), "v1", func(e *rollout.Entry) { e.Step = "abandon" })
	c, ctx := s.member(t).internal(t, s.addr("provider")), t.Context()
	promised := func() bool {
		p, err := c.Promised(ctx)
		must(t, err)
		return len(p) > 0
	}
	must(t, c.Promise(ctx, records(e)[0], s.li.asks(t, rollout.Entry.PromiseText, e, "command-1")))
	rulesRefused(t, "abandon with the promise's words",
		c.Abandon(ctx, records(e)[0], s.li.asks(t, rollout.Entry.PromiseText, e, "command-1")), "unproven")
	rulesRefused(t, "abandon without proof", c.Abandon(ctx, records(e)[0],
		undertaking(t, "command-1", rollout.Proof{})), "unproven")
	must(t, c.Abandon(ctx, records(e)[0], s.mo.asks(t, rollout.Entry.AbandonText, e, "command-2")))
	if !promised() {
		t.Error("another command has taken the promise back")
	}
	must(t, c.Abandon(ctx, records(e)[0], s.li.asks(t, rollout.Entry.AbandonText, e, "command-1")))
	if promised() {
		t.Error("the command can't take its own promise back")
	}
}
