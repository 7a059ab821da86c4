package policytry

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/policy"
)

// Config is what a candidate is tried on.
type Config struct {
	Records   recent.Records
	Now, Then *policy.Table  // in force, and the candidate; nil: none
	Self      policy.Request // facts of this process as a caller
	Host      string         // of this process

	// Living is the number of instances that share a limit of the site.
	Living func(service string) int
	// Place says where a process (host/pid/epoch) has its instance of a service.
	Place func(service, owner string) (zone, host string, tags map[string]string, known bool)
	// Enough says that it has taken too long. nil: it never does.
	Enough func() bool
}

// Try says what the candidate would have done with the recorded calls.
func Try(c Config) Report {
	t := &trial{
		Config:  c,
		now:     newTables(c.Now),
		then:    newTables(c.Then),
		samples: map[recent.Key][]*recent.Sample{},
		effects: map[effectKey]*effect{},
		limits:  map[string]*limitTrial{},
		served:  map[string][]int64{},
	}
	if t.Place == nil {
		t.Place = func(string, string) (zone, host string, tags map[string]string, known bool) { return }
	}
	if t.Enough == nil {
		t.Enough = func() bool { return false }
	}
	for i := range c.Records.Samples {
		s := &c.Records.Samples[i]
		t.samples[*s.Kind] = append(t.samples[*s.Kind], s)
	}
	for i := range c.Records.Kinds {
		if k := &c.Records.Kinds[i]; k.Side == recent.Callee {
			t.served[k.Service] = aligned(t.served[k.Service], k.PerSecond)
		}
	}
	r := Report{Seconds: c.Records.Seconds, Whole: c.Records.Whole}
	for i := range c.Records.Kinds {
		if t.Enough() {
			r.Cut = true
			break
		}
		switch k := &c.Records.Kinds[i]; {
		case k.Method == recent.Others:
			r.Others += k.Sum()
		case k.Side == recent.Callee:
			t.callee(k)
		case k.HTTP: // see docs/policy.md
		default:
			t.caller(k)
		}
	}
	for service, l := range t.limits {
		l.run(t, service)
	}
	t.weights()
	for key, e := range t.effects {
		if e.changed {
			r.Effects = append(r.Effects, t.done(key, e))
		}
	}
	return r
}

// tables are a policy, and the same without the conditions that differ between the calls of one kind.
type tables struct {
	strict, loose *policy.Table
	fuzzy         map[string]bool // keys of items that have such conditions
}

func newTables(t *policy.Table) tables {
	out := tables{strict: t, fuzzy: map[string]bool{}}
	p := t.Policy()
	if p == nil {
		return out
	}
	loose := *p
	loose.Services = out.loosen(p.Services)
	loose.Plans = map[string]*policy.Plan{}
	for name, plan := range p.Plans {
		loose.Plans[name] = &policy.Plan{Services: out.loosen(plan.Services)}
	}
	out.loose = policy.Compile(&loose, nil, 0)
	return out
}

func (t *tables) loosen(services map[string]*policy.Service) map[string]*policy.Service {
	out := map[string]*policy.Service{}
	for name, s := range services {
		c := *s
		c.Items = slices.Clone(s.Items)
		for i := range c.Items {
			it := &c.Items[i]
			hosted := it.Kind == kindFallback && len(it.Match.Host) > 0
			if len(it.Match.Mark)+len(it.Match.Baggage) > 0 || it.Match.Percent != nil && *it.Match.Percent < 10_000 ||
				hosted {
				t.fuzzy[it.Key] = true
			}
			it.Match.Mark, it.Match.Baggage, it.Match.Percent = nil, nil, nil
			if hosted {
				it.Match.Host = nil
			}
		}
		out[name] = &c
	}
	return out
}

// The lists of items, as package policy names them.
const (
	kindFallback policy.Kind = "fallback"
	kindWeights  policy.Kind = "weights"
)

// verdict is what a policy says about one call: an item, or the default.
type verdict struct {
	item     *policy.Item
	refused  bool
	enforced bool
}

// picker asks the rules of a method about a call.
type picker func(*policy.Rules, *policy.Request) verdict

// share is a part of the calls of a kind, by what both policies say.
type share struct {
	then, now verdict
	part      float64 // of the kind's calls, 0 to 1
	variance  float64 // of part
	sampled   bool    // part is by the sample
	calls     []*recent.Sample
}

// trial is one run of Try.
type trial struct {
	Config
	now, then tables
	samples   map[recent.Key][]*recent.Sample
	served    map[string][]int64 // calls of each service that this process served, by second
	effects   map[effectKey]*effect
	limits    map[string]*limitTrial // by service
}

// shares asks both policies about the calls of a kind. Where an item that could decide differs between the calls, they
// are those of the sample. of says which samples count; nil: all. unseen is the variance of a share without a sample.
func (t *trial) shares(k *recent.Calls, q policy.Request, pick picker, total int64, of func(*recent.Sample) bool) (
	out []share, unseen float64) {
	samples := t.samples[k.Key]
	if of != nil {
		samples = slices.DeleteFunc(slices.Clone(samples), func(s *recent.Sample) bool { return !of(s) })
	}
	then := pick(t.then.loose.Rules(k.Service, k.Method), &q)
	now := pick(t.now.loose.Rules(k.Service, k.Method), &q)
	exact := (then.item == nil || !t.then.fuzzy[then.item.Key]) && (now.item == nil || !t.now.fuzzy[now.item.Key])
	if exact {
		return []share{{then: then, now: now, part: 1, calls: samples}}, 0
	}
	var sum, squares float64
	for _, s := range samples {
		if s.Cut {
			continue
		}
		one := t.sampled(q, s)
		v := share{then: pick(t.then.strict.Rules(k.Service, k.Method), &one),
			now: pick(t.now.strict.Rules(k.Service, k.Method), &one), sampled: true}
		at := slices.IndexFunc(out, func(o share) bool { return o.then == v.then && o.now == v.now })
		if at < 0 {
			at = len(out)
			out = append(out, v)
		}
		w := float64(s.Weight)
		out[at].part += w
		out[at].calls = append(out[at].calls, s)
		sum += w
		squares += w * w
	}
	if sum == 0 { // nothing is known: half of them, give or take as many
		return []share{{then: then, now: now, part: 0.5, variance: 0.25, sampled: true}}, 0.25
	}
	n := sum * sum / squares
	left := math.Max(0, 1-float64(len(samples))/float64(max(total, 1)))
	variance := func(part float64) float64 {
		p := (part*n + 1) / (n + 2)
		return p * (1 - p) / n * left
	}
	for i := range out {
		out[i].part /= sum
		out[i].variance = variance(out[i].part)
	}
	return out, variance(0)
}

// sampled is a request with the facts of a sample.
func (t *trial) sampled(q policy.Request, s *recent.Sample) policy.Request {
	q.Baggage, q.Mark, q.Seed, q.Seeded = s.Baggage, s.Mark, s.Seed, s.Seeded
	if s.Kind.Side == recent.Caller && s.Owner != "" && q.Host == "" {
		_, q.Host, _, _ = t.Place(s.Kind.Service, s.Owner)
	}
	return q
}

// same reports whether two items say the same, wherever they stand.
func same(a, b *policy.Item) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.Key, y.Key, x.Why, y.Why, x.Thrift, y.Thrift = "", "", "", "", nil, nil
	return reflect.DeepEqual(x, y)
}

type effectKey struct {
	kind          Kind
	service, item string
}

// effect adds up an Effect.
type effect struct {
	Effect
	hit, variance float64
	changed       bool
}

// effect returns the one of an item. A new one says what.
func (t *trial) effect(kind Kind, service, item string, what func() string) *effect {
	key := effectKey{kind, service, item}
	e := t.effects[key]
	if e == nil {
		e = &effect{Effect: Effect{Kind: kind, Service: service, Item: item, What: what(),
			Callers: map[string]int64{}, Ended: map[string]int64{}}}
		t.effects[key] = e
	}
	return e
}

// add adds the calls of a share.
func (e *effect) add(s share, calls int64, caller string) {
	n := float64(calls)
	e.hit += s.part * n
	e.variance += s.variance * n * n
	if s.sampled {
		e.Estimate = BySample
	}
	if add := int64(math.Round(s.part * n)); add > 0 {
		e.Callers[caller] += add
	}
	e.changed = true
}

// show keeps sampled calls as examples.
func (t *trial) show(e *effect, caller string, calls []*recent.Sample) {
	for _, s := range calls {
		e.Examples = append(e.Examples, Example{
			AgoMS:  max(0, (t.Records.Now - s.Began).Milliseconds()),
			Caller: caller,
			Method: s.Kind.Method,
			Trace:  s.Trace,
			TookMS: float64(s.Took) / float64(time.Millisecond),
		})
	}
	if len(e.Examples) > 8*mostExamples {
		e.trim()
	}
}

// trim keeps the first examples.
func (e *effect) trim() {
	slices.SortStableFunc(e.Examples, func(a, b Example) int { return cmp.Compare(b.AgoMS, a.AgoMS) })
	e.Examples = e.Examples[:min(len(e.Examples), mostExamples)]
}

func (t *trial) done(key effectKey, e *effect) Effect {
	e.trim()
	out := e.Effect
	switch key.kind {
	case Access, Audit, Allow, Limit, Unlimit:
		out.Calls = 0
		for _, n := range t.served[key.service] {
			out.Calls += n
		}
	}
	out.Hit = int64(math.Round(math.Max(0, math.Min(e.hit, float64(out.Calls)))))
	out.Error = math.Round(math.Sqrt(e.variance)*10) / 10
	return out
}

// itemsOf returns the items of a policy for a service, those of plans too.
func itemsOf(t *policy.Table, service string) (out []*policy.Item) {
	p := t.Policy()
	if p == nil {
		return nil
	}
	see := func(services map[string]*policy.Service) {
		for _, name := range []string{service, policy.Every} {
			if s := services[name]; s != nil {
				for i := range s.Items {
					out = append(out, &s.Items[i])
				}
			}
		}
	}
	for _, on := range p.On {
		if plan := p.Plans[on.Name]; plan != nil {
			see(plan.Services)
		}
	}
	see(p.Services)
	return out
}
