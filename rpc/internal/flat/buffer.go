package flat

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"
)

// buffer is shared by both writers, which append to it.
type buffer struct {
	thrift.TProtocol // methods that this package does not implement

	b     []byte
	limit int
}

// end prepares the buffer for the pool.
func (w *buffer) end() {
	w.b = w.b[:0]
	if cap(w.b) > keep {
		w.b = nil
	}
}

func (w *buffer) Bytes() []byte { return w.b }

// WriteFieldEnd has no bytes in either protocol.
func (w *buffer) WriteFieldEnd(context.Context) error { return nil }

// fits returns an error when n more bytes would exceed the limit.
func (w *buffer) fits(n int) error {
	if n > w.limit-len(w.b) {
		return fail(thrift.SIZE_LIMIT, "message takes more than %d bytes, the limit", w.limit)
	}
	return nil
}

func (w *buffer) byte(b byte) error {
	if err := w.fits(1); err != nil {
		return err
	}
	w.b = append(w.b, b)
	return nil
}

func (w *buffer) uvarint(v uint64) error {
	if err := w.fits(binary.MaxVarintLen64); err != nil {
		return err
	}
	w.b = binary.AppendUvarint(w.b, v)
	return nil
}

// WriteUUID writes 16 bytes in both protocols.
func (w *buffer) WriteUUID(_ context.Context, v thrift.Tuuid) error {
	if err := w.fits(len(v)); err != nil {
		return err
	}
	w.b = append(w.b, v[:]...)
	return nil
}

// fail returns a TProtocolException with a formatted text. It keeps errors that the format wraps.
func fail(kind int, format string, args ...any) error {
	return thrift.NewTProtocolExceptionWithType(kind, fmt.Errorf(format, args...))
}
