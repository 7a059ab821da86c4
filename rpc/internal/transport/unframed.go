package transport

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/theader"
)

// Message returns the next message of an unframed stream. It finds the end by walking through the
// message.
func (f *Reader) Message(compact bool) (string, error) {
	if err := f.await(); err != nil {
		return "", err
	}
	limit := f.Limits.Frame
	if limit <= 0 {
		limit = theader.DefaultFrame
	}
	s := &stream{f: f, limit: limit, compact: compact}
	defer s.release()
	if err := s.message(); err != nil {
		return "", err
	}
	return unsafe.String(unsafe.SliceData(s.read), len(s.read)), nil
}

// stream walks through a message that has no length, to find its end. It keeps the bytes, and
// examines only sizes and types.
type stream struct {
	f       *Reader
	read    []byte
	limit   int
	counted int // bytes of read that the budget counts
	compact bool
}

var errMessageTooLarge = fmt.Errorf("unframed message is %w", theader.ErrTooLarge)

// next returns the next n bytes, valid until the next call.
func (s *stream) next(n int) ([]byte, error) {
	if n > s.limit-len(s.read) {
		return nil, errMessageTooLarge
	}
	for want := len(s.read) + n; len(s.read) < want; {
		each := framePatience
		if len(s.read) < theader.Sniff {
			each = HeadPatience
		}
		b, err := s.f.peekWithin(1, each)
		if err != nil {
			return nil, unexpected(err)
		}
		b = b[:min(len(b), want-len(s.read))]
		if err := s.grow(len(b)); err != nil {
			return nil, err
		}
		s.read = append(s.read, b...)
		s.f.begin += len(b)
	}
	return s.read[len(s.read)-n:], nil
}

// grow makes room for n more received bytes.
func (s *stream) grow(n int) error {
	if n <= cap(s.read)-len(s.read) {
		return nil
	}
	size := min(max(2*cap(s.read), len(s.read)+n, 256), s.limit)
	if size > LargeBuffer {
		if !s.f.budget.Take(int64(size-s.counted), 2) {
			return ErrBudget
		}
		s.counted = size
	}
	s.read = append(make([]byte, 0, size), s.read...)
	return nil
}

// release subtracts the message from the budget, because its call then counts it (Weight).
func (s *stream) release() { s.f.budget.Add(-int64(s.counted)) }

func (s *stream) message() error {
	if !s.compact {
		b, err := s.next(4)
		if err == nil && binary.BigEndian.Uint32(b)&thrift.VERSION_MASK != thrift.VERSION_1 {
			err = fmt.Errorf("%w: message begins with % x", theader.ErrMalformed, b)
		}
		if err == nil {
			err = s.value(thrift.STRING, 1)
		}
		if err == nil {
			_, err = s.next(4)
		}
		if err != nil {
			return err
		}
		return s.value(thrift.STRUCT, thrift.DEFAULT_RECURSION_DEPTH)
	}
	b, err := s.next(2)
	if err == nil &&
		(b[0] != thrift.COMPACT_PROTOCOL_ID || b[1]&thrift.COMPACT_VERSION_MASK != thrift.COMPACT_VERSION) {
		err = fmt.Errorf("%w: message begins with % x", theader.ErrMalformed, b)
	}
	if err == nil {
		_, err = s.uvarint()
	}
	if err == nil {
		err = s.compactValue(thrift.COMPACT_BINARY, 1)
	}
	if err != nil {
		return err
	}
	return s.compactValue(thrift.COMPACT_STRUCT, thrift.DEFAULT_RECURSION_DEPTH)
}

func (s *stream) byte() (byte, error) {
	b, err := s.next(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (s *stream) uvarint() (uint64, error) {
	var v uint64
	for i := range 10 {
		b, err := s.byte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: a number has over 10 bytes", theader.ErrMalformed)
}

// size checks an announced number of bytes or elements.
func (s *stream) size(n int32) (int, error) {
	switch {
	case n < 0:
		return 0, fmt.Errorf("%w: negative size %d", theader.ErrMalformed, n)
	case int(n) > s.limit-len(s.read): // every element has a byte
		return 0, errMessageTooLarge
	}
	return int(n), nil
}

// pass walks through n bytes.
func (s *stream) pass(n int) error {
	_, err := s.next(n)
	return err
}

// none is the second type of a list or set, which have only one. No type on the
// wire has this value.
const none = 0x100

// passAll walks through n elements of so many bytes each.
func (s *stream) passAll(n, each int) error {
	if n > (s.limit-len(s.read))/each {
		return errMessageTooLarge
	}
	return s.pass(n * each)
}

// widths are the sizes of values in bytes by type; 0 = they vary.
type widths [256]uint8

var binaryWidth = widths{
	thrift.BOOL: 1, thrift.BYTE: 1, thrift.I16: 2, thrift.I32: 4, thrift.I64: 8, thrift.DOUBLE: 8, thrift.UUID: 16,
}

// compactWidth is for values in containers: a bool in a field has no bytes.
var compactWidth = widths{
	thrift.COMPACT_BOOLEAN_TRUE: 1, thrift.COMPACT_BOOLEAN_FALSE: 1, thrift.COMPACT_BYTE: 1,
	thrift.COMPACT_DOUBLE: 8, thrift.COMPACT_UUID: 16,
}

// each is the size of an element in bytes, 0 when elements differ. second is the type of a map's
// values.
func (w *widths) each(first byte, second int) int {
	switch {
	case second == none:
		return int(w[first])
	case w[first] == 0 || w[second] == 0:
		return 0
	}
	return int(w[first]) + int(w[second])
}

// value walks through a value of the binary protocol in which structs and
// containers nest at most depth deep.
func (s *stream) value(t thrift.TType, depth int) error {
	if depth == 0 {
		return errTooDeep
	}
	if n := binaryWidth[t]; n > 0 {
		return s.pass(int(n))
	}
	if t == thrift.STRING {
		n, err := s.binarySize()
		if err != nil {
			return err
		}
		return s.pass(n)
	}
	switch t {
	case thrift.STRUCT:
		for {
			b, err := s.byte()
			if err != nil || b == thrift.STOP {
				return err
			}
			if err = s.pass(2); err == nil {
				err = s.value(thrift.TType(b), depth-1)
			}
			if err != nil {
				return err
			}
		}
	case thrift.LIST, thrift.SET:
		b, err := s.byte()
		if err != nil {
			return err
		}
		return s.values(thrift.TType(b), none, depth-1)
	case thrift.MAP:
		b, err := s.next(2)
		if err != nil {
			return err
		}
		return s.values(thrift.TType(b[0]), int(b[1]), depth-1)
	}
	return fmt.Errorf("%w: unknown type %d", theader.ErrMalformed, t)
}

var errTooDeep = fmt.Errorf("%w: values nest over %d deep", theader.ErrMalformed, thrift.DEFAULT_RECURSION_DEPTH)

func (s *stream) binarySize() (int, error) {
	b, err := s.next(4)
	if err != nil {
		return 0, err
	}
	return s.size(int32(binary.BigEndian.Uint32(b)))
}

// values walks through the elements of a container; second is the type of a
// map's values.
func (s *stream) values(first thrift.TType, second int, depth int) error {
	n, err := s.binarySize()
	if w := binaryWidth.each(byte(first), second); err == nil && w > 0 && depth > 0 {
		return s.passAll(n, w)
	}
	for ; err == nil && n > 0; n-- {
		if err = s.value(first, depth); err == nil && second != none {
			err = s.value(thrift.TType(second), depth)
		}
	}
	return err
}

// compactValue walks through a value of the compact protocol, except for a bool in a field, which has
// no bytes of its own.
func (s *stream) compactValue(t byte, depth int) error {
	if depth == 0 {
		return errTooDeep
	}
	if n := compactWidth[t]; n > 0 {
		return s.pass(int(n))
	}
	switch t {
	case thrift.COMPACT_I16, thrift.COMPACT_I32, thrift.COMPACT_I64:
		_, err := s.uvarint()
		return err
	case thrift.COMPACT_BINARY:
		n, err := s.compactSize()
		if err != nil {
			return err
		}
		return s.pass(n)
	}
	switch t {
	case thrift.COMPACT_STRUCT:
		return s.compactStruct(depth - 1)
	case thrift.COMPACT_LIST, thrift.COMPACT_SET:
		b, err := s.byte()
		if err != nil {
			return err
		}
		n := int(b >> 4)
		if n == 15 {
			n, err = s.compactSize()
		}
		return s.compactValues(n, err, b&0x0f, none, depth-1)
	case thrift.COMPACT_MAP:
		n, err := s.compactSize()
		if err != nil || n == 0 {
			return err
		}
		b, err := s.byte()
		return s.compactValues(n, err, b>>4, int(b&0x0f), depth-1)
	}
	return fmt.Errorf("%w: unknown type %d", theader.ErrMalformed, t)
}

func (s *stream) compactSize() (int, error) {
	v, err := s.uvarint()
	if err != nil {
		return 0, err
	}
	return s.size(int32(v))
}

func (s *stream) compactStruct(depth int) error {
	for {
		b, err := s.byte()
		if err != nil || b&0x0f == thrift.STOP {
			return err
		}
		if b>>4 == 0 { // the id follows
			_, err = s.uvarint()
		}
		isBool := b&0x0f == thrift.COMPACT_BOOLEAN_TRUE || b&0x0f == thrift.COMPACT_BOOLEAN_FALSE
		if err == nil && !isBool { // the type code holds a bool
			err = s.compactValue(b&0x0f, depth)
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) compactValues(n int, err error, first byte, second int, depth int) error {
	if w := compactWidth.each(first, second); err == nil && w > 0 && depth > 0 {
		return s.passAll(n, w)
	}
	for ; err == nil && n > 0; n-- {
		if err = s.compactValue(first, depth); err == nil && second != none {
			err = s.compactValue(byte(second), depth)
		}
	}
	return err
}
