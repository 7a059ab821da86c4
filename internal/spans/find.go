package spans

import (
	"cmp"
	"slices"
	"time"
)

// AnyFailure is the Failure of a Filter for all failed calls.
const AnyFailure = "*"

// MostFound bounds an answer, and MostTraces a question.
const (
	MostFound  = 1000
	MostTraces = 64
)

// Filter says which spans are meant. Zero values do not matter.
type Filter struct {
	Traces  [][16]byte
	Service string
	Method  string
	Failure string // code; AnyFailure: any
	Mark    string
	Since   time.Duration // those that began so long ago at most
	Slower  time.Duration // those that took at least so long
	Slowest bool          // the slowest first; false: the newest
	Most    int           // 0 and more than MostFound count as MostFound
}

// Find returns spans with their ages in Began, and whether there are further ones.
func (r *Recorder) Find(f Filter) (found []Span, more bool) {
	if r == nil {
		return nil, false
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	now := time.Since(r.begun)
	if f.Most <= 0 || f.Most > MostFound {
		f.Most = MostFound
	}
	wanted := map[[16]byte]bool{}
	for _, id := range f.Traces {
		wanted[id] = true
	}
	var fit []slot
	for i := range r.rings {
		r.rings[i].each(func(p *slot) {
			if (len(wanted) == 0 || wanted[p.trace]) && f.fits(p, now) {
				fit = append(fit, *p)
			}
		})
	}
	order := make([]*slot, len(fit))
	for i := range fit {
		order[i] = &fit[i]
	}
	slices.SortFunc(order, func(a, b *slot) int {
		if f.Slowest && a.took != b.took {
			return cmp.Compare(b.took, a.took)
		}
		return cmp.Or(cmp.Compare(b.began, a.began), cmp.Compare(a.id, b.id))
	})
	more = len(order) > f.Most
	for _, p := range order[:min(len(order), f.Most)] {
		s := p.span()
		s.Began = now - s.Began
		found = append(found, s)
	}
	return found, more
}

func (f *Filter) fits(p *slot, now time.Duration) bool {
	if f.Since > 0 && now-time.Duration(p.began) > f.Since || time.Duration(p.took) < f.Slower {
		return false
	}
	is := func(want string, place int) bool {
		return want == "" || Cut(want, shares[place]) == string(p.textOf(place))
	}
	if f.Failure == AnyFailure {
		if p.lengths[failureText] == 0 {
			return false
		}
	} else if !is(f.Failure, failureText) {
		return false
	}
	return is(f.Service, serviceText) && is(f.Method, methodText) && is(f.Mark, markText)
}
