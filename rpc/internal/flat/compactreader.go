package flat

import (
	"context"
	"math"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
)

var compactReaders = sync.Pool{New: newCompactReader}

type compactReader struct {
	message
	last    int16           // id of the last field, for deltas
	outer   [maxDepth]int16 // last of the enclosing structs
	value   bool            // of a bool field, which came with its header
	valueIn bool            // value has not been read yet
}

// plainType has the Thrift type of each compact type code; STOP for invalid codes.
var plainType = [16]thrift.TType{
	thrift.COMPACT_BOOLEAN_TRUE: thrift.BOOL, thrift.COMPACT_BOOLEAN_FALSE: thrift.BOOL,
	thrift.COMPACT_BYTE: thrift.BYTE, thrift.COMPACT_I16: thrift.I16, thrift.COMPACT_I32: thrift.I32,
	thrift.COMPACT_I64: thrift.I64, thrift.COMPACT_DOUBLE: thrift.DOUBLE, thrift.COMPACT_BINARY: thrift.STRING,
	thrift.COMPACT_LIST: thrift.LIST, thrift.COMPACT_SET: thrift.SET, thrift.COMPACT_MAP: thrift.MAP,
	thrift.COMPACT_STRUCT: thrift.STRUCT, thrift.COMPACT_UUID: thrift.UUID,
}

// compactMin is the smallest size of a value in bytes, by its type.
func compactMin(t thrift.TType) int {
	switch t {
	case thrift.DOUBLE:
		return 8
	case thrift.UUID:
		return 16
	}
	return 1
}

func (r *compactReader) Free() {
	r.reset()
	r.last, r.value, r.valueIn = 0, false, false
	compactReaders.Put(r)
}

func (r *compactReader) ReadMessageBegin(
	ctx context.Context,
) (name string, kind thrift.TMessageType, seq int32, err error) {
	b, err := r.take(2, "message version")
	if err != nil {
		return "", 0, 0, err
	}
	if b[0] != thrift.COMPACT_PROTOCOL_ID || b[1]&thrift.COMPACT_VERSION_MASK != thrift.COMPACT_VERSION {
		return "", 0, 0, fail(
			thrift.BAD_VERSION,
			"message begins with %#02x %#02x; compact version 1 begins with 0x82 0x?1",
			b[0],
			b[1],
		)
	}
	id, err := r.uvarint("sequence id")
	if err != nil {
		return "", 0, 0, err
	}
	name, err = r.ReadString(ctx)
	kind = thrift.TMessageType(b[1] >> thrift.COMPACT_TYPE_SHIFT_AMOUNT & thrift.COMPACT_TYPE_BITS)
	return name, kind, int32(id), err
}

func (r *compactReader) ReadStructBegin(context.Context) (string, error) {
	if err := r.enter(); err != nil {
		return "", err
	}
	r.outer[r.depth-1] = r.last
	r.last = 0
	return "", nil
}

func (r *compactReader) ReadStructEnd(context.Context) error {
	if err := r.leave(); err != nil {
		return err
	}
	r.last = r.outer[r.depth]
	return nil
}

func (r *compactReader) ReadFieldBegin(ctx context.Context) (string, thrift.TType, int16, error) {
	b, err := r.byte("field header")
	if err != nil || b&0x0f == thrift.STOP {
		return "", thrift.STOP, 0, err
	}
	id := r.last + int16(b>>4)
	if b>>4 == 0 {
		if id, err = r.ReadI16(ctx); err != nil {
			return "", thrift.STOP, 0, err
		}
	}
	t, err := r.plain(b)
	if err != nil {
		return "", thrift.STOP, id, err
	}
	if t == thrift.BOOL {
		r.value, r.valueIn = b&0x0f == thrift.COMPACT_BOOLEAN_TRUE, true
	}
	r.last = id
	return "", t, id, r.field(id)
}

// ReadMapBegin gives no types for an empty map: the wire has none.
func (r *compactReader) ReadMapBegin(context.Context) (k, v thrift.TType, size int, err error) {
	if k, v, size, err = r.mapHead(); err == nil {
		err = r.mapping(size)
	}
	return k, v, size, err
}

func (r *compactReader) mapHead() (k, v thrift.TType, size int, err error) {
	n, err := r.uvarint("map size")
	if err != nil {
		return 0, 0, 0, err
	}
	if uint32(n) == 0 {
		return thrift.STOP, thrift.STOP, 0, nil
	}
	b, err := r.byte("map types")
	if err != nil {
		return 0, 0, 0, err
	}
	if k, err = r.plain(b >> 4); err != nil {
		return 0, 0, 0, err
	}
	if v, err = r.plain(b); err != nil {
		return 0, 0, 0, err
	}
	size, err = r.container(int32(n), compactMin(k)+compactMin(v))
	return k, v, size, err
}

func (r *compactReader) ReadListBegin(context.Context) (thrift.TType, int, error) {
	elem, size, err := r.listHead()
	if err == nil {
		err = r.list(size)
	}
	return elem, size, err
}

func (r *compactReader) listHead() (elem thrift.TType, size int, err error) {
	b, err := r.byte("list header")
	if err != nil {
		return 0, 0, err
	}
	n := uint64(b >> 4)
	if n == 15 {
		if n, err = r.uvarint("list size"); err != nil {
			return 0, 0, err
		}
	}
	if elem, err = r.plain(b); err != nil {
		return 0, 0, err
	}
	size, err = r.container(int32(n), compactMin(elem))
	return elem, size, err
}

func (r *compactReader) ReadSetBegin(ctx context.Context) (thrift.TType, int, error) {
	return r.ReadListBegin(ctx)
}

func (r *compactReader) ReadBool(context.Context) (bool, error) {
	if r.valueIn {
		r.valueIn = false
		return r.value, nil
	}
	b, err := r.byte("bool")
	return b == thrift.COMPACT_BOOLEAN_TRUE, err
}

func (r *compactReader) ReadI16(ctx context.Context) (int16, error) {
	v, err := r.ReadI32(ctx)
	return int16(v), err
}

func (r *compactReader) ReadI32(context.Context) (int32, error) {
	v, err := r.uvarint("integer")
	u := uint32(v)
	return int32(u>>1) ^ -int32(u&1), err
}

func (r *compactReader) ReadI64(context.Context) (int64, error) {
	u, err := r.uvarint("integer")
	return int64(u>>1) ^ -int64(u&1), err
}

func (r *compactReader) ReadDouble(context.Context) (float64, error) {
	b, err := r.take(8, "double")
	if err != nil {
		return 0, err
	}
	var v uint64
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return math.Float64frombits(v), nil
}

func (r *compactReader) ReadString(context.Context) (string, error) {
	n, err := r.uvarint("string size")
	if err != nil {
		return "", err
	}
	return r.bytes(int32(n))
}

func (r *compactReader) ReadBinary(context.Context) ([]byte, error) {
	n, err := r.uvarint("string size")
	if err != nil {
		return nil, err
	}
	return r.binary(int32(n))
}

// uvarint reads up to 10 bytes; bits above 64 are dropped, as in the stock
// library.
func (r *compactReader) uvarint(what string) (uint64, error) {
	if r.at < len(r.s) && r.s[r.at] < 0x80 { // most are small
		b := r.s[r.at]
		r.at++
		return uint64(b), nil
	}
	var v uint64
	for i := range 10 {
		b, err := r.byte(what)
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, fail(thrift.INVALID_DATA, "%s before byte %d has over 10 bytes", what, r.at)
}

// plain returns the type of a compact code. It also accepts STOP, which some libraries write as the
// element type of an empty list.
func (r *compactReader) plain(b byte) (thrift.TType, error) {
	t := plainType[b&0x0f]
	if t == thrift.STOP && b&0x0f != 0 {
		return t, fail(thrift.INVALID_DATA, "unknown type %#x before byte %d", b&0x0f, r.at)
	}
	return t, nil
}
