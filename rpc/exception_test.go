package rpc

import (
	"context"
	"errors"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/rpc/internal/flat"
)

// writeLater writes an exception of a later version with more fields, one of them in the place of
// the text.
func writeLater(ctx context.Context, w thrift.TProtocol, elements int) error {
	errs := []error{w.WriteStructBegin(ctx, "")}
	for _, id := range []int16{1, 7} {
		errs = append(errs, w.WriteFieldBegin(ctx, "", thrift.LIST, id), w.WriteListBegin(ctx, thrift.BOOL, elements))
		for range elements {
			errs = append(errs, w.WriteBool(ctx, true))
		}
	}
	errs = append(errs, w.WriteFieldBegin(ctx, "", thrift.I32, 2), w.WriteI32(ctx, thrift.PROTOCOL_ERROR),
		w.WriteFieldBegin(ctx, "", thrift.STRING, 1), w.WriteString(ctx, "too bad"),
		w.WriteFieldStop(ctx), w.WriteStructEnd(ctx))
	return errors.Join(errs...)
}

// The fields of an exception besides its text and kind take no memory.
func TestExceptionOfLaterVersion(t *testing.T) {
	for _, p := range []flat.Protocol{flat.Binary, flat.Compact} {
		w := flat.NewWriter(p, 8<<20)
		if err := writeLater(t.Context(), w, 1<<20); err != nil {
			t.Fatal(err)
		}
		r := flat.NewReader(p, string(w.Bytes()), flat.Memory{})
		x, err := readException(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if x.TypeId() != thrift.PROTOCOL_ERROR || x.Error() != "too bad" || r.Left() != 0 || r.Used() != 0 {
			t.Errorf("%d %q, %d bytes are left, %d were taken", x.TypeId(), x.Error(), r.Left(), r.Used())
		}
		r.Free()
		w.Free()
	}
}
