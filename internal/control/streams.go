package control

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// StreamCount counts the streams of one method with one other end, as one process does.
type StreamCount struct {
	Process       string           `json:"process"`
	Service       string           `json:"service"`
	Version       string           `json:"version,omitempty"`
	Method        string           `json:"method"`
	Mode          string           `json:"mode"` // server, client or bidi
	Served        bool             `json:"served"`
	Peer          string           `json:"peer,omitempty"` // the other end
	Open          int64            `json:"open"`
	OldestMs      int64            `json:"oldest_ms"`
	Opened        int64            `json:"opened"`
	Ended         map[string]int64 `json:"ended"` // by code; ok: with the handler's answer
	Received      int64            `json:"received"`
	ReceivedBytes int64            `json:"received_bytes"`
	Sent          int64            `json:"sent"`
	SentBytes     int64            `json:"sent_bytes"`
	StalledMs     int64            `json:"stalled_ms"`
}

// Sum adds the counts of o.
func (c *StreamCount) Sum(o *StreamCount) {
	c.Open += o.Open
	c.OldestMs = max(c.OldestMs, o.OldestMs)
	c.Opened += o.Opened
	c.Received += o.Received
	c.ReceivedBytes += o.ReceivedBytes
	c.Sent += o.Sent
	c.SentBytes += o.SentBytes
	c.StalledMs += o.StalledMs
	if c.Ended == nil {
		c.Ended = map[string]int64{}
	}
	for code, n := range o.Ended {
		c.Ended[code] += n
	}
}

// Streams are the streams of the site.
type Streams struct {
	Counts    []StreamCount
	KindsLeft int64 // kinds that processes have left out
	Answered  int
	Silent    map[string]error // by process: why it has told nothing
}

// ErrStreamsTooOld: the process is of a release that counts no streams.
var ErrStreamsTooOld = errors.New("its release of skerry is too old to tell its streams")

// AllStreams asks every other process of the site for its streams since its start.
func AllStreams(ctx context.Context, n *skerry.Node) (s Streams, err error) {
	members, err := newSite(n).others(ctx)
	if err != nil {
		return s, err
	}
	s.Silent = map[string]error{}
	for _, k := range members {
		s.Silent[k.Owner.String()] = errNoAnswer
	}
	var mu sync.Mutex
	n.Membership().Each(ctx, members, func(ctx context.Context, p *membership.Peer) {
		w, err := p.Client().Streams(ctx)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			if rpc.CodeOf(err) == rpc.UnknownMethod {
				err = ErrStreamsTooOld
			}
			s.Silent[p.Owner.String()] = err
			return
		}
		delete(s.Silent, p.Owner.String())
		s.add(p.Owner.String(), w)
	})
	slices.SortFunc(s.Counts, func(a, b StreamCount) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Version, b.Version),
			strings.Compare(a.Method, b.Method), strings.Compare(a.Process, b.Process), strings.Compare(a.Peer, b.Peer))
	})
	return s, nil
}

// streamRows bounds what is read of one process.
const streamRows = 1000

// add takes in an answer. It bounds every value, because a member may send any.
func (s *Streams) add(process string, w *wire.Streams) {
	s.Answered++
	s.KindsLeft += max(0, w.GetKindsLeft()) + int64(max(0, len(w.Streams)-streamRows))
	for _, c := range w.Streams[:min(len(w.Streams), streamRows)] {
		if c == nil || !toldNames(c.Name, c.Method, c.GetVersion(), c.Mode, c.Peer) {
			s.KindsLeft++
			continue
		}
		row := StreamCount{Process: process, Service: c.Name, Version: c.GetVersion(), Method: c.Method, Mode: c.Mode,
			Served: c.Served, Peer: c.Peer, Open: max(0, c.Open), OldestMs: max(0, c.OldestMs),
			Opened: max(0, c.Opened), Ended: map[string]int64{}, Received: max(0, c.Received),
			ReceivedBytes: max(0, c.ReceivedBytes), Sent: max(0, c.Sent), SentBytes: max(0, c.SentBytes),
			StalledMs: max(0, c.StalledMs)}
		for code, n := range c.Ended {
			if n > 0 && len(row.Ended) < mostKinds && toldNames(code) {
				row.Ended[code] += n
			}
		}
		s.Counts = append(s.Counts, row)
	}
}
