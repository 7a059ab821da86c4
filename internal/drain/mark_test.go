package drain

import (
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/registry"
)

func TestMarks(t *testing.T) {
	since := time.Unix(1_700_000_000, 0)
	for _, d := range []Mark{
		{Order: 7},
		{Order: 1, On: true, Since: since, By: "li"},
		{Order: 2, On: true, Since: since, By: "li@ops-1", Why: "a new kernel, 10 minutes"},
	} {
		in := registry.Instance{Service: "auth", Host: "10.0.0.5", Port: 7000, Weight: 7,
			Tags: map[string]string{"k": "v"}}
		out := d.Put(in)
		if got := MarkOf(out.Tags); got != d {
			t.Errorf("%+v is read as %+v", d, got)
		}
		if out.Tags["k"] != "v" || len(in.Tags) != 1 || (out.Weight == -1) != d.On {
			t.Errorf("%+v makes %+v of %+v", d, out, in)
		}
	}
	for _, text := range []string{"", "x", "0", "-1", "1 x li", "99999999999999999999 1 li"} {
		if got := MarkOf(map[string]string{tag: text}); got != (Mark{}) {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

// TestMarkOfAFullInstance: the tags of an instance leave no room for the reason, or for anything.
// The weight keeps calls away all the same, and what is listed is valid.
func TestMarkOfAFullInstance(t *testing.T) {
	d := Mark{Order: 3, On: true, Since: time.Unix(1_700_000_000, 0), By: "li", Why: strings.Repeat("long ", 30)}
	for room, want := range map[int]Mark{
		100: {Order: 3, On: true, Since: d.Since, By: "li"},
		5:   {},
	} {
		in := registry.Instance{Service: "auth", Host: "10.0.0.5", Port: 7000,
			Tags: map[string]string{"k": strings.Repeat("v", 256-1-room)}}
		out := d.Put(in)
		if got := MarkOf(out.Tags); got != want || out.Weight != -1 || out.Check() != nil {
			t.Errorf("with room for %d bytes: %+v, weight %d, %v", room, got, out.Weight, out.Check())
		}
	}
}
