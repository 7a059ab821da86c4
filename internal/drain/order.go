package drain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/registry"
)

// Purpose is the use of a signature of an order.
const Purpose rollout.Purpose = "skerry-drain"

// Verb is what an order asks for.
type Verb string

// The verbs.
const (
	Begin  Verb = "drain"  // no calls for the instances, which stay alive and listed
	Undo   Verb = "undo"   // calls again
	Leave  Verb = "leave"  // off the lists, until the program is started again
	Forget Verb = "forget" // another process has ended for good, and is no member any more
)

// Limits of an order.
const (
	instancesMost = 256
	textMost      = 64 << 10 // bytes of an order
	nameMost      = 64       // bytes of the operator's name
	whyMost       = 160      // bytes of the reason; see Mark.Put
	numberMost    = 1 << 62
	prefix        = "skerry-drain 1\n"
)

// TimeMost bounds the time of a drain.
const TimeMost = 90 * 24 * time.Hour

// Order is what an operator orders one process.
type Order struct {
	Verb      Verb       `json:"verb"`
	Cluster   string     `json:"cluster"`
	To        string     `json:"to"`                  // the process that obeys, registry.Owner.String
	Number    int64      `json:"number"`              // one more than the number of its last order
	By        string     `json:"by"`                  // operator, as the command says
	Why       string     `json:"why,omitempty"`       //
	ForMS     int64      `json:"for_ms,omitempty"`    // Begin: until it ends by itself; 0: with the process
	Instances []Instance `json:"instances,omitempty"` // empty: all that the process offers, now and later
	Process   string     `json:"process,omitempty"`   // Forget: the process that has ended
}

// Instance names an instance of the process.
type Instance struct {
	Service string `json:"service"`
	Version string `json:"version,omitempty"`
	Addr    string `json:"addr"` // host:port
}

// InstanceOf names an instance.
func InstanceOf(in registry.Instance) Instance { return Instance{in.Service, in.Version, in.Addr()} }

// unplaced is the instance without its address.
func (in Instance) unplaced() Instance { return Instance{Service: in.Service, Version: in.Version} }

// Errors for errors.Is.
var (
	// ErrOrder: the text is no order that can be obeyed.
	ErrOrder = errors.New("this is no order that can be obeyed")
	// ErrForeign: the order is for another process, another run of this one, or another cluster.
	ErrForeign = errors.New("the order is not for this process")
	// ErrStale: the number was used, or is not the next one.
	ErrStale = errors.New("another order was obeyed since this one was signed")
	// ErrAbsent: the process does not offer, or has not drained, what the order names.
	ErrAbsent = errors.New("what the order names is not there")
	// ErrAlive: the process that is to be forgotten answers.
	ErrAlive = errors.New("the process is alive")
)

// Text is the text that the operator signs.
func (o Order) Text() string {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // it has texts and numbers only
	}
	return prefix + string(text)
}

// Parse reads an order and checks its bounds. The error wraps ErrOrder.
func Parse(text []byte) (Order, error) {
	var o Order
	rest, ok := bytes.CutPrefix(text, []byte(prefix))
	switch {
	case len(text) > textMost:
		return o, fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrOrder, len(text), textMost)
	case !ok:
		return o, fmt.Errorf("%w: it does not begin with %q; bring the command and the process to one release of "+
			"skerry", ErrOrder, strings.TrimSpace(prefix))
	}
	d := json.NewDecoder(bytes.NewReader(rest))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return Order{}, fmt.Errorf("%w: %w", ErrOrder, err)
	}
	if o.Text() != string(text) { // one order has one text
		return Order{}, fmt.Errorf("%w: it is not written as skerry writes it", ErrOrder)
	}
	if err := o.check(); err != nil {
		return Order{}, fmt.Errorf("%w: %w", ErrOrder, err)
	}
	return o, nil
}

func (o Order) check() error {
	for what, text := range map[string]string{"name of the operator": o.By, "reason": o.Why} {
		most := nameMost
		if what == "reason" {
			most = whyMost
		}
		if len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("the %s is no text of at most %d bytes", what, most)
		}
	}
	switch {
	case o.Number < 1 || o.Number >= numberMost:
		return fmt.Errorf("%d is no number of an order", o.Number)
	case o.ForMS < 0 || o.ForMS > TimeMost.Milliseconds():
		return fmt.Errorf("its time is over %d days", TimeMost/24/time.Hour)
	case o.ForMS > 0 && o.Verb != Begin, (o.Process != "") != (o.Verb == Forget):
		return fmt.Errorf("a field does not belong to %q", o.Verb)
	case len(o.Instances) > instancesMost:
		return fmt.Errorf("it names %d instances, at most %d are allowed", len(o.Instances), instancesMost)
	}
	for _, in := range o.Instances {
		if err := registry.CheckName("service", in.Service); err != nil {
			return err
		}
	}
	switch o.Verb {
	case Begin, Undo, Leave:
		return nil
	case Forget:
		_, err := registry.ParseOwner(o.Process)
		return err
	}
	return fmt.Errorf("the verb %q is not known; bring the command and the process to one release of skerry", o.Verb)
}
