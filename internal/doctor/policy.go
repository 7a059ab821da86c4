package doctor

import (
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/sitepolicy"
)

// Policy reports what a process obeys of the site's policy. again is the step that ends an emergency without one.
func Policy(s sitepolicy.Status, again string) []Finding {
	l := List{Area: "Policy"}
	switch {
	case s.Obey == sitepolicy.ObeysNone:
		l.Problem(quote.Safe("when the emergency is over: "+again),
			"it obeys no policy of the site, its access lists and limits neither: %s", s.Because)
	case s.Number == 0 && s.Newest == 0:
	case s.Because != "":
		l.Hint("skerry policy show --processes looks again", "it obeys policy %d, and the newest is %d: %s", s.Number,
			s.Newest, s.Because)
	default:
		l.Fine("it obeys policy %d", s.Number)
	}
	for _, p := range s.Lost {
		l.Problem("upgrade skerry there, or take the part out of the policy",
			"a part of policy %d is not understood here, and not obeyed: %s: %s", s.Number, p.Key, p.Text)
	}
	return l.All
}
