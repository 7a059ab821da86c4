package console

import (
	"context"
	"slices"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/policychange"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/releases"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
	"github.com/skerry/skerry/policy"
	"github.com/skerry/skerry/site/spread"
)

// site tells what is known of a site.
type site interface {
	// snapshot returns what is known now. It does not wait for processes: what a slow one would say is missing, and the
	// snapshot says so. Callers do not change it.
	snapshot(ctx context.Context) *snapshot
}

// snapshot is what is known of a site at a moment.
type snapshot struct {
	Cluster string
	Title   string // what people call the site; "" is the cluster
	Host    string // on which the console runs
	Release string // of skerry there

	At     time.Time     // when it was put together, by the console's clock
	Oldest time.Duration // age of the oldest answer in it
	Begun  time.Time     // when the console began to ask: figures of the past begin then

	Entries   []discovery.Entry // the instances, as the console's own lists say
	Sources   []discovery.SourceStatus
	Processes []processInfo      // in the order of their names
	Flows     []flow             // calls of the last minute, as their callers have counted them, or else their callees
	Attempts  []flow             // of the last minute, by instance, as callers have counted them
	Own       map[place]*figures // of the last minute, as the instances have counted them
	Trends    map[string][]int64 // calls of each service in each 10 s of the last 5 minutes, oldest first
	Untold    untold
	Before    []flow  // of a minute about an hour ago, by caller and service; none when the console is younger
	Hour      []point // oldest first, one for each pointPeriod

	Rollout  operator.Status
	Signers  []releases.Signer // of Rollout.Trail
	Holders  []releases.Holder // of the outgoing versions, while the open release waits for them
	Copies   []releases.Copies // of calls to the new versions, by the site's policy
	Step     *progress         // of a release that this console makes, or has made last; nil: none
	Policy   policyState
	Findings []finding     // worst first, without those that are silenced
	Silenced []silenced    // with those that are not found any more, the next to end first
	Members  []memberEvent // oldest first

	rows   []serviceRow                // of services(), when the snapshot is complete
	lines  []edgeRow                   // of edges(), the same
	usual  map[[2]string]time.Duration // see usualOf
	calls  *testCalls                  // of the console
	Tracer tracer                      // nil: none

	Doctor *examination // the last one; nil: none yet

	Hosts []spread.HostStatus // with agents, as they were asked last
	// agentLog asks for the last lines of an instance on a host; nil: no agents are asked.
	agentLog func(ctx context.Context, host, instance string) ([]byte, error)

	Minutes []minute // the calls between services in the last hour, oldest first
	// stored tells the calls in the minute that begins at a time, from the site's database; nil: there is none.
	stored func(ctx context.Context, at time.Time) ([]edgeRow, error)
}

// pointPeriod is the time between two points of the last hour.
const pointPeriod = time.Minute

// point is the whole site in one period.
type point struct {
	At        time.Time
	Calls     float64       // a second
	Failed    float64       // part of the calls, 0 to 1
	P99       time.Duration // 0: nothing was called
	Instances int
}

// processInfo is one process of the site.
type processInfo struct {
	Name    string // host/pid/epoch
	Host    string
	Addr    string
	Release string        // of skerry
	Up      time.Duration // 0: not known
	Runs    []string      // service/version
	Applied rollout.Generation
	Policy  uint64 // number in force there; 0: none
	Sources []string
	Silent  string // why it did not answer; "": it did
	Asked   time.Time
	Why     string // further facts

	// Condition is what it says of its clock, its memory and its registries; nil: it has not told, or was not asked as
	// no page was open.
	Condition *control.Condition

	NotObeyed string // why it does not obey the policy in force whole; "": it does, or is silent
}

// policyState is what is known of the site's policy.
type policyState struct {
	Current policylog.Entry   // Number 0: none is in force
	Newest  policylog.Entry   // Number 0: there is none
	Log     []policylog.Entry // oldest first
	Doubt   string            // what of the log is not believed
	Signers map[string]string // by hash of an entry, the operator that its signature names

	Table    *policy.Table            // of Current, without what has ended; nil: not made yet, or not to be read
	Applied  map[uint64]time.Duration // how long what ends by itself has applied
	Uses     []use                    // which caller has called which service
	Denied   *policychange.Accessed   // calls that access lists refuse or would refuse; nil: not asked yet
	DeniedAt time.Time
}

// use is the calls of one service by one caller.
type use struct {
	Caller, Service string
	Calls           int64     // since the starts of the processes
	Last            time.Time // zero: before the console looked for the first time
}

// flow is the calls of one method from one caller to one version, or its attempts at one instance.
type flow struct {
	Caller   string // a service, or "ip:" and an address
	Service  string
	Version  string
	Method   string // "": not known
	Instance string // its address; "": not known
	Served   bool   // the callee has counted them: the caller is no process of skerry, or has not told
	Calls    int64  // in about a minute
	Failed   int64
	Kinds    map[string]int64 // the failures, by outcome
	Latency  recent.Steps
	Rate     float64 // calls a second; 0: Calls are those of a minute
}

// place is where an instance runs.
type place struct{ Process, Service, Version string }

// untold is what the figures of calls do not hold.
type untold struct {
	Older []string `json:"older_processes,omitempty"` // they tell no recent calls: methods and latencies are missing
	Kinds int64    `json:"kinds,omitempty"`           // of calls that answers have left out, to be short
	Calls int64    `json:"calls,omitempty"`           // their calls
}

// severity of a finding.
type severity int

// The severities, worst last.
const (
	note severity = iota
	warning
	grave
)

// finding is what needs an operator.
type finding struct {
	Kind     string   // what is wrong: one kind for each place that makes findings
	About    []string // what it is wrong with: services, instances or processes
	Severity severity
	What     phrase    // what is wrong, and how much
	Why      phrase    // the cause, or how it is known
	Since    time.Time // zero: not known
	Do       string    // a command that cures it, or shows more; "": none
	Link     string    // the page with the details
	LinkText phrase
	Proof    []fact

	scale float64 // how bad it is beside others of its kind
}

// fact is a value with its name.
type fact struct {
	Name  phrase
	Value string
	Bad   bool
}

// phrase is a text of the catalogue with its values (see [language.Text]), or a plain text in no language without a
// key.
type phrase struct {
	Key    string
	Values []any
	Plain  string // what a process has said, in its own words
	Step   string // of the log of releases
}

func say(key string, values ...any) phrase { return phrase{Key: key, Values: values} }

func plain(s string) phrase { return phrase{Plain: s} }

// MarshalText is the text in English, for JSON.
func (t phrase) MarshalText() ([]byte, error) { return []byte(t.In(english)), nil }

// In is the text in a language.
func (t phrase) In(l language) string {
	switch {
	case t.Step != "":
		return l.Step(t.Step)
	case t.Key == "":
		return l.Sentence(t.Plain)
	}
	values := t.Values
	for i, v := range t.Values {
		switch v := v.(type) {
		case phrase:
			values = slices.Clone(values)
			values[i] = v.In(l)
		case lasting:
			values = slices.Clone(values)
			values[i] = spanText(l, time.Duration(v))
		case string:
			if i > 0 && t.Values[i-1] == "why" { // in the words of a process or a package below
				values = slices.Clone(values)
				values[i] = l.Sentence(v)
			}
		case error:
			values = slices.Clone(values)
			values[i] = l.Sentence(v.Error())
		}
	}
	return l.Text(t.Key, values...)
}
