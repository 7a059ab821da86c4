package flat

import (
	"context"
	"encoding/binary"
	"math"
	"sync"

	"github.com/apache/thrift/lib/go/thrift"
)

var binaryWriters = sync.Pool{New: newBinaryWriter}

type binaryWriter struct{ buffer }

func (w *binaryWriter) Reset() { w.b = w.b[:0] }

func (w *binaryWriter) Free() {
	w.end()
	binaryWriters.Put(w)
}

func (w *binaryWriter) WriteMessageBegin(_ context.Context, name string, kind thrift.TMessageType, seq int32) error {
	if err := w.fits(12 + len(name)); err != nil {
		return err
	}
	w.b = binary.BigEndian.AppendUint32(w.b, thrift.VERSION_1|uint32(kind))
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(name)))
	w.b = append(w.b, name...)
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(seq))
	return nil
}

func (w *binaryWriter) WriteStructBegin(context.Context, string) error { return nil }
func (w *binaryWriter) WriteStructEnd(context.Context) error           { return nil }
func (w *binaryWriter) WriteFieldStop(context.Context) error           { return w.byte(thrift.STOP) }

func (w *binaryWriter) WriteFieldBegin(_ context.Context, _ string, t thrift.TType, id int16) error {
	if err := w.fits(3); err != nil {
		return err
	}
	w.b = append(w.b, byte(t), byte(uint16(id)>>8), byte(id))
	return nil
}

func (w *binaryWriter) WriteMapBegin(_ context.Context, k, v thrift.TType, size int) error {
	if err := w.fits(6); err != nil {
		return err
	}
	w.b = append(w.b, byte(k), byte(v))
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(size))
	return nil
}

func (w *binaryWriter) WriteListBegin(_ context.Context, elem thrift.TType, size int) error {
	if err := w.fits(5); err != nil {
		return err
	}
	w.b = append(w.b, byte(elem))
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(size))
	return nil
}

func (w *binaryWriter) WriteSetBegin(ctx context.Context, elem thrift.TType, size int) error {
	return w.WriteListBegin(ctx, elem, size)
}

func (w *binaryWriter) WriteBool(_ context.Context, v bool) error {
	if v {
		return w.byte(1)
	}
	return w.byte(0)
}

func (w *binaryWriter) WriteI16(_ context.Context, v int16) error {
	if err := w.fits(2); err != nil {
		return err
	}
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(v))
	return nil
}

func (w *binaryWriter) WriteI32(_ context.Context, v int32) error {
	if err := w.fits(4); err != nil {
		return err
	}
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(v))
	return nil
}

func (w *binaryWriter) WriteI64(_ context.Context, v int64) error { return w.u64(uint64(v)) }

func (w *binaryWriter) WriteDouble(_ context.Context, v float64) error {
	return w.u64(math.Float64bits(v))
}

func (w *binaryWriter) u64(v uint64) error {
	if err := w.fits(8); err != nil {
		return err
	}
	w.b = binary.BigEndian.AppendUint64(w.b, v)
	return nil
}

func (w *binaryWriter) WriteString(_ context.Context, v string) error {
	if err := w.fits(4 + len(v)); err != nil {
		return err
	}
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(v)))
	w.b = append(w.b, v...)
	return nil
}

func (w *binaryWriter) WriteBinary(_ context.Context, v []byte) error {
	if err := w.fits(4 + len(v)); err != nil {
		return err
	}
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(v)))
	w.b = append(w.b, v...)
	return nil
}
