package membership

import (
	"context"

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

// openStreams counts the streams that are open here, by service/version.
func (s *Service) openStreams() map[string]int {
	if s.cfg.Streams == nil {
		return nil
	}
	served, _ := s.cfg.Streams()
	open := map[string]int{}
	for i := range served {
		if c := &served[i]; c.Open > 0 && !Hidden(c.Service) {
			open[c.Service+"/"+c.Version] += c.Open
		}
	}
	return open
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
