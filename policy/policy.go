package policy

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/rollout"
)

// Policy is what the text of a site's policy says. It is immutable.
type Policy struct {
	Services map[string]*Service // by name; "*" is every service
	Lanes    []Item
	Plans    map[string]*Plan
	On       []On           // plans that are switched on
	Lines    map[string]int // line of each key in the text, for explanations; may be nil
}

// Every is the name that stands for every service.
const Every = "*"

// internal is the framework's own service. No item touches it.
const internal = "skerry.internal"

// Service holds what a policy says about the calls of one service.
type Service struct {
	Settings
	Methods map[string]Settings // by name; those of a method leave Idempotent, Balancer, ZoneFirst and Outlier unset
	Access  *Access             // nil: everything is allowed
	Items   []Item              // in the order of the text
}

// Access says how the items allow and deny of a service are used.
type Access struct {
	Enforce bool // false: calls that would be refused are counted and executed
	Deny    bool // calls that match no item are refused
}

// Settings are values that a service or a method has once. Names, units and meanings are those of consumers.NAME in
// the configuration. nil means that the policy does not say it.
type Settings struct {
	Timeout        *time.Duration `key:"timeout"`
	Wait           *time.Duration `key:"wait"`
	AttemptTimeout *time.Duration `key:"attempt_timeout"`
	Retries        *int           `key:"retries"`
	Idempotent     []string       `key:"idempotent"`
	Balancer       *string        `key:"balancer"`
	ZoneFirst      *bool          `key:"zone_first"`
	MaxPending     *int           `key:"max_pending"`
	MaxRate        *int           `key:"max_rate"`

	BreakerOff    *bool          `key:"breaker.off"`
	BreakerRatio  *int           `key:"breaker.ratio"` // percent
	BreakerCalls  *int           `key:"breaker.calls"`
	BreakerWindow *time.Duration `key:"breaker.window"`

	OutlierFailures   *int           `key:"outlier.failures"` // in a row
	OutlierEject      *time.Duration `key:"outlier.eject"`
	OutlierMaxEjected *int           `key:"outlier.max_ejected"` // percent
}

// over returns the settings with the fields that s leaves unset taken from lower.
func (s Settings) over(lower Settings) Settings {
	to, from := reflect.ValueOf(&s).Elem(), reflect.ValueOf(&lower).Elem()
	for i := range to.NumField() {
		if f := to.Field(i); f.IsNil() {
			f.Set(from.Field(i))
		}
	}
	return s
}

// Keys returns the names of the settings that are set, such as timeout and breaker.ratio.
func (s Settings) Keys() (keys []string) {
	s.each(func(key, _ string) { keys = append(keys, key) })
	return keys
}

// Without returns the settings without the one of a name.
func (s Settings) Without(key string) Settings {
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("key") == key {
			v.Field(i).SetZero()
		}
	}
	return s
}

// each calls f for every field that is set, with its key and its value as text.
func (s Settings) each(f func(key, value string)) {
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if field := v.Field(i); !field.IsNil() {
			f(v.Type().Field(i).Tag.Get("key"), settingText(field))
		}
	}
}

func settingText(field reflect.Value) string {
	switch v := reflect.Indirect(field).Interface().(type) {
	case time.Duration:
		if v < 0 {
			return "none"
		}
		return v.String()
	case int:
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case []string:
		return strings.Join(v, ", ")
	case string:
		return v
	}
	panic("policy: a setting of kind " + field.Kind().String())
}

// Kind is the list that an item belongs to: route, limits, allow, deny, fallback, faults, mirror, weights or lanes.
type Kind string

// The kinds.
const (
	route    Kind = "route"
	limits   Kind = "limits"
	allow    Kind = "allow"
	deny     Kind = "deny"
	fallback Kind = "fallback"
	faults   Kind = "faults"
	mirror   Kind = "mirror"
	weights  Kind = "weights"
	lanes    Kind = "lanes"
)

// Protective reports whether the kind protects a callee. Where a process can't obey such an item, an operator must
// know.
func (k Kind) Protective() bool { return k == limits || k == allow || k == deny }

// Item is one entry of a list. The fields behind Why belong to some kinds only.
type Item struct {
	Kind    Kind
	Service string // "" for a lane
	Name    string // "" when the text gives none
	Key     string // place in the text, such as services.auth.limits[1]
	Match   Match
	Expires time.Duration // after it began to apply in a process; 0: never
	Why     string

	To   Target // route, mirror: where the call goes; weights: the instances
	Else string // route, when no instance is at To: "all" instances, or "none"

	Weight int // weights: 0 to 10,000; 0 sends no calls

	Pending int    // limits: calls at a time; 0: no limit
	Rate    int    // limits: calls a second; 0: no limit
	Burst   int    // limits: calls at once within Rate; 0: a tenth of Rate, at least 1
	Per     string // limits: "instance", or "site" for all living instances together

	On     []string // fallback: codes of failures, or "always"
	Reply  []byte   // fallback: the reply as JSON
	Thrift []byte   // fallback: the reply as Thrift, made from Reply by the service's .thrift file

	Delay time.Duration // faults
	Error string        // faults: the code that the call fails with

	Gets string // lanes: the mark that the trace gets

	on uint64 // On.id of the plan that the item is of, once it is on; 0: of no plan
}

// Target names instances by their place, or a mark.
type Target struct {
	Zone, Host []string
	Tag        map[string][]string
	Mark       string // mirror: the copy's mark
}

func (t Target) empty() bool { return len(t.Zone)+len(t.Host)+len(t.Tag) == 0 }

func (t Target) match() Match { return Match{Zone: t.Zone, Host: t.Host, Tag: t.Tag} }

// Plan is a part of a policy that is off until an operator switches it on.
type Plan struct {
	Why      string
	Services map[string]*Service
}

// On is a plan that is switched on.
type On struct {
	Name  string
	For   time.Duration // 0: until it is switched off
	Since uint64        // number of the entry that switched it on
}

func (o On) id() uint64 {
	return rollout.SeedOf("plan\x00" + o.Name + "\x00" + o.For.String() + "\x00" + strconv.FormatUint(o.Since, 10))
}

// Ages holds when each item that expires, and each plan, began to apply in this process. Times are on a monotonic
// clock of the process's choice, such as the time since its start. An item that changes begins anew; one that stays
// in a later policy goes on. Keys are hashes of what applies.
type Ages map[uint64]time.Duration

// At returns the ages for a policy that applies from now on.
func (a Ages) At(p *Policy, now time.Duration) Ages {
	next := Ages{}
	p.timed(func(id uint64, _ bool) {
		next[id] = now
		if since, known := a[id]; known {
			next[id] = min(since, now)
		}
	})
	return next
}

// Older returns the ages with those of another process at the same time, where they are older: what disturbs calls on
// purpose then ends here when it ends there. Limits, access and plans keep their own ages, so that no process can end
// the protection of another one early.
func (a Ages) Older(p *Policy, theirs Ages) Ages {
	next := maps.Clone(a)
	p.timed(func(id uint64, disturbs bool) {
		if since, known := theirs[id]; known && disturbs {
			next[id] = min(since, next[id])
		}
	})
	return next
}

// timed calls f for everything in the policy that ends by itself. disturbs says that it must end: a fault, a mirror or
// a fallback.
func (p *Policy) timed(f func(id uint64, disturbs bool)) {
	items := func(list []Item) {
		for n := range list {
			if i := &list[n]; i.Expires > 0 {
				f(i.bodyID(), i.Kind == faults || i.Kind == mirror || i.Kind == fallback)
			}
		}
	}
	for _, s := range p.Services {
		items(s.Items)
	}
	items(p.Lanes)
	for _, on := range p.On { // a plan that is off waits: its items begin when an operator switches it on
		if on.For > 0 {
			f(on.id(), false)
		}
		if plan := p.Plans[on.Name]; plan != nil {
			for _, s := range plan.Services {
				items(s.of(on).Items)
			}
		}
	}
}

// Left returns how long an item still applies, by how long things have applied already. It is for items of
// [Table.InForce]; 0: the item does not end by itself.
func (i *Item) Left(applied map[uint64]time.Duration) time.Duration {
	if i.Expires == 0 {
		return 0
	}
	return max(i.Expires-applied[i.bodyID()], time.Nanosecond)
}

// Left returns how long a plan stays on, by how long things have applied already; 0: it does not end by itself.
func (o On) Left(applied map[uint64]time.Duration) time.Duration {
	if o.For == 0 {
		return 0
	}
	return max(o.For-applied[o.id()], time.Nanosecond)
}

// of returns the part of a plan that is on. Its items expire by themselves, whatever others say the same.
func (s *Service) of(on On) *Service {
	part := *s
	part.Items = slices.Clone(s.Items)
	for i := range part.Items {
		part.Items[i].on = on.id()
	}
	return &part
}

// items calls f for each item of the policy and of its plans.
func (p *Policy) items(f func(*Item)) {
	each := func(services map[string]*Service) {
		for _, s := range services {
			for i := range s.Items {
				f(&s.Items[i])
			}
		}
	}
	each(p.Services)
	for _, plan := range p.Plans {
		each(plan.Services)
	}
	for i := range p.Lanes {
		f(&p.Lanes[i])
	}
}

// Items returns the number of items of the policy, plans included.
func (p *Policy) Items() (n int) {
	p.items(func(*Item) { n++ })
	return n
}

// identity is what stays when an operator changes the percent of an item: its name, or else its place and conditions.
func (i *Item) identity() string {
	if i.Name != "" {
		return string(i.Kind) + "\x00" + i.Service + "\x00" + i.Name
	}
	return string(i.Kind) + "\x00" + i.Service + "\x00\x00" + i.Match.text()
}

// bodyID is a hash of all that the item says. Two items with the same one are the same.
func (i *Item) bodyID() uint64 {
	var b strings.Builder
	b.WriteString(i.identity())
	percent := 10_000
	if i.Match.Percent != nil {
		percent = *i.Match.Percent
	}
	for _, n := range []int64{int64(percent), int64(i.Expires), int64(i.Weight), int64(i.Pending), int64(i.Rate),
		int64(i.Burst), int64(i.Delay), int64(i.on)} {
		b.WriteString("\x00" + strconv.FormatInt(n, 10))
	}
	target := i.To.match()
	for _, s := range []string{i.Match.text(), target.text(), i.To.Mark, i.Else, i.Per, strings.Join(i.On, ","),
		string(i.Reply), i.Error, i.Gets} {
		b.WriteString("\x00" + s)
	}
	return rollout.SeedOf(b.String())
}

// compareServices orders "*" before the others.
func compareServices(a, b string) int {
	if a == Every || b == Every {
		return cmp.Compare(b2i(a != Every), b2i(b != Every))
	}
	return strings.Compare(a, b)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sortedServices(m map[string]*Service) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, compareServices)
	return names
}
