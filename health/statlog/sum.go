package statlog

import (
	"slices"
	"time"

	"github.com/skerry/skerry/health"
)

// Sum adds up the rows of keys that group maps to the same key, and returns the sums sorted by key;
// a nil group keeps the keys. Counts, Sum and Max are exact. P50 is the mean of the rows' medians,
// weighted by the calls that have a latency. P99 is the largest P99 of the rows; the true value is
// not above it, except for the 2 % of the histogram.
func Sum(rows []health.Row, group func(health.Key) health.Key) []health.Row {
	sums := map[health.Key]*health.Row{}
	weighted := map[health.Key]float64{}
	for _, row := range rows {
		if row.Calls() == 0 {
			continue
		}
		k := row.Key
		if group != nil {
			k = group(k)
		}
		s := sums[k]
		if s == nil {
			s = &health.Row{Key: k, From: row.From, To: row.To}
			sums[k] = s
		}
		add(s, &row)
		weighted[k] += float64(row.P50) * float64(row.Timed())
	}
	out := make([]health.Row, 0, len(sums))
	for k, s := range sums {
		s.P50 = time.Duration(weighted[k] / float64(max(1, s.Timed())))
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b health.Row) int { return a.Key.Compare(b.Key) })
	return out
}

func add(r, o *health.Row) {
	if o.From.Before(r.From) {
		r.From = o.From
	}
	if o.To.After(r.To) {
		r.To = o.To
	}
	for i, n := range o.Outcomes {
		r.Outcomes[i] += n
	}
	r.Sum += o.Sum
	r.P99 = max(r.P99, o.P99)
	r.Max = max(r.Max, o.Max)
}
