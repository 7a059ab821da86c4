package rpc

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	keepBuffer  = 256 << 10            // larger write buffers are not kept
	patience    = 5 * time.Millisecond // that a caller gives a write before a goroutine takes over
	writePiece  = 256 << 10            // that must get through within writeStuck
	writeStuck  = 10 * time.Second     // no progress for this long: the peer does not read
	writeRounds = 16                   // that a caller writes for others
	highWater   = 1 << 20              // bytes waiting from which a server stops reading more calls
)

var (
	errWriteQueue = errors.New("write queue is full: the peer does not read")
	errClosed     = errors.New("connection is closed")
)

var writeBuffers = sync.Pool{New: func() any { return new([]byte) }}

// writer gathers the frames of one connection into few writes. Whoever adds a
// frame while nobody is writing becomes the one who writes, for itself and
// for those who come meanwhile; a write that does not get through at once is
// handed to a goroutine, so that no caller waits for a slow peer. It is safe
// for concurrent use.
type writer struct {
	nc    net.Conn
	eager *eager            // nil: nc has no write that never waits
	tls   bool              // a write that has timed out can't be continued
	limit int               // bytes that may wait
	spawn func(func()) bool // starts a goroutine that the connection's owner joins
	fail  func(error)       // told when writing has failed

	pending atomic.Int64 // bytes waiting or being written; changed under mu

	mu      sync.Mutex
	queue   *[]byte // waiting; nil = none
	writing bool
	err     error
	drained chan struct{} // closed when pending falls below highWater; nil = nobody waits
}

// write queues a frame that is given in two parts and sees to it that it is
// written. busy says that others are likely to add frames at once. An error
// means that nothing of the frame will be sent.
func (w *writer) write(head, body []byte, busy bool) error {
	mine, err := w.add(head, body, true)
	if mine {
		if busy && !w.tls {
			runtime.Gosched() // let others add theirs
		}
		w.flush()
	}
	return err
}

// queueUp is write by somebody who calls push soon.
func (w *writer) queueUp(head, body []byte) error {
	_, err := w.add(head, body, false)
	return err
}

// push writes what is queued, unless somebody else is doing so.
func (w *writer) push() {
	w.mu.Lock()
	mine := w.queue != nil && !w.writing && w.err == nil
	w.writing = w.writing || mine
	w.mu.Unlock()
	if mine {
		w.flush()
	}
}

// add queues a frame. mine says that the caller is to flush.
func (w *writer) add(head, body []byte, flush bool) (mine bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size, pending := len(head)+len(body), int(w.pending.Load())
	switch {
	case w.err != nil:
		return false, w.err
	case pending > 0 && pending+size > w.limit:
		return false, errWriteQueue
	}
	if w.queue == nil {
		w.queue = writeBuffers.Get().(*[]byte)
	}
	*w.queue = append(append(*w.queue, head...), body...)
	w.pending.Store(int64(pending + size))
	mine = flush && !w.writing
	w.writing = w.writing || mine
	return mine, nil
}

// flush writes what is queued until nothing is.
func (w *writer) flush() {
	if w.tls {
		w.handOver(nil)
		return
	}
	for round := 0; ; round++ {
		if round == writeRounds {
			w.handOver(nil)
			return
		}
		out := w.next()
		if out == nil {
			return
		}
		if !w.once(out) {
			return
		}
	}
}

// once writes out if it can do so quickly. It reports false when somebody
// else goes on, or nobody can.
func (w *writer) once(out *[]byte) bool {
	n, err := w.quickly(*out)
	if err == nil && n == len(*out) {
		w.done(out)
		return true
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		w.written(n)
		w.handOver((*out)[n:])
		return false
	}
	w.broken(err)
	return false
}

// quickly writes as much of b as goes without waiting for the peer.
func (w *writer) quickly(b []byte) (int, error) {
	if w.eager != nil {
		return w.eager.write(b)
	}
	_ = w.nc.SetWriteDeadline(time.Now().Add(patience))
	return w.nc.Write(b)
}

// handOver lets a goroutine write rest, which is counted in pending, and then
// what is queued.
func (w *writer) handOver(rest []byte) {
	ok := w.spawn(func() {
		if !w.slowly(rest) {
			return
		}
		w.written(len(rest))
		for {
			out := w.next()
			if out == nil || !w.slowly(*out) {
				return
			}
			w.done(out)
		}
	})
	if !ok {
		w.broken(errClosed)
	}
}

// slowly writes b in pieces, each of which may take long.
func (w *writer) slowly(b []byte) bool {
	for len(b) > 0 {
		piece := b[:min(len(b), writePiece)]
		_ = w.nc.SetWriteDeadline(time.Now().Add(writeStuck))
		if _, err := w.nc.Write(piece); err != nil {
			w.broken(err)
			return false
		}
		b = b[len(piece):]
	}
	_ = w.nc.SetWriteDeadline(time.Time{})
	return true
}

// next takes the queue; nil ends the writing.
func (w *writer) next() *[]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.queue
	w.queue = nil
	if out == nil || w.err != nil {
		w.writing = false
		return nil
	}
	return out
}

// done counts a buffer as written and gives it back.
func (w *writer) done(out *[]byte) {
	n := len(*out)
	if cap(*out) <= keepBuffer {
		*out = (*out)[:0]
		writeBuffers.Put(out)
	}
	w.written(n)
}

func (w *writer) written(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if left := w.pending.Add(int64(-n)); w.drained != nil && left < highWater {
		close(w.drained)
		w.drained = nil
	}
}

// broken ends the writer; it tells the owner once.
func (w *writer) broken(err error) {
	if w.stop(err) {
		w.fail(err)
	}
}

// stop refuses further frames. It reports false when that was so already.
func (w *writer) stop(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return false
	}
	w.err = err
	w.queue, w.writing = nil, false
	if w.drained != nil {
		close(w.drained)
		w.drained = nil
	}
	return true
}

// wait returns at once, or when the peer has taken so much that more may be
// queued, or when the writer has ended.
func (w *writer) wait() {
	if w.pending.Load() < highWater {
		return
	}
	w.mu.Lock()
	if w.pending.Load() < highWater || w.err != nil {
		w.mu.Unlock()
		return
	}
	if w.drained == nil {
		w.drained = make(chan struct{})
	}
	drained := w.drained
	w.mu.Unlock()
	<-drained
}
