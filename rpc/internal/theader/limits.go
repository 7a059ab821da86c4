package theader

import (
	"errors"
	"fmt"
)

// The two kinds of wrong frames. Errors of this package wrap one of them and give the reason, the
// place and the number.
var (
	ErrTooLarge  = errors.New("over the limit")
	ErrMalformed = errors.New("malformed frame")
)

// Limits bound the memory that a peer can make a process hold. A field of 0 has the default.
type Limits struct {
	Frame  int // bytes after the length word, also after inflation; default 16 MiB
	Header int // bytes of the header block; default 16 KiB
	Infos  int // key/value pairs in one frame; default 128
}

// Defaults of Limits.
const (
	DefaultFrame  = 16 << 20
	DefaultHeader = 16 << 10
	DefaultInfos  = 128
)

// maxHeader is the largest value of the header's size field: 65535 words.
const maxHeader = 4 * 0xffff

func (l Limits) frame() int {
	if l.Frame > 0 {
		return l.Frame
	}
	return DefaultFrame
}

func (l Limits) header() int {
	if l.Header > 0 {
		return min(l.Header, maxHeader)
	}
	return DefaultHeader
}

func (l Limits) infos() int {
	if l.Infos > 0 {
		return l.Infos
	}
	return DefaultInfos
}

// CheckFrame returns an error unless a frame with the length word size may be read. Call it before
// taking memory for the frame.
func (l Limits) CheckFrame(size uint32) error {
	if uint64(size) > uint64(l.frame()) {
		return tooLarge("frame", int64(size), l.frame(), "bytes")
	}
	return nil
}

func tooLarge(what string, have int64, limit int, unit string) error {
	return fmt.Errorf("%s of %d %s is %w of %d", what, have, unit, ErrTooLarge, limit)
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
