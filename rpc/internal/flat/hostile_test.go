package flat

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/memtest"
)

// begin starts reading the one field of a hostile value.
func begin(r thrift.TProtocol, t thrift.TType) error {
	var err error
	switch t {
	case thrift.STRING:
		if _, err = r.ReadString(ctx); err == nil {
			_, err = r.ReadBinary(ctx)
		}
	case thrift.LIST:
		_, _, err = r.ReadListBegin(ctx)
	case thrift.SET:
		_, _, err = r.ReadSetBegin(ctx)
	case thrift.MAP:
		_, _, _, err = r.ReadMapBegin(ctx)
	}
	return err
}

var hostile = []struct {
	name  string
	proto Protocol
	bytes string
	t     thrift.TType
	kind  int
	says  string
}{
	{
		"string of 2 GiB",
		Binary,
		"\x7f\xff\xff\xffabcdefgh",
		thrift.STRING,
		thrift.SIZE_LIMIT,
		"string of 2147483647 bytes at byte 4, where the message has 8 bytes left",
	},
	{"string of -1", Binary, "\xff\xff\xff\xffabcdefgh", thrift.STRING, thrift.NEGATIVE_SIZE, "negative size -1"},
	{"string one too long", Binary, "\x00\x00\x00\x09abcdefgh", thrift.STRING, thrift.SIZE_LIMIT, "string of 9 bytes"},
	{
		"list of 2 G bytes",
		Binary,
		"\x03\x7f\xff\xff\xffabcdefg",
		thrift.LIST,
		thrift.SIZE_LIMIT,
		"container of 2147483647 elements",
	},
	{
		"list of 2 G structs",
		Binary,
		"\x0c\x7f\xff\xff\xffabcdefg",
		thrift.LIST,
		thrift.SIZE_LIMIT,
		"container of 2147483647 elements",
	},
	{"list of -1", Binary, "\x03\xff\xff\xff\xffabcdefg", thrift.LIST, thrift.NEGATIVE_SIZE, "negative size -1"},
	{
		"set of i64",
		Binary,
		"\x0a\x00\x00\x00\x02abcdefgh",
		thrift.SET,
		thrift.SIZE_LIMIT,
		"needs 16 bytes or more, 8 are left",
	},
	{
		"list of lists",
		Binary,
		"\x0f\x00\x00\x00\x02abcdefgh",
		thrift.LIST,
		thrift.SIZE_LIMIT,
		"needs 10 bytes or more, 8 are left",
	},
	{
		"map of strings",
		Binary,
		"\x0b\x0b\x00\x00\x00\x02abcdefgh",
		thrift.MAP,
		thrift.SIZE_LIMIT,
		"needs 16 bytes or more, 8 are left",
	},
	{
		"map of -2 G",
		Binary,
		"\x0b\x0b\x80\x00\x00\x00abcdef",
		thrift.MAP,
		thrift.NEGATIVE_SIZE,
		"negative size -2147483648",
	},

	{
		"string of 2 GiB",
		Compact,
		"\xff\xff\xff\xff\x07abcdefg",
		thrift.STRING,
		thrift.SIZE_LIMIT,
		"string of 2147483647 bytes",
	},
	{"string of -1", Compact, "\xff\xff\xff\xff\x0fabcdefg", thrift.STRING, thrift.NEGATIVE_SIZE, "negative size -1"},
	{
		"list of 2 G structs",
		Compact,
		"\xfc\xff\xff\xff\xff\x07abcdef",
		thrift.LIST,
		thrift.SIZE_LIMIT,
		"container of 2147483647 elements",
	},
	{"list of -1", Compact, "\xfc\xff\xff\xff\xff\x0fabcdef", thrift.LIST, thrift.NEGATIVE_SIZE, "negative size -1"},
	{
		"set of doubles",
		Compact,
		"\x27abcdefghijk",
		thrift.SET,
		thrift.SIZE_LIMIT,
		"needs 16 bytes or more, 11 are left",
	},
	{
		"map of 2 G strings",
		Compact,
		"\xff\xff\xff\xff\x07\x88abcdef",
		thrift.MAP,
		thrift.SIZE_LIMIT,
		"container of 2147483647 elements",
	},
	{"unknown type", Compact, "\x1eabcdefghijk", thrift.LIST, thrift.INVALID_DATA, "unknown type 0xe"},
	{"endless varint", Compact, strings.Repeat("\xff", 12), thrift.STRING, thrift.INVALID_DATA, "over 10 bytes"},
}

func TestHostileSizes(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader(tt.proto, tt.bytes, Memory{})
			defer r.Free()
			err := begin(r, tt.t)
			wantKind(t, err, tt.kind)
			if !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error %q does not say %q", err, tt.says)
			}
		})
	}
}

// A message of 12 bytes that announces 2 GiB costs only an error.
func TestHostileSizesTakeNoMemory(t *testing.T) {
	for _, tt := range hostile {
		const times = 200
		took := memtest.Allocated(func() {
			for range times {
				r := NewReader(tt.proto, tt.bytes, Memory{})
				if begin(r, tt.t) == nil {
					t.Fatal("no error")
				}
				r.Free()
			}
		})
		if each := took / times; each > 2048 {
			t.Errorf("%s: %d bytes for %d bytes", tt.name, each, len(tt.bytes))
		}
	}
}

// Nested containers can't each announce the rest of the message.
func TestNestedAnnouncements(t *testing.T) {
	const size = 1 << 16
	message := make([]byte, size)
	at := 0
	for range 40 {
		message[at] = byte(thrift.LIST)
		n := (size - at - 5) / 5
		binary.BigEndian.PutUint32(message[at+1:], uint32(n))
		at += 5
	}
	r := NewReader(Binary, string(message), Memory{})
	defer r.Free()
	announced := 0
	for range 40 {
		_, n, err := r.ReadListBegin(ctx)
		if err != nil {
			wantKind(t, err, thrift.SIZE_LIMIT)
			break
		}
		announced += n
	}
	if announced > size {
		t.Fatalf("%d bytes announce %d elements", size, announced)
	}
}

func TestDepth(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		nested := func(depth int) string {
			w := NewWriter(p, 1<<20)
			defer w.Free()
			for range depth {
				w.WriteStructBegin(ctx, "")
				w.WriteFieldBegin(ctx, "", thrift.STRUCT, 1)
			}
			w.WriteStructBegin(ctx, "")
			for range depth + 1 {
				w.WriteFieldStop(ctx)
				w.WriteStructEnd(ctx)
			}
			return string(w.Bytes())
		}
		open := func(s string) error {
			r := NewReader(p, s, Memory{})
			defer r.Free()
			for {
				if _, err := r.ReadStructBegin(ctx); err != nil {
					return err
				}
				if _, kind, _, err := r.ReadFieldBegin(ctx); err != nil || kind == thrift.STOP {
					return err
				}
			}
		}
		skip := func(s string) error {
			r := NewReader(p, s, Memory{})
			defer r.Free()
			return r.Skip(ctx, thrift.STRUCT)
		}
		if err := errors.Join(open(nested(63)), skip(nested(63))); err != nil {
			t.Fatalf("64 deep: %v", err)
		}
		wantKind(t, open(nested(64)), thrift.DEPTH_LIMIT)
		wantKind(t, skip(nested(64)), thrift.DEPTH_LIMIT)
		wantKind(t, skip(nested(20000)), thrift.DEPTH_LIMIT)
	})
}

func TestStructEndsTwice(t *testing.T) {
	both(t, func(t *testing.T, p Protocol) {
		r, w := NewReader(p, "", Memory{}), NewWriter(p, 10)
		defer r.Free()
		defer w.Free()
		wantKind(t, r.ReadStructEnd(ctx), thrift.INVALID_DATA)
		if p == Compact {
			wantKind(t, w.WriteStructEnd(ctx), thrift.INVALID_DATA)
		}
	})
}

func TestBadVersion(t *testing.T) {
	for p, s := range map[Protocol]string{Binary: "\x00\x00\x00\x04ping\x01\x00\x00\x00\x01",
		Compact: "\x82\x22\x01\x04ping"} {
		r := NewReader(p, s, Memory{})
		_, _, _, err := r.ReadMessageBegin(ctx)
		wantKind(t, err, thrift.BAD_VERSION)
		r.Free()
	}
}

// For any bytes, this package and the stock library read the same, except that this package allows
// less nesting.
func fuzz(f *testing.F, p Protocol) {
	for seed := range uint64(8) {
		f.Add(stockBytes(f, p, seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(p, string(b), Memory{})
		defer r.Free()
		got, err := readMessage(r)
		s, rest := stock(p, b)
		want, stockErr := readMessage(s)
		var e thrift.TProtocolException
		switch {
		case err == nil && stockErr != nil:
			t.Fatalf("only the stock library fails: %v", stockErr)
		case err == nil && (got != want || r.Left() != rest.Len()):
			t.Fatalf("\n got %s, %d left\nwant %s, %d left", got, r.Left(), want, rest.Len())
		case err != nil && !errors.As(err, &e):
			t.Fatalf("an error of another kind: %v", err)
		case err != nil && stockErr == nil && e.TypeId() != thrift.DEPTH_LIMIT:
			t.Fatalf("only we fail: %v", err)
		}
	})
}

func FuzzBinary(f *testing.F)  { fuzz(f, Binary) }
func FuzzCompact(f *testing.F) { fuzz(f, Compact) }
