package rpc

import (
	"sync"
	"sync/atomic"
)

// clientStreams are the streams of one connection.
type clientStreams struct {
	number atomic.Int32

	mu   sync.Mutex
	open map[int32]*clientStream
	lane *streamLane // made with the first stream
	done chan struct{}
	over bool
}

// find returns the stream of a frame, nil when it has none.
func (t *clientStreams) find(seq int32) *clientStream {
	if t.number.Load() == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open[seq]
}

func (t *clientStreams) all() []*clientStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*clientStream, 0, len(t.open))
	for _, s := range t.open {
		list = append(list, s)
	}
	return list
}

// add enters a stream. The first one starts the lane. It reports false when the connection has ended.
func (t *clientStreams) add(l *clientConn, s *clientStream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	if t.lane == nil {
		t.open, t.done = map[int32]*clientStream{}, make(chan struct{})
		lane := newStreamLane(&l.out, t.done)
		if !l.pool.c.spawn(lane.run) {
			return false
		}
		t.lane = lane
	}
	s.lane = t.lane
	t.open[s.id] = s
	t.number.Add(1)
	return true
}

func (t *clientStreams) remove(s *clientStream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[s.id] == s {
		delete(t.open, s.id)
		t.number.Add(-1)
	}
}

// end ends all streams with the connection.
func (t *clientStreams) end(err error) {
	t.mu.Lock()
	t.over = true
	if t.done != nil {
		close(t.done)
	}
	t.mu.Unlock()
	for _, s := range t.all() {
		s.lost(err)
	}
}
