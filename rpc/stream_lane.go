package rpc

import (
	"context"
	"runtime"
	"sync"

	"github.com/skerry/skerry/rpc/internal/transport"
)

// laneRoom is how many bytes of streams may wait to be written on a connection. It is below the mark from
// which a server reads no more calls, so that credit and cancellations are read while streams wait.
const laneRoom = transport.LowWater

// streamLane writes the frames of the streams of one connection. Senders add items while a goroutine writes, so
// that one write carries many. While the peer's socket is full, the senders wait in turn, for one item each.
type streamLane struct {
	out  *transport.Writer
	wake chan struct{} // holds one signal
	done chan struct{} // closed with the connection

	mu      sync.Mutex
	waiting []*laneTurn
}

// laneTurn is a sender that waits.
type laneTurn struct {
	size int
	come chan struct{}
}

func newStreamLane(out *transport.Writer, done chan struct{}) *streamLane {
	return &streamLane{out: out, wake: make(chan struct{}, 1), done: done}
}

// run writes until the connection ends.
func (l *streamLane) run() {
	for {
		select {
		case <-l.wake:
		case <-l.done:
			l.admit(true)
			return
		}
		runtime.Gosched() // lets senders add items to the write
		l.out.Flush()
		l.out.AwaitLow()
		l.admit(false)
	}
}

func (l *streamLane) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// send queues a frame that may wait for its turn. With an error, no byte of it is sent.
func (l *streamLane) send(ctx context.Context, head, body []byte) error {
	if err := l.await(ctx, len(head)+len(body)); err != nil {
		return err
	}
	err := l.out.Queue(head, body)
	l.rouse()
	return err
}

// sendNow queues a small frame that waits for no turn. The two ends would be out of step without the frame. So the
// connection ends if the frame can't be queued, because too much waits to be written.
func (l *streamLane) sendNow(head, body []byte) error {
	err := l.out.Queue(head, body)
	if err == transport.ErrWriteQueue {
		l.out.Break(err)
	}
	l.rouse()
	return err
}

// await returns when it is this sender's turn.
func (l *streamLane) await(ctx context.Context, size int) error {
	if l.out.Pending() < laneRoom {
		l.mu.Lock()
		free := len(l.waiting) == 0
		l.mu.Unlock()
		if free {
			return nil
		}
	}
	t := &laneTurn{size, make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, t)
	l.mu.Unlock()
	l.rouse()
	select {
	case <-t.come:
		return nil
	case <-l.done:
		return nil // the Writer says why the connection has ended
	case <-ctx.Done():
		return ctx.Err() // its turn passes unused
	}
}

// admit wakes the senders of items for which there is room, and all senders at the end.
func (l *streamLane) admit(all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for room := laneRoom - l.out.Pending(); n < len(l.waiting) && (all || room > 0); n++ {
		room -= l.waiting[n].size
		close(l.waiting[n].come)
	}
	l.waiting = append(l.waiting[:0], l.waiting[n:]...)
}
