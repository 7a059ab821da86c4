package policytry

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/policy"
)

// limitTrial simulates the limits of one service over the calls of all kinds, as a process enforces them.
type limitTrial struct {
	kinds []limitKind
	items []*policy.Item // of the candidate, in the order in which they hold
}

// limitKind are the calls of one kind, with the part of them that each limit matches.
type limitKind struct {
	calls    *recent.Calls
	passes   float64 // part that access lets pass
	parts    []limitPart
	variance float64
}

type limitPart struct {
	item    *policy.Item
	part    float64
	sampled bool
}

// limitsOf notes which limits match the calls of a kind.
func (t *trial) limitsOf(k *recent.Calls, q policy.Request, total int64, passes float64) {
	then := t.then.loose.Rules(k.Service, k.Method).Limits(&q, nil)
	if n := k.Outcomes[recent.Limited]; n > 0 && len(then) == 0 {
		if now := t.now.loose.Rules(k.Service, k.Method).Limits(&q, nil); len(now) > 0 {
			key, what := now[0].Key, limitText
			if len(now) > 1 { // which of them has refused a call is not recorded
				key += ", " + now[1].Key
				what = func(i *policy.Item) string { return limitText(i) + ", or another limit" }
			}
			e := t.effect(Unlimit, k.Service, key, func() string { return what(now[0]) })
			e.add(share{part: 1}, n, k.Caller)
		}
	}
	if len(then) == 0 {
		return
	}
	l := t.limits[k.Service]
	if l == nil {
		l = &limitTrial{}
		t.limits[k.Service] = l
	}
	kind := limitKind{calls: k, passes: passes}
	for _, i := range then {
		p := limitPart{item: i, part: 1}
		if t.then.fuzzy[i.Key] {
			p.sampled = true
			p.part = 0
			has := func(r *policy.Rules, q *policy.Request) verdict {
				match := func(o *policy.Item) bool { return o.Key == i.Key }
				return verdict{item: i, refused: slices.ContainsFunc(r.Limits(q, nil), match)}
			}
			shares, unseen := t.shares(k, q, has, total, nil)
			kind.variance = max(kind.variance, unseen)
			for _, s := range shares {
				if s.then.refused {
					p.part += s.part
					kind.variance = max(kind.variance, s.variance)
				}
			}
		}
		kind.parts = append(kind.parts, p)
		if !slices.ContainsFunc(l.items, func(o *policy.Item) bool { return o.Key == i.Key }) {
			l.items = append(l.items, i)
		}
	}
	l.kinds = append(l.kinds, kind)
}

// bucket is one limit with the share of this process, as rpc has it.
type bucket struct {
	most            int64
	rate, burst     float64 // calls a second, and at once
	left            float64 // of burst
	calls, hit      []int64 // of each second
	refused, offers float64
	variance        float64
	sampled         bool
	chance          bool
	kinds           map[*recent.Calls]float64 // refused
}

func newBucket(i *policy.Item, living, seconds int) *bucket {
	b := &bucket{most: int64(i.Pending), calls: make([]int64, seconds), hit: make([]int64, seconds),
		kinds: map[*recent.Calls]float64{}}
	if i.Per != "site" {
		living = 1
	}
	living = max(living, 1)
	if b.most > 0 {
		b.most = max(1, b.most/int64(living))
	}
	if i.Rate > 0 {
		b.rate = float64(i.Rate) / float64(living)
		b.burst = float64(max(1, cmp.Or(i.Burst, max(1, i.Rate/10))/living))
		b.left = b.burst
	}
	return b
}

// run simulates the limits second by second.
func (l *limitTrial) run(t *trial, service string) {
	living := 1
	if t.Living != nil {
		living = t.Living(service)
	}
	seconds := t.Records.Seconds
	buckets := make([]*bucket, len(l.items))
	for n, i := range l.items {
		buckets[n] = newBucket(i, living, seconds)
	}
	passing := make([]float64, len(l.kinds))
	for second := range seconds {
		if t.Enough() {
			break
		}
		for n := range l.kinds {
			passing[n] = 0
			if calls := l.kinds[n].calls.PerSecond; second < len(calls) {
				passing[n] = float64(calls[second]) * l.kinds[n].passes
			}
		}
		for n, i := range l.items {
			l.second(t, buckets[n], i, second, passing)
		}
	}
	for n, i := range l.items {
		if !t.inForce(service, i.Key) {
			l.done(t, service, i, buckets[n])
		}
	}
}

// second puts the calls of one second through one limit. passing are those of each kind that the limits before it let
// pass.
func (l *limitTrial) second(t *trial, b *bucket, i *policy.Item, second int, passing []float64) {
	offered, load := 0.0, 0.0
	for n := range l.kinds {
		part, sampled := l.kinds[n].part(i)
		at := part * passing[n]
		offered += at
		b.sampled = b.sampled || sampled && at > 0
		if sampled {
			b.variance += l.kinds[n].variance * passing[n] * passing[n]
		}
		if calls := l.kinds[n].calls; at > 0 && second < len(calls.Busy) {
			load += float64(calls.Busy[second]) / float64(time.Second) * at / max(1, float64(calls.PerSecond[second]))
		}
	}
	refused := 0.0
	if b.most > 0 && second < len(t.Records.Running) && t.Records.Running[second] > b.most {
		b.chance = true
		refused = offered * erlang(load, b.most)
	}
	if b.rate > 0 {
		let := math.Min(offered-refused, b.left+b.rate)
		b.left = math.Max(0, math.Min(b.burst, b.left+b.rate-let))
		refused = offered - let
	}
	b.offers += offered
	b.refused += refused
	b.calls[second] = int64(math.Round(offered))
	b.hit[second] = int64(math.Round(refused))
	if offered == 0 {
		return
	}
	for n := range l.kinds {
		part, _ := l.kinds[n].part(i)
		gone := part * passing[n] * refused / offered
		passing[n] -= gone
		b.kinds[l.kinds[n].calls] += gone
	}
}

func (k *limitKind) part(i *policy.Item) (part float64, sampled bool) {
	for _, p := range k.parts {
		if p.item.Key == i.Key {
			return p.part, p.sampled
		}
	}
	return 0, false
}

func (l *limitTrial) done(t *trial, service string, i *policy.Item, b *bucket) {
	e := t.effect(Limit, service, i.Key, func() string { return limitText(i) })
	e.changed = true
	e.hit += b.refused
	if b.sampled && b.refused > 0 {
		e.Estimate = BySample
		e.variance += math.Min(b.variance*b.refused/math.Max(1, b.offers), b.offers*b.offers)
	}
	if b.rate > 0 && b.refused > 0 || b.rate > 0 && slices.Max(b.calls) > int64(b.burst) {
		e.Estimate = Spread
	}
	if b.chance {
		e.Estimate = Chance
	}
	if b.rate > 0 {
		e.SecondCalls, e.SecondHit = t.served[service], b.hit
	}
	first := int(t.Records.Now/time.Second) - t.Records.Seconds + 1
	for n := range l.kinds {
		k := l.kinds[n].calls
		if refused := int64(math.Round(b.kinds[k])); refused > 0 {
			e.Callers[k.Caller] += refused
			for _, s := range t.samples[k.Key] {
				if at := int(s.Began/time.Second) - first; at >= 0 && at < len(b.hit) && b.hit[at] > 0 {
					t.show(e, k.Caller, []*recent.Sample{s})
				}
			}
		}
	}
}

// erlang is the share of calls that find all of most places taken: Erlang's formula B for an offered load.
func erlang(load float64, most int64) float64 {
	switch {
	case load <= 0:
		return 0
	case most > 20_000 || load > 20_000: // many: as of a fluid
		return math.Max(0, 1-float64(most)/load)
	}
	blocked := 1.0
	for n := 1.0; n <= float64(most); n++ {
		blocked = load * blocked / (n + load*blocked)
	}
	return blocked
}

func limitText(i *policy.Item) string {
	text := ""
	if i.Rate > 0 {
		text = fmt.Sprintf("%d/s", i.Rate)
	}
	if i.Pending > 0 {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d at a time", i.Pending)
	}
	return named(i, text+" per "+i.Per)
}
