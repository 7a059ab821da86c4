package rpc

// A writer's backlog is what waits in its memory, or is being written from
// there.

// count changes pending, and what the tank knows of it: of little it is not
// told, so that busy connections don't meet there. The caller holds mu.
func (w *writer) count(n int) {
	pending := w.pending.Add(int64(n))
	if shared := max(0, pending-pushAt); shared != w.shared && w.err == nil {
		w.all.add(shared - w.shared)
		w.shared = shared
	}
}

// high reports whether enough waits on this connection, or anything at all
// while much waits on all of them.
func (w *writer) high() bool {
	pending := w.pending.Load()
	return pending >= highWater || pending > 0 && w.all.full()
}

// wait returns at once, or when the peer has taken so much that more may be
// queued, or when the writer has ended.
func (w *writer) wait() {
	if !w.high() {
		return
	}
	w.mu.Lock()
	if !w.high() || w.err != nil {
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

// written counts n bytes less, and lets go on who waits for that.
func (w *writer) written(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count(-n)
	if w.drained != nil && !w.high() {
		close(w.drained)
		w.drained = nil
	}
	if w.emptied != nil && w.pending.Load() == 0 {
		close(w.emptied)
		w.emptied = nil
	}
}

// empty returns when everything that was queued is written, or the writer has
// ended. One goroutine at a time may wait.
func (w *writer) empty() {
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
