package flat

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// randomStruct is a random message in a protocol, without its beginning.
func randomStruct(t testing.TB, p Protocol, seed uint64) string {
	t.Helper()
	w := NewWriter(p, math.MaxInt)
	defer w.Free()
	if err := writeMessage(w, seed); err != nil {
		t.Fatal(err)
	}
	r := NewReader(p, string(w.Bytes()), Memory{})
	defer r.Free()
	if _, _, _, err := r.ReadMessageBegin(ctx); err != nil {
		t.Fatal(err)
	}
	whole, err := r.Struct()
	if err != nil || r.Left() != 0 {
		t.Fatalf("seed %d: %v, %d bytes left", seed, err, r.Left())
	}
	return whole
}

func copied(whole string, from, to Protocol, limit int) (string, error) {
	r, w := NewReader(from, whole, Memory{}), NewWriter(to, limit)
	defer r.Free()
	defer w.Free()
	if err := Copy(w, r); err != nil {
		return "", err
	}
	return string(w.Bytes()), nil
}

func TestCopyIsWhatTheOtherProtocolWrites(t *testing.T) {
	for seed := range uint64(2000) {
		binary, compact := randomStruct(t, Binary, seed), randomStruct(t, Compact, seed)
		if got, err := copied(binary, Binary, Compact, math.MaxInt); err != nil || got != compact {
			t.Fatalf("seed %d, binary to compact: %v\n% x\n% x", seed, err, got, compact)
		}
		got, err := copied(compact, Compact, Binary, math.MaxInt)
		if err != nil {
			t.Fatalf("seed %d, compact to binary: %v", seed, err)
		}
		if again, err := copied(got, Binary, Compact, math.MaxInt); err != nil || again != compact {
			t.Fatalf("seed %d, and back: %v", seed, err)
		}
	}
}

func TestCopyStopsAtTheLimit(t *testing.T) {
	w := NewWriter(Compact, math.MaxInt)
	defer w.Free()
	for _, err := range []error{w.WriteStructBegin(ctx, ""), w.WriteFieldBegin(ctx, "", thrift.LIST, 1),
		w.WriteListBegin(ctx, thrift.I64, 1<<16)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 1 << 16 {
		if err := w.WriteI64(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.WriteFieldStop(ctx)
	_, err := copied(string(w.Bytes()), Compact, Binary, 1<<16) // eight bytes for one
	var protocol thrift.TProtocolException
	if !errors.As(err, &protocol) || protocol.TypeId() != thrift.SIZE_LIMIT {
		t.Fatalf("%v", err)
	}
}

func TestCopyGoesNoDeeperThanReaders(t *testing.T) {
	lists := strings.Repeat("\x0f\x00\x00\x00\x01", 100) // lists of lists
	whole := "\x0f\x00\x01" + lists + "\x03\x00\x00\x00\x00" + "\x00"
	_, err := copied(whole, Binary, Compact, math.MaxInt)
	var protocol thrift.TProtocolException
	if !errors.As(err, &protocol) || protocol.TypeId() != thrift.DEPTH_LIMIT {
		t.Fatalf("%v", err)
	}
}

// FuzzCopy checks that a struct accepted by Struct is copied or refused with an error, and that a
// copy of a copy equals the first.
func FuzzCopy(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(true, []byte(randomStruct(f, Compact, seed)))
		f.Add(false, []byte(randomStruct(f, Binary, seed)))
	}
	f.Fuzz(func(t *testing.T, compact bool, b []byte) {
		from, to := Binary, Compact
		if compact {
			from, to = Compact, Binary
		}
		r := NewReader(from, string(b), Memory{})
		whole, err := r.Struct()
		r.Free()
		if err != nil {
			return
		}
		there, err := copied(whole, from, to, 1<<20)
		if err != nil {
			return
		}
		back, err := copied(there, to, from, 1<<20)
		if err != nil {
			t.Fatalf("%q became %q, which is not read: %v", whole, there, err)
		}
		if again, err := copied(back, from, to, 1<<20); err != nil || again != there {
			t.Fatalf("%q, %q, %q, %q: %v", whole, there, back, again, err)
		}
	})
}
