package transport

// count adds n to pending. The budget counts only the bytes of pending above FlushAt, so that busy
// connections do not contend for it. The caller holds mu.
func (w *Writer) count(n int) {
	pending := w.pending.Add(int64(n))
	if shared := max(0, pending-FlushAt); shared != w.shared && w.err == nil {
		w.budget.Add(shared - w.shared)
		w.shared = shared
	}
}

// Pending returns the number of bytes in memory of this process that wait or are being written.
func (w *Writer) Pending() int { return int(w.pending.Load()) }

// overHighWater reports whether highWater bytes wait on this connection, or any bytes while the
// budget of all connections is full.
func (w *Writer) overHighWater() bool {
	pending := w.pending.Load()
	return pending >= highWater || pending > 0 && w.budget.Full()
}

// AwaitRoom returns when more may be queued, or when the Writer has ended. It waits while the peer
// reads too little.
func (w *Writer) AwaitRoom() {
	if !w.overHighWater() {
		return
	}
	w.mu.Lock()
	if !w.overHighWater() || w.err != nil {
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

// AwaitLow returns when fewer than LowWater bytes wait on this connection, or when the Writer has ended. One
// goroutine at a time may wait.
func (w *Writer) AwaitLow() {
	w.mu.Lock()
	if w.pending.Load() < LowWater || w.err != nil {
		w.mu.Unlock()
		return
	}
	low := make(chan struct{})
	w.low = low
	w.mu.Unlock()
	<-low
}

// written subtracts n bytes and wakes the goroutines that wait for that.
func (w *Writer) written(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count(-n)
	if w.drained != nil && !w.overHighWater() {
		close(w.drained)
		w.drained = nil
	}
	if w.low != nil && w.pending.Load() < LowWater {
		close(w.low)
		w.low = nil
	}
	if w.emptied != nil && w.pending.Load() == 0 {
		close(w.emptied)
		w.emptied = nil
	}
}

// AwaitWritten returns when everything that was queued is written, or the Writer has
// ended. One goroutine at a time may wait.
func (w *Writer) AwaitWritten() {
	w.mu.Lock()
	if w.pending.Load() == 0 || w.err != nil {
		w.mu.Unlock()
		return
	}
	emptied := make(chan struct{})
	w.emptied = emptied
	w.mu.Unlock()
	<-emptied
}
