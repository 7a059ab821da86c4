package releases

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Copies is what one side has counted of the copies of calls to a new version, which the site's policy makes.
type Copies struct {
	Service string           `json:"service"`
	Version string           `json:"version"`
	Made    bool             `json:"made"` // callers have counted it; else the processes that serve the version
	Calls   int64            `json:"calls"`
	Failed  int64            `json:"failed"`
	Denied  int64            `json:"denied,omitempty"` // ended as they called what a copy may not; no failures
	Kinds   map[string]int64 `json:"kinds,omitempty"`  // of the failures

	MaxFailures float64 `json:"max_failures,omitempty"` // 0 to 1, as the module declares it
	MaxP99      int64   `json:"max_p99_ms,omitempty"`
	Slow        int64   `json:"slow,omitempty"` // took longer than MaxP99
	breach      string
}

// CopiesOf asks all processes for the copies of calls to the new versions, while a policy may make them.
func CopiesOf(ctx context.Context, to Operations, r rollout.Release) ([]Copies, error) {
	if r.State != rollout.Prepared && r.State != rollout.Ramping {
		return nil, nil
	}
	guard, err := guardOf(operator.Bounds{}, r)
	if err != nil {
		return nil, problemf("%w", err)
	}
	watched, _, err := to.Copies(ctx, r, guard)
	if err != nil {
		return nil, err
	}
	var list []Copies
	for i := range watched {
		w := &watched[i]
		breach := w.Breach()
		for _, side := range []struct {
			made bool
			operator.Count
		}{{true, w.Callers.Count}, {false, w.Callees.Count}} {
			if side.Calls == 0 {
				continue
			}
			c := Copies{Service: w.Service, Version: w.Version, Made: side.made, Calls: side.Calls,
				Failed: side.Failures, Denied: side.Denied, Kinds: side.Kinds, MaxFailures: w.Bounds.Failures,
				MaxP99: w.Bounds.P99.Milliseconds(), breach: breach}
			if w.Bounds.P99 > 0 {
				c.Slow = side.Slow
			}
			list = append(list, c)
			breach = "" // said once
		}
	}
	return list, nil
}

// Side is the caller or process that has counted the copies.
func (c Copies) Side() string {
	if c.Made {
		return "callers"
	}
	return "callees"
}

// KindsText lists the failures, and the copies that ended at a call that they may not make.
func (c Copies) KindsText() string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(c.Kinds)) {
		all = append(all, fmt.Sprintf("%s %d", k, c.Kinds[k]))
	}
	if c.Denied > 0 {
		all = append(all, fmt.Sprintf("shadow %d", c.Denied))
	}
	return strings.Join(all, ", ")
}

// copyDoubts says what copies have shown of new versions: a bound that a module declares and they break; a failure,
// where it declares none.
func copyDoubts(list []Copies) (doubts []string) {
	for _, c := range list {
		switch {
		case c.breach != "":
			doubts = append(doubts, "copies of calls say: "+c.breach)
		case c.MaxFailures == 0 && c.MaxP99 == 0 && c.Failed > 0:
			doubts = append(doubts, fmt.Sprintf("of %s of calls to %s/%s that its %s counted, %d failed (%s %%: %s)",
				copiesText(c.Calls), c.Service, c.Version, c.Side(), c.Failed,
				number.Percent(float64(c.Failed)/float64(c.Calls), 4), c.KindsText()))
		}
	}
	return doubts
}

func copiesText(n int64) string {
	if n == 1 {
		return "1 copy"
	}
	return strconv.FormatInt(n, 10) + " copies"
}

// CopyDifferences are the doubts with what helps.
func CopyDifferences(list []Copies) (out []Difference) {
	for _, doubt := range copyDoubts(list) {
		out = append(out, Difference{What: doubt, Mend: "find out why before skerry release commit, or skerry " +
			"release rollback; no user has waited for these copies, and no guard counts them"})
	}
	return out
}
