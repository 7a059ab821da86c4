package transport

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// bytesConn is a connection that delivers these bytes.
type bytesConn struct {
	net.Conn
	r *bytes.Reader
}

func (c bytesConn) Read(p []byte) (int, error)      { return c.r.Read(p) }
func (c bytesConn) SetReadDeadline(time.Time) error { return nil }

// skip walks through a message in memory.
func skip(p flat.Protocol, message string) (left int, err error) {
	r := flat.NewReader(p, message, flat.Memory{})
	defer r.Free()
	ctx := context.Background()
	if _, _, _, err := r.ReadMessageBegin(ctx); err != nil {
		return 0, err
	}
	err = r.Skip(ctx, thrift.STRUCT)
	return r.Left(), err
}

// unframedEcho is a call of echo without a frame.
func unframedEcho(t testing.TB, p flat.Protocol) []byte {
	w := flat.NewWriter(p, 1<<20)
	defer w.Free()
	args := echo.EchoEchoArgs{
		M: &echo.Message{
			Text:   "text",
			Tags:   map[string]string{"a": "b"},
			Number: 3,
			Parts:  []*echo.Message{{Text: "part"}},
		},
	}
	err := errors.Join(
		w.WriteMessageBegin(t.Context(), "echo", thrift.CALL, 9),
		args.Write(t.Context(), w),
		w.WriteMessageEnd(t.Context()),
	)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(w.Bytes())
}

// For any bytes, the message cut out of a stream is the one that a reader finds at its beginning,
// and a complete message is found.
func FuzzUnframed(f *testing.F) {
	for _, p := range []flat.Protocol{flat.Binary, flat.Compact} {
		b := unframedEcho(f, p)
		f.Add(b, p == flat.Compact)
		f.Add(append(bytes.Clone(b), "more"...), p == flat.Compact)
		f.Add(b[:len(b)-1], p == flat.Compact)
	}
	f.Add(
		[]byte("\x80\x01\x00\x01\x00\x00\x00\x01m\x00\x00\x00\x01\x0d\x00\x01\x03\x00\x00\x00\x00\x01\x05\x00"),
		false,
	) // a map to nothing
	f.Add([]byte("\x82\x21\x01\x01m\x1b\x01\x30\x05\x00"), true)
	f.Add(
		[]byte("\x80\x01\x00\x01\x00\x00\x00\x01m\x00\x00\x00\x01\x0d\x00\x01\x03\xff\x00\x00\x00\x01\x05\x00"),
		false,
	)
	for depth := 62; depth < 67; depth++ {
		f.Add(
			[]byte("\x82\x21\x01\x01m"+strings.Repeat("\x1c", depth)+"\x13\x05"+strings.Repeat("\x00", depth+1)),
			true,
		)
	}
	load := &echo.Load{
		Flags:   []bool{true},
		Numbers: []int64{1 << 40},
		Texts:   []string{"a"},
		ByName:  map[string]string{"a": "b"},
		ByLoad:  map[*echo.Load]int32{{}: 1},
	}
	for _, p := range []flat.Protocol{flat.Binary, flat.Compact} {
		w := flat.NewWriter(p, 1<<20)
		_ = w.WriteMessageBegin(f.Context(), "m", thrift.CALL, 1)
		_ = (&echo.LoadsWeighItArgs{Load: load, Loads: []*echo.Load{load, load}}).Write(f.Context(), w)
		f.Add(bytes.Clone(w.Bytes()), p == flat.Compact)
		w.Free()
	}
	f.Fuzz(func(t *testing.T, b []byte, compact bool) {
		p := flat.Binary
		if compact {
			p = flat.Compact
		}
		all := &ByteBudget{Limit: 1 << 30}
		in := NewReader(bytesConn{r: bytes.NewReader(b)}, theader.Limits{Frame: 1 << 16}, all)
		message, err := in.Message(compact)
		left, wrong := skip(p, string(b))
		switch {
		case err == nil && (wrong != nil || len(b)-len(message) != left || message != string(b[:len(message)])):
			t.Fatalf("a message of %d bytes was cut; a reader finds %d, %v", len(message), len(b)-left, wrong)
		case err != nil && wrong == nil && len(b)-left <= 1<<16:
			t.Fatalf("a reader finds a message of %d bytes: %v", len(b)-left, err)
		case all.used.Load() != 0:
			t.Fatalf("%d bytes are still counted", all.used.Load())
		}
	})
}

// Elements of one size are skipped at once, also in messages without a frame: a list of them takes
// about as long as a string of as many bytes.
func TestUnframedElementsTakeNoTime(t *testing.T) {
	const size = 15 << 16
	took := func(head string, compact bool) time.Duration {
		least := time.Duration(math.MaxInt64)
		for range 20 {
			in := NewReader(
				bytesConn{r: bytes.NewReader(append([]byte(head), make([]byte, size+1)...))},
				theader.Limits{Frame: 16 << 20},
				&ByteBudget{Limit: 1 << 30},
			)
			steps := &stream{f: in, limit: 16 << 20, compact: compact}
			began := time.Now()
			if err := steps.message(); err != nil {
				t.Fatal(err)
			}
			least = min(least, time.Since(began))
			if len(steps.read) != len(head)+size+1 {
				t.Fatalf("%d bytes of %d", len(steps.read), len(head)+size+1)
			}
		}
		return least
	}
	text := took("\x80\x01\x00\x01\x00\x00\x00\x01m\x00\x00\x00\x01\x0b\x00\x01\x00\x0f\x00\x00", false)
	for name, head := range map[string]string{
		"bools":          "\x80\x01\x00\x01\x00\x00\x00\x01m\x00\x00\x00\x01\x0f\x00\x01\x02\x00\x0f\x00\x00",
		"bools to bytes": "\x80\x01\x00\x01\x00\x00\x00\x01m\x00\x00\x00\x01\x0d\x00\x01\x02\x03\x00\x07\x80\x00",
		"compact bools":  "\x82\x21\x01\x01m\x19\xf1\x80\x80\x3c",
	} {
		list := took(head, strings.HasPrefix(name, "compact"))
		t.Logf("%s: %v, a text: %v", name, list, text)
		if list > 4*text+time.Millisecond {
			t.Errorf("%s: %v, a text of as many bytes takes %v", name, list, text)
		}
	}
}
