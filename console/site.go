package console

import (
	"context"
	"time"

	"github.com/skerry/skerry/discovery"
	"github.com/skerry/skerry/internal/policylog"
	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Site tells what is known of a site.
type Site interface {
	// Snapshot returns what is known now. It does not wait for processes: what a slow one would say is missing, and the
	// snapshot says so. Callers do not change it.
	Snapshot(ctx context.Context) *Snapshot
}

// Snapshot is what is known of a site at a moment.
type Snapshot struct {
	Cluster string
	Title   string // what people call the site; "" is the cluster
	Host    string // on which the console runs
	Release string // of skerry there

	At     time.Time     // when it was put together, by the console's clock
	Oldest time.Duration // age of the oldest answer in it
	Begun  time.Time     // when the console began to ask: figures of the past begin then

	Entries   []discovery.Entry // the instances, as the console's own lists say
	Sources   []discovery.SourceStatus
	Processes []Process // in the order of their names
	Flows     []Flow    // of the last minute
	Before    []Flow    // of a minute about an hour ago; none when the console is younger
	Hour      []Point   // oldest first, one for each PointPeriod

	Rollout  operator.Status
	Policy   Policy
	Findings []Finding // worst first
}

// PointPeriod is the time between two points of the last hour.
const PointPeriod = time.Minute

// Point is the whole site in one period.
type Point struct {
	At        time.Time
	Calls     float64       // a second
	Failed    float64       // part of the calls, 0 to 1
	P99       time.Duration // 0: nothing was called
	Instances int
}

// Process is one process of the site.
type Process struct {
	Name    string // host/pid/epoch
	Host    string
	Addr    string
	Release string        // of skerry
	Up      time.Duration // 0: not known
	Runs    []string      // service/version
	Applied rollout.Generation
	Policy  uint64 // number in force there; 0: none
	Memory  int64  // bytes; 0: not known
	Sources []string
	Silent  string // why it did not answer; "": it did
	Asked   time.Time
	Why     string // further facts
}

// Policy is what is known of the site's policy.
type Policy struct {
	Current policylog.Entry   // Number 0: none is in force
	Newest  policylog.Entry   // Number 0: there is none
	Log     []policylog.Entry // oldest first
	Doubt   string            // what of the log is not believed
	Signers map[string]string // by hash of an entry, the operator whose key signed it
}

// Flow is the calls of one method from one caller to one instance in a minute.
type Flow struct {
	Caller   string // a service, or "ip:" and an address
	Service  string
	Version  string
	Method   string
	Instance string // its address; "" when the caller knows none
	Calls    int64
	Failed   int64
	Kinds    map[string]int64 // the failures, by outcome
	Latency  Histogram
}

// Severity of a finding.
type Severity int

// The severities, worst last.
const (
	Note Severity = iota
	Warning
	Bad
)

// Finding is what needs an operator.
type Finding struct {
	Severity Severity
	What     Text      // what is wrong, and how much
	Why      Text      // the cause, or how it is known
	Since    time.Time // zero: not known
	Do       string    // a command that cures it, or shows more; "": none
	Link     string    // the page with the details
	LinkText Text
	Proof    []Fact
}

// Fact is a value with its name.
type Fact struct {
	Name  Text
	Value string
	Bad   bool
}

// Text is a text of the catalogue, with its values; see [Language.Text]. As a plain text in no language it has no key.
type Text struct {
	Key    string
	Values []any
	Plain  string // what a process has said, in its own words
}

func say(key string, values ...any) Text { return Text{Key: key, Values: values} }

func plain(s string) Text { return Text{Plain: s} }

// In is the text in a language.
func (t Text) In(l Language) string {
	if t.Key == "" {
		return t.Plain
	}
	return l.Text(t.Key, t.Values...)
}
