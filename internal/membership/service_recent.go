package membership

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/recent"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// Bounds of an answer with the calls of the last seconds. Its fields are counted with their largest size, so that it
// has at most 64 KiB.
const (
	recentBytes = 48 << 10 // of calls
	trendBytes  = 15 << 10
	recentKept  = time.Second // for which an answer serves everything that asks for it

	trendSlice  = 10 * time.Second
	trendSlices = recent.Window / int(trendSlice/time.Second)
)

// recentAnswers keeps the last answer: however many ask, the calls are added up once a second.
type recentAnswers struct {
	mu      sync.Mutex
	seconds int64
	at      time.Time
	last    *wire.Recent
}

// Recent tells the calls that this process served and made in the last seconds.
func (s *Service) Recent(ctx context.Context, seconds int64) (*wire.Recent, error) {
	if seconds < 1 || seconds > recent.Window {
		err := fmt.Errorf("%d seconds are asked for, want 1 to %d", seconds, recent.Window)
		s.m.denials.say(ctx, "recent", err)
		return nil, err
	}
	k := &s.recents
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last == nil || k.seconds != seconds || time.Since(k.at) >= recentKept {
		k.last = recentOf(s.cfg.Recent, int(seconds))
		if s.m.cfg.Caller != "" {
			k.last.Caller = &s.m.cfg.Caller
		}
		k.seconds, k.at = seconds, time.Now()
	}
	return k.last, nil
}

// recentOf adds up what the recorder knows.
func recentOf(r *recent.Recorder, seconds int) *wire.Recent {
	records := r.Last(seconds)
	out := &wire.Recent{Seconds: int64(records.Seconds), Calls: []*wire.RecentCalls{},
		Trends: trendsOf(r.Last(recent.Window))}
	rows := recentRows(records)
	left := recentBytes
	for i, row := range rows {
		left -= sizeOfRecent(row)
		if left < 0 {
			kinds, calls := int64(len(rows)-i), int64(0)
			for _, row := range rows[i:] {
				calls += row.Calls
			}
			out.KindsLeft, out.CallsLeft = &kinds, &calls
			break
		}
		out.Calls = append(out.Calls, row)
	}
	return out
}

// recentRows adds the kinds up by what an answer tells of them, those with most calls first.
func recentRows(records recent.Records) []*wire.RecentCalls {
	type key struct {
		side                             recent.Side
		service, method, version, caller string
		greets                           bool
	}
	type sum struct {
		wire.RecentCalls
		steps recent.Steps
	}
	sums := map[key]*sum{}
	for i := range records.Kinds {
		k := &records.Kinds[i]
		if Hidden(k.Service) {
			continue
		}
		at := key{k.Side, k.Service, k.Method, k.Version, k.Caller, k.Greets}
		if sums[at] == nil {
			sums[at] = &sum{}
			sums[at].Name, sums[at].Method, sums[at].Kinds = k.Service, k.Method, map[string]int64{}
		}
		sums[at].Calls += k.Sum()
		sums[at].steps.Sum(k.Latencies.Steps())
		for o, n := range k.Outcomes {
			if kind := recentFailure(k.Side, uint8(o)); n > 0 && kind != "" {
				sums[at].Kinds[kind] += n
			}
		}
	}
	rows := make([]*wire.RecentCalls, 0, len(sums))
	for at, s := range sums {
		row := &s.RecentCalls
		if at.version != "" {
			row.Version = &at.version
		}
		if at.side == recent.Callee {
			row.Caller = &at.caller
			if at.greets {
				row.Greets = &at.greets
			}
		}
		row.Latencies = map[int32]int64{}
		for step, n := range s.steps {
			if n > 0 {
				row.Latencies[int32(step)] = n
			}
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b *wire.RecentCalls) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Method, b.Method), strings.Compare(a.GetVersion(), b.GetVersion()),
			strings.Compare(a.GetCaller(), b.GetCaller()))
	})
	return rows
}

// recentFailure names the failure that an outcome is; "": it is none.
func recentFailure(side recent.Side, outcome uint8) string {
	of := health.OK
	switch {
	case side == recent.Callee:
		switch outcome {
		case recent.Failed:
			return "failed"
		case recent.Refused:
			of = health.Refused
		case recent.Denied:
			of = health.Denied
		case recent.Limited:
			of = health.Limited
		}
	case outcome == recent.Injected:
		of = health.Injected
	case outcome >= recent.FirstCode && outcome != recent.StandIn:
		of = rpc.Code(outcome - recent.FirstCode).Outcome()
	}
	if !of.Failed() {
		return ""
	}
	return of.String()
}

// sizeOfRecent is the largest number of bytes that a row takes in an answer.
func sizeOfRecent(c *wire.RecentCalls) int {
	const number, header, latency = 10, 7, 12 // of the largest protocol
	n := 8*header + number + len(c.Name) + len(c.Method) + len(c.GetVersion()) + len(c.GetCaller()) +
		len(c.Latencies)*latency
	for kind := range c.Kinds {
		n += header + len(kind) + number
	}
	return n
}

// trendsOf adds up the calls of each service for each 10 s. The newest slice ends now.
func trendsOf(records recent.Records) []*wire.RecentTrend {
	type key struct {
		service string
		served  bool
	}
	sums := map[key][]int32{}
	for i := range records.Kinds {
		k := &records.Kinds[i]
		if Hidden(k.Service) || k.Service == "" || k.Side == recent.Callee && (k.Greets || k.Caller == "") {
			continue
		}
		at := key{k.Service, k.Side == recent.Callee}
		if sums[at] == nil {
			sums[at] = make([]int32, trendSlices)
		}
		for j, n := range k.PerSecond {
			age := (len(k.PerSecond) - 1 - j) / int(trendSlice/time.Second)
			if age < trendSlices {
				sums[at][trendSlices-1-age] += int32(n)
			}
		}
	}
	list := make([]*wire.RecentTrend, 0, len(sums))
	total := map[string]int64{}
	for at, calls := range sums {
		t := &wire.RecentTrend{Name: at.service, Calls: calls}
		if at.served {
			t.Served = &at.served
		}
		for _, n := range calls {
			total[at.service] += int64(n)
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *wire.RecentTrend) int {
		return cmp.Or(cmp.Compare(total[b.Name], total[a.Name]), strings.Compare(a.Name, b.Name))
	})
	const header, number = 24, 4
	left := trendBytes
	for i, t := range list {
		if left -= header + len(t.Name) + number*trendSlices; left < 0 {
			return list[:i]
		}
	}
	return list
}
