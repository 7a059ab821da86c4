package flat

import (
	"context"
	"math"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
)

var binaryReaders = sync.Pool{New: newBinaryReader}

type binaryReader struct{ message }

// binaryMin is the smallest size of a value in bytes, by its type.
var binaryMin = [...]int{
	thrift.BOOL: 1, thrift.BYTE: 1, thrift.I16: 2, thrift.I32: 4, thrift.I64: 8, thrift.DOUBLE: 8,
	thrift.STRING: 4, thrift.STRUCT: 1, thrift.MAP: 6, thrift.SET: 5, thrift.LIST: 5, thrift.UUID: 16,
}

// least returns the smallest size of a value of the type, in bytes. It is 1 for types that do not
// exist, because reading such a value fails anyway.
func (r *binaryReader) least(t thrift.TType) int {
	if int(t) < len(binaryMin) {
		return max(1, binaryMin[t])
	}
	return 1
}

func (r *binaryReader) Free() {
	r.reset()
	binaryReaders.Put(r)
}

func (r *binaryReader) ReadMessageBegin(
	ctx context.Context,
) (name string, kind thrift.TMessageType, seq int32, err error) {
	v, err := r.u32("message version")
	if err != nil {
		return "", 0, 0, err
	}
	if v&thrift.VERSION_MASK != thrift.VERSION_1 {
		return "", 0, 0, fail(thrift.BAD_VERSION, "message begins with %#08x; strict binary begins with 0x8001", v)
	}
	if name, err = r.ReadString(ctx); err != nil {
		return "", 0, 0, err
	}
	seq, err = r.ReadI32(ctx)
	return name, thrift.TMessageType(v & 0xff), seq, err
}

func (r *binaryReader) ReadStructBegin(context.Context) (string, error) { return "", r.enter() }
func (r *binaryReader) ReadStructEnd(context.Context) error             { return r.leave() }

func (r *binaryReader) ReadFieldBegin(ctx context.Context) (string, thrift.TType, int16, error) {
	at := r.at
	if len(r.s)-at < 3 {
		return r.lastField(ctx)
	}
	b := r.s[at : at+3]
	if b[0] == thrift.STOP {
		r.at = at + 1
		return "", thrift.STOP, 0, nil
	}
	r.at = at + 3
	id := int16(uint16(b[1])<<8 | uint16(b[2]))
	return "", thrift.TType(b[0]), id, r.field(id)
}

// lastField is ReadFieldBegin when fewer bytes are left than a field takes.
func (r *binaryReader) lastField(ctx context.Context) (string, thrift.TType, int16, error) {
	t, err := r.byte("field type")
	if err != nil || t == thrift.STOP {
		return "", thrift.STOP, 0, err
	}
	id, err := r.ReadI16(ctx)
	return "", thrift.TType(t), id, err
}

func (r *binaryReader) ReadMapBegin(context.Context) (k, v thrift.TType, size int, err error) {
	if k, v, size, err = r.mapHead(); err == nil {
		err = r.mapping(size)
	}
	return k, v, size, err
}

func (r *binaryReader) mapHead() (k, v thrift.TType, size int, err error) {
	b, err := r.take(6, "map header")
	if err != nil {
		return 0, 0, 0, err
	}
	k, v = thrift.TType(b[0]), thrift.TType(b[1])
	size, err = r.container(int32(be32(b[2:])), r.least(k)+r.least(v))
	return k, v, size, err
}

func (r *binaryReader) ReadListBegin(context.Context) (thrift.TType, int, error) {
	elem, size, err := r.listHead()
	if err == nil {
		err = r.list(size)
	}
	return elem, size, err
}

func (r *binaryReader) listHead() (elem thrift.TType, size int, err error) {
	b, err := r.take(5, "list header")
	if err != nil {
		return 0, 0, err
	}
	elem = thrift.TType(b[0])
	size, err = r.container(int32(be32(b[1:])), r.least(elem))
	return elem, size, err
}

func (r *binaryReader) ReadSetBegin(ctx context.Context) (thrift.TType, int, error) {
	return r.ReadListBegin(ctx)
}

func (r *binaryReader) ReadBool(context.Context) (bool, error) {
	b, err := r.byte("bool")
	return b == 1, err
}

func (r *binaryReader) ReadI16(context.Context) (int16, error) {
	b, err := r.take(2, "i16")
	if err != nil {
		return 0, err
	}
	return int16(uint16(b[0])<<8 | uint16(b[1])), nil
}

func (r *binaryReader) ReadI32(context.Context) (int32, error) {
	v, err := r.u32("i32")
	return int32(v), err
}

func (r *binaryReader) ReadI64(context.Context) (int64, error) {
	v, err := r.u64("i64")
	return int64(v), err
}

func (r *binaryReader) ReadDouble(context.Context) (float64, error) {
	v, err := r.u64("double")
	return math.Float64frombits(v), err
}

func (r *binaryReader) ReadString(context.Context) (string, error) {
	s, at := r.s, r.at
	if len(s)-at >= 4 && !r.Copy {
		n := int(int32(be32(s[at : at+4])))
		if at += 4; uint(n) <= uint(len(s)-at) { // a negative size is larger
			r.at = at + n
			return s[at : at+n], nil
		}
	}
	return r.anyString()
}

// anyString is ReadString for strings that are copied, and for sizes that are wrong.
func (r *binaryReader) anyString() (string, error) {
	size, err := r.u32("string size")
	if err != nil {
		return "", err
	}
	return r.bytes(int32(size))
}

func (r *binaryReader) ReadBinary(context.Context) ([]byte, error) {
	size, err := r.u32("string size")
	if err != nil {
		return nil, err
	}
	return r.binary(int32(size))
}

func (r *binaryReader) u32(what string) (uint32, error) {
	at := r.at
	if len(r.s)-at < 4 {
		return 0, r.endsWithin(what)
	}
	r.at = at + 4
	return be32(r.s[at : at+4]), nil
}

func (r *binaryReader) u64(what string) (uint64, error) {
	at := r.at
	if len(r.s)-at < 8 {
		return 0, r.endsWithin(what)
	}
	r.at = at + 8
	b := r.s[at : at+8]
	return uint64(be32(b))<<32 | uint64(be32(b[4:])), nil
}

func be32(b string) uint32 {
	_ = b[3]
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
