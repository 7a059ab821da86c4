package broadcast

// window remembers which sequence numbers of one sender have been seen: the
// highest, and which of the 63 before it. The zero value has seen nothing.
type window struct {
	top  uint64
	seen uint64 // bit i: top-i was seen
}

// admit reports whether seq is seen for the first time, and marks it. Numbers
// more than 63 below the highest count as seen.
func (w *window) admit(seq uint64) bool {
	switch {
	case w.seen == 0:
		w.top, w.seen = seq, 1
		return true
	case seq > w.top:
		shift := seq - w.top
		w.top = seq
		if shift > 63 {
			w.seen = 1
		} else {
			w.seen = w.seen<<shift | 1
		}
		return true
	case w.top-seq > 63:
		return false
	}
	bit := uint64(1) << (w.top - seq)
	if w.seen&bit != 0 {
		return false
	}
	w.seen |= bit
	return true
}

// begin starts at seq, which the sender has just proved to be fresh. Numbers
// shortly before it may still be on their way.
func (w *window) begin(seq uint64) { w.top, w.seen = seq, 1 }
