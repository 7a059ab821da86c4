package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/number"
)

// siteStreams is the document of `skerry stats --streams` and `skerry ls --streams`.
type siteStreams struct {
	Processes int                   `json:"processes"` // that have answered
	Streams   []control.StreamCount `json:"streams"`
	KindsLeft int64                 `json:"kinds_left_out,omitempty"`
	Silent    map[string]string     `json:"silent,omitempty"` // by process: why it has told nothing
}

// askStreams asks the running processes for their streams, and keeps those that are wanted.
func (a *app) askStreams(ctx context.Context, wanted func(*control.StreamCount) bool) (s siteStreams, err error) {
	n, _, err := a.open(ctx, skerry.WithAllServices())
	if err != nil {
		return s, err
	}
	defer n.Close()
	a.look(ctx, n, "")
	all, err := control.AllStreams(ctx, n)
	if err != nil {
		return s, unreachablef("find the processes: %w", err)
	}
	if all.Answered == 0 {
		for _, process := range slices.Sorted(maps.Keys(all.Silent)) {
			return s, unreachablef("no process of the site tells its streams; %s: %w", process, all.Silent[process])
		}
		return s, unreachablef("no process of the site answers; see skerry ls and skerry doctor")
	}
	s = siteStreams{Processes: all.Answered, Streams: []control.StreamCount{}, KindsLeft: all.KindsLeft,
		Silent: map[string]string{}}
	for i := range all.Counts {
		if wanted(&all.Counts[i]) {
			s.Streams = append(s.Streams, all.Counts[i])
		}
	}
	for process, err := range all.Silent {
		s.Silent[process] = err.Error()
	}
	return s, nil
}

// streamStats shows the streams since the start of the running processes, added up by method and side.
func (a *app) streamStats(ctx context.Context, service, side string) error {
	s, err := a.askStreams(ctx, func(c *control.StreamCount) bool {
		return (service == "" || c.Service == service) && (side == "" || side == streamSide(c))
	})
	if err != nil {
		return err
	}
	return a.printStreams(s, "No streams of "+orAll(service)+" were opened, by "+answering(s.Processes)+".",
		func() { a.streamTable(s.Streams) })
}

// openStreams lists the streams that are open at providers, those that are open longest first.
func (a *app) openStreams(ctx context.Context, service string) error {
	s, err := a.askStreams(ctx, func(c *control.StreamCount) bool {
		return c.Served && c.Open > 0 && (service == "" || c.Service == service)
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(s.Streams, func(a, b control.StreamCount) int { return cmp.Compare(b.OldestMs, a.OldestMs) })
	return a.printStreams(s, "No stream of "+orAll(service)+" is open, by "+answering(s.Processes)+".", func() {
		var rows [][]string
		for i := range s.Streams {
			c := &s.Streams[i]
			rows = append(rows, []string{c.Service, orDash(c.Version), c.Method, c.Mode, c.Process,
				cmp.Or(c.Peer, "others"), strconv.FormatInt(c.Open, 10),
				age(time.Duration(c.OldestMs) * time.Millisecond)})
		}
		a.printTable([]string{"SERVICE", "VERSION", "METHOD", "MODE", "PROVIDER", "CALLER", " OPEN", " OLDEST"}, rows)
	})
}

// printStreams prints the document or, with rows, the table, and what is missing.
func (a *app) printStreams(s siteStreams, none string, table func()) error {
	var empty error
	if len(s.Streams) == 0 {
		empty = &exitError{exitProblem, nil}
	}
	if a.flags.json {
		return errors.Join(a.printJSON(s), empty)
	}
	if empty != nil {
		a.item("", "%s", none)
	} else {
		table()
	}
	for _, process := range slices.Sorted(maps.Keys(s.Silent)) {
		a.item("", "Missing: the streams of %s: %s.", process, s.Silent[process])
	}
	if s.KindsLeft > 0 {
		a.item("", "Left out: %d kinds; their processes tell of those with most open streams.", s.KindsLeft)
	}
	return empty
}

func streamSide(c *control.StreamCount) string {
	if c.Served {
		return "server"
	}
	return "client"
}

func (a *app) streamTable(counts []control.StreamCount) {
	type key struct{ service, version, method, mode, side string }
	sums := map[key]*control.StreamCount{}
	for i := range counts {
		c := &counts[i]
		k := key{c.Service, c.Version, c.Method, c.Mode, streamSide(c)}
		if sums[k] == nil {
			sums[k] = &control.StreamCount{}
		}
		sums[k].Sum(c)
	}
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b key) int {
		return cmp.Or(strings.Compare(a.service, b.service), strings.Compare(a.version, b.version),
			strings.Compare(a.method, b.method), strings.Compare(a.side, b.side))
	})
	var rows [][]string
	for _, k := range keys {
		c := sums[k]
		var ended []string
		for _, code := range slices.Sorted(maps.Keys(c.Ended)) {
			ended = append(ended, code+" "+strconv.FormatInt(c.Ended[code], 10))
		}
		rows = append(rows, []string{k.service, orDash(k.version), k.method, k.mode, k.side,
			strconv.FormatInt(c.Open, 10), strconv.FormatInt(c.Opened, 10),
			strconv.FormatInt(c.Received, 10), number.Bytes(c.ReceivedBytes),
			strconv.FormatInt(c.Sent, 10), number.Bytes(c.SentBytes),
			latency(time.Duration(c.StalledMs) * time.Millisecond), orDash(strings.Join(ended, ", "))})
	}
	a.printTable([]string{"SERVICE", "VERSION", "METHOD", "MODE", "SIDE", " OPEN", " OPENED", " ITEMS IN", " BYTES IN",
		" ITEMS OUT", " BYTES OUT", " STALLED", "ENDED"}, rows)
}
