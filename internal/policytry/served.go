package policytry

import (
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/policy"
)

// callee tries access and limits on calls that this process served.
func (t *trial) callee(k *recent.Calls) {
	q := policy.Request{Method: k.Method, Caller: k.Caller, CallerVersion: k.CallerVersion, Zone: k.Zone, Host: t.Host,
		Version: k.Version, Tags: recent.Tagged(k.Tags)}
	total := k.Sum()
	passes := 1.0
	loose := access(t.then.loose.Rules(k.Service, k.Method), &q)
	shares, unseen := t.shares(k, q, access, total, nil)
	for _, s := range shares {
		t.access(k, s, total)
		if s.then.refused && s.then.enforced {
			passes -= s.part
		}
		if s.then.refused && s.then.item != nil && loose.item != nil && s.then.item.Key == loose.item.Key {
			unseen = 0
		}
	}
	if unseen > 0 && loose.refused && loose.item != nil { // no sampled call has it
		t.access(k, share{then: loose, variance: unseen, sampled: true}, total)
	}
	t.limitsOf(k, q, total, max(passes, 0))
}

func access(r *policy.Rules, q *policy.Request) verdict {
	allowed, enforced, by := r.Access(q)
	if allowed {
		return verdict{item: by}
	}
	return verdict{by, true, enforced}
}

func (t *trial) access(k *recent.Calls, s share, total int64) {
	then, now := s.then, s.now
	if then.refused {
		kind := Access
		if !then.enforced {
			kind = Audit
		}
		item := "services." + k.Service + ".access"
		what := func() string { return "no item of allow lets them pass" }
		if by := then.item; by != nil {
			item, what = by.Key, func() string { return named(by, "deny") }
		}
		e := t.effect(kind, k.Service, item, what)
		changed := e.changed || !now.refused || now.enforced != then.enforced
		e.add(s, total, k.Caller)
		e.changed = changed
		t.show(e, k.Caller, s.calls)
	}
	denied := k.Outcomes[recent.Denied]
	if denied > 0 && now.refused && now.enforced && !(then.refused && then.enforced) {
		item := "services." + k.Service + ".access"
		if then.item != nil {
			item = then.item.Key
		}
		e := t.effect(Allow, k.Service, item, func() string { return "passes what is refused now" })
		e.add(s, denied, k.Caller)
	}
}

// named is an item with its name, or else what it does.
func named(i *policy.Item, what string) string {
	if i.Name != "" {
		return what + " (" + i.Name + ")"
	}
	return what
}
