package flat

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
)

// skipped is the result of skipping a value.
type skipped struct {
	kind int // type id of the error, -1 = none
	left int // bytes, when there was no error
	rest string
}

// skipBy skips the first value of a message that is one struct, and reads the next value.
func skipBy(p Protocol, message string, skip func(r Reader, t thrift.TType) error) skipped {
	r := NewReader(p, message, Memory{})
	defer r.Free()
	_, _ = r.ReadStructBegin(ctx)
	_, t, _, err := r.ReadFieldBegin(ctx)
	if err == nil {
		err = skip(r, t)
	}
	if e, ok := errors.AsType[thrift.TProtocolException](err); ok {
		return skipped{kind: e.TypeId()}
	}
	left := r.Left()
	_, t, id, err := r.ReadFieldBegin(ctx) // its number shows whether the reader still counts
	rest := &reader{p: r}
	note(rest, [2]int{int(t), int(id)}, err)
	if t != thrift.STOP {
		rest.value(t, 1)
	}
	return skipped{-1, left, rest.out.String()}
}

// sameSkip compares Skip with the stock library, which skips by reading: with this package's
// reader, and with its own.
func sameSkip(t *testing.T, p Protocol, message []byte) {
	t.Helper()
	got := skipBy(p, string(message), func(r Reader, k thrift.TType) error { return r.Skip(ctx, k) })
	want := skipBy(
		p,
		string(message),
		func(r Reader, k thrift.TType) error { return thrift.SkipDefaultDepth(ctx, r, k) },
	)
	if got != want {
		t.Fatalf("%v of % x\n got %+v\nwant %+v", p, message, got, want)
	}
	s, rest := stock(p, append([]byte(nil), message...))
	_, _ = s.ReadStructBegin(ctx)
	_, k, _, err := s.ReadFieldBegin(ctx)
	if err == nil {
		err = s.Skip(ctx, k)
	}
	switch {
	case got.kind == -1 && err != nil:
		t.Fatalf("%v of % x: only the stock library refuses: %v", p, message, err)
	case got.kind == -1 && got.left != rest.Len():
		t.Fatalf("%v of % x: %d bytes are left, the stock library leaves %d", p, message, got.left, rest.Len())
	}
}

func TestSkipAsStock(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		rng := rand.New(rand.NewPCG(1, 2))
		for seed := range uint64(100) {
			w, out := stock(p, nil)
			v := &writer{p: w, rng: rand.New(rand.NewPCG(seed, 3))}
			v.value(thrift.STRUCT, 6)
			message := out.Bytes()
			sameSkip(t, p, message)
			for range 10 { // cut and spoilt
				bad := append([]byte(nil), message[:rng.IntN(len(message)+1)]...)
				if len(bad) > 0 {
					bad[rng.IntN(len(bad))] = byte(rng.IntN(256)) >> rng.IntN(8)
				}
				sameSkip(t, p, bad)
			}
		}
	})
}

// nestedLists is a field of lists within lists, deep levels deep, around n elements of a type.
func nestedLists(p Protocol, deep int, elem byte, n int, each []byte) []byte {
	b := []byte{byte(thrift.LIST), 0, 1}
	if p == Compact {
		b = []byte{0x10 | thrift.COMPACT_LIST}
	}
	list := func(of byte, n int) {
		if p == Compact {
			b = binary.AppendUvarint(append(b, 0xf0|of), uint64(n))
			return
		}
		b = binary.BigEndian.AppendUint32(append(b, of), uint32(n))
	}
	for range deep - 1 {
		if p == Compact {
			list(thrift.COMPACT_LIST, 1)
		} else {
			list(byte(thrift.LIST), 1)
		}
	}
	list(elem, n)
	for range n {
		b = append(b, each...)
	}
	return append(b, 0)
}

func TestSkipDepth(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		i32 := byte(thrift.I32)
		if p == Compact {
			i32 = thrift.COMPACT_I32
		}
		four := make([]byte, 4)
		for deep := 60; deep < 70; deep++ {
			sameSkip(t, p, nestedLists(p, deep, i32, 0, nil))
			sameSkip(t, p, nestedLists(p, deep, i32, 3, four))
			sameSkip(t, p, nestedLists(p, deep, 0, 3, four))    // no type
			sameSkip(t, p, nestedLists(p, deep, 0x0e, 3, four)) // none of compact
		}
		skip := func(r Reader, k thrift.TType) error { return r.Skip(ctx, k) }
		if got := skipBy(p, string(nestedLists(p, 20000, i32, 1, four)), skip); got.kind != thrift.DEPTH_LIMIT {
			t.Fatalf("20000 deep: %+v", got)
		}
	})
}

func FuzzSkip(f *testing.F) {
	for seed := range uint64(4) {
		for _, p := range []Protocol{Binary, Compact} {
			w, out := stock(p, nil)
			v := &writer{p: w, rng: rand.New(rand.NewPCG(seed, 3))}
			v.value(thrift.STRUCT, 5)
			f.Add(out.Bytes(), p == Compact)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, compact bool) {
		p := Binary
		if compact {
			p = Compact
		}
		sameSkip(t, p, b)
	})
}

// bombs are fields that are slow to read element by element.
func bombs(p Protocol, size int) map[string]string {
	kinds := map[string]struct {
		binary, compact byte
		each            int // bytes, in binary
	}{
		"bytes":       {byte(thrift.BYTE), thrift.COMPACT_BYTE, 1},
		"bools":       {byte(thrift.BOOL), thrift.COMPACT_BOOLEAN_TRUE, 1},
		"numbers":     {byte(thrift.I64), thrift.COMPACT_I64, 8},
		"empty texts": {byte(thrift.STRING), thrift.COMPACT_BINARY, 4},
		"structs":     {byte(thrift.STRUCT), thrift.COMPACT_STRUCT, 1},
		"lists":       {byte(thrift.LIST), thrift.COMPACT_LIST, 5},
		"maps":        {byte(thrift.MAP), thrift.COMPACT_MAP, 6},
	}
	all := map[string]string{}
	for name, k := range kinds {
		elem, each := k.binary, k.each
		if p == Compact {
			elem, each = k.compact, 1
		}
		all[name] = string(nestedLists(p, 1, elem, size/each, make([]byte, each)))
	}
	return all
}

// countedSkipper counts the steps of skipElements.
type countedSkipper struct {
	skipper
	steps int
}

func (c *countedSkipper) skip(t thrift.TType, depth int) error {
	c.steps++
	return c.skipper.skip(t, depth)
}

func (c *countedSkipper) pass(n int, what string) error {
	c.steps++
	return c.skipper.pass(n, what)
}

func (c *countedSkipper) simple(t thrift.TType, n int) (left int) {
	c.steps++
	return c.skipper.simple(t, n)
}

// All elements of a list take one step together: elements of one size without a look at their
// bytes, others in one loop over the bytes. Only elements with a content of several parts are skipped
// one by one.
func TestSkipIsQuick(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		for name, message := range bombs(p, 64<<10) {
			r := NewReader(p, message, Memory{})
			_, _ = r.ReadStructBegin(ctx)
			_, _, _, _ = r.ReadFieldBegin(ctx)
			elem, n, err := r.(interface {
				listHead() (thrift.TType, int, error)
			}).listHead()
			if err != nil || n < 1000 {
				t.Fatalf("%s: %d elements: %v", name, n, err)
			}
			c := &countedSkipper{skipper: r.(skipper)}
			if err := skipElements(c, n, maxDepth-1, elem); err != nil || r.Left() != 1 {
				t.Errorf("%s: %v, %d bytes are left", name, err, r.Left())
			}
			if c.steps != 1 {
				t.Errorf("%s: %d elements take %d steps", name, n, c.steps)
			}
			r.Free()
		}
	})
}

func TestSkipTakesNoMemory(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		for name, message := range bombs(p, 64<<10) {
			r := NewReader(p, message, Memory{})
			_, _ = r.ReadStructBegin(ctx)
			_, k, _, _ := r.ReadFieldBegin(ctx)
			if err := r.Skip(ctx, k); err != nil || r.Used() != 0 {
				t.Errorf("%s: %v, %d bytes were counted", name, err, r.Used())
			}
			r.Free()
		}
	})
}

func BenchmarkSkip(b *testing.B) {
	for name, p := range map[string]Protocol{"binary": Binary, "compact": Compact} {
		for kind, message := range bombs(p, 64<<10) {
			b.Run(name+"/"+strings.ReplaceAll(kind, " ", "-"), func(b *testing.B) {
				b.SetBytes(int64(len(message)))
				for b.Loop() {
					r := NewReader(p, message, Memory{})
					_, _ = r.ReadStructBegin(ctx)
					_, k, _, _ := r.ReadFieldBegin(ctx)
					if err := r.Skip(ctx, k); err != nil {
						b.Fatal(err)
					}
					r.Free()
				}
			})
		}
	}
}
