package transport

import (
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// FlushAt is the number of bytes of queued replies from which a reader flushes even while more
// calls come.
const FlushAt = 64 << 10

// FlushEarly reports whether a reader flushes its queued replies before the end of a batch, so that
// the other end can start on them. batch is the size of recent batches, and taken counts the
// messages of the present one.
func FlushEarly(batch, taken int) bool { return batch <= manyCallers/2 && taken%flushFrames == 0 }

// LowWater is the number of waiting bytes below which AwaitLow returns.
const LowWater = highWater / 2

const (
	keepBuffer = 1 << 20 // larger write buffers are not kept
	// DirectSize is the size from which a message is written without a copy if possible.
	DirectSize    = 32 << 10
	writePatience = 5 * time.Millisecond // longest wait of a caller; then a goroutine takes its write over
	writePiece    = 256 << 10            // bytes of one write of that goroutine
	writeStuck    = 10 * time.Second     // the peer does not read if such a write takes longer
	flushBytes    = 32 << 10             // with so many queued bytes a caller writes without waiting for more
	flushFrames   = 4                    // the same for queued frames; a quarter of the callers, if that is more
	manyCallers   = 32                   // with more callers only flushBytes counts, because both sides are busy
	writeRounds   = 16                   // a caller writes the queue at most this often; then a goroutine does
	highWater     = 256 << 10            // when so many bytes wait, a server stops reading more calls
)

var (
	// ErrWriteQueue: the queue exceeds its limit.
	ErrWriteQueue = errors.New("too many bytes wait to be written: the peer reads too slowly, or not at all")
	errClosed     = errors.New("the connection is closed")
)

var writeBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Writer gathers the frames of one connection into few writes. A caller that adds
// a frame while no other one writes becomes the writing caller: it writes its own
// frame and those that are added meanwhile. A write that does not get through at
// once is handed to a goroutine, so no caller waits for a slow peer. Writer is
// safe for concurrent use.
type Writer struct {
	nc     net.Conn
	wire   net.Conn          // below TLS; else nc
	tls    *TLSBuffer        // nil: plain
	try    *tryWriter        // nil: the connection can't write without waiting
	limit  int               // bytes that may wait
	budget *ByteBudget       // shared by the writers of a server; nil: a client's
	spawn  func(func()) bool // starts a goroutine that the connection's owner joins
	fail   func(error)       // called when writing has failed

	pending atomic.Int64 // bytes in memory that wait or are being written; changed under mu

	mu        sync.Mutex
	queue     *[]byte // waiting; nil = none
	open      bool    // the writing caller waits for other callers to add frames first
	frames    int     // in the queue
	writing   bool
	waiters   []chan struct{} // callers that wait to write a large frame
	shared    int64           // the part of pending that is counted in budget
	tlsQueued bool            // TLS has sealed a record of its own
	err       error
	drained   chan struct{} // closed when pending falls below highWater; nil: no goroutine waits
	low       chan struct{} // closed when pending falls below LowWater; nil: no goroutine waits
	emptied   chan struct{} // closed when nothing is pending; nil: no goroutine waits
}

// NewWriter makes the writer of a connection, before or after its TLS handshake.
// At most limit bytes wait. spawn starts goroutines that the owner joins; fail is
// called once, when writing has failed. Start follows the handshake.
func NewWriter(nc net.Conn, limit int, all *ByteBudget, spawn func(func()) bool, fail func(error)) Writer {
	c, wire := unwrapTLS(nc)
	return Writer{
		nc:     nc,
		wire:   wire,
		tls:    c,
		try:    newTryWriter(wire),
		limit:  limit,
		budget: all,
		spawn:  spawn,
		fail:   fail,
	}
}

// Start begins to gather sealed records. Before it, nothing may be written.
func (w *Writer) Start() {
	if w.tls != nil {
		w.tls.attach(w)
	}
}

// Send queues a frame, given in two parts, and has it written. others is the number of other callers
// that are likely to send now: Send gives them a moment to add their frames to the same write. With
// an error, no byte of the frame is sent.
func (w *Writer) Send(head, body []byte, others int) error {
	if len(body) >= DirectSize && w.tls == nil && w.try != nil {
		if done, err := w.sendDirect(head, body); done {
			return err
		}
	}
	mine, open, err := w.add(head, body, true, others)
	if open {
		runtime.Gosched() // lets other callers add frames
		mine = w.close()
	}
	if mine {
		w.writeQueued()
	}
	return err
}

// Queue adds a frame without writing it. The caller calls Flush soon.
func (w *Writer) Queue(head, body []byte) error {
	_, _, err := w.add(head, body, false, 0)
	return err
}

// Flush writes the queue, unless another goroutine is writing.
func (w *Writer) Flush() {
	w.mu.Lock()
	mine := w.queue != nil && !w.writing && w.err == nil
	w.writing = w.writing || mine
	w.mu.Unlock()
	if mine {
		w.writeQueued()
	}
}

// queueTLS has the records written that TLS itself has made. It reports false when the Writer has
// ended.
func (w *Writer) queueTLS() bool {
	w.mu.Lock()
	alive := w.err == nil
	mine := !w.writing && alive
	w.tlsQueued, w.writing = true, w.writing || mine
	w.mu.Unlock()
	if mine {
		w.writeQueued()
	}
	return alive
}

// add queues a frame. mine says that the caller must write the queue. open says that it must first
// let other callers add frames, one of which may write the queue instead.
func (w *Writer) add(head, body []byte, flush bool, others int) (mine, open bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size, pending := len(head)+len(body), int(w.pending.Load())
	switch {
	case w.err != nil:
		return false, false, w.err
	case pending > 0 && (pending+size > w.limit || w.budget.overTwice(size)):
		return false, false, ErrWriteQueue
	}
	if w.queue == nil {
		w.queue, w.frames = writeBuffers.Get().(*[]byte), 0
	}
	w.frames++
	*w.queue = append(append(*w.queue, head...), body...)
	w.count(size)
	ripe := len(*w.queue) >= flushBytes || others <= manyCallers && w.frames >= max(flushFrames, others/4)
	if flush && (!w.writing || w.open && ripe) {
		mine, open = true, others > 0 && !ripe
		w.writing, w.open = true, open
	}
	return mine, open, nil
}

// close ends the wait for other callers. It reports false when one of them has ended it and writes.
func (w *Writer) close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := w.open
	w.open = false
	return mine
}

// writeQueued writes until the queue is empty.
func (w *Writer) writeQueued() {
	for round := 0; ; round++ {
		if round == writeRounds {
			w.handOff(nil, 0)
			return
		}
		out, more := w.next()
		if !more || !w.writeOnce(out) {
			return
		}
	}
}

// writeOnce writes out if the peer takes it at once. It reports false when a
// goroutine has taken the write over, or when the Writer has failed.
func (w *Writer) writeOnce(out *[]byte) bool {
	b, err := w.seal(out)
	if err != nil {
		w.broken(err)
		return false
	}
	n, err := w.writeNow(bytesOf(b))
	switch {
	case err == nil && n == len(bytesOf(b)):
		w.done(out, b)
		return true
	case err == nil || errors.Is(err, os.ErrDeadlineExceeded):
		w.handOff(bytesOf(b)[n:], len(bytesOf(out)))
		return false
	}
	w.broken(err)
	return false
}

// seal returns the bytes of out for the wire.
func (w *Writer) seal(out *[]byte) (*[]byte, error) {
	if w.tls == nil {
		return out, nil
	}
	return w.tls.seal(w.nc, out)
}

func bytesOf(b *[]byte) []byte {
	if b == nil {
		return nil
	}
	return *b
}

// writeNow writes the part of b that needs no waiting for the peer.
func (w *Writer) writeNow(b []byte) (int, error) {
	if w.try != nil {
		return w.try.write(b)
	}
	_ = w.wire.SetWriteDeadline(time.Now().Add(writePatience))
	return w.wire.Write(b)
}

// handOff lets a goroutine write rest, which pending counts as counted bytes, and then the queue.
func (w *Writer) handOff(rest []byte, counted int) {
	ok := w.spawn(func() {
		if !w.writeBlocking(rest) {
			return
		}
		w.written(counted)
		for {
			out, more := w.next()
			if !more {
				return
			}
			b, err := w.seal(out)
			if err != nil {
				w.broken(err)
				return
			}
			if !w.writeBlocking(bytesOf(b)) {
				return
			}
			w.done(out, b)
		}
	})
	if !ok {
		w.broken(errClosed)
	}
}

// writeBlocking writes b in pieces, each of which may take writeStuck. It reports false when the
// Writer has failed.
func (w *Writer) writeBlocking(b []byte) bool {
	for len(b) > 0 {
		piece := b[:min(len(b), writePiece)]
		_ = w.wire.SetWriteDeadline(time.Now().Add(writeStuck))
		if _, err := w.wire.Write(piece); err != nil {
			w.broken(err)
			return false
		}
		b = b[len(piece):]
	}
	_ = w.wire.SetWriteDeadline(time.Time{})
	return true
}

// next takes the queue. more is false when there is nothing to write. With more, a nil out means that
// only TLS itself has records.
func (w *Writer) next() (out *[]byte, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, more = w.queue, w.queue != nil || w.tlsQueued
	w.queue, w.tlsQueued = nil, false
	if w.err != nil {
		more = false
	}
	if w.writing = more; !more && w.err == nil && len(w.waiters) > 0 {
		w.writing = true // by the caller that has waited longest
		close(w.waiters[0])
		w.waiters = slices.Delete(w.waiters, 0, 1)
	}
	return out, more
}

// done counts a buffer as written and gives back its memory and that of its sealed form.
func (w *Writer) done(out, sealed *[]byte) {
	n := len(bytesOf(out))
	if sealed != out {
		giveBack(sealed)
	}
	giveBack(out)
	w.written(n)
}

func giveBack(b *[]byte) {
	if b != nil && cap(*b) <= keepBuffer {
		*b = (*b)[:0]
		writeBuffers.Put(b)
	}
}

// Break ends the Writer and tells its owner, which ends the connection.
func (w *Writer) Break(err error) { w.broken(err) }

// broken ends the Writer; it tells the owner once.
func (w *Writer) broken(err error) {
	if w.Stop(err) {
		w.fail(err)
	}
}

// Stop refuses further frames. It reports false when the Writer had ended before.
func (w *Writer) Stop(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return false
	}
	w.err = err
	w.budget.Add(-w.shared)
	w.queue, w.writing, w.shared = nil, false, 0
	if w.drained != nil {
		close(w.drained)
		w.drained = nil
	}
	if w.low != nil {
		close(w.low)
		w.low = nil
	}
	if w.emptied != nil {
		close(w.emptied)
		w.emptied = nil
	}
	return true
}
