package rpc

import (
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
	firstPiece    = 64 << 10 // of a large frame; then as much again as has come
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

// frame returns the next frame without its length word.
func (f *frameReader) frame() (string, error) {
	b, err := f.peek(4)
	if err != nil {
		return "", err
	}
	size := binary.BigEndian.Uint32(b)
	if err := f.limits.CheckFrame(size); err != nil {
		return "", err
	}
	f.begin += 4
	n := int(size)
	if have := f.buffer()[f.begin:f.end]; len(have) >= n {
		f.begin += n
		return string(have[:n]), nil
	}
	return f.rest(n)
}

// rest collects a frame of n bytes that is not yet in the buffer.
func (f *frameReader) rest(n int) (string, error) {
	if err := f.nc.SetReadDeadline(time.Now().Add(framePatience)); err != nil {
		return "", err
	}
	b := make([]byte, min(n, firstPiece))
	have := copy(b, f.buffer()[f.begin:f.end])
	f.begin, f.end = 0, 0
	for {
		if _, err := io.ReadFull(f.nc, b[have:]); err != nil {
			return "", unexpected(err)
		}
		if have = len(b); have == n {
			break
		}
		grown := make([]byte, min(n, 2*have))
		copy(grown, b)
		b = grown
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), f.nc.SetReadDeadline(time.Time{})
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
