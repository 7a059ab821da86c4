package flat

import (
	"context"
	"encoding/binary"
	"math"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
)

var compactWriters = sync.Pool{New: newCompactWriter}

type compactWriter struct {
	buffer
	last    int16   // id of the last field, for deltas
	outer   []int16 // last of the enclosing structs
	boolID  int16   // id of a bool field
	boolDue bool    // the header of that field is written with its value
}

// compactType has the compact code of each type.
var compactType = [...]byte{
	thrift.BOOL: thrift.COMPACT_BOOLEAN_TRUE, thrift.BYTE: thrift.COMPACT_BYTE, thrift.I16: thrift.COMPACT_I16,
	thrift.I32: thrift.COMPACT_I32, thrift.I64: thrift.COMPACT_I64, thrift.DOUBLE: thrift.COMPACT_DOUBLE,
	thrift.STRING: thrift.COMPACT_BINARY, thrift.LIST: thrift.COMPACT_LIST, thrift.SET: thrift.COMPACT_SET,
	thrift.MAP: thrift.COMPACT_MAP, thrift.STRUCT: thrift.COMPACT_STRUCT, thrift.UUID: thrift.COMPACT_UUID,
}

// compactCode returns the compact code of a type; 0 for types that do not exist, as in the stock
// library.
func compactCode(t thrift.TType) byte {
	if int(t) < len(compactType) {
		return compactType[t]
	}
	return 0
}

func (w *compactWriter) Reset() {
	w.b = w.b[:0]
	w.last, w.outer, w.boolDue = 0, w.outer[:0], false
}

func (w *compactWriter) Free() {
	w.Reset()
	w.end()
	compactWriters.Put(w)
}

func (w *compactWriter) WriteMessageBegin(ctx context.Context, name string, kind thrift.TMessageType, seq int32) error {
	if err := w.fits(2); err != nil {
		return err
	}
	w.b = append(w.b, thrift.COMPACT_PROTOCOL_ID, thrift.COMPACT_VERSION|byte(kind)<<thrift.COMPACT_TYPE_SHIFT_AMOUNT)
	if err := w.uvarint(uint64(uint32(seq))); err != nil {
		return err
	}
	return w.WriteString(ctx, name)
}

func (w *compactWriter) WriteStructBegin(context.Context, string) error {
	w.outer = append(w.outer, w.last)
	w.last = 0
	return nil
}

func (w *compactWriter) WriteStructEnd(context.Context) error {
	n := len(w.outer) - 1
	if n < 0 {
		return fail(thrift.INVALID_DATA, "WriteStructEnd without WriteStructBegin")
	}
	w.last, w.outer = w.outer[n], w.outer[:n]
	return nil
}

func (w *compactWriter) WriteFieldStop(context.Context) error { return w.byte(thrift.STOP) }

// WriteFieldBegin delays the header of a bool, which holds the value.
func (w *compactWriter) WriteFieldBegin(_ context.Context, _ string, t thrift.TType, id int16) error {
	if t == thrift.BOOL {
		w.boolID, w.boolDue = id, true
		return nil
	}
	return w.field(compactCode(t), id)
}

func (w *compactWriter) field(t byte, id int16) error {
	delta := int(id) - int(w.last)
	w.last = id
	if 0 < delta && delta <= 15 {
		return w.byte(byte(delta)<<4 | t)
	}
	if err := w.byte(t); err != nil {
		return err
	}
	return w.uvarint(uint64(zigzag32(int32(id))))
}

func (w *compactWriter) WriteMapBegin(_ context.Context, k, v thrift.TType, size int) error {
	if size == 0 {
		return w.byte(0)
	}
	if err := w.uvarint(uint64(uint32(size))); err != nil {
		return err
	}
	return w.byte(compactCode(k)<<4 | compactCode(v))
}

func (w *compactWriter) WriteListBegin(_ context.Context, elem thrift.TType, size int) error {
	if size <= 14 {
		return w.byte(byte(size)<<4 | compactCode(elem))
	}
	if err := w.byte(0xf0 | compactCode(elem)); err != nil {
		return err
	}
	return w.uvarint(uint64(uint32(size)))
}

func (w *compactWriter) WriteSetBegin(ctx context.Context, elem thrift.TType, size int) error {
	return w.WriteListBegin(ctx, elem, size)
}

func (w *compactWriter) WriteBool(_ context.Context, v bool) error {
	t := byte(thrift.COMPACT_BOOLEAN_FALSE)
	if v {
		t = thrift.COMPACT_BOOLEAN_TRUE
	}
	if w.boolDue {
		w.boolDue = false
		return w.field(t, w.boolID)
	}
	return w.byte(t)
}

func (w *compactWriter) WriteI16(_ context.Context, v int16) error {
	return w.uvarint(uint64(zigzag32(int32(v))))
}

func (w *compactWriter) WriteI32(_ context.Context, v int32) error {
	return w.uvarint(uint64(zigzag32(v)))
}

func (w *compactWriter) WriteI64(_ context.Context, v int64) error {
	return w.uvarint(uint64(v<<1) ^ uint64(v>>63))
}

func (w *compactWriter) WriteDouble(_ context.Context, v float64) error {
	if err := w.fits(8); err != nil {
		return err
	}
	w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v))
	return nil
}

func (w *compactWriter) WriteString(_ context.Context, v string) error {
	if err := w.fits(binary.MaxVarintLen32 + len(v)); err != nil {
		return err
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(v)))
	w.b = append(w.b, v...)
	return nil
}

func (w *compactWriter) WriteBinary(_ context.Context, v []byte) error {
	if err := w.fits(binary.MaxVarintLen32 + len(v)); err != nil {
		return err
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(v)))
	w.b = append(w.b, v...)
	return nil
}

func zigzag32(v int32) uint32 { return uint32(v<<1) ^ uint32(v>>31) }
