package health

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// CompareKeys orders keys by service, method, side, version and peer.
func CompareKeys(a, b Key) int {
	return cmp.Or(
		strings.Compare(a.Service, b.Service),
		strings.Compare(a.Method, b.Method),
		cmp.Compare(a.Side, b.Side),
		strings.Compare(a.Version, b.Version),
		strings.Compare(a.Peer, b.Peer),
	)
}

// SortRows orders rows by key, then by time.
func SortRows(rows []Row) {
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(CompareKeys(a.Key, b.Key), a.From.Compare(b.From))
	})
}

// Sum adds rows up whose keys group maps to the same key, sorted by key; nil
// keeps the keys. Counts, Sum and Max are exact. Of the percentiles only the
// results of the rows are known: P50 is their mean weighted by calls, P99
// their largest, so the true P99 is not above it (but for the 2 %).
func Sum(rows []Row, group func(Key) Key) []Row {
	sums := map[Key]*Row{}
	weighted := map[Key]float64{}
	for _, row := range rows {
		calls := row.Calls()
		if calls == 0 {
			continue
		}
		k := row.Key
		if group != nil {
			k = group(k)
		}
		s := sums[k]
		if s == nil {
			s = &Row{Key: k, From: row.From, To: row.To}
			sums[k] = s
		}
		s.add(&row)
		weighted[k] += float64(row.P50) * float64(calls)
	}
	out := make([]Row, 0, len(sums))
	for k, s := range sums {
		s.P50 = time.Duration(weighted[k] / float64(s.Calls()))
		out = append(out, *s)
	}
	SortRows(out)
	return out
}

func (r *Row) add(o *Row) {
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
