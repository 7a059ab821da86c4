package policytry

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/skerry/skerry/internal/recent"
)

// Kind is what an effect is about.
type Kind string

// The kinds.
const (
	Timeout  Kind = "timeout"
	Limit    Kind = "limit"    // refuses calls
	Unlimit  Kind = "unlimit"  // a limit that is left out has refused them
	Access   Kind = "access"   // refuses calls
	Audit    Kind = "audit"    // counts calls that would be refused
	Allow    Kind = "allow"    // lets calls pass that were refused
	Fallback Kind = "fallback" // answers calls
	Route    Kind = "route"
	Weights  Kind = "weights" // of the instances that calls went to
	Fault    Kind = "fault"
	Mirror   Kind = "mirror"
)

// Window is how many seconds processes can answer for, at most.
const Window = recent.Window

// Bounds of a report.
const (
	mostEffects  = 200
	mostCallers  = 10
	mostExamples = 5
	mostText     = 200
	mostSeconds  = 400
	mostCount    = 1 << 50
	mostReport   = 1 << 20 // bytes
)

// Report is what one process says of a candidate.
type Report struct {
	Seconds   int      `json:"seconds"` // that its records cover
	Whole     bool     `json:"whole"`   // they cover all that was asked for
	Effects   []Effect `json:"effects"`
	More      int      `json:"more,omitempty"`   // effects beyond the bound, those with the fewest calls
	Others    int64    `json:"others,omitempty"` // calls of kinds beyond the recorder's bound: nothing is said of them
	Cut       bool     `json:"cut,omitempty"`    // it took too long, and not all calls were looked at
	NotObeyed []string `json:"not_obeyed,omitempty"`
}

// Effect is what one item or setting of a candidate would have done.
type Effect struct {
	Kind    Kind   `json:"kind"`
	Service string `json:"service"`
	Item    string `json:"item"` // its place in the text
	What    string `json:"what"` // what it says, in words

	Calls    int64   `json:"calls"` // that it could have been about
	Hit      int64   `json:"hit"`   // that it would have treated otherwise
	Error    float64 `json:"error"` // standard error of Hit; 0: none
	Estimate string  `json:"estimate,omitempty"`

	Ended    map[string]int64 `json:"ended,omitempty"`   // how the calls of Hit ended instead of well, by code
	Callers  map[string]int64 `json:"callers,omitempty"` // of the calls of Hit; "" are further ones
	Examples []Example        `json:"examples,omitempty"`

	// Of a rate, for each second, the oldest first.
	SecondCalls []int64 `json:"second_calls,omitempty"`
	SecondHit   []int64 `json:"second_hit,omitempty"`
}

// What makes an effect an estimate.
const (
	BySample = "sample" // from the sampled calls, within its error
	Spread   = "spread" // calls are taken as evenly spread within each second
	Chance   = "chance" // calls are taken as coming by chance
	About    = "about"  // calls that took about as long as the time-out are the error
)

// Example is a sampled call that the candidate would have treated otherwise.
type Example struct {
	AgoMS  int64   `json:"ago_ms"`
	Caller string  `json:"caller"`
	Method string  `json:"method"`
	Trace  string  `json:"trace,omitempty"` // W3C trace id
	TookMS float64 `json:"took_ms"`
}

// Marshal returns the report as it travels.
func (r Report) Marshal() ([]byte, error) {
	r.bound()
	return json.Marshal(r)
}

// Parse reads a report of another process, which may say anything.
func Parse(b []byte) (r Report, err error) {
	if len(b) > mostReport {
		return r, errors.New("the report has more than 1 MiB")
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return Report{}, err
	}
	r.bound()
	for i := range r.Effects {
		r.Effects[i].sane()
	}
	r.Seconds = min(max(r.Seconds, 0), mostSeconds)
	r.More = min(max(r.More, 0), 1<<20)
	r.Others = sane(r.Others)
	return r, nil
}

// bound leaves out what is too much.
func (r *Report) bound() {
	slices.SortStableFunc(r.Effects, func(a, b Effect) int { return cmp.Compare(b.Hit, a.Hit) })
	if n := len(r.Effects) - mostEffects; n > 0 {
		r.More += n
		r.Effects = r.Effects[:mostEffects]
	}
	for i := range r.Effects {
		e := &r.Effects[i]
		e.Examples = e.Examples[:min(len(e.Examples), mostExamples)]
		e.Callers = largest(e.Callers)
		e.Ended = largest(e.Ended)
	}
	r.NotObeyed = r.NotObeyed[:min(len(r.NotObeyed), mostCallers)]
	for i, text := range r.NotObeyed {
		r.NotObeyed[i] = short(text)
	}
	if r.Effects == nil {
		r.Effects = []Effect{}
	}
}

// largest keeps the largest of the counts, and adds up the others under "".
func largest(of map[string]int64) map[string]int64 {
	if len(of) <= mostCallers+1 {
		return of
	}
	keys := make([]string, 0, len(of))
	for key := range of {
		if key != "" {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), strings.Compare(a, b)) })
	out := map[string]int64{"": of[""]}
	for i, key := range keys {
		if i < mostCallers {
			out[key] = of[key]
		} else {
			out[""] += of[key]
		}
	}
	return out
}

func (e *Effect) sane() {
	e.Kind = Kind(short(string(e.Kind)))
	for _, s := range []*string{&e.Service, &e.Item, &e.What, &e.Estimate} {
		*s = short(*s)
	}
	e.Calls, e.Hit = sane(e.Calls), sane(e.Hit)
	if !(e.Error >= 0 && e.Error <= mostCount) {
		e.Error = 0
	}
	for _, list := range []*[]int64{&e.SecondCalls, &e.SecondHit} {
		*list = (*list)[:min(len(*list), mostSeconds)]
		for i, n := range *list {
			(*list)[i] = sane(n)
		}
	}
	for _, of := range []*map[string]int64{&e.Callers, &e.Ended} {
		clean := map[string]int64{}
		for key, n := range *of {
			clean[short(key)] += sane(n)
		}
		*of = clean
	}
	for i := range e.Examples {
		x := &e.Examples[i]
		x.Caller, x.Method, x.Trace = short(x.Caller), short(x.Method), short(x.Trace)
		x.AgoMS = min(max(x.AgoMS, 0), mostSeconds*1000)
		x.TookMS = math.Min(math.Max(x.TookMS, 0), 1e9)
	}
}

func sane(n int64) int64 { return min(max(n, 0), mostCount) }

func short(s string) string {
	if len(s) <= mostText {
		return s
	}
	return strings.ToValidUTF8(s[:mostText], "") + "…"
}
