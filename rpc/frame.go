package rpc

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"time"
	"unsafe"

	"github.com/skerry/skerry/rpc/internal/theader"
)

const (
	lengthWord    = 4                // in front of a frame
	ahead         = 32               // memory for a large frame is at most so many times what has come of it
	headPatience  = 10 * time.Second // for the next byte, while not even the head of a message is there
	framePatience = 30 * time.Second // for the next byte, until the message is there
)

var errManyBytes = errors.New("large messages hold twice the memory that they may (Sizes.Requests)")

// frameReader cuts what comes on a connection into messages. Every message is
// memory of its own, which is never written again: strings that were decoded
// from it may be kept. It takes no memory for what was only announced. One
// goroutine uses it.
type frameReader struct {
	intake
	limits theader.Limits
	all    *tank // that a server's readers share; nil: a client's

	piece []byte // what has come of a frame that is larger than any buffer
	size  int    // of that frame; 0 = none
}

func newFrameReader(nc net.Conn, limits theader.Limits) *frameReader {
	f := &frameReader{intake: intake{nc: nc}, limits: limits}
	f.listen()
	return f
}

// detect tells how the peer frames its messages; first is what it was told by.
func (f *frameReader) detect() (kind theader.Kind, first []byte, err error) {
	if err := f.await(); err != nil {
		return theader.Unknown, nil, err
	}
	for n := 1; ; n++ {
		if first, err = f.patiently(n, headPatience); err != nil {
			return theader.Unknown, first, err
		}
		if kind = theader.Detect(first); kind != theader.NeedMore {
			return kind, first, nil
		}
		n = len(first)
	}
}

// ready reports whether a whole frame is in the buffer.
func (f *frameReader) ready() bool {
	have := f.end - f.begin
	return f.size == 0 && have >= lengthWord && uint64(have) >= lengthWord+uint64(binary.BigEndian.Uint32(f.buffer()[f.begin:]))
}

// frame returns the next frame without its length word. After a time-out it
// may be called again.
func (f *frameReader) frame() (string, error) {
	if f.size > 0 {
		return f.collect()
	}
	if err := f.await(); err != nil {
		return "", err
	}
	b, err := f.buffer()[f.begin:f.end], error(nil)
	if len(b) < lengthWord {
		if b, err = f.patiently(lengthWord, headPatience); err != nil {
			return "", err
		}
	}
	size := binary.BigEndian.Uint32(b)
	if err := f.limits.CheckFrame(size); err != nil {
		return "", err
	}
	n := lengthWord + int(size)
	if n > largeBuffer {
		f.size = int(size)
		return f.collect()
	}
	if len(b) < n {
		if b, err = f.patiently(n, framePatience); err != nil {
			return "", err
		}
	}
	f.begin += n
	return string(b[lengthWord:n]), nil
}

// patiently is peek for a message that has begun: each further byte must come
// in time, however long the whole takes.
func (f *frameReader) patiently(n int, each time.Duration) ([]byte, error) {
	if f.end-f.begin >= n {
		return f.buffer()[f.begin:f.end], nil
	}
	waits := false
	for have := f.end - f.begin + 1; have <= n; have = f.end - f.begin + 1 {
		if !waits { // the rest is often there already, and a deadline would set a timer
			if came, err := f.more(); err != nil {
				return nil, unexpected(err)
			} else if came {
				continue
			}
		}
		waits = true
		if err := f.wait(each); err != nil {
			return nil, err
		}
		if _, err := f.peek(have); err != nil {
			return nil, err
		}
	}
	if waits {
		return f.buffer()[f.begin:f.end], f.nc.SetReadDeadline(time.Time{})
	}
	return f.buffer()[f.begin:f.end], nil
}

// wait bounds the next read.
func (f *frameReader) wait(d time.Duration) error { return f.nc.SetReadDeadline(time.Now().Add(d)) }

// collect returns a frame of f.size bytes, which does not fit into the buffer.
func (f *frameReader) collect() (string, error) {
	for len(f.piece) < f.size {
		if err := f.wait(framePatience); err != nil {
			return "", err
		}
		if len(f.piece) == cap(f.piece) {
			if err := f.grow(); err != nil {
				return "", err
			}
			continue
		}
		n, err := f.nc.Read(f.piece[len(f.piece):cap(f.piece)])
		if n == 0 {
			return "", unexpected(cmp.Or(err, io.ErrNoProgress))
		}
		f.piece = f.piece[:len(f.piece)+n]
	}
	b := f.piece
	f.drop()
	return unsafe.String(unsafe.SliceData(b), len(b)), f.nc.SetReadDeadline(time.Time{})
}

// grow makes room for more of a large frame: of up to two megabytes, for all of
// it at once.
func (f *frameReader) grow() error {
	if f.piece != nil {
		return f.extend(f.piece)
	}
	b, err := f.patiently(min(lengthWord+f.size/ahead+1, largeBuffer), framePatience)
	if err != nil {
		return unexpected(err)
	}
	b = b[lengthWord:min(len(b), lengthWord+f.size)]
	if err := f.extend(b); err != nil {
		return err
	}
	if f.begin += lengthWord + len(b); f.begin == f.end {
		f.intake.release()
	}
	return nil
}

// extend takes memory for more behind what has come of a frame.
func (f *frameReader) extend(have []byte) error {
	n := min(f.size, ahead*len(have))
	if !f.all.take(int64(n-cap(f.piece)), 2) {
		return errManyBytes
	}
	f.piece = append(uncleared(n), have...)
	return nil
}

// drop forgets the large frame that is being collected.
func (f *frameReader) drop() {
	f.all.add(-int64(cap(f.piece)))
	f.piece, f.size = nil, 0
}

// release gives everything back; what was there is lost.
func (f *frameReader) release() {
	f.drop()
	f.intake.release()
}

// uncleared is memory for n bytes. Clearing it costs as much as reading it
// full; a strings.Builder spares that.
func uncleared(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0) // so that it has data
	return unsafe.Slice(unsafe.StringData(b.String()), n)[:0]
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
