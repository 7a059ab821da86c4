package flow

import (
	"errors"
	"fmt"
)

// Most bounds the credit of a sender, in bytes. More is a broken peer.
const Most = 1 << 40

var (
	// ErrNoCredit: an item came from a sender without credit.
	ErrNoCredit = errors.New("an item was sent without credit")
	// ErrCredit: a receiver gave credit that is not positive, or more than Most in all.
	ErrCredit = errors.New("credit out of range")
)

// Sender counts what one direction of a stream may send.
type Sender struct{ credit int64 }

// Grant adds credit in bytes.
func (s *Sender) Grant(n int64) error {
	if n <= 0 || n > Most || s.credit+n > Most {
		return fmt.Errorf("%w: %d bytes more, with %d there", ErrCredit, n, s.credit)
	}
	s.credit += n
	return nil
}

// Ready reports whether a whole item may be sent now.
func (s *Sender) Ready() bool { return s.credit > 0 }

// Sent counts an item of n bytes.
func (s *Sender) Sent(n int) { s.credit -= int64(n) }

// Receiver counts what one direction of a stream may still receive.
type Receiver struct {
	window int64
	open   int64 // credit that the sender has, when all that was sent has arrived
	owed   int64 // bytes that were taken and not given back yet
}

// NewReceiver makes a receiver of a sender that begins with a credit of window bytes, at least 1.
func NewReceiver(window int64) Receiver {
	window = min(max(window, 1), Most)
	return Receiver{window: window, open: window}
}

// Window is the credit that the sender begins with.
func (r *Receiver) Window() int64 { return r.window }

// Arrived counts an item of n bytes that has come. An error means that its sender had no credit.
func (r *Receiver) Arrived(n int) error {
	if r.open <= 0 {
		return fmt.Errorf("%w: %d bytes, with %d of credit", ErrNoCredit, n, r.open)
	}
	r.open -= int64(n)
	return nil
}

// Taken counts an item of n bytes that the application has taken.
func (r *Receiver) Taken(n int) { r.owed += int64(n) }

// Due returns the credit that is to be given back now, 0 for none.
func (r *Receiver) Due() int64 {
	if r.owed == 0 || r.owed < r.window/2 {
		return 0
	}
	n := r.owed
	r.owed, r.open = 0, r.open+n
	return n
}
