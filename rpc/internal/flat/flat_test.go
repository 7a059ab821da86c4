package flat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

func both(t *testing.T, f func(t *testing.T, p Protocol)) {
	t.Helper()
	t.Run("binary", func(t *testing.T) { f(t, Binary) })
	t.Run("compact", func(t *testing.T) { f(t, Compact) })
}

// stockBytes is a random message as the stock library writes it.
func stockBytes(t testing.TB, p Protocol, seed uint64) []byte {
	t.Helper()
	w, out := stock(p, nil)
	if err := writeMessage(w, seed); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSameBytesAsStock(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		for seed := range uint64(500) {
			want := stockBytes(t, p, seed)
			w := NewWriter(p, 1<<20)
			if err := writeMessage(w, seed); err != nil {
				t.Fatal(err)
			}
			if got := w.Bytes(); !bytes.Equal(got, want) {
				t.Fatalf("seed %d:\n got %x\nwant %x", seed, got, want)
			}
			w.Free()
		}
	})
}

func TestSameValuesAsStock(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		for seed := range uint64(500) {
			b := stockBytes(t, p, seed)
			s, _ := stock(p, bytes.Clone(b))
			want, err := readMessage(s)
			if err != nil {
				t.Fatal(err)
			}
			r := NewReader(p, string(b), Memory{})
			got, err := readMessage(r)
			if err != nil || got != want {
				t.Fatalf("seed %d: %v\n got %s\nwant %s", seed, err, got, want)
			}
			if r.Left() != 0 {
				t.Fatalf("seed %d: %d bytes left", seed, r.Left())
			}
			r.Free()
		}
	})
}

// A message that is cut anywhere gives an error of the protocol, and the values before the cut are
// those of the stock library.
func TestEveryPrefix(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		for seed := range uint64(40) {
			whole := stockBytes(t, p, seed)
			for n := range min(len(whole), 600) {
				r := NewReader(p, string(whole[:n]), Memory{})
				_, err := readMessage(r)
				var e thrift.TProtocolException
				if !errors.As(err, &e) {
					t.Fatalf("seed %d cut at %d: %v", seed, n, err)
				}
				if k := e.TypeId(); k != thrift.INVALID_DATA && k != thrift.SIZE_LIMIT {
					t.Fatalf("seed %d cut at %d: type id %d: %v", seed, n, k, err)
				}
				r.Free()
			}
		}
	})
}

func TestTruncatedIsUnexpectedEOF(t *testing.T) {
	r := NewReader(Binary, "\x80\x01", Memory{})
	defer r.Free()
	_, _, _, err := r.ReadMessageBegin(ctx)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", err)
	}
}

func TestWriterLimit(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		w := NewWriter(p, 100)
		defer w.Free()
		err := w.WriteString(ctx, string(make([]byte, 200)))
		wantKind(t, err, thrift.SIZE_LIMIT)
		for range 101 {
			if err = w.WriteByte(ctx, 1); err != nil {
				break
			}
		}
		wantKind(t, err, thrift.SIZE_LIMIT)
		if n := len(w.Bytes()); n != 100 {
			t.Fatalf("%d bytes were written", n)
		}
	})
}

func TestReset(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		w := NewWriter(p, 1<<10)
		defer w.Free()
		// An open struct and a waiting bool are dropped.
		w.WriteStructBegin(ctx, "s")
		w.WriteFieldBegin(ctx, "f", thrift.I32, 9)
		w.WriteFieldBegin(ctx, "b", thrift.BOOL, 10)
		w.Reset()
		if err := writeMessage(w, 5); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(w.Bytes(), stockBytes(t, p, 5)) {
			t.Fatal("bytes differ after Reset")
		}
	})
}

func TestOtherHalfFails(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		w, r := NewWriter(p, 100), NewReader(p, "abc", Memory{})
		defer w.Free()
		defer r.Free()
		if _, err := w.ReadI32(ctx); err == nil {
			t.Error("a writer read")
		}
		if err := r.WriteI32(ctx, 1); err == nil {
			t.Error("a reader wrote")
		}
		if !r.Transport().IsOpen() || !w.Transport().IsOpen() {
			t.Error("generated code would think that the connection is closed")
		}
	})
}

func TestPoolKeepsNoLargeBuffer(t *testing.T) {
	w := newBinaryWriter().(*binaryWriter)
	w.limit = 1 << 20
	w.WriteBinary(ctx, make([]byte, keep+1))
	w.end()
	if w.b != nil {
		t.Fatalf("a buffer of %d bytes stays", cap(w.b))
	}
}

func TestReadBinaryIsPrivate(t *testing.T) {
	message := "\x00\x00\x00\x03abc"
	r := NewReader(Binary, message, Memory{})
	defer r.Free()
	b, err := r.ReadBinary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b[0] = 'x'
	if message[4] != 'a' {
		t.Fatal("the message changed")
	}
}

func wantKind(t *testing.T, err error, kind int) {
	t.Helper()
	var e thrift.TProtocolException
	if !errors.As(err, &e) || e.TypeId() != kind {
		t.Fatalf("got %v (%s), want type id %d", err, fmt.Sprintf("%T", err), kind)
	}
}
