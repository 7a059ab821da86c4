package flat

import (
	"context"

	"github.com/apache/thrift/lib/go/thrift"
)

// Skip passes over values without decoding them. Elements of a fixed size are passed over together,
// any other value takes a few nanoseconds. It refuses the same values, with the same errors, as the
// stock library, which skips by reading.

// fixedWidth is the size of a value in bytes by its type; 0 = it varies.
var fixedWidth = [...]uint8{
	thrift.BOOL: 1, thrift.BYTE: 1, thrift.I16: 2, thrift.I32: 4, thrift.I64: 8, thrift.DOUBLE: 8, thrift.UUID: 16,
}

// compactWidth is the same for the compact protocol. A bool has a byte only outside of fields.
var compactWidth = [...]uint8{thrift.BOOL: 1, thrift.BYTE: 1, thrift.DOUBLE: 8, thrift.UUID: 16}

func (r *binaryReader) width(t thrift.TType) int  { return widthIn(fixedWidth[:], t) }
func (r *compactReader) width(t thrift.TType) int { return widthIn(compactWidth[:], t) }

func widthIn(widths []uint8, t thrift.TType) int {
	if int(t) < len(widths) {
		return int(widths[t])
	}
	return 0
}

// pass skips the next n bytes.
func (m *message) pass(n int, what string) error {
	_, err := m.take(n, what)
	return err
}

func (m *message) tooDeep() error {
	return fail(thrift.DEPTH_LIMIT, "values nest over %d deep at byte %d", maxDepth, m.at)
}

func (m *message) unknownType(t thrift.TType) error {
	return fail(thrift.INVALID_DATA, "unknown type %d at byte %d", t, m.at)
}

// descend begins a skipped struct, ascend ends it.
func (m *message) descend() error {
	if m.depth++; m.depth > maxDepth {
		return m.structsTooDeep()
	}
	return nil
}

func (m *message) ascend() { m.depth-- }

func (r *binaryReader) Skip(_ context.Context, t thrift.TType) error { return r.skip(t, maxDepth) }

// skip skips a value in which structs and containers nest less than depth deep.
func (r *binaryReader) skip(t thrift.TType, depth int) error {
	if depth <= 0 {
		return r.tooDeep()
	}
	if n := r.width(t); n > 0 {
		return r.pass(n, "value")
	}
	switch t {
	case thrift.STRING:
		size, err := r.u32("string size")
		if err != nil {
			return err
		}
		_, err = r.cut(int32(size))
		return err
	case thrift.STRUCT:
		return r.skipStruct(depth - 1)
	case thrift.MAP:
		k, v, n, err := r.mapHead()
		if err != nil {
			return err
		}
		return skipElements(r, n, depth-1, k, v)
	case thrift.SET, thrift.LIST:
		elem, n, err := r.listHead()
		if err != nil {
			return err
		}
		return skipElements(r, n, depth-1, elem)
	}
	return r.unknownType(t)
}

func (r *binaryReader) skipStruct(depth int) error {
	if err := r.descend(); err != nil {
		return err
	}
	for {
		t, err := r.byte("field type")
		if err != nil {
			return err
		}
		if t == thrift.STOP {
			r.ascend()
			return nil
		}
		if err = r.pass(2, "i16"); err == nil {
			err = r.skip(thrift.TType(t), depth)
		}
		if err != nil {
			return err
		}
	}
}

func (r *compactReader) Skip(_ context.Context, t thrift.TType) error {
	if t == thrift.BOOL && r.valueIn { // it came with the field's header
		r.valueIn = false
		return nil
	}
	return r.skip(t, maxDepth)
}

// skip is like the binary reader's. A bool here is an element of a container.
func (r *compactReader) skip(t thrift.TType, depth int) error {
	if depth <= 0 {
		return r.tooDeep()
	}
	if n := r.width(t); n > 0 {
		return r.pass(n, "value")
	}
	switch t {
	case thrift.I16, thrift.I32, thrift.I64:
		_, err := r.uvarint("integer")
		return err
	case thrift.STRING:
		size, err := r.uvarint("string size")
		if err != nil {
			return err
		}
		_, err = r.cut(int32(size))
		return err
	case thrift.STRUCT:
		return r.skipStruct(depth - 1)
	case thrift.MAP:
		k, v, n, err := r.mapHead()
		if err != nil {
			return err
		}
		return skipElements(r, n, depth-1, k, v)
	case thrift.SET, thrift.LIST:
		elem, n, err := r.listHead()
		if err != nil {
			return err
		}
		return skipElements(r, n, depth-1, elem)
	}
	return r.unknownType(t)
}

func (r *compactReader) skipStruct(depth int) error {
	if err := r.descend(); err != nil {
		return err
	}
	for {
		b, err := r.byte("field header")
		if err != nil {
			return err
		}
		if b&0x0f == thrift.STOP {
			r.ascend()
			return nil
		}
		if b>>4 == 0 { // the id follows
			if _, err := r.uvarint("integer"); err != nil {
				return err
			}
		}
		t, err := r.plain(b)
		switch {
		case err != nil:
			return err
		case t == thrift.BOOL && depth <= 0:
			return r.tooDeep()
		case t != thrift.BOOL: // the type code holds a bool
			if err := r.skip(t, depth); err != nil {
				return err
			}
		}
	}
}

// skipper is what skipElements needs of a reader.
type skipper interface {
	skip(t thrift.TType, depth int) error
	width(t thrift.TType) int
	pass(n int, what string) error
	simple(t thrift.TType, n int) (left int)
}

// skipElements skips n elements. Each has one value of each of the types: one in a list or set, key
// and value in a map.
func skipElements[R skipper](r R, n, depth int, types ...thrift.TType) error {
	if n == 0 {
		return nil
	}
	if each := widthOf(r, types); each > 0 && depth > 0 {
		return r.pass(n*each, "value")
	}
	for ; n > 0; n-- {
		if len(types) == 1 && depth > 0 {
			if n = r.simple(types[0], n); n == 0 {
				break
			}
		}
		for _, t := range types {
			if err := r.skip(t, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// widthOf is the size of an element in bytes, 0 when elements differ.
func widthOf[R skipper](r R, types []thrift.TType) (each int) {
	for _, t := range types {
		w := r.width(t)
		if w == 0 {
			return 0
		}
		each += w
	}
	return each
}

// simple skips elements of a list while they are easy to skip: whole strings, and empty containers.
// It returns how many of n are left.
func (r *binaryReader) simple(t thrift.TType, n int) int {
	s, at := r.s, r.at
	switch t {
	case thrift.STRING:
		for n > 0 && len(s)-at >= 4 {
			size := be32(s[at:])
			if size > uint32(len(s)-at-4) || int32(size) < 0 {
				break
			}
			at += 4 + int(size)
			n--
		}
	case thrift.STRUCT:
		for n > 0 && at < len(s) && s[at] == thrift.STOP && r.depth < maxDepth {
			at++
			n--
		}
	case thrift.SET, thrift.LIST:
		for n > 0 && len(s)-at >= 5 && be32(s[at+1:]) == 0 {
			at += 5
			n--
		}
	case thrift.MAP:
		for n > 0 && len(s)-at >= 6 && be32(s[at+2:]) == 0 {
			at += 6
			n--
		}
	}
	r.at = at
	return n
}

func (r *compactReader) simple(t thrift.TType, n int) int {
	s, at := r.s, r.at
	switch t {
	case thrift.I16, thrift.I32, thrift.I64:
		for n > 0 && at < len(s) && s[at] < 0x80 {
			at++
			n--
		}
	case thrift.STRING:
		for n > 0 && at < len(s) && s[at] < 0x80 && int(s[at]) < len(s)-at {
			at += 1 + int(s[at])
			n--
		}
	case thrift.STRUCT:
		for n > 0 && at < len(s) && s[at] == thrift.STOP && r.depth < maxDepth {
			at++
			n--
		}
	case thrift.SET, thrift.LIST:
		for n > 0 && at < len(s) && (s[at] == 0 || s[at] <= 0x0f && plainType[s[at]] != thrift.STOP) {
			at++
			n--
		}
	case thrift.MAP:
		for n > 0 && at < len(s) && s[at] == 0 {
			at++
			n--
		}
	}
	r.at = at
	return n
}
