package policychange

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/number"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/policytry"
	"github.com/skerry/skerry/internal/words"
)

// Impact is what a policy would have done with the calls of the last minutes.
type Impact struct {
	Seconds   int               `json:"seconds"`          // that the records cover, of the process with the longest
	Shortest  int               `json:"shortest_seconds"` // of the one with the shortest
	Younger   int               `json:"younger"`          // processes that do not run for 5 minutes yet
	Processes int               `json:"processes"`        // that have answered
	Silent    map[string]string `json:"silent"`           // by process: why it has not
	Effects   []Effect          `json:"effects"`
	More      int               `json:"more"`   // effects that are left out
	Others    int64             `json:"others"` // calls of which the processes remember no more than their number
	Cut       int               `json:"cut"`    // processes that did not get through all calls in a second
	NotObeyed []string          `json:"not_obeyed"`
}

// Effect is what one item or setting would have done.
type Effect struct {
	Kind     string           `json:"kind"` // a policytry.Kind, such as limit
	Service  string           `json:"service"`
	Item     string           `json:"item"`
	What     string           `json:"what"`
	Calls    int64            `json:"calls"`              // that it could have been about
	Hit      int64            `json:"hit"`                // that it would have treated otherwise
	Error    float64          `json:"error"`              // standard error of hit; 0: none
	Estimate string           `json:"estimate,omitempty"` // sample, spread, chance or about; absent: exact
	Worst    float64          `json:"worst_second"`       // of a rate: the largest share of calls in a second
	Ended    map[string]int64 `json:"ended"`              // of the calls of hit, by code
	Callers  map[string]int64 `json:"callers"`            // of the calls of hit; "": further ones
	Examples []Example        `json:"examples"`
}

// Example is a call that would have been treated otherwise.
type Example struct {
	AgoMS  int64   `json:"ago_ms"`
	Caller string  `json:"caller"`
	Method string  `json:"method"`
	Trace  string  `json:"trace,omitempty"`
	TookMS float64 `json:"took_ms"`
}

// ImpactOf sums up what processes have said.
func ImpactOf(t control.Tried) Impact {
	i := Impact{Seconds: t.Seconds, Shortest: t.Shortest, Younger: t.Younger, Processes: t.Answered,
		Silent: t.Silent, More: t.More, Others: t.Others, Cut: t.Cut, NotObeyed: t.NotObeyed, Effects: []Effect{}}
	for _, e := range t.Effects {
		out := Effect{Kind: string(e.Kind), Service: e.Service, Item: e.Item, What: e.What, Calls: e.Calls,
			Hit: e.Hit, Error: e.Error, Estimate: e.Estimate, Worst: e.Worst(), Ended: e.Ended, Callers: e.Callers,
			Examples: []Example{}}
		for _, x := range e.Examples {
			out.Examples = append(out.Examples, Example(x))
		}
		i.Effects = append(i.Effects, out)
	}
	return i
}

// PlanNames are the plans that an entry has on.
func PlanNames(e policylog.Entry) (names []string) {
	for _, on := range e.On {
		names = append(names, on.Name)
	}
	return names
}

// Title is the effect's item.
func (e Effect) Title(l words.Language) string {
	what := l.Sentence(e.What)
	switch policytry.Kind(e.Kind) {
	case policytry.Timeout:
		return l.Sprintf("time-out %s", what)
	case policytry.Limit:
		return l.Sprintf("limit %s", what)
	case policytry.Unlimit:
		return l.Sprintf("without the limit %s", what)
	case policytry.Access, policytry.Audit, policytry.Allow:
		return e.Item + ": " + what
	}
	return fmt.Sprintf(cmp.Or(kindTitle(l, e.Kind), e.Kind+": %s"), what)
}

// kindTitle is the format of a title of the kind, "" for one that is not known here.
func kindTitle(l words.Language, kind string) string {
	switch policytry.Kind(kind) {
	case policytry.Fallback:
		return l.Format("fallback: %s")
	case policytry.Route:
		return l.Format("route: %s")
	case policytry.Weights:
		return l.Format("weights: %s")
	case policytry.Fault:
		return l.Format("fault: %s")
	case policytry.Mirror:
		return l.Format("mirror: %s")
	}
	return ""
}

// Sentence says what the effect is about.
func (e Effect) Sentence(l words.Language) string {
	calls := l.Sprintf("%s of %s", words.Grouped(e.Hit), counted(l, e.Calls))
	if share := number.Percent(float64(e.Hit)/float64(max(e.Calls, 1)), 2); e.Calls > 0 && e.Error > 0 {
		calls = l.Sprintf("%s (%s %%, give or take %s)", calls, share, words.Grouped(int64(e.Error+0.5)))
	} else if e.Calls > 0 {
		calls = l.Sprintf("%s (%s %%)", calls, share)
	}
	text := ""
	switch policytry.Kind(e.Kind) {
	case policytry.Timeout:
		text = l.Sprintf("%s took longer", calls)
		if n := e.Ended["timeout"]; n > 0 {
			text += l.Sprintf("; %s timed out as it was", words.Grouped(n))
		}
	case policytry.Limit:
		text = l.Sprintf("refuses %s%s", calls, e.callers(l))
		if e.Worst > 0 {
			text += l.Sprintf("; never more than %s %% in a second", number.Percent(e.Worst, 2))
		}
	case policytry.Access:
		text = l.Sprintf("refuses %s%s", calls, e.callers(l))
	case policytry.Unlimit:
		text = l.Sprintf("it refused %s%s", calls, e.callers(l))
	case policytry.Audit:
		text = l.Sprintf("counts, and would refuse, %s%s", calls, e.callers(l))
	case policytry.Allow:
		text = l.Sprintf("lets pass %s, which were refused%s", calls, e.callers(l))
	case policytry.Fallback:
		text = l.Sprintf("answers %s%s%s", calls, e.callers(l), e.failed(l))
	case policytry.Weights:
		text = l.Sprintf("%s went there", calls)
	default:
		text = l.Sprintf("is for %s%s", calls, e.callers(l))
	}
	return text + l.Format(estimates[e.Estimate])
}

var estimates = map[string]string{
	policytry.BySample: "; estimated from a sample",
	policytry.Spread:   "; as if calls came evenly within each second",
	policytry.Chance:   "; estimated, as if calls came by chance",
	policytry.About:    "; the others took about as long",
}

// callers names the callers of the calls, those with most calls first.
func (e Effect) callers(l words.Language) string {
	names := slices.DeleteFunc(slices.Collect(maps.Keys(e.Callers)), func(name string) bool { return name == "" })
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(e.Callers[b], e.Callers[a]), strings.Compare(a, b))
	})
	switch {
	case len(names) == 0:
		return ""
	case len(names) == 1 && e.Callers[""] == 0:
		return l.Sprintf(", all of %s", names[0])
	}
	var parts []string
	for _, name := range names[:min(len(names), 3)] {
		parts = append(parts, name+" "+words.Grouped(e.Callers[name]))
	}
	if more := len(names) - len(parts); more > 0 {
		parts = append(parts, l.Sprintf("%d more", more))
	}
	return l.Sprintf(", of %s", strings.Join(parts, ", "))
}

// failed says how many of the calls had failed.
func (e Effect) failed(l words.Language) string {
	sum := int64(0)
	codes := slices.SortedFunc(maps.Keys(e.Ended), func(a, b string) int {
		return cmp.Or(cmp.Compare(e.Ended[b], e.Ended[a]), strings.Compare(a, b))
	})
	var parts []string
	for _, code := range codes {
		sum += e.Ended[code]
		if len(parts) < 3 {
			parts = append(parts, code+" "+words.Grouped(e.Ended[code]))
		}
	}
	if sum == 0 {
		return ""
	}
	return l.Sprintf("; %s of them had failed (%s)", words.Grouped(sum), strings.Join(parts, ", "))
}

// Text is the call in a line.
func (x Example) Text(l words.Language) string {
	ago := number.Age(time.Duration(x.AgoMS) * time.Millisecond)
	took := latency(time.Duration(x.TookMS * float64(time.Millisecond)))
	if x.Trace == "" {
		return l.Sprintf("%s ago: %s, from %s, %s", ago, x.Method, cmp.Or(x.Caller, "?"), took)
	}
	return l.Sprintf("%s ago: %s, from %s, %s, trace %s", ago, x.Method, cmp.Or(x.Caller, "?"), took, x.Trace)
}

func counted(l words.Language, n int64) string {
	if n == 1 {
		return l.Format("1 call")
	}
	return l.Sprintf("%s calls", words.Grouped(n))
}

func latency(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return number.Latency(d)
}
