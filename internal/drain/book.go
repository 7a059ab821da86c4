package drain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// heldMost bounds the drains of a process, and the instances whose drain has ended.
const heldMost = 256

// Held is a drain in force.
type Held struct {
	Order Order
	Proof rollout.Proof
	By    string    // the operator that signed it, where operators are named
	Since time.Time // by the process's clock
	Until time.Time // zero: it ends with the process
	rev   int64
	text  string // of the order, where the instances of Order have changed since; see signed

	was    map[Instance]Instance // as the order names instances that have another address since; see Settle
	listed []Instance            // restored: own instances whose address in this run is not known yet
}

// named is an instance as the signed order names it.
func (h Held) named(in Instance) Instance {
	if was, moved := h.was[in]; moved {
		return was
	}
	return in
}

// signed is the text of the order as it was signed.
func (h Held) signed() string {
	if h.text != "" {
		return h.text
	}
	return h.Order.Text()
}

// Book is what one process has been ordered. A nil Book drains nothing.
type Book struct {
	cluster, self string

	mu      sync.Mutex
	number  int64 // of the last order
	rev     int64 // of the last change, for Mark.Order
	held    []Held
	ended   []ended
	own     map[Instance]Instance // instances of the process itself, by service and version
	changed chan struct{}
}

// ended is what is drained no longer.
type ended struct {
	instances []Instance // none: all
	rev       int64
}

// NewBook makes an empty book of a process (registry.Owner.String).
func NewBook(cluster, self string) *Book {
	return &Book{cluster: cluster, self: self, own: map[Instance]Instance{}, changed: make(chan struct{})}
}

// For checks that an order is for this process. The error wraps ErrForeign.
func (b *Book) For(o Order) error {
	if o.Cluster != b.cluster || o.To != b.self {
		return fmt.Errorf("%w: it is for %q of cluster %q, and this is %q of %q", ErrForeign, o.To, o.Cluster, b.self,
			b.cluster)
	}
	return nil
}

// Obey applies an order that was proved, or, for Leave and Forget, uses its number up. The errors wrap
// ErrForeign, ErrStale and ErrAbsent.
func (b *Book) Obey(h Held, now time.Time) error {
	o := h.Order
	if err := b.For(o); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.Number != b.number+1 {
		return fmt.Errorf("%w: it has the number %d, and the next one is %d", ErrStale, o.Number, b.number+1)
	}
	switch o.Verb {
	case Begin:
		if len(b.held) >= heldMost {
			return fmt.Errorf("%w: %d drains are in force here", ErrOrder, len(b.held))
		}
		h.Since = now
		if o.ForMS > 0 {
			h.Until = now.Add(time.Duration(o.ForMS) * time.Millisecond)
		}
		b.begin(h)
	case Undo:
		if err := b.undo(o); err != nil {
			return err
		}
	}
	b.number = o.Number
	return nil
}

// begin takes a drain in, in place of those of the same instances. b.mu is held.
func (b *Book) begin(h Held) {
	b.held = slices.DeleteFunc(b.held, func(old Held) bool {
		return len(h.Order.Instances) == 0 || len(old.Order.Instances) > 0 && !slices.ContainsFunc(old.Order.Instances,
			func(in Instance) bool { return !slices.Contains(h.Order.Instances, in) })
	})
	b.rev++
	h.rev = b.rev
	b.held = append(b.held, h)
	b.announce()
}

func (b *Book) undo(o Order) error {
	if len(b.held) == 0 {
		return fmt.Errorf("%w: nothing is drained", ErrAbsent)
	}
	if len(o.Instances) == 0 {
		b.held = nil
		b.end(nil)
		b.ended = b.ended[len(b.ended)-1:]
		return nil
	}
	found := false
	kept := make([]Held, 0, len(b.held))
	for _, h := range b.held {
		if len(h.Order.Instances) == 0 {
			return fmt.Errorf("%w: the whole process is drained, so only the whole can be put back", ErrAbsent)
		}
		rest := slices.DeleteFunc(slices.Clone(h.Order.Instances), func(in Instance) bool {
			return slices.Contains(o.Instances, in)
		})
		found = found || len(rest) < len(h.Order.Instances)
		if len(rest) == len(h.Order.Instances) {
			kept = append(kept, h)
		} else if len(rest) > 0 {
			h.text = h.signed()
			h.Order.Instances = rest
			kept = append(kept, h)
		}
	}
	if !found {
		return fmt.Errorf("%w: none of these instances is drained", ErrAbsent)
	}
	b.held = kept
	b.end(o.Instances)
	return nil
}

// end notes instances, or all, that are no longer drained. b.mu is held.
func (b *Book) end(instances []Instance) {
	b.rev++
	if len(b.ended) >= heldMost {
		b.ended, instances = nil, nil
	}
	b.ended = append(b.ended, ended{instances, b.rev})
	b.announce()
}

// announce tells those that wait. b.mu is held.
func (b *Book) announce() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Changed returns a channel that is closed when what Of says has changed.
func (b *Book) Changed() <-chan struct{} {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Of is what the lists show of an instance of this process.
func (b *Book) Of(in registry.Instance) (d Mark) {
	if b == nil {
		return d
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rev == 0 || strings.HasPrefix(in.Service, "skerry.") {
		return d
	}
	one := InstanceOf(in)
	for _, h := range b.held {
		if covers(h.Order.Instances, one) && h.rev > d.Order {
			d = Mark{Order: h.rev, On: true, Since: h.Since, By: h.By, Why: h.Order.Why}
		}
	}
	for _, e := range b.ended { // a drain that ended above another one is news, too
		if covers(e.instances, one) {
			d.Order = max(d.Order, e.rev)
		}
	}
	return d
}

// Settle tells the address of an instance that this process itself executes. Orders name an address,
// and the process may get another one: at its next start when its port is free, or when its host
// gets one. The drain of the instance goes with it.
func (b *Book) Settle(in registry.Instance) {
	if b == nil {
		return
	}
	one := InstanceOf(in)
	key := one.unplaced()
	b.mu.Lock()
	defer b.mu.Unlock()
	old, known := b.own[key]
	if known && old == one {
		return
	}
	b.own[key] = one
	for i := range b.held {
		h := &b.held[i]
		for n, at := range h.Order.Instances {
			if at != one && at.unplaced() == key && (known && at == old || slices.Contains(h.listed, at)) {
				h.move(n, one)
			}
		}
	}
	for i, e := range b.ended {
		if n := slices.Index(e.instances, old); known && n >= 0 {
			b.ended[i].instances = slices.Clone(e.instances)
			b.ended[i].instances[n] = one
		}
	}
}

// move gives the n-th instance its new address.
func (h *Held) move(n int, to Instance) {
	at := h.Order.Instances[n]
	h.text = h.signed()
	was := maps.Clone(h.was)
	if was == nil {
		was = map[Instance]Instance{}
	}
	was[to] = h.named(at)
	delete(was, at)
	h.was = was
	h.Order.Instances = slices.Clone(h.Order.Instances)
	h.Order.Instances[n] = to
	h.listed = slices.DeleteFunc(slices.Clone(h.listed), func(in Instance) bool { return in == at })
}

func covers(instances []Instance, in Instance) bool {
	return len(instances) == 0 || slices.Contains(instances, in)
}

// Now returns the number of the last order and the drains in force.
func (b *Book) Now() (number int64, held []Held) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.number, slices.Clone(b.held)
}

// Expire ends the drains whose time is over. It returns those, and when the next one ends: zero, none.
func (b *Book) Expire(now time.Time) (over []Held, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := make([]Held, 0, len(b.held))
	for _, h := range b.held {
		switch {
		case h.Until.IsZero():
			kept = append(kept, h)
		case h.Until.After(now):
			kept = append(kept, h)
			if next.IsZero() || h.Until.Before(next) {
				next = h.Until
			}
		default:
			over = append(over, h)
		}
	}
	b.held = kept
	for _, h := range over {
		b.end(h.Order.Instances)
	}
	return over, next
}

// Kept is the form of a drain in the state directory. The order and its proof are as they came, so
// that the next run checks them.
type Kept struct {
	Order string        `json:"order"`
	Proof rollout.Proof `json:"proof"`
	Since int64         `json:"since"` // Unix milliseconds, by the process's clock
	Until int64         `json:"until"` // likewise
	Only  []Instance    `json:"only,omitempty"`
	Own   []Instance    `json:"own,omitempty"` // of Only, those that may have another address in the next run
}

// Keep returns the drains that outlive the process: those with a time.
func (b *Book) Keep() []Kept {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []Kept{}
	for _, h := range b.held {
		if h.Until.IsZero() {
			continue
		}
		k := Kept{Order: h.signed(), Proof: h.Proof, Since: h.Since.UnixMilli(), Until: h.Until.UnixMilli()}
		for _, in := range h.Order.Instances {
			k.Only = append(k.Only, h.named(in))
			if b.own[in.unplaced()] == in || slices.Contains(h.listed, in) {
				k.Own = append(k.Own, h.named(in))
			}
		}
		out = append(out, k)
	}
	return out
}

// Restore takes in what an earlier run of the process has kept and proved checks. The errors are of
// drains that do not count.
func (b *Book) Restore(kept []Kept, now time.Time, proved func(Order, rollout.Proof) (by string, err error)) []error {
	var failed []error
	for _, k := range kept[:min(len(kept), heldMost)] {
		o, err := Parse([]byte(k.Order))
		until := time.UnixMilli(k.Until)
		longest := time.Duration(o.ForMS) * time.Millisecond
		switch {
		case err != nil:
		case !until.After(now):
			continue
		case o.Verb != Begin || o.ForMS == 0 || until.Sub(time.UnixMilli(k.Since)) > longest:
			err = fmt.Errorf("%w: it is no drain with this time", ErrOrder)
		case o.Cluster != b.cluster || !sameHost(o.To, b.self):
			err = fmt.Errorf("%w: it was for %s", ErrForeign, o.To)
		}
		for _, in := range k.Only {
			if err == nil && !covers(o.Instances, in) {
				err = fmt.Errorf("%w: it does not name %s", ErrOrder, in.Service)
			}
		}
		by := ""
		if err == nil {
			by, err = proved(o, k.Proof)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		h := Held{Order: o, Proof: k.Proof, By: by, Since: time.UnixMilli(k.Since), Until: until, text: k.Order,
			listed: k.Own}
		h.Order.Instances = k.Only
		b.mu.Lock()
		b.begin(h)
		b.mu.Unlock()
	}
	return failed
}

func sameHost(a, b string) bool {
	one, err1 := registry.ParseOwner(a)
	two, err2 := registry.ParseOwner(b)
	return err1 == nil && err2 == nil && one.Host == two.Host
}
