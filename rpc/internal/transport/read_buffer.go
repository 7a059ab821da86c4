package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	LargeBuffer = 64 << 10 // bytes of the buffer that is borrowed while bytes are unread
	smallBuffer = 4 << 10  // bytes of the one for the beginning of a message, while its rest is missing
)

var (
	largeBuffers = sync.Pool{New: func() any { return new([LargeBuffer]byte) }}
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
)

// readBuffer holds received bytes that are not in a message yet. It borrows a buffer when bytes
// come, and gives it back when all of them are used, so a silent connection holds none. One
// goroutine at a time uses it.
type readBuffer struct {
	nc   net.Conn
	raw  syscall.RawConn       // of a socket that reports readable bytes; else nil
	once func(fd uintptr) bool // for raw
	got  int                   // result of once
	poll bool                  // once must not wait
	err  error

	big        *[LargeBuffer]byte // at most one of the two
	small      *[smallBuffer]byte
	begin, end int       // bounds of the unread bytes
	first      [1]byte   // receives the first byte of a connection without raw
	Filled     time.Time // when bytes were last read
	spin       spin
}

func (f *readBuffer) buffer() []byte {
	switch {
	case f.big != nil:
		return f.big[:]
	case f.small != nil:
		return f.small[:]
	}
	return nil
}

// await returns when bytes are there. Until then it holds no memory.
func (f *readBuffer) await() error {
	if f.end > f.begin {
		return nil
	}
	if f.raw != nil {
		return f.fill()
	}
	f.release()
	n, err := f.nc.Read(f.first[:])
	f.Filled = time.Now()
	if n == 0 {
		return orNoProgress(err)
	}
	f.end += copy(f.room(), f.first[:])
	return nil
}

// fill appends read bytes to the buffer.
func (f *readBuffer) fill() (err error) {
	var n int
	if f.raw != nil {
		f.got, f.err = 0, nil
		err = f.raw.Read(f.once)
		if n = f.got; f.err != nil {
			err = f.err
		}
	} else {
		n, err = f.nc.Read(f.room())
	}
	f.Filled = time.Now()
	f.spin.came(f.Filled, n)
	f.end += n
	if n > 0 {
		return nil
	}
	return orNoProgress(err)
}

// more reads the bytes that the kernel has, without waiting. It reports whether there were any.
func (f *readBuffer) more() (bool, error) {
	if f.raw == nil {
		return false, nil
	}
	f.got, f.err, f.poll = 0, nil, true
	err := f.raw.Read(f.once)
	f.poll = false
	if f.err != nil {
		err = f.err
	}
	if err != nil || f.got == 0 {
		return false, err
	}
	f.Filled = time.Now()
	f.spin.came(f.Filled, f.got)
	f.end += f.got
	return true, nil
}

// Quiet reports, without waiting, whether the connection stands and has no unread byte. When the
// system can't tell, it returns true.
func (f *readBuffer) Quiet() bool {
	came, err := f.more()
	f.shrink()
	return !came && err == nil
}

func orNoProgress(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// room returns the free part of the buffer.
func (f *readBuffer) room() []byte {
	if f.big == nil {
		large := largeBuffers.Get().(*[LargeBuffer]byte)
		n := copy(large[:], f.buffer()[f.begin:f.end])
		f.release()
		f.big, f.end = large, n
	}
	if f.begin > 0 {
		f.end = copy(f.big[:], f.big[f.begin:f.end])
		f.begin = 0
	}
	return f.big[f.end:]
}

// shrink gives back the memory that a silent connection does not need.
func (f *readBuffer) shrink() {
	switch have := f.end - f.begin; {
	case have == 0:
		f.release()
	case have <= smallBuffer && f.big != nil:
		small := smallBuffers.Get().(*[smallBuffer]byte)
		copy(small[:], f.big[f.begin:f.end])
		f.release()
		f.small, f.end = small, have
	}
}

// release gives the buffer back and drops its bytes.
func (f *readBuffer) release() {
	if f.big != nil {
		largeBuffers.Put(f.big)
	}
	if f.small != nil {
		smallBuffers.Put(f.small)
	}
	f.big, f.small, f.begin, f.end = nil, nil, 0, 0
}

// peek returns the unread bytes, at least n.
func (f *readBuffer) peek(n int) ([]byte, error) {
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
