package policytry

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Total is what the processes of a site say together.
type Total struct {
	Answered  int      `json:"answered"`
	Seconds   int      `json:"seconds"` // that the records cover, of the process with the longest
	Shortest  int      `json:"shortest_seconds"`
	Younger   int      `json:"younger"` // processes whose records do not cover all that was asked for
	Effects   []Effect `json:"effects"`
	More      int      `json:"more"`
	Others    int64    `json:"others"`
	Cut       int      `json:"cut"` // processes that have not looked at all calls
	NotObeyed []string `json:"not_obeyed"`
}

// Sum adds reports up. The largest effects come first.
func Sum(reports []Report) Total {
	type key struct {
		kind          Kind
		service, item string
	}
	t := Total{Answered: len(reports), Effects: []Effect{}, NotObeyed: []string{}}
	all := map[key]*Effect{}
	var order []key
	for i, r := range reports {
		t.Seconds = max(t.Seconds, r.Seconds)
		if i == 0 || r.Seconds < t.Shortest {
			t.Shortest = r.Seconds
		}
		if !r.Whole {
			t.Younger++
		}
		if r.Cut {
			t.Cut++
		}
		t.More += r.More
		t.Others += r.Others
		for _, text := range r.NotObeyed {
			if !slices.Contains(t.NotObeyed, text) && len(t.NotObeyed) < mostCallers {
				t.NotObeyed = append(t.NotObeyed, text)
			}
		}
		for _, e := range r.Effects {
			k := key{e.Kind, e.Service, e.Item}
			if all[k] == nil {
				if len(all) >= 10*mostEffects {
					t.More++
					continue
				}
				all[k] = &Effect{Kind: e.Kind, Service: e.Service, Item: e.Item, What: e.What}
				order = append(order, k)
			}
			all[k].add(e)
		}
	}
	for _, k := range order {
		t.Effects = append(t.Effects, *all[k])
	}
	slices.SortStableFunc(t.Effects, func(a, b Effect) int {
		return cmp.Or(cmp.Compare(b.Hit, a.Hit), cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Item, b.Item))
	})
	return t
}

// add adds the same effect of another process.
func (e *Effect) add(o Effect) {
	e.Calls, e.Hit = sane(e.Calls+o.Calls), sane(e.Hit+o.Hit)
	e.Error = math.Round(math.Hypot(e.Error, o.Error)*10) / 10
	if rank[o.Estimate] > rank[e.Estimate] {
		e.Estimate = o.Estimate
	}
	e.Ended = merged(e.Ended, o.Ended)
	e.Callers = largest(merged(e.Callers, o.Callers))
	e.Examples = append(e.Examples, o.Examples...)
	slices.SortStableFunc(e.Examples, func(a, b Example) int { return cmp.Compare(b.AgoMS, a.AgoMS) })
	e.Examples = e.Examples[:min(len(e.Examples), mostExamples)]
	e.SecondCalls = aligned(e.SecondCalls, o.SecondCalls)
	e.SecondHit = aligned(e.SecondHit, o.SecondHit)
}

// rank orders estimates by how much they suppose.
var rank = map[string]int{About: 1, BySample: 2, Spread: 3, Chance: 4}

func merged(a, b map[string]int64) map[string]int64 {
	if len(b) == 0 {
		return a
	}
	out := map[string]int64{}
	for _, m := range []map[string]int64{a, b} {
		for key, n := range m {
			out[key] = sane(out[key] + n)
		}
	}
	return out
}

// aligned adds counts of seconds that end at the same time.
func aligned(a, b []int64) []int64 {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	for i, n := range b {
		at := &out[len(a)-len(b)+i]
		*at = sane(*at + n)
	}
	return out
}

// Worst returns the largest share of calls that an effect has in one second, 0 to 1, among the seconds with at least a
// tenth of the calls of an average one.
func (e *Effect) Worst() (share float64) {
	if len(e.SecondHit) != len(e.SecondCalls) || len(e.SecondCalls) == 0 {
		return 0
	}
	least := max(1, e.Calls/int64(len(e.SecondCalls))/10)
	for i, n := range e.SecondCalls {
		if n >= least {
			share = max(share, min(1, float64(e.SecondHit[i])/float64(n)))
		}
	}
	return share
}
