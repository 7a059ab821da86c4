package theader

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/memtest"
)

var ctx = context.Background()

// sample is a header and a binary message that calls m with sequence id 7.
func sample() (*Header, string) {
	h := &Header{Seq: 7, Flags: OutOfOrder}
	h.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	h.Set("sk-s", "auth")
	h.Set("empty", "")
	h.Set("", "no key")
	h.Set("any bytes", "\x00\xff\n")
	return h, "\x80\x01\x00\x01\x00\x00\x00\x01m\x00\x00\x00\x07\x00"
}

func frame(t testing.TB, h *Header, payload string) []byte {
	t.Helper()
	b, err := Append(nil, h, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, payload...)
	if err := Finish(b, Limits{}); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStockReadsOurs(t *testing.T) {
	for _, proto := range []byte{Binary, Compact} {
		h, payload := sample()
		h.Protocol = proto
		if proto == Compact {
			payload = "\x82\x21\x07\x01m\x00"
		}
		p := thrift.NewTHeaderProtocolConf(memory(frame(t, h, payload)), nil)
		name, kind, seq, err := p.ReadMessageBegin(ctx)
		if err != nil || name != "m" || kind != thrift.CALL || seq != 7 {
			t.Fatalf("protocol %d: %q %d %d %v", proto, name, kind, seq, err)
		}
		got := p.GetReadHeaders()
		if len(got) != len(h.Info) {
			t.Errorf("stock read %q", got)
		}
		for _, pair := range h.Info {
			if got[pair.Key] != pair.Value {
				t.Errorf("stock read %q = %q, want %q", pair.Key, got[pair.Key], pair.Value)
			}
		}
	}
}

func TestWeReadStock(t *testing.T) {
	for _, proto := range []byte{Binary, Compact} {
		for _, zipped := range []bool{false, true} {
			t.Run(fmt.Sprintf("protocol %d, zlib %v", proto, zipped), func(t *testing.T) {
				stock := stockFrame(t, proto, zipped)
				var h Header
				payload, err := parseAll(string(stock[lengthSize:]), &h, Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if h.Protocol != proto || h.Get("a") != "1" || h.Get("b") != strings.Repeat("x", 300) ||
					len(h.Info) != 2 {
					t.Errorf("header %+v", h)
				}
				if !strings.Contains(payload, "method") || !strings.Contains(payload, strings.Repeat("text", 100)) {
					t.Errorf("payload %q", payload)
				}
			})
		}
	}
}

// parseAll also undoes the compression.
func parseAll(frame string, h *Header, l Limits) (string, error) {
	payload, err := Parse(frame, h, l)
	if err != nil || !h.Zipped {
		return payload, err
	}
	return Inflate(payload, l, func(int) error { return nil })
}

func memory(b []byte) *thrift.TMemoryBuffer { return &thrift.TMemoryBuffer{Buffer: bytes.NewBuffer(b)} }

func stockFrame(t *testing.T, proto byte, zipped bool) []byte {
	t.Helper()
	id := thrift.THeaderProtocolID(proto)
	conf := &thrift.TConfiguration{THeaderProtocolID: &id}
	if zipped {
		conf.THeaderTransforms = []thrift.THeaderTransformID{thrift.TransformZlib}
	}
	m := memory(nil)
	p := thrift.NewTHeaderProtocolConf(m, conf)
	p.SetWriteHeader("a", "1")
	p.SetWriteHeader("b", strings.Repeat("x", 300))
	err := errors.Join(p.WriteMessageBegin(ctx, "method", thrift.CALL, 3), p.WriteStructBegin(ctx, ""),
		p.WriteFieldBegin(ctx, "", thrift.STRING, 1), p.WriteString(ctx, strings.Repeat("text", 100)),
		p.WriteFieldStop(ctx), p.WriteMessageEnd(ctx), p.Flush(ctx))
	if err != nil {
		t.Fatal(err)
	}
	return m.Bytes()
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var got Header // reused for all, like on connections
	for range 2000 {
		want, payload := randomHeader(rng)
		f := frame(t, want, payload)
		if n := binary.BigEndian.Uint32(f); int(n) != len(f)-lengthSize {
			t.Fatalf("length word %d in %d bytes", n, len(f))
		}
		p, err := Parse(string(f[lengthSize:]), &got, Limits{})
		if err != nil || p != payload || !same(want, &got) {
			t.Fatalf("%v\n got %+v %q\nwant %+v %q", err, got, p, want, payload)
		}
	}
}

func randomHeader(rng *rand.Rand) (*Header, string) {
	text := func(n int) string {
		b := make([]byte, rng.IntN(n))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	h := &Header{Seq: int32(rng.Uint32()), Flags: uint16(rng.Uint32()), Protocol: byte(rng.IntN(2)) * Compact}
	for range rng.IntN(6) {
		h.Set(text(40), text(400))
	}
	return h, text(300)
}

func same(a, b *Header) bool {
	return a.Seq == b.Seq && a.Flags == b.Flags && a.Protocol == b.Protocol && slices.Equal(a.Info, b.Info)
}

func TestEveryPrefixOfAFrame(t *testing.T) {
	h, payload := sample()
	whole := string(frame(t, h, payload)[lengthSize:])
	var got Header
	for n := range len(whole) - len(payload) {
		if _, err := Parse(whole[:n], &got, Limits{}); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestWhatIsWrong(t *testing.T) {
	fixed := func(words int) string {
		return "\x0f\xff\x00\x00\x00\x00\x00\x01" + string([]byte{byte(words >> 8), byte(words)})
	}
	tests := []struct {
		name, frame string
		is          error
		says        string
	}{
		{"empty", "", ErrMalformed, "0 bytes, a header frame has at least 10"},
		{"magic", "\x0f\xfe" + fixed(1)[2:] + "\x00\x00\x00\x00", ErrMalformed, "magic is 0x0ffe"},
		{
			"block over the frame",
			fixed(2) + "\x00\x00\x00\x00",
			ErrMalformed,
			"header block of 8 bytes in a frame with 4 left",
		},
		{"block over the limit", fixed(0x1001), ErrTooLarge, "header block of 16388 bytes is over the limit of 16384"},
		{"no block", fixed(0), ErrMalformed, "ends within the protocol id"},
		{"protocol", fixed(1) + "\x01\x00\x00\x00", ErrMalformed, "protocol 1 is neither"},
		{"hmac", fixed(1) + "\x00\x01\x02\x00", ErrMalformed, "transform 2 (HMAC) is not supported"},
		{"snappy", fixed(1) + "\x00\x01\x03\x00", ErrMalformed, "transform 3 (snappy) is not supported"},
		{"two zlibs", fixed(1) + "\x00\x02\x01\x01", ErrMalformed, "zlib is applied twice"},
		{"transforms", fixed(2) + "\x00\xff\xff\xff\xff\x0f\x00\x00", ErrMalformed, "4294967295 transforms"},
		{"infos over the limit", fixed(2) + "\x00\x00\x01\x81\x01\x00\x00\x00", ErrTooLarge, "header of 129 infos"},
		{
			"2 billion infos",
			fixed(3) + "\x00\x00\x01\xff\xff\xff\xff\x07\x00\x00\x00\x00",
			ErrTooLarge,
			"2147483647 infos",
		},
		{
			"infos over the block",
			fixed(1) + "\x00\x00\x01\x7f",
			ErrMalformed,
			"127 infos in a header block with 0 bytes left",
		},
		{
			"long key",
			fixed(2) + "\x00\x00\x01\x01\x70abc",
			ErrMalformed,
			"info key of 112 bytes in a header block with 3 left",
		},
		{"varint", fixed(2) + "\x80\x80\x80\x80\x80\x00\x00\x00", ErrMalformed, "protocol id is over 32 bits"},
		{"no zlib", fixed(1) + "\x00\x01\x01\x00junk", ErrMalformed, "zlib payload"},
		{"zlib and snappy", fixed(1) + "\x00\x02\x01\x03", ErrMalformed, "transform 3 (snappy) is not supported"},
		{"unknown transform", fixed(1) + "\x00\x01\x2a\x00", ErrMalformed, "transform 42 is not supported"},
		{"half a zlib", fixed(1) + "\x00\x01\x01\x00" + deflated("x")[:6], ErrMalformed, "unexpected EOF"},
		{
			"bytes behind zlib",
			fixed(1) + "\x00\x01\x01\x00" + deflated("x") + "ab",
			ErrMalformed,
			"2 bytes stand behind the zlib payload",
		},
		{"zlib dictionary", fixed(1) + "\x00\x01\x01\x00" + withDictionary(), ErrMalformed, "preset dictionary"},
		{
			"empty zlib dictionary",
			fixed(1) + "\x00\x01\x01\x00\x78\x20\x00\x00\x00\x01\x03\x00\x00\x00\x00\x01",
			ErrMalformed,
			"preset dictionary",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseAll(tt.frame, new(Header), Limits{})
			if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
		})
	}
}

func TestUnknownInfosArePassedOver(t *testing.T) {
	f := "\x0f\xff\x00\x00\x00\x00\x00\x01\x00\x03" + "\x00\x00\x01\x01\x01k\x01v" + "\x63\x05xx" + "payload"
	var h Header
	payload, err := Parse(f, &h, Limits{})
	if err != nil || payload != "payload" || h.Get("k") != "v" || len(h.Info) != 1 {
		t.Fatalf("%v %q %+v", err, payload, h)
	}
}

func TestLimitsOnWriting(t *testing.T) {
	many := &Header{Info: make([]Pair, DefaultInfos+1)}
	large := &Header{Info: []Pair{{"k", strings.Repeat("x", DefaultHeader)}}}
	for _, h := range []*Header{many, large} {
		if _, err := Append(nil, h, Limits{}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("Append: %v", err)
		}
	}
	if err := Finish(make([]byte, 200), Limits{Frame: 100}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Finish: %v", err)
	}
	if err := (Limits{}).CheckFrame(1 << 31); !errors.Is(err, ErrTooLarge) {
		t.Errorf("CheckFrame: %v", err)
	}
	if err := (Limits{}).CheckFrame(DefaultFrame); err != nil {
		t.Error(err)
	}
}

func deflated(text string) string {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return z.String()
}

func withDictionary() string {
	var z bytes.Buffer
	w, _ := zlib.NewWriterLevelDict(&z, zlib.BestCompression, []byte("word"))
	_, _ = w.Write([]byte("word"))
	_ = w.Close()
	return z.String()
}

// purse grants memory up to a limit and records the largest amount held.
type purse struct{ limit, held, most int }

var errPurse = errors.New("no more memory")

func (p *purse) take(n int) error {
	if p.held+n > p.limit {
		return errPurse
	}
	p.held += n
	p.most = max(p.most, p.held)
	return nil
}

// Memory is requested before it is taken, never for much more than the result, and given back when
// the payload is refused.
func TestInflateAsksForMemory(t *testing.T) {
	bomb := deflated(string(make([]byte, 8<<20)))
	for _, tt := range []struct {
		name         string
		zipped       string
		frame, purse int
		is           error
		held, most   int
	}{
		{"small", deflated("x"), 1 << 20, 1 << 20, nil, firstPiece, firstPiece},
		{"as large as a frame", deflated(string(make([]byte, 1<<20))), 1 << 20, 8 << 20, nil, 1<<20 + 1, 2<<20 + 1},
		{"over the limit", bomb, 1 << 17, 8 << 20, ErrTooLarge, 0, 1<<18 + 1},
		{"not given", bomb, 16 << 20, 1 << 18, errPurse, 0, 1 << 18},
		{"nothing given", bomb, 16 << 20, 0, errPurse, 0, 0},
		{"cut", bomb[:500], 16 << 20, 8 << 20, ErrMalformed, 0, 4 << 20},
		{"grown a thousandfold", bomb, 16 << 20, 32 << 20, ErrTooLarge, 0, 4<<20 + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p *purse
			var err error
			took := memtest.Allocated(func() {
				p = &purse{limit: tt.purse}
				_, err = Inflate(tt.zipped, Limits{Frame: tt.frame}, p.take)
			})
			if !errors.Is(err, tt.is) {
				t.Fatalf("got %v, want %v", err, tt.is)
			}
			if p.held != tt.held || p.most > tt.most {
				t.Errorf("%d bytes are held, %d at most; want %d and %d", p.held, p.most, tt.held, tt.most)
			}
			if took > int64(2*p.most+128<<10) {
				t.Errorf("%d bytes were allocated, %d asked for", took, p.most)
			}
		})
	}
}

// Strings of a large frame's header do not keep the frame.
func TestLargeFramesAreNotKept(t *testing.T) {
	for _, size := range []int{100, largeFrame} {
		h, _ := sample()
		f := string(frame(t, h, strings.Repeat("x", size))[lengthSize:])
		var got Header
		if _, err := Parse(f, &got, Limits{}); err != nil {
			t.Fatal(err)
		}
		begin := uintptr(unsafe.Pointer(unsafe.StringData(f)))
		at := uintptr(unsafe.Pointer(unsafe.StringData(got.Info[0].Value)))
		if inside := begin <= at && at < begin+uintptr(len(f)); inside != (len(f) <= largeFrame) {
			t.Errorf("a frame of %d bytes: the header's strings are within it: %v", len(f), inside)
		}
	}
}

// For any bytes, no more than the limit is requested, and after an error nothing is held.
func FuzzInflate(f *testing.F) {
	f.Add(deflated("some text"))
	f.Add(deflated(string(make([]byte, 1<<17))))
	f.Add(deflated("x") + "y")
	f.Add(withDictionary())
	f.Fuzz(func(t *testing.T, zipped string) {
		const frame = 1 << 16
		p := &purse{limit: 3 * frame}
		out, err := Inflate(zipped, Limits{Frame: frame}, p.take)
		switch {
		case err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge):
			t.Fatalf("an error of another kind: %v", err)
		case err != nil && p.held != 0, p.held < len(out), len(out) > frame, p.most > 2*frame+2:
			t.Fatalf("%d bytes held, %d at most, for %d bytes: %v", p.held, p.most, len(out), err)
		}
	})
}

// No announcement of a header makes the parser take memory.
func TestParseTakesNoMemory(t *testing.T) {
	h, payload := sample()
	good := string(frame(t, h, payload)[lengthSize:])
	var got Header
	if n := testing.AllocsPerRun(100, func() { _, _ = Parse(good, &got, Limits{}) }); n != 0 {
		t.Errorf("%v allocations for a good frame", n)
	}
	hostile := "\x0f\xff\x00\x00\x00\x00\x00\x01\x00\x02" + "\x00\x00\x01\xff\xff\xff\xff\x07"
	took := memtest.Allocated(func() {
		for range 1000 {
			_, _ = Parse(hostile, &got, Limits{})
		}
	})
	if each := took / 1000; each > 1024 {
		t.Errorf("%d bytes for an error", each)
	}
}

func FuzzParse(f *testing.F) {
	h, payload := sample()
	f.Add(string(frame(f, h, payload)[lengthSize:]))
	f.Add("\x0f\xff\x00\x00\x00\x00\x00\x01\x00\x03\x00\x00\x01\x01\x01k\x01v\x63\x05xxpayload")
	f.Add("\x0f\xff\x00\x00\x00\x00\x00\x01\x00\x01\x00\x01\x01\x00x\x9c\x03\x00\x00\x00\x00\x01")
	f.Fuzz(func(t *testing.T, s string) {
		limits := Limits{Frame: 1 << 16}
		var h, again Header
		payload, err := parseAll(s, &h, limits)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		out, err := Append(nil, &h, Limits{Header: maxHeader})
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		p, err := Parse(string(out[lengthSize:])+payload, &again, Limits{Frame: 1 << 18, Header: maxHeader})
		if err != nil || p != payload || !same(&h, &again) {
			t.Fatalf("%v\n once %+v %q\n again %+v %q", err, h, payload, again, p)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	h, _ := sample()
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = Append(buf[:0], h, Limits{})
	}
}

func BenchmarkParse(b *testing.B) {
	h, payload := sample()
	s := string(frame(b, h, payload)[lengthSize:])
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Parse(s, h, Limits{})
	}
}
