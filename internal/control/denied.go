package control

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// Denied holds the calls that the site's policy refuses, or would refuse, as the callees count them since their starts.
type Denied struct {
	Calls    []rpc.DeniedCalls // sums of all processes; First and Last are of any of them
	Others   int64             // calls of further kinds
	Answered int               // processes
	Silent   map[string]error  // by process
}

// Denied asks all processes.
func (p *Policies) Denied(ctx context.Context) (d Denied, err error) {
	others, err := p.others(ctx)
	if err != nil {
		return d, err
	}
	d.Silent = map[string]error{}
	sums := map[rpc.DeniedCalls]rpc.DeniedCalls{}
	asked := map[string]bool{}
	var mu sync.Mutex
	p.s.m.Each(ctx, others, func(ctx context.Context, q *membership.Peer) {
		w, err := q.Client().Denied(ctx)
		mu.Lock()
		defer mu.Unlock()
		process := q.Owner.String()
		asked[process] = true
		if err != nil {
			d.Silent[process] = err
			return
		}
		d.Answered++
		d.Others += max(0, w.GetOthers())
		for _, c := range w.Calls[:min(len(w.Calls), deniedMost)] {
			if !toldNames(c.Name, c.Method, c.Caller, c.Proof, c.GetItem()) {
				d.Others += max(0, c.Calls)
				continue
			}
			addDenied(sums, deniedOf(c, time.Now()))
		}
	})
	for _, k := range others {
		if process := k.Owner.String(); !asked[process] {
			d.Silent[process] = errNoAnswer
		}
	}
	for _, c := range sums {
		d.Calls = append(d.Calls, c)
	}
	slices.SortFunc(d.Calls, compareDenied)
	return d, nil
}

// deniedMost bounds the rows read from another process.
const deniedMost = 1000

func deniedOf(c *wire.DeniedCall, now time.Time) rpc.DeniedCalls {
	ago := func(ms int64) time.Time {
		return now.Add(-time.Duration(min(max(ms, 0), int64(longestAgo/time.Millisecond))) * time.Millisecond)
	}
	return rpc.DeniedCalls{Service: c.Name, Method: c.Method, Caller: c.Caller, Proof: c.Proof, Item: c.GetItem(),
		Enforced: c.GetEnforced(), Calls: max(0, c.Calls), First: ago(c.FirstMs), Last: ago(c.LastMs)}
}

// longestAgo bounds the ages that another process tells.
const longestAgo = 100_000 * time.Hour

func addDenied(sums map[rpc.DeniedCalls]rpc.DeniedCalls, c rpc.DeniedCalls) {
	key := c
	key.Calls, key.First, key.Last = 0, time.Time{}, time.Time{}
	sum, known := sums[key]
	if !known {
		sums[key] = c
		return
	}
	sum.Calls += c.Calls
	if c.First.Before(sum.First) {
		sum.First = c.First
	}
	if c.Last.After(sum.Last) {
		sum.Last = c.Last
	}
	sums[key] = sum
}

// compareDenied orders by service, and those with most calls first.
func compareDenied(a, b rpc.DeniedCalls) int {
	enforced := map[bool]int{true: 1}
	return cmp.Or(strings.Compare(a.Service, b.Service), cmp.Compare(b.Calls, a.Calls),
		strings.Compare(a.Caller, b.Caller), strings.Compare(a.Method, b.Method), strings.Compare(a.Item, b.Item),
		strings.Compare(a.Proof, b.Proof), enforced[a.Enforced]-enforced[b.Enforced])
}
