package membership

import (
	"context"
	"time"

	"github.com/skerry/skerry/internal/wire"
	"github.com/skerry/skerry/rpc"
)

// deniedBytes bounds one answer of denied.
const deniedBytes = 256 << 10

// Denied tells which calls the site's policy refuses here, or would refuse. What has no room is counted only.
func (s *Service) Denied(context.Context) (*wire.DeniedCalls, error) {
	all, others := s.cfg.Denied()
	return deniedCalls(all, others, time.Now()), nil
}

func deniedCalls(all []rpc.DeniedCalls, others int64, now time.Time) *wire.DeniedCalls {
	w := &wire.DeniedCalls{Calls: []*wire.DeniedCall{}}
	size := 0
	for _, d := range all {
		size += 64 + len(d.Service) + len(d.Method) + len(d.Caller) + len(d.Item)
		if size > deniedBytes {
			others += d.Calls
			continue
		}
		c := &wire.DeniedCall{Name: d.Service, Method: d.Method, Caller: d.Caller, Proof: d.Proof, Calls: d.Calls,
			FirstMs: now.Sub(d.First).Milliseconds(), LastMs: now.Sub(d.Last).Milliseconds()}
		if d.Item != "" {
			c.Item = &d.Item
		}
		if d.Enforced {
			c.Enforced = &d.Enforced
		}
		w.Calls = append(w.Calls, c)
	}
	if others > 0 {
		w.Others = &others
	}
	return w
}
