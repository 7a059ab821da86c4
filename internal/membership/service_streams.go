package membership

import (
	"context"
	"slices"

	"github.com/skerry/skerry/internal/rollout"
	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// mostStreamKinds bounds an answer.
const mostStreamKinds = 500

// Streams tells the streams that this process serves and has opened.
func (s *Service) Streams(context.Context) (*wire.Streams, error) {
	served, opened := s.cfg.Streams()
	out := &wire.Streams{Streams: []*wire.StreamCount{}}
	left := int64(0)
	for _, side := range []struct {
		served bool
		counts []rpc.StreamCount
	}{{true, served}, {false, opened}} {
		for i := range side.counts {
			if c := &side.counts[i]; Hidden(c.Service) {
				continue
			} else if len(out.Streams) < mostStreamKinds {
				out.Streams = append(out.Streams, wireStreams(c, side.served))
			} else {
				left++
			}
		}
	}
	if left > 0 {
		out.KindsLeft = &left
	}
	return out, nil
}

// openStreams writes into a report which streams are open here, by service/version.
func (s *Service) openStreams(r *rollout.Report) {
	if s.cfg.Streams == nil {
		return
	}
	served, _ := s.cfg.Streams()
	r.Streams, r.StreamMethods = map[string]int{}, map[string][]string{}
	for i := range served {
		c := &served[i]
		if c.Open == 0 || Hidden(c.Service) {
			continue
		}
		key := c.Service + "/" + c.Version
		r.Streams[key] += c.Open
		if !slices.Contains(r.StreamMethods[key], c.Method) && len(r.StreamMethods[key]) < rollout.MostMethods {
			r.StreamMethods[key] = append(r.StreamMethods[key], c.Method)
		}
	}
	for _, methods := range r.StreamMethods {
		slices.Sort(methods)
	}
}

func wireStreams(c *rpc.StreamCount, served bool) *wire.StreamCount {
	w := &wire.StreamCount{
		Name: c.Service, Method: c.Method, Mode: string(c.Mode), Served: served, Peer: c.Peer,
		Open: int64(c.Open), OldestMs: c.Oldest.Milliseconds(), Opened: c.Opened, Ended: c.Ended,
		Received: c.Received, ReceivedBytes: c.ReceivedBytes, Sent: c.Sent, SentBytes: c.SentBytes,
		StalledMs: c.Stalled.Milliseconds(),
	}
	if c.Version != "" {
		w.Version = &c.Version
	}
	return w
}
