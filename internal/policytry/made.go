package policytry

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/rpc"
)

// caller tries on calls that this process made what callers obey.
func (t *trial) caller(k *recent.Calls) {
	q := t.Self
	q.Method, q.Version, q.Host = k.Method, k.Version, ""
	total := k.Sum()
	t.timeout(k, total)
	t.fallback(k, q, total)
	t.first(k, q, total, Route, routeText, (*policy.Rules).Route)
	t.first(k, q, total, Fault, faultText, (*policy.Rules).Fault)
	if idempotent := t.then.strict.Rules(k.Service, k.Method); !k.Unmirrored && idempotent != nil &&
		slices.Contains(idempotent.Idempotent, k.Method) {
		t.first(k, q, total, Mirror, mirrorText, (*policy.Rules).Mirror)
	}
}

// timeout counts the calls that took longer than another time-out.
func (t *trial) timeout(k *recent.Calls, total int64) {
	then, now := timeoutOf(t.then.strict, k.Service, k.Method), timeoutOf(t.now.strict, k.Service, k.Method)
	if then <= 0 || then == now || k.Latencies == nil {
		return
	}
	item := "services." + k.Service + ".timeout"
	if timeoutOf(t.then.strict, k.Service, "") != then {
		item = "services." + k.Service + ".methods." + k.Method + ".timeout"
	}
	e := t.effect(Timeout, k.Service, item, func() string { return then.String() })
	over, about := k.Latencies.Over(then)
	e.add(share{part: 1}, over, t.Self.Caller)
	e.Calls += total
	if about > 0 {
		e.Estimate = About
		e.variance += float64(about) * float64(about)
	}
	if n := k.Outcomes[recent.FirstCode+uint8(rpc.DeadlineExceeded)]; n > 0 {
		e.Ended["timeout"] += n
	}
	for _, s := range t.samples[k.Key] {
		if s.Took > then {
			t.show(e, t.Self.Caller, []*recent.Sample{s})
		}
	}
}

// timeoutOf is the time-out that a policy has for calls, 0 without one.
func timeoutOf(t *policy.Table, service, method string) time.Duration {
	r := t.Rules(service, method)
	if r == nil || r.Timeout == nil {
		return 0
	}
	return *r.Timeout
}

// fallback counts the calls that the policy would have answered.
func (t *trial) fallback(k *recent.Calls, q policy.Request, total int64) {
	if k.OwnFallback {
		return
	}
	seen := map[*effect]bool{}
	answered := 0.0
	shares, _ := t.shares(k, q, fallbackOf("always"), total, nil)
	for _, s := range shares {
		if s.then.item != nil {
			answered += s.part
		}
		if s.then.item == nil || same(s.then.item, s.now.item) {
			continue
		}
		e := t.answers(k, s.then.item, total, seen)
		e.add(s, total, t.Self.Caller)
		t.show(e, t.Self.Caller, s.calls)
		for o := recent.FirstCode; o < recent.Injected; o++ {
			e.ended(codeText(o), float64(k.Outcomes[o])*s.part)
		}
	}
	if answered > 0.999 {
		return
	}
	for o := recent.FirstCode; o < recent.Injected; o++ {
		code := codeText(o)
		if code == "" || code == rpc.Canceled.String() {
			continue
		}
		ended := k.Outcomes[o]
		of := func(s *recent.Sample) bool { return s.Outcome == o }
		shares, _ := t.shares(k, q, fallbackOf(code), ended, of)
		for _, s := range shares {
			if s.then.item == nil || same(s.then.item, s.now.item) {
				continue
			}
			e := t.answers(k, s.then.item, total, seen)
			s.part *= 1 - answered
			e.add(s, ended, t.Self.Caller)
			e.ended(code, float64(ended)*s.part)
			t.show(e, t.Self.Caller, s.calls)
		}
	}
}

// answers is the effect of a fallback. seen are those that the kind's calls are counted in.
func (t *trial) answers(k *recent.Calls, i *policy.Item, total int64, seen map[*effect]bool) *effect {
	e := t.effect(Fallback, k.Service, i.Key, func() string { return fallbackText(i) })
	if !seen[e] {
		seen[e] = true
		e.Calls += total
	}
	return e
}

func (e *effect) ended(code string, n float64) {
	if n := int64(math.Round(n)); n > 0 && code != "" {
		e.Ended[code] += n
	}
}

func fallbackOf(code string) picker {
	return func(r *policy.Rules, q *policy.Request) verdict { return verdict{item: r.Fallback(q, code)} }
}

// codeText is a failure in the words of a policy, "" for an outcome that is none.
func codeText(o uint8) string {
	code := rpc.Code(o - recent.FirstCode)
	switch {
	case code == rpc.DeadlineExceeded:
		return "timeout"
	case code != rpc.Unknown && code.String() == rpc.Unknown.String():
		return "" // there is no such code
	}
	return code.String()
}

// first counts the calls for which the first item that matches is another one.
func (t *trial) first(k *recent.Calls, q policy.Request, total int64, kind Kind, text func(*policy.Item) string,
	of func(*policy.Rules, *policy.Request) *policy.Item) {
	pick := func(r *policy.Rules, q *policy.Request) verdict { return verdict{item: of(r, q)} }
	named := map[string]bool{} // items that the kind's calls are counted in
	effect := func(i *policy.Item) *effect {
		e := t.effect(kind, k.Service, i.Key, func() string { return text(i) })
		if !named[i.Key] {
			named[i.Key] = true
			e.Calls += total
		}
		return e
	}
	shares, unseen := t.shares(k, q, pick, total, nil)
	for _, s := range shares {
		if s.then.item == nil || same(s.then.item, s.now.item) {
			continue
		}
		e := effect(s.then.item)
		e.add(s, total, t.Self.Caller)
		t.show(e, t.Self.Caller, s.calls)
	}
	loose := of(t.then.loose.Rules(k.Service, k.Method), &q)
	if loose != nil && unseen > 0 && !named[loose.Key] && !t.inForce(k.Service, loose.Key) { // no sampled call has it
		effect(loose).add(share{variance: unseen, sampled: true}, total, t.Self.Caller)
	}
}

// inForce reports whether the candidate's item of a key is in force already.
func (t *trial) inForce(service, key string) bool {
	for _, i := range itemsOf(t.then.strict, service) {
		if i.Key == key {
			return slices.ContainsFunc(itemsOf(t.now.strict, service), func(o *policy.Item) bool { return same(i, o) })
		}
	}
	return false
}

// weights counts the calls that went to instances with another weight.
func (t *trial) weights() {
	calls, samples := map[string]int64{}, map[string][]*recent.Sample{}
	for i := range t.Records.Kinds {
		if k := &t.Records.Kinds[i]; k.Side == recent.Caller && k.Service != "" && !k.HTTP {
			calls[k.Service] += k.Sum()
			samples[k.Service] = append(samples[k.Service], t.samples[k.Key]...)
		}
	}
	for service, total := range calls {
		for _, i := range itemsOf(t.then.strict, service) {
			if i.Kind == kindWeights && !t.inForce(service, i.Key) && !t.Enough() {
				t.weigh(service, i, total, samples[service])
			}
		}
	}
}

func (t *trial) weigh(service string, i *policy.Item, total int64, samples []*recent.Sample) {
	e := t.effect(Weights, service, i.Key, func() string { return weightText(i) })
	s := share{sampled: true}
	var sum, squares float64
	for _, c := range samples {
		zone, host, tags, known := t.Place(service, c.Owner)
		w := float64(c.Weight)
		sum += w
		squares += w * w
		if known && i.Picks(zone, host, tags) {
			s.part += w
			s.calls = append(s.calls, c)
		}
	}
	e.Calls += total
	e.changed = true
	if sum == 0 {
		return
	}
	n := sum * sum / squares
	s.part /= sum
	p := (s.part*n + 1) / (n + 2)
	s.variance = p * (1 - p) / n * math.Max(0, 1-float64(len(samples))/float64(max(total, 1)))
	e.add(s, total, t.Self.Caller)
	t.show(e, t.Self.Caller, s.calls)
}

func targetText(to policy.Target) string {
	var parts []string
	for _, c := range []struct {
		name string
		list []string
	}{{"zone", to.Zone}, {"host", to.Host}} {
		if len(c.list) > 0 {
			parts = append(parts, c.name+" "+strings.Join(c.list, ","))
		}
	}
	for key, list := range to.Tag {
		parts = append(parts, key+" "+strings.Join(list, ","))
	}
	slices.Sort(parts)
	return short(strings.Join(parts, ", "))
}

func routeText(i *policy.Item) string { return named(i, "to "+targetText(i.To)) }

func weightText(i *policy.Item) string {
	return "weight " + strconv.Itoa(i.Weight) + " of " + targetText(i.To)
}

func faultText(i *policy.Item) string {
	var parts []string
	if i.Delay > 0 {
		parts = append(parts, "delay "+i.Delay.String())
	}
	if i.Error != "" {
		parts = append(parts, "error "+i.Error)
	}
	return named(i, strings.Join(parts, ", "))
}

func mirrorText(i *policy.Item) string { return named(i, "copy to "+i.To.Mark) }

func fallbackText(i *policy.Item) string {
	reply := string(i.Reply)
	if len(reply) > 40 {
		reply = strings.ToValidUTF8(reply[:37], "") + "..."
	}
	return named(i, fmt.Sprintf("answer %s on %s", reply, strings.Join(i.On, ", ")))
}
