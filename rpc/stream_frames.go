package rpc

import (
	"fmt"
	"strconv"

	"github.com/skerry/skerry/rpc/internal/flow"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// Header keys of streams. docs/streams.md describes the frames.
const (
	keyMode   = "sk-m" // of a call that opens a stream: a StreamMode
	keyWindow = "sk-w" // bytes: what the sender of the frame can take, or how many more
	keyFrame  = "sk-f" // what a frame of an open stream is
	keyOpener = "sk-o" // of a call that opens a stream outside any handler's trace
)

// The values of keyOpener.
const (
	openerOwn     = "own"     // nothing opens the stream again
	openerFollows = "follows" // the caller opens it again, where it left off
)

// The values of keyFrame. The reply to the call ends the stream, and has no such key.
const (
	frameAccept = "a" // the handler runs
	frameItem   = "i"
	frameEnd    = "e" // the client sends no more items
)

// offerStreams stands in a server's greeting for a service: it says that this process serves streams.
const offerStreams = internalPrefix + "streams"

// streamHead is what the header of a call or frame says about a stream. The strings are parts of the frame.
type streamHead struct {
	mode, window, frame, opener string

	open  *serverStream // that the call has opened
	later *laterCall    // that answers the call after its handler has returned
}

// readWindow reads a number of bytes of credit.
func readWindow(value string) (int64, error) {
	n, err := parseNumber(value)
	if err != nil || n <= 0 || n > flow.Most {
		return 0, fmt.Errorf("%w: a window of %.30q bytes", theader.ErrMalformed, value)
	}
	return n, nil
}

// readTarget reads the sequence number that a control frame names.
func readTarget(h *theader.Header) (int32, error) {
	seq, err := strconv.ParseInt(h.Get(keyTarget), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: %s of %.30q", theader.ErrMalformed, h.Get(keyControl), h.Get(keyTarget))
	}
	return int32(seq), nil
}

// frameHead returns the head of a frame of stream seq, with its length still 0.
func frameHead(seq int32, kind string) []byte {
	dst, _ := theader.Close( // one short pair is within every limit
		theader.AppendPair(theader.Start(nil, theader.OutOfOrder, theader.Binary), keyFrame, kind),
		1,
		theader.Limits{},
	)
	theader.SetSeq(dst, seq)
	return dst
}

// appendCredit appends to dst the control frame that gives the sender of a stream n bytes more.
func appendCredit(dst []byte, seq int32, n int64) []byte {
	h := theader.Header{Flags: theader.OutOfOrder, Info: make([]theader.Pair, 0, 3)}
	h.Set(keyControl, controlCredit)
	h.Set(keyTarget, strconv.Itoa(int(seq)))
	h.Set(keyWindow, strconv.FormatInt(n, 10))
	return appendControlFrame(dst, &h)
}

// readCredit reads what appendCredit wrote.
func readCredit(h *theader.Header) (seq int32, n int64, err error) {
	if seq, err = readTarget(h); err == nil {
		n, err = readWindow(h.Get(keyWindow))
	}
	return seq, n, err
}
