package drain

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/chance"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

const self = "node-1/4711/abc"

var now = time.Unix(1_700_000_000, 0)

func instance(n int) registry.Instance {
	return registry.Instance{Service: "auth", Version: "v1", Host: "10.0.0.5", Port: 7000 + n}
}

func order(verb Verb, number int64, instances ...registry.Instance) Order {
	o := Order{Verb: verb, Cluster: "site", To: self, Number: number, By: "li", Why: "a new kernel"}
	for _, in := range instances {
		o.Instances = append(o.Instances, InstanceOf(in))
	}
	return o
}

func obey(t *testing.T, b *Book, o Order, want error) {
	t.Helper()
	read, err := Parse([]byte(o.Text()))
	if err != nil {
		t.Fatalf("%s: %v", o.Text(), err)
	}
	if err := b.Obey(Held{Order: read, By: read.By}, now); !errors.Is(err, want) {
		t.Errorf("%s %d: %v, want %v", o.Verb, o.Number, err, want)
	}
}

// TestOrdersAreObeyedOnce: an order counts for one process, one run of it, one cluster and one number.
func TestOrdersAreObeyedOnce(t *testing.T) {
	b := NewBook("site", self)
	first := order(Begin, 1)
	for _, o := range []Order{order(Begin, 2), order(Begin, numberMost-1)} {
		obey(t, b, o, ErrStale)
	}
	other, earlier, elsewhere := first, first, first
	other.To, earlier.To, elsewhere.Cluster = "node-2/4711/abc", "node-1/4711/abb", "sate"
	for _, o := range []Order{other, earlier, elsewhere} {
		obey(t, b, o, ErrForeign)
	}
	obey(t, b, order(Undo, 1), ErrAbsent)
	obey(t, b, first, nil)
	obey(t, b, first, ErrStale)
	if d := b.Of(instance(1)); d != (Mark{Order: 1, On: true, Since: now, By: "li", Why: "a new kernel"}) {
		t.Errorf("drained: %+v", d)
	}
	if d := b.Of(registry.Instance{Service: "skerry.node"}); d != (Mark{}) {
		t.Errorf("the process itself: %+v", d)
	}
	obey(t, b, order(Undo, 2, instance(1)), ErrAbsent)
	undo := order(Undo, 2)
	obey(t, b, undo, nil)
	for _, o := range []Order{first, undo} {
		obey(t, b, o, ErrStale)
	}
	if d := b.Of(instance(1)); d != (Mark{Order: 2}) {
		t.Errorf("put back: %+v", d)
	}
	obey(t, b, order(Leave, 3), nil)
	obey(t, b, order(Leave, 3), ErrStale)
}

func TestParseRefuses(t *testing.T) {
	bad := map[string]func(*Order){
		"verb":      func(o *Order) { o.Verb = "stop" },
		"number":    func(o *Order) { o.Number = 0 },
		"far":       func(o *Order) { o.Number = numberMost },
		"time":      func(o *Order) { o.ForMS = -1 },
		"long":      func(o *Order) { o.ForMS = TimeMost.Milliseconds() + 1 },
		"undo":      func(o *Order) { o.Verb, o.ForMS = Undo, 1 },
		"why":       func(o *Order) { o.Why = strings.Repeat("x", whyMost+1) },
		"control":   func(o *Order) { o.By = "li\x1b" },
		"many":      func(o *Order) { o.Instances = make([]Instance, instancesMost+1) },
		"service":   func(o *Order) { o.Instances = []Instance{{Service: "a b", Addr: "10.0.0.5:7000"}} },
		"process":   func(o *Order) { o.Process = self },
		"forget":    func(o *Order) { o.Verb = Forget },
		"no owner":  func(o *Order) { o.Verb, o.Process = Forget, "node-1" },
		"too large": func(o *Order) { o.Instances = []Instance{{Service: "a", Addr: strings.Repeat("x", textMost)}} },
	}
	for name, change := range bad {
		o := order(Begin, 1)
		change(&o)
		if _, err := Parse([]byte(o.Text())); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	text := order(Begin, 1).Text()
	for name, text := range map[string]string{
		"another format": strings.Replace(text, "skerry-drain 1", "skerry-drain 2", 1),
		"a later field":  strings.Replace(text, `"verb"`, `"zone":"east","verb"`, 1),
		"blanks":         strings.Replace(text, `,"cluster"`, `, "cluster"`, 1),
		"twice":          text + text,
		"a tail":         text + " ",
		"nothing":        "",
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNumbersGrow: whatever is ordered, in whatever order drains end, the number that an instance
// shows never falls, and grows with each change of what it shows.
func TestNumbersGrow(t *testing.T) {
	r := chance.Rand(t, 71)
	for range 200 {
		b, at, number := NewBook("site", self), now, int64(0)
		shown := map[int]Mark{}
		for range 100 {
			var some []registry.Instance
			for n := range 4 {
				if r.IntN(2) == 0 {
					some = append(some, instance(n))
				}
			}
			if len(some) == 4 {
				some = nil // the whole process
			}
			at = at.Add(time.Duration(r.IntN(60)) * time.Second)
			o := order([]Verb{Begin, Begin, Undo}[r.IntN(3)], number+1, some...)
			if o.Verb == Begin && r.IntN(2) == 0 {
				o.ForMS = 1 + r.Int64N(120_000)
			}
			if b.Obey(Held{Order: o, By: o.By}, at) == nil {
				number++
			}
			_, next := b.Expire(at)
			if !next.IsZero() && !next.After(at) {
				t.Fatalf("a drain that ended at %v is in force at %v", next, at)
			}
			for n := range 4 {
				was, is := shown[n], b.Of(instance(n))
				if is.Order < was.Order || is.Order == was.Order && is != was {
					t.Fatalf("instance %d shows %+v after %+v", n, is, was)
				}
				shown[n] = is
			}
		}
		if _, held := b.Now(); len(held) > heldMost || len(b.ended) > heldMost {
			t.Fatalf("%d drains, %d ends are remembered", len(held), len(b.ended))
		}
	}
}

// TestKeptDrains: a drain with a time holds for the next run on the same host, for what is left of its
// time and of its instances. The next run checks the operator's proof of it, and does not believe
// altered files.
func TestKeptDrains(t *testing.T) {
	b := NewBook("site", self)
	obey(t, b, order(Begin, 1, instance(3)), nil) // without a time
	timed := order(Begin, 2, instance(1), instance(2))
	timed.ForMS = time.Hour.Milliseconds()
	obey(t, b, timed, nil)
	obey(t, b, order(Undo, 3, instance(2)), nil)
	kept := b.Keep()
	if len(kept) != 1 {
		t.Fatalf("kept: %+v", kept)
	}
	proved := func(o Order, _ rollout.Proof) (string, error) {
		if o.Text() != timed.Text() {
			return "", rollout.ErrUnproven
		}
		return "li", nil
	}
	next := func(self string, kept []Kept, at time.Time) (drained []int, failed []error) {
		b := NewBook("site", self)
		failed = b.Restore(kept, at, proved)
		for n := range 4 {
			if d := b.Of(instance(n)); d.On {
				drained = append(drained, n)
			}
		}
		if over, _ := b.Expire(now.Add(time.Hour)); len(over) != len(drained) {
			t.Errorf("%d drains end with their time, want %d", len(over), len(drained))
		}
		return drained, failed
	}
	const later = "node-1/99/xyz"
	if got, failed := next(later, kept, now.Add(59*time.Minute)); fmt.Sprint(got) != "[1]" || len(failed) > 0 {
		t.Errorf("in the next run: %v, %v", got, failed)
	}
	if got, failed := next(later, kept, now.Add(time.Hour)); len(got)+len(failed) > 0 {
		t.Errorf("after its time: %v, %v", got, failed)
	}
	for name, change := range map[string]func(*Kept){
		"longer":         func(k *Kept) { k.Until++ },
		"more instances": func(k *Kept) { k.Only = append(k.Only, InstanceOf(instance(0))) },
		"another order":  func(k *Kept) { k.Order = strings.Replace(k.Order, "kernel", "colonel", 1) },
		"without a time": func(k *Kept) { k.Order = order(Begin, 1).Text() },
		"no order":       func(k *Kept) { k.Order = "" },
	} {
		one := kept[0]
		change(&one)
		if got, failed := next(later, []Kept{one}, now); len(got) > 0 || len(failed) != 1 {
			t.Errorf("%s: %v, %v", name, got, failed)
		}
	}
	if got, failed := next("node-2/99/xyz", kept, now); len(got) > 0 || len(failed) != 1 {
		t.Errorf("on another host: %v, %v", got, failed)
	}
}

// TestDrainGoesWithItsInstance: the drain of an instance of the process itself holds when it gets another
// address, in this run or the next ones. The drain of a program that the process lists stays at its
// address. What is put back under its new address is not drained in the next run.
func TestDrainGoesWithItsInstance(t *testing.T) {
	at := func(port int) registry.Instance {
		in := instance(0)
		in.Port = port
		return in
	}
	listed := registry.Instance{Service: "legacy", Version: "v1", Host: "10.0.0.9", Port: 80}
	proved := func(Order, rollout.Proof) (string, error) { return "li", nil }
	next := func(b *Book) *Book {
		t.Helper()
		later := NewBook("site", "node-1/99/xyz")
		if failed := later.Restore(b.Keep(), now, proved); len(failed) > 0 {
			t.Fatalf("the next run believes no drain: %v", failed)
		}
		return later
	}
	drained := func(b *Book, in registry.Instance, want bool) {
		t.Helper()
		if got := b.Of(in).On; got != want {
			t.Errorf("%s at %s is drained: %v, want %v", in.Service, in.Addr(), got, want)
		}
	}
	b := NewBook("site", self)
	b.Settle(at(7000))
	o := order(Begin, 1, at(7000), listed)
	o.ForMS = time.Hour.Milliseconds()
	obey(t, b, o, nil)
	before := b.Of(at(7000))
	b.Settle(at(7001))
	drained(b, at(7000), false)
	if after := b.Of(at(7001)); after != before {
		t.Errorf("with a new address it shows %+v after %+v", after, before)
	}
	for port := 7002; port < 7004; port++ {
		b = next(next(b)) // the first of the two ends before it has an address
		b.Settle(at(port))
		drained(b, at(port), true)
		drained(b, listed, true)
		later := at(7000)
		later.Version = "v2"
		b.Settle(later)
		drained(b, later, false)
	}
	undo := order(Undo, 1, at(7003))
	undo.To = "node-1/99/xyz"
	obey(t, b, undo, nil)
	put := b.Of(at(7003))
	b.Settle(at(7004))
	if got := b.Of(at(7004)); got != put || got.On {
		t.Errorf("put back, with a new address it shows %+v after %+v", got, put)
	}
	b = next(b)
	b.Settle(at(7005))
	drained(b, at(7005), false)
	drained(b, listed, true)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(order(Begin, 1, instance(1)).Text()))
	f.Add([]byte(prefix + "{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := Parse(text)
		if err == nil && o.Text() != string(text) {
			t.Errorf("%q is read as %q", text, o.Text())
		}
	})
}
