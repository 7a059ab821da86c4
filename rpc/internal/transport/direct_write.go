package transport

import (
	"errors"
	"os"
	"slices"
	"time"
)

// sendDirect writes a large frame without a copy. It waits a little for other writers and for the
// peer. It reports false when the frame must be queued instead.
func (w *Writer) sendDirect(head, body []byte) (done bool, err error) {
	if !w.acquireWrite() {
		return false, nil
	}
	front := writeBuffers.Get().(*[]byte) // lets head stay on its caller's stack
	*front = append((*front)[:0], head...)
	n, err := w.try.write(*front)
	giveBack(front)
	if err == nil && n == len(head) {
		var m int
		m, err = w.writeWithin(body)
		n += m
	}
	if err != nil {
		w.broken(err)
		return true, nil // like a queued frame, it may have reached the peer in part
	}
	if n == len(head)+len(body) {
		w.writeQueued() // frames that were queued meanwhile
		return true, nil
	}
	rest := append(slices.Clone(head[min(n, len(head)):]), body[max(0, n-len(head)):]...)
	if w.budget.overTwice(len(rest)) {
		w.broken(ErrWriteQueue)
		return true, nil
	}
	w.mu.Lock()
	w.count(len(rest))
	w.mu.Unlock()
	w.handOff(rest, len(rest))
	return true, nil
}

// writeWithin writes the bytes that the peer accepts within writePatience.
func (w *Writer) writeWithin(b []byte) (int, error) {
	n, err := w.try.write(b)
	if err != nil || n == len(b) {
		return n, err
	}
	_ = w.wire.SetWriteDeadline(time.Now().Add(writePatience))
	m, err := w.wire.Write(b[n:])
	_ = w.wire.SetWriteDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n + m, err
}

// acquireWrite makes the caller the writing caller, and reports false when that takes longer than
// writePatience.
func (w *Writer) acquireWrite() bool {
	w.mu.Lock()
	if w.err != nil || w.pending.Load() >= highWater {
		w.mu.Unlock()
		return false
	}
	if w.writing {
		turn := make(chan struct{})
		w.waiters = append(w.waiters, turn)
		w.mu.Unlock()
		within(writePatience, turn)
		w.mu.Lock()
		if i := slices.Index(w.waiters, turn); i >= 0 {
			w.waiters = slices.Delete(w.waiters, i, i+1)
			w.mu.Unlock()
			return false
		}
	}
	defer w.mu.Unlock()
	if w.err != nil {
		return false
	}
	w.writing = true
	return true
}

// within waits for done, but no longer than d.
func within(d time.Duration, done <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
