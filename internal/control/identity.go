package control

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/quote"
	"github.com/skerry/skerry/internal/rollout/operator"
)

// Identity is a process's description of itself.
type Identity struct {
	Process string // registry.Owner.String()
	Addr    string // address at which it was asked
	Release string // of skerry
	Up      time.Duration
	Caller  string // its name at its callees; "": they know its address only
	Gateway bool   // it takes in users' requests
}

// Identities asks every other process of the site for its identity. silent holds
// the error of each process that does not answer.
func Identities(ctx context.Context, n *skerry.Node) (list []Identity, silent map[string]error, err error) {
	silent = map[string]error{}
	var mu sync.Mutex
	err = askMembers(ctx, n, func(ctx context.Context, p *membership.Peer) {
		id, failed := p.Client().WhoAmI(ctx)
		mu.Lock()
		defer mu.Unlock()
		if failed != nil {
			silent[p.Owner.String()] = failed
			return
		}
		if !toldNames(id.GetCaller()) {
			id.Caller = nil
		}
		list = append(list, Identity{
			Process: p.Owner.String(), Addr: p.Addr, Release: releaseOf(id.GetRelease()),
			Up: time.Duration(id.GetUptimeMs()) * time.Millisecond, Caller: id.GetCaller(), Gateway: id.GetGateway(),
		})
	})
	slices.SortFunc(list, func(a, b Identity) int { return cmp.Compare(a.Process, b.Process) })
	return list, silent, err
}

// Counts are a process's counts of calls since its start, once for each limit of
// [AllCounts]. The lists differ in Slow, the calls that took longer.
type Counts struct {
	Process string
	Slower  [][]operator.Served
}

// AllCounts asks every other process of the site for its counts. silent is the
// number of processes that do not answer.
func AllCounts(
	ctx context.Context, n *skerry.Node, limits ...time.Duration,
) (list []Counts, silent int, err error) {
	var mu sync.Mutex
	err = askMembers(ctx, n, func(ctx context.Context, p *membership.Peer) {
		c := Counts{Process: p.Owner.String()}
		var failed error
		for _, limit := range limits {
			served, err := peer{p}.Served(ctx, limit, nil)
			if failed = err; failed != nil {
				break
			}
			c.Slower = append(c.Slower, believed(served))
		}
		mu.Lock()
		defer mu.Unlock()
		if failed != nil {
			silent++
			return
		}
		list = append(list, c)
	})
	slices.SortFunc(list, func(a, b Counts) int { return cmp.Compare(a.Process, b.Process) })
	return list, silent, err
}

// believed bounds the counts that a process has sent, because a member may send any: names are short and visible, and
// no number is negative.
func believed(list []operator.Served) []operator.Served {
	list = slices.DeleteFunc(list, func(s operator.Served) bool { return !toldNames(s.Service, s.Version, s.Peer) })
	for i := range list {
		c := &list[i].Count
		c.Calls, c.Failures = max(0, c.Calls), max(0, c.Failures)
		maps.DeleteFunc(c.Kinds, func(kind string, n int64) bool { return n < 0 || !toldNames(kind) })
		if len(c.Kinds) > mostKinds {
			c.Kinds = nil
		}
	}
	return list
}

// releaseText is the longest name of a release that is shown, in bytes.
const releaseText = 64

// releaseOf is the release that a process has told, as it may be shown.
func releaseOf(told string) string {
	if len(told) > releaseText || !quote.Visible(told) {
		return ""
	}
	return told
}
