package flat

import (
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// record is a call with one string of 100 bytes, a list of 10 numbers and a map of 4 strings, like
// a typical service's method.
func record(p thrift.TProtocol) {
	_ = p.WriteMessageBegin(ctx, "GetToken", thrift.CALL, 1)
	_ = p.WriteStructBegin(ctx, "")
	_ = p.WriteFieldBegin(ctx, "", thrift.STRING, 1)
	_ = p.WriteString(ctx, hundred)
	_ = p.WriteFieldBegin(ctx, "", thrift.LIST, 2)
	_ = p.WriteListBegin(ctx, thrift.I64, 10)
	for i := range int64(10) {
		_ = p.WriteI64(ctx, i<<20)
	}
	_ = p.WriteFieldBegin(ctx, "", thrift.MAP, 3)
	_ = p.WriteMapBegin(ctx, thrift.STRING, thrift.STRING, 4)
	for range 8 {
		_ = p.WriteString(ctx, "word")
	}
	_ = p.WriteFieldStop(ctx)
	_ = p.WriteStructEnd(ctx)
	_ = p.WriteMessageEnd(ctx)
}

var hundred = string(make([]byte, 100))

func readRecord(b *testing.B, p thrift.TProtocol) {
	if _, _, _, err := p.ReadMessageBegin(ctx); err != nil {
		b.Fatal(err)
	}
	_, _ = p.ReadStructBegin(ctx)
	_, _, _, _ = p.ReadFieldBegin(ctx)
	_, _ = p.ReadString(ctx)
	_, _, _, _ = p.ReadFieldBegin(ctx)
	_, n, _ := p.ReadListBegin(ctx)
	for range n {
		_, _ = p.ReadI64(ctx)
	}
	_, _, _, _ = p.ReadFieldBegin(ctx)
	_, _, n, _ = p.ReadMapBegin(ctx)
	for range 2 * n {
		_, _ = p.ReadString(ctx)
	}
	if _, t, _, err := p.ReadFieldBegin(ctx); err != nil || t != thrift.STOP {
		b.Fatal(t, err)
	}
}

func benchmark(b *testing.B, p Protocol) {
	w, out := stock(p, nil)
	record(w)
	message := out.Bytes()
	b.Run("write/flat", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w := NewWriter(p, 1<<20)
			record(w)
			w.Free()
		}
	})
	b.Run("write/stock", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out.Reset()
			record(w)
		}
	})
	b.Run("read/flat", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := NewReader(p, string(message), Memory{})
			readRecord(b, r)
			r.Free()
		}
	})
	b.Run("read/stock", func(b *testing.B) {
		m := thrift.NewTMemoryBufferLen(len(message))
		var r thrift.TProtocol = thrift.NewTBinaryProtocolConf(m, nil)
		if p == Compact {
			r = thrift.NewTCompactProtocolConf(m, nil)
		}
		b.ReportAllocs()
		for b.Loop() {
			m.Reset()
			_, _ = m.Write(message)
			readRecord(b, r)
		}
	})
}

func BenchmarkBinary(b *testing.B)  { benchmark(b, Binary) }
func BenchmarkCompact(b *testing.B) { benchmark(b, Compact) }
