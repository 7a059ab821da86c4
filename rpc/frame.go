package rpc

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"
	"unsafe"

	"github.com/skerry/skerry/rpc/internal/theader"
)

const (
	smallBuffer   = 4 << 10  // what an idle connection holds
	largeBuffer   = 64 << 10 // what a busy one borrows
	firstPiece    = 64 << 10 // of a large frame; then three times what has come
	framePatience = 30 * time.Second
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// frameReader cuts what comes on a connection into messages. Every message is
// memory of its own, which is never written again: strings that were decoded
// from it may be kept. It takes no memory for what was only announced. One
// goroutine uses it.
type frameReader struct {
	nc     net.Conn
	limits theader.Limits

	small      []byte
	large      *[largeBuffer]byte // nil while small is in use
	begin, end int                // what is in the buffer
	quiet      int                // reads in a row that a small buffer would have held
	filled     time.Time          // when the buffer was last read into

	piece []byte // what has come of a frame that is larger than any buffer
	size  int    // of that frame; 0 = none
}

func (f *frameReader) buffer() []byte {
	if f.large != nil {
		return f.large[:]
	}
	return f.small
}

// fill reads more behind what is in the buffer.
func (f *frameReader) fill() error {
	f.resize()
	b := f.buffer()
	if f.begin > 0 {
		f.end = copy(b, b[f.begin:f.end])
		f.begin = 0
	}
	n, err := f.nc.Read(b[f.end:])
	f.filled = time.Now()
	f.end += n
	if n < smallBuffer/2 {
		f.quiet++
	} else {
		f.quiet = 0
	}
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// resize borrows a large buffer for a busy connection and gives it back after
// a quiet time.
func (f *frameReader) resize() {
	switch have := f.end - f.begin; {
	case f.small == nil:
		f.small = make([]byte, smallBuffer)
	case f.large == nil && f.end == smallBuffer:
		large := largeBuffers.Get().(*[largeBuffer]byte)
		f.end = copy(large[:], f.small[f.begin:f.end])
		f.begin, f.large, f.quiet = 0, large, 0
	case f.large != nil && have == 0 && f.quiet >= 16:
		f.release()
	}
}

// release gives the borrowed buffer back; what it held is lost.
func (f *frameReader) release() {
	if f.large != nil {
		largeBuffers.Put(f.large)
		f.large = nil
	}
	f.begin, f.end = 0, 0
}

// peek returns what is in the buffer, at least n bytes.
func (f *frameReader) peek(n int) ([]byte, error) {
	for f.end-f.begin < n {
		if err := f.fill(); err != nil {
			if errors.Is(err, io.EOF) && f.end > f.begin {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return f.buffer()[f.begin:f.end], nil
}

// detect tells how the peer frames its messages; first is what it was told by.
func (f *frameReader) detect() (kind theader.Kind, first []byte, err error) {
	for n := 1; ; n++ {
		if first, err = f.peek(n); err != nil {
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
	return f.size == 0 && have >= 4 && uint64(have) >= 4+uint64(binary.BigEndian.Uint32(f.buffer()[f.begin:]))
}

// frame returns the next frame without its length word. After a time-out it
// may be called again.
func (f *frameReader) frame() (string, error) {
	if f.size > 0 {
		return f.rest()
	}
	b, err := f.peek(4)
	if err != nil {
		return "", err
	}
	size := binary.BigEndian.Uint32(b)
	if err := f.limits.CheckFrame(size); err != nil {
		return "", err
	}
	n := 4 + int(size)
	if n > largeBuffer {
		f.begin += 4
		f.size = int(size)
		return f.rest()
	}
	if len(b) < n {
		if b, err = f.patiently(n); err != nil {
			return "", err
		}
	}
	f.begin += n
	return string(b[4:n]), nil
}

// patiently is peek for a frame whose beginning is there.
func (f *frameReader) patiently(n int) ([]byte, error) {
	if err := f.nc.SetReadDeadline(time.Now().Add(framePatience)); err != nil {
		return nil, err
	}
	b, err := f.peek(n)
	if err != nil {
		return nil, err
	}
	return b, f.nc.SetReadDeadline(time.Time{})
}

// rest collects a frame of f.size bytes, which does not fit into the buffer.
func (f *frameReader) rest() (string, error) {
	if err := f.nc.SetReadDeadline(time.Now().Add(framePatience)); err != nil {
		return "", err
	}
	if cap(f.piece) == 0 {
		first := f.size
		if first > 2*firstPiece {
			first = firstPiece
		}
		f.piece = make([]byte, 0, first)
	}
	for len(f.piece) < f.size {
		if len(f.piece) == cap(f.piece) {
			grown := make([]byte, len(f.piece), min(f.size, 4*len(f.piece)))
			copy(grown, f.piece)
			f.piece = grown
		}
		room := f.piece[len(f.piece):cap(f.piece)]
		n := copy(room, f.buffer()[f.begin:f.end])
		if f.begin += n; n == 0 {
			var err error
			if n, err = f.nc.Read(room); n == 0 {
				return "", unexpected(cmp.Or(err, io.ErrNoProgress))
			}
		}
		f.piece = f.piece[:len(f.piece)+n]
	}
	b := f.piece
	f.piece, f.size = nil, 0
	return unsafe.String(unsafe.SliceData(b), len(b)), f.nc.SetReadDeadline(time.Time{})
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
