package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// streamMoves is the provider's state of moving a stream for a release.
type streamMoves struct {
	accepted atomic.Bool // the handler runs, and its trace is known
	told     atomic.Bool // that the stream should be opened elsewhere

	mu    sync.Mutex
	ended bool
	cut   *time.Timer // nil: the stream is not cut
}

// cutAfter cuts the stream when some time is over.
func (m *streamMoves) cutAfter(d time.Duration, cut func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended {
		m.cut = time.AfterFunc(d, cut)
	}
}

// CutMoved ends the open streams of a version that were told to move because a release has switched versions. It
// returns how many it has ended.
func (s *Server) CutMoved(service, version string) (cut int) {
	s.eachStream(service, func(st *serverStream) {
		if st.moves.told.Load() && st.call.served.version == version {
			st.cut(Moved, errors.New("a release has switched versions, and an operator has ended what did not move"))
			cut++
		}
	})
	return cut
}

func (m *streamMoves) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended = true; m.cut != nil {
		m.cut.Stop()
	}
}

// followRules moves the streams that new rules of a release send elsewhere, until ctx ends.
func (s *Server) followRules(ctx context.Context) error {
	for {
		changed := s.cfg.Rollout.Changed()
		s.eachStream("", (*serverStream).obeyRules)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// own reports whether no handler's trace has opened the stream.
func (st *serverStream) own() bool {
	return st.call.info.stream.opener != "" || st.call.info.token == ""
}

// obeyRules tells both ends to move the stream when the newest rules send it elsewhere. One that its caller
// follows is cut when it has not moved in time. Streams of a handler's trace keep their version.
func (st *serverStream) obeyRules() {
	r := st.call
	if !st.moves.accepted.Load() || r.ctx.trace == nil || !st.own() {
		return
	}
	if !r.trace.Overtaken(r.served.name, r.served.version) || st.moves.told.Swap(true) {
		return
	}
	st.move()
	_ = st.lane.sendNow(appendControl(nil, controlMoving, 0, r.seq), nil) // an error ends the connection
	if r.info.stream.opener == openerFollows {
		grace := st.memory.limits.Move
		st.moves.cutAfter(grace, func() {
			st.cut(Moved, fmt.Errorf("a release has switched versions, and the stream was not moved for %v", grace))
		})
	}
}
