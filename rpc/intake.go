package rpc

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	largeBuffer = 64 << 10 // what a connection borrows while something is there
	smallBuffer = 4 << 10  // what it borrows while the rest of a message is missing
)

var (
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
)

// intake is what has come on a connection and is in no message yet. It borrows
// a buffer when something comes and gives it back when all of it is used, so
// that a silent connection holds none. One goroutine uses it.
type intake struct {
	nc   net.Conn
	raw  syscall.RawConn       // of a socket that says when something has come; else nil
	once func(fd uintptr) bool // for raw
	got  int                   // by once
	poll bool                  // once is not to wait
	err  error

	large      *[largeBuffer]byte // at most one of the two
	small      *[smallBuffer]byte
	begin, end int       // what is in the buffer
	first      [1]byte   // where a connection without raw is waited for
	filled     time.Time // when something was last read
	spin       spin
}

func (f *intake) buffer() []byte {
	switch {
	case f.large != nil:
		return f.large[:]
	case f.small != nil:
		return f.small[:]
	}
	return nil
}

// await returns when something is there. Until then it holds no memory.
func (f *intake) await() error {
	if f.end > f.begin {
		return nil
	}
	if f.raw != nil {
		return f.fill()
	}
	f.release()
	n, err := f.nc.Read(f.first[:])
	f.filled = time.Now()
	if n == 0 {
		return orNoProgress(err)
	}
	f.end += copy(f.room(), f.first[:])
	return nil
}

// fill reads more behind what is in the buffer.
func (f *intake) fill() (err error) {
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
	f.filled = time.Now()
	f.spin.came(f.filled, n)
	f.end += n
	if n > 0 {
		return nil
	}
	return orNoProgress(err)
}

// more reads what the kernel has, without waiting. It reports whether something
// was there.
func (f *intake) more() (bool, error) {
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
	f.filled = time.Now()
	f.spin.came(f.filled, f.got)
	f.end += f.got
	return true, nil
}

func orNoProgress(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// room is where more may be read to.
func (f *intake) room() []byte {
	if f.large == nil {
		large := largeBuffers.Get().(*[largeBuffer]byte)
		n := copy(large[:], f.buffer()[f.begin:f.end])
		f.release()
		f.large, f.end = large, n
	}
	if f.begin > 0 {
		f.end = copy(f.large[:], f.large[f.begin:f.end])
		f.begin = 0
	}
	return f.large[f.end:]
}

// rest gives back what a connection does not need on which nothing comes.
func (f *intake) rest() {
	switch have := f.end - f.begin; {
	case have == 0:
		f.release()
	case have <= smallBuffer && f.large != nil:
		small := smallBuffers.Get().(*[smallBuffer]byte)
		copy(small[:], f.large[f.begin:f.end])
		f.release()
		f.small, f.end = small, have
	}
}

// release gives the buffer back; what it held is lost.
func (f *intake) release() {
	if f.large != nil {
		largeBuffers.Put(f.large)
	}
	if f.small != nil {
		smallBuffers.Put(f.small)
	}
	f.large, f.small, f.begin, f.end = nil, nil, 0, 0
}

// peek returns what is there, at least n bytes.
func (f *intake) peek(n int) ([]byte, error) {
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
