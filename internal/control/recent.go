package control

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// RecentWindow is the longest time that processes remember their calls.
const RecentWindow = recent.Window * time.Second

// Recent holds the calls of the site in the last seconds.
type Recent struct {
	Calls     []RecentCalls
	Trends    map[string][]int64 // calls of each service in each 10 s of the last 5 minutes, oldest first
	Answered  int                // processes
	Silent    map[string]error   // by process: ErrRecentTooOld, or why it has not answered
	KindsLeft int64              // kinds of calls that the answers have left out, because they would be too long
	CallsLeft int64              // their calls
}

// RecentCalls are the calls of one method from one caller to one version, as one process has counted them.
type RecentCalls struct {
	Process string // that has counted them
	Caller  string // a service, a program, or ip: and an address
	Service string
	Method  string
	Version string
	Served  bool // the callee has counted them, and Process is where it runs
	Twice   bool // served, and among the counts of the caller, too
	Calls   int64
	Failed  int64
	Kinds   map[string]int64 // the failures, by outcome
	Latency recent.Steps
	Rate    float64 // calls a second

	greets, nameless bool
}

// Sum adds other calls up; what identifies them stays.
func (c *RecentCalls) Sum(o *RecentCalls) {
	c.Calls += o.Calls
	c.Failed += o.Failed
	c.Rate += o.Rate
	c.Latency.Sum(o.Latency)
	if len(o.Kinds) > 0 && c.Kinds == nil {
		c.Kinds = map[string]int64{}
	}
	for kind, n := range o.Kinds {
		c.Kinds[kind] += n
	}
}

// ErrRecentTooOld: the process is of a release that tells no recent calls.
var ErrRecentTooOld = errors.New("its release of skerry is too old to tell the calls of the last minutes")

// AllRecent asks every other process of the site for its calls of the last seconds, up to [RecentWindow]. Answers cover
// up to 30 s more.
func AllRecent(ctx context.Context, n *skerry.Node, last time.Duration) (r Recent, err error) {
	members, err := newSite(n).others(ctx)
	if err != nil {
		return r, err
	}
	r.Trends, r.Silent = map[string][]int64{}, map[string]error{}
	for _, k := range members {
		r.Silent[k.Owner.String()] = errNoAnswer
	}
	seconds := int64(min(max(last, time.Second), RecentWindow) / time.Second)
	var mu sync.Mutex
	n.Membership().Each(ctx, members, func(ctx context.Context, p *membership.Peer) {
		w, err := p.Client().Recent(ctx, seconds)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			if rpc.CodeOf(err) == rpc.UnknownMethod {
				err = ErrRecentTooOld
			}
			r.Silent[p.Owner.String()] = err
			return
		}
		delete(r.Silent, p.Owner.String())
		r.add(p.Owner.String(), p.Addr, w)
	})
	r.markTwice()
	slices.SortFunc(r.Calls, compareRecent)
	return r, nil
}

// Bounds of what is read of one process.
const (
	recentRows   = 2000
	recentTrends = recent.Window / 10
	longName     = 256 // bytes; no name of a site is longer
	mostKinds    = 32  // of failures
)

// toldNames reports whether names that a process has sent may be shown: they are short, and every character is
// visible.
func toldNames(names ...string) bool {
	for _, name := range names {
		if len(name) > longName || !quote.Visible(name) {
			return false
		}
	}
	return true
}

func (r *Recent) add(process, addr string, w *wire.Recent) {
	r.Answered++
	r.KindsLeft += max(0, w.GetKindsLeft())
	r.CallsLeft += max(0, w.GetCallsLeft())
	self := w.GetCaller()
	if host, _, err := net.SplitHostPort(addr); self == "" && err == nil {
		self = "ip:" + host
	}
	for _, c := range w.Calls[:min(len(w.Calls), recentRows)] {
		if membership.Hidden(c.Name) {
			continue // from a process that lies
		}
		if !toldNames(c.Name, c.Method, c.GetVersion(), c.GetCaller()) { // a lie, or a plain client's method
			r.KindsLeft++
			r.CallsLeft += max(0, c.Calls)
			continue
		}
		row := RecentCalls{Process: process, Caller: self, Service: c.Name, Method: c.Method, Version: c.GetVersion(),
			Served: c.Caller != nil, Calls: max(0, c.Calls), greets: c.GetGreets(),
			nameless: c.Caller == nil && w.GetCaller() == ""}
		if row.Served {
			row.Caller = c.GetCaller()
			row.nameless = strings.HasPrefix(row.Caller, "ip:")
		}
		row.Rate = float64(row.Calls) / float64(min(max(w.Seconds, 1), 2*recent.Window))
		for kind, n := range c.Kinds {
			if n > 0 && len(row.Kinds) < mostKinds && toldNames(kind) {
				if row.Kinds == nil {
					row.Kinds = map[string]int64{}
				}
				row.Kinds[kind] += n
				row.Failed += n
			}
		}
		for step, n := range c.Latencies {
			if step >= 0 && step < recent.StepCount {
				row.Latency[step] += max(0, n)
			}
		}
		r.Calls = append(r.Calls, row)
	}
	for _, t := range w.Trends[:min(len(w.Trends), recentRows)] {
		if !toldNames(t.Name) || membership.Hidden(t.Name) {
			continue
		}
		of := r.Trends[t.Name]
		if of == nil {
			of = make([]int64, recentTrends)
			r.Trends[t.Name] = of
		}
		newest := t.Calls[max(0, len(t.Calls)-recentTrends):]
		for i, n := range newest {
			of[recentTrends-len(newest)+i] += int64(max(0, n))
		}
	}
}

// markTwice finds what both sides have counted. A caller that has ended, that is too old to tell, or that knows nothing
// of skerry has not: its calls are known by the callee alone. Calls that a callee has counted under no caller, for want
// of room, are taken for those of known ones.
func (r *Recent) markTwice() {
	type calls struct {
		caller, service string
		nameless        bool
	}
	key := func(c *RecentCalls) calls {
		k := calls{c.Caller, c.Service, c.nameless}
		if k.nameless { // it may have several addresses
			k.caller = ""
		}
		return k
	}
	made := map[calls]bool{}
	for i := range r.Calls {
		if c := &r.Calls[i]; !c.Served {
			made[key(c)] = true
		}
	}
	for i := range r.Calls {
		c := &r.Calls[i]
		c.Twice = c.Served && (c.Caller == "" || c.greets && made[key(c)])
	}
}

func compareRecent(a, b RecentCalls) int {
	served := map[bool]int{true: 1}
	return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Version, b.Version),
		strings.Compare(a.Method, b.Method), strings.Compare(a.Caller, b.Caller), served[a.Served]-served[b.Served],
		strings.Compare(a.Process, b.Process))
}
