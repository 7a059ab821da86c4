package drain

import (
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry/registry"
)

// tag marks an instance that an operator has drained, or has put back. A drained instance has the
// weight -1 beside it, so that a reader which does not know the tag keeps its calls away, too.
const tag = "skerry.drain"

// Mark is what an instance on a list says of the operators' orders.
type Mark struct {
	Order int64     // number of the order, which grows; of two lists the one with the greater number is newer; 0: none
	On    bool      // it gets no calls
	Since time.Time // by the clock of its process, to the second
	By    string    // operator
	Why   string    // "" when no reason was given
}

// text is the value of the tag.
func (d Mark) text() string {
	text := strconv.FormatInt(d.Order, 10)
	if !d.On {
		return text
	}
	text += " " + strconv.FormatInt(d.Since.Unix(), 10) + " " + strings.ReplaceAll(d.By, " ", "_")
	if d.Why != "" {
		text += " " + d.Why
	}
	return text
}

// MarkOf reads the mark of an instance from its tags. Text that makes no sense is no order.
func MarkOf(tags map[string]string) Mark {
	text, ok := tags[tag]
	if !ok {
		return Mark{}
	}
	number, rest, on := strings.Cut(text, " ")
	order, err := strconv.ParseInt(number, 10, 64)
	if err != nil || order < 1 {
		return Mark{}
	}
	if !on {
		return Mark{Order: order}
	}
	since, rest, _ := strings.Cut(rest, " ")
	at, err := strconv.ParseInt(since, 10, 64)
	if err != nil {
		return Mark{}
	}
	d := Mark{Order: order, On: true, Since: time.Unix(at, 0)}
	d.By, d.Why, _ = strings.Cut(rest, " ")
	return d
}

// Put is the instance with the mark. Where its own tags leave no room for all,
// the reason is left out, then the tag: the weight alone keeps calls away.
func (d Mark) Put(in registry.Instance) registry.Instance {
	if d.Order == 0 {
		return in
	}
	out := in
	if d.On {
		out.Weight = -1
	}
	for _, try := range []Mark{d, {Order: d.Order, On: d.On, Since: d.Since, By: d.By}} {
		out.Tags = make(map[string]string, len(in.Tags)+1)
		for k, v := range in.Tags {
			out.Tags[k] = v
		}
		if out.Tags[tag] = try.text(); out.Check() == nil {
			return out
		}
	}
	out.Tags = in.Tags
	return out
}

// String says which operator has drained it, since when and why; "" when it is not drained.
func (d Mark) String() string {
	if !d.On {
		return ""
	}
	text := "drained by " + d.By + " since " + d.Since.Local().Format(time.DateTime)
	if d.Why != "" {
		text += ": " + d.Why
	}
	return text
}
