package transport

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
	ahead         = 32               // memory for a large frame is at most this multiple of its received bytes
	HeadPatience  = 10 * time.Second // for the next byte, before the head of a message is complete
	framePatience = 30 * time.Second // for the next byte, before the message is complete
)

// ErrBudget: with this message, all large messages would hold more than twice their budget.
var ErrBudget = errors.New("large messages hold twice the memory that they may (Sizes.Requests)")

// Reader cuts the bytes of a connection into messages. Every message has memory of its own, which is
// never written again, so strings that were decoded from it may be kept. A Reader takes no memory
// for bytes that were only announced. One goroutine at a time uses it.
type Reader struct {
	readBuffer
	Limits theader.Limits // of frames and headers
	budget *ByteBudget    // shared by a server's readers; nil: a client's

	large     []byte // received bytes of a frame that is larger than any buffer
	largeSize int    // of that frame; 0 = none
}

// NewReader makes the reader of a connection. all counts large messages, unless it is nil.
func NewReader(nc net.Conn, limits theader.Limits, all *ByteBudget) *Reader {
	f := &Reader{readBuffer: readBuffer{nc: nc}, Limits: limits, budget: all}
	f.useSocket()
	return f
}

// Detect returns how the peer frames its messages, and the first bytes, which show it. It does not
// consume them.
func (f *Reader) Detect() (kind theader.Kind, first []byte, err error) {
	if err := f.await(); err != nil {
		return theader.Unknown, nil, err
	}
	for n := 1; ; n++ {
		if first, err = f.peekWithin(n, HeadPatience); err != nil {
			return theader.Unknown, first, err
		}
		if kind = theader.Detect(first); kind != theader.NeedMore {
			return kind, first, nil
		}
		n = len(first)
	}
}

// Ready reports whether a whole frame is in the buffer.
func (f *Reader) Ready() bool {
	have := f.end - f.begin
	return f.largeSize == 0 && have >= lengthWord &&
		uint64(have) >= lengthWord+uint64(binary.BigEndian.Uint32(f.buffer()[f.begin:]))
}

// Frame returns the next frame without its length word. After a time-out it
// may be called again.
func (f *Reader) Frame() (string, error) {
	if f.largeSize > 0 {
		return f.collectLarge()
	}
	if err := f.await(); err != nil {
		return "", err
	}
	b, err := f.buffer()[f.begin:f.end], error(nil)
	if len(b) < lengthWord {
		if b, err = f.peekWithin(lengthWord, HeadPatience); err != nil {
			return "", err
		}
	}
	size := binary.BigEndian.Uint32(b)
	if err := f.Limits.CheckFrame(size); err != nil {
		return "", err
	}
	n := lengthWord + int(size)
	if n > LargeBuffer {
		f.largeSize = int(size)
		return f.collectLarge()
	}
	if len(b) < n {
		if b, err = f.peekWithin(n, framePatience); err != nil {
			return "", err
		}
	}
	f.begin += n
	return string(b[lengthWord:n]), nil
}

// peekWithin is peek for a message that has begun. The time each bounds the wait for each further
// byte, and not the time for all of them.
func (f *Reader) peekWithin(n int, each time.Duration) ([]byte, error) {
	if f.end-f.begin >= n {
		return f.buffer()[f.begin:f.end], nil
	}
	waits := false
	for have := f.end - f.begin + 1; have <= n; have = f.end - f.begin + 1 {
		if !waits { // often the rest is there already, and a deadline would set a timer
			if came, err := f.more(); err != nil {
				return nil, unexpected(err)
			} else if came {
				continue
			}
		}
		waits = true
		if err := f.setDeadline(each); err != nil {
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

// setDeadline bounds the next read.
func (f *Reader) setDeadline(d time.Duration) error { return f.nc.SetReadDeadline(time.Now().Add(d)) }

// collectLarge returns a frame of f.largeSize bytes, which does not fit into the buffer.
func (f *Reader) collectLarge() (string, error) {
	for len(f.large) < f.largeSize {
		if err := f.setDeadline(framePatience); err != nil {
			return "", err
		}
		if len(f.large) == cap(f.large) {
			if err := f.grow(); err != nil {
				return "", err
			}
			continue
		}
		n, err := f.nc.Read(f.large[len(f.large):cap(f.large)])
		if n == 0 {
			return "", unexpected(cmp.Or(err, io.ErrNoProgress))
		}
		f.large = f.large[:len(f.large)+n]
	}
	b := f.large
	f.dropLarge()
	return unsafe.String(unsafe.SliceData(b), len(b)), f.nc.SetReadDeadline(time.Time{})
}

// grow makes room for more bytes of a large frame. A frame of up to 2 MiB gets all its room at once.
func (f *Reader) grow() error {
	if f.large != nil {
		return f.extend(f.large)
	}
	b, err := f.peekWithin(min(lengthWord+f.largeSize/ahead+1, LargeBuffer), framePatience)
	if err != nil {
		return unexpected(err)
	}
	b = b[lengthWord:min(len(b), lengthWord+f.largeSize)]
	if err := f.extend(b); err != nil {
		return err
	}
	if f.begin += lengthWord + len(b); f.begin == f.end {
		f.readBuffer.release()
	}
	return nil
}

// extend takes more memory for a frame, after its received bytes.
func (f *Reader) extend(have []byte) error {
	n := min(f.largeSize, ahead*len(have))
	if !f.budget.Take(int64(n-cap(f.large)), 2) {
		return ErrBudget
	}
	f.large = append(uncleared(n), have...)
	return nil
}

// dropLarge drops the large frame that is being collected.
func (f *Reader) dropLarge() {
	f.budget.Add(-int64(cap(f.large)))
	f.large, f.largeSize = nil, 0
}

// Release gives all memory back and drops unread bytes.
func (f *Reader) Release() {
	f.dropLarge()
	f.readBuffer.release()
}

// uncleared returns memory for n bytes by a strings.Builder, which does not clear it. Clearing would
// cost as much as filling it.
func uncleared(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0) // allocates its data
	return unsafe.Slice(unsafe.StringData(b.String()), n)[:0]
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
