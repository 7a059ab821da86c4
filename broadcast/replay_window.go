package broadcast

// replayWindow remembers the sequence numbers seen of one sender: the highest, and which of the 63
// before it. The zero value has seen none.
type replayWindow struct {
	top  uint64
	seen uint64 // bit i: top-i was seen
}

// seqAhead is how far ahead of the last number a packet may be. A sender that was not heard for
// years stays below it.
const seqAhead = 1 << 20

// tooFar reports whether seq is too far ahead to follow the numbers seen.
func (w *replayWindow) tooFar(seq uint64) bool {
	return w.seen != 0 && seq > w.top && seq-w.top > seqAhead
}

// old reports whether seq counts as seen, also when it is more than 63 below the highest.
func (w *replayWindow) old(seq uint64) bool {
	switch {
	case w.seen == 0 || seq > w.top:
		return false
	case w.top-seq > 63:
		return true
	}
	return w.seen&(1<<(w.top-seq)) != 0
}

// past reports whether seq is below the window, where seen numbers are unknown.
func (w *replayWindow) past(seq uint64) bool { return w.seen != 0 && seq < w.top && w.top-seq > 63 }

// admit reports whether seq is seen for the first time, and marks it.
func (w *replayWindow) admit(seq uint64) bool {
	switch {
	case w.old(seq) || w.tooFar(seq):
		return false
	case w.seen == 0:
		w.top, w.seen = seq, 1
	case seq > w.top:
		shift := seq - w.top
		w.top = seq
		w.seen = w.seen<<shift | 1 // a shift by 64 and more leaves nothing
	default:
		w.seen |= 1 << (w.top - seq)
	}
	return true
}

// restart starts at seq, which the sender has just proved to be fresh. Numbers
// shortly before it may still be on their way.
func (w *replayWindow) restart(seq uint64) { w.top, w.seen = seq, 1 }
