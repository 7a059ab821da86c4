package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/internal/memtest"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// loads serves echo.Loads.
type loads struct {
	hold chan struct{} // a call waits for it after reading; nil = it does not wait
	read chan struct{}
	give *echo.Load
}

// newAccount is the account of a message that shares no memory with others.
func newAccount(frame int) account {
	b := newDecodeLimits(nil, frame)
	return account{decodeLimits: &b}
}

func (l *loads) WeighIt(_ context.Context, load *echo.Load, more []*echo.Load) (int64, error) {
	if l.hold != nil {
		l.read <- struct{}{}
		<-l.hold
	}
	return int64(len(more)), nil
}

func (l *loads) Give(context.Context, int64) (*echo.Load, error) { return l.give, nil }

// argsShape returns the server's shape of the arguments of Loads.weigh_it.
func argsShape(t testing.TB) *flat.Shape {
	t.Helper()
	shape := argumentsOf(echo.NewLoadsProcessor(nil).ProcessorMap()["weigh_it"], "weigh_it")
	if shape == nil {
		t.Fatal("the arguments of weigh_it are not known")
	}
	return shape
}

// reached returns the memory that v refers to, without v itself and without the strings that share
// memory with their message. Of a map only keys and values count.
func reached(v reflect.Value) int64 {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		return int64(v.Type().Elem().Size()) + reached(v.Elem())
	case reflect.Struct:
		var n int64
		for i := range v.NumField() {
			n += reached(v.Field(i))
		}
		return n
	case reflect.Slice:
		n := int64(v.Cap()) * int64(v.Type().Elem().Size())
		switch v.Type().Elem().Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			for i := range v.Len() {
				n += reached(v.Index(i))
			}
		}
		return n
	case reflect.Map:
		n := int64(v.Len()) * int64(v.Type().Key().Size()+v.Type().Elem().Size())
		for it := v.MapRange(); it.Next(); {
			n += reached(it.Key()) + reached(it.Value())
		}
		return n
	}
	return 0
}

func written(t testing.TB, p flat.Protocol, s thrift.TStruct) string {
	t.Helper()
	w := flat.NewWriter(p, 64<<20)
	defer w.Free()
	if err := s.Write(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	return string(w.Bytes())
}

func many[T any](n int, v T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = v
	}
	return list
}

func manyOf[K comparable, V any](n int, key func(int) K, v V) map[K]V {
	m := make(map[K]V, n)
	for i := range n {
		m[key(i)] = v
	}
	return m
}

// The counted memory is that of decoding: not less, and not much more.
func TestDecodedMemoryIsCounted(t *testing.T) {
	number := func(i int) int32 { return int32(i) }
	name := func(i int) string { return fmt.Sprint(i) }
	table := map[string]string{"a": "b"}
	for of, load := range map[string]*echo.Load{
		"bools":         {Flags: many(300_000, true)},
		"numbers":       {Numbers: many(100_000, int64(1))},
		"strings":       {Texts: many(100_000, "")},
		"binaries":      {Blobs: many(100_000, []byte("x"))},
		"no binaries":   {Blobs: many(100_000, []byte{})},
		"one binary":    {Blob: make([]byte, 1<<20)},
		"structs":       {Parts: many(4_000, &echo.Load{})},
		"small structs": {Messages: many(20_000, &echo.Message{})},
		"optional":      {Parts: many(4_000, &echo.Load{Text: new(string), Number: new(int32)})},
		"rows":          {Rows: many(20_000, []int16{1, 2, 3})},
		"empty rows":    {Rows: many(40_000, []int16{})},
		"map":           {ByNumber: manyOf(15_000, number, &echo.Load{})},
		"map of 2^k":    {ByName: manyOf(1<<14, name, "")},
		"map over 2^k":  {ByName: manyOf(1<<14*7/8+1, name, "")},
		"maps":          {Tables: many(8_000, table)},
		"empty maps":    {Tables: many(8_000, map[string]string{})},
		"struct keys":   {ByLoad: manyOf(8_000, func(int) *echo.Load { return &echo.Load{} }, int32(1))},
	} {
		for p, proto := range map[flat.Protocol]string{flat.Binary: "binary", flat.Compact: "compact"} {
			t.Run(of+"/"+proto, func(t *testing.T) {
				message := written(t, p, &echo.LoadsWeighItArgs{Load: load})
				shape := argsShape(t)
				var a account
				var r flat.Reader
				took := memtest.Allocated(func() {
					a = newAccount(64 << 20)
					var back echo.LoadsWeighItArgs
					r = flat.NewReader(p, message, flat.Memory{Account: &a, Shape: shape})
					if err := back.Read(t.Context(), r); err != nil {
						t.Fatal(err)
					}
				})
				used := r.Used()
				if used+used/8+64<<10 < took || used > took*8/5+64<<10 {
					t.Errorf("%d bytes were taken, %d counted", took, used)
				}
				if a.taken < used-flat.Uncounted {
					t.Errorf("%d bytes used, %d asked for", used, a.taken)
				}
			})
		}
	}
}

// Types on the wire are not believed: elements that are announced as bools become structs.
func TestAnnouncedTypesAreNotBelieved(t *testing.T) {
	const n = 1 << 20
	message := "\x0c\x00\x01" + "\x0f\x00\x05" + "\x02\x00\x10\x00\x00" + string(make([]byte, n)) + "\x00\x00"
	a := newAccount(1 << 20)
	var args echo.LoadsWeighItArgs
	r := flat.NewReader(flat.Binary, message, flat.Memory{Account: &a, Shape: argsShape(t)})
	if err := args.Read(t.Context(), r); !errors.Is(err, flat.ErrMemory) || a.denied != TooLarge {
		t.Errorf("%v, %v", err, a.denied)
	}
	if n := reached(reflect.ValueOf(&args).Elem()); n > a.limit+flat.Uncounted+1<<10 {
		t.Errorf("%d bytes were taken, the limit is %d", n, a.limit)
	}
}

// For any bytes, decoded memory was counted before, and stays within the limit.
func FuzzDecodedMemory(f *testing.F) {
	seeds := []thrift.TStruct{
		&echo.LoadsWeighItArgs{
			Load: &echo.Load{
				Flags: []bool{true, false},
				Texts: []string{"a", ""},
				Blobs: [][]byte{nil, []byte("x")},
				Parts: []*echo.Load{
					{},
					{Inner: &echo.Load{}},
				},
				Rows:     [][]int16{{1}, {}},
				ByNumber: map[int32]*echo.Load{1: {}},
				ByLoad: map[*echo.Load]int32{
					{}: 1,
				},
				Tables: []map[string]string{{"a": "b"}, {}},
				Text:   new(string),
			},
			Loads: many(300, &echo.Load{}),
		},
		&echo.LoadsGiveResult{
			Success: &echo.Load{
				Kinds:    []echo.Kind{echo.Kind_SMALL},
				Messages: many(300, &echo.Message{Tags: map[string]string{"a": "b"}}),
			},
		},
	}
	for i, s := range seeds {
		for _, p := range []flat.Protocol{flat.Binary, flat.Compact} {
			f.Add(written(f, p, s), p == flat.Compact, i == 1)
		}
	}
	f.Add("\x0c\x00\x01\x0f\x00\x05\x02\x00\x00\x40\x00"+string(make([]byte, 1<<14)), false, false)
	shape := argsShape(f)
	f.Fuzz(func(t *testing.T, message string, compact, reply bool) {
		p := flat.Binary
		if compact {
			p = flat.Compact
		}
		a := newAccount(16 << 10)
		mem := flat.Memory{Account: &a, Shape: shape}
		var into thrift.TStruct = &echo.LoadsWeighItArgs{}
		if reply {
			into = &echo.LoadsGiveResult{}
			mem = memoryOfResult(&a, "loads", into)
		}
		r := flat.NewReader(p, message, mem)
		defer r.Free()
		err := into.Read(t.Context(), r)
		have := reached(reflect.ValueOf(into).Elem())
		const begun = 1 << 10 // structs that were allocated and not read yet
		switch {
		case have > r.Used()+begun:
			t.Fatalf("%d bytes were taken, %d counted: %v", have, r.Used(), err)
		case have > a.limit+flat.Uncounted+begun:
			t.Fatalf("%d bytes were taken, the limit is %d: %v", have, a.limit, err)
		case a.taken > a.limit, err == nil && r.Used() > a.taken+flat.Uncounted:
			t.Fatalf("%d bytes used, %d asked for, the limit is %d", r.Used(), a.taken, a.limit)
		case err != nil && errors.Is(err, flat.ErrMemory) != (a.denied != Unknown):
			t.Fatalf("denied: %v, error: %v", a.denied, err)
		}
	})
}

// serveLoads serves echo.Loads beside the usual service.
func serveLoads(t *testing.T, cfg ServerConfig, l *loads) (*testServer, *echo.LoadsClient, *Client) {
	t.Helper()
	s := serve(t, cfg, &handler{})
	if _, err := s.Handle("loads", "v1", echo.NewLoadsProcessor(l)); err != nil {
		t.Fatal(err)
	}
	c := client(t, ClientConfig{}, s.endpoint())
	tc, err := c.Service("loads", ServiceOptions{Timeout: 20 * time.Second, Retries: new(int)})
	if err != nil {
		t.Fatal(err)
	}
	return s, echo.NewLoadsClient(tc), c
}

// Messages of honest callers pass with the defaults.
func TestHonestLargeMessages(t *testing.T) {
	for name, load := range map[string]*echo.Load{
		"300,000 small structs": {Messages: many(300_000, &echo.Message{Text: "some text", Number: 7})},
		"15 MiB of binary":      {Blob: make([]byte, 15<<20)},
		"binaries of 1 KiB":     {Blobs: many(15_000, make([]byte, 1<<10))},
		"15 million bools":      {Flags: many(15_000_000, true)},
		"1.8 million numbers":   {Numbers: many(1_800_000, int64(1)<<40)},
	} {
		t.Run(name, func(t *testing.T) {
			s, c, _ := serveLoads(t, ServerConfig{}, &loads{give: load})
			if _, err := c.WeighIt(t.Context(), load, nil); err != nil {
				t.Errorf("request: %v", err)
			}
			if _, err := c.Give(t.Context(), 1); err != nil {
				t.Errorf("reply: %v", err)
			}
			nothingHeld(t, s)
		})
	}
}

func nothingHeld(t *testing.T, s *testServer) {
	t.Helper()
	eventually(t, "no memory is counted any more", func() bool { return s.requests.Used() == 0 })
}

// A few kilobytes that become a hundred million elements take a bounded amount of memory, and the
// caller gets the reason.
func TestListBomb(t *testing.T) {
	const frame = 2 << 20
	const most = decodedFrames*frame + 5*frame // includes inflating, which takes 2 frames and their halves
	bomb := func(field, list string) []byte {  // a Load with a list of two million elements of a byte
		n := frame - 1000
		return append(binary.AppendUvarint([]byte("\x1c"+field+list), uint64(n)), make([]byte, n)...)
	}
	bombs := map[string][]byte{
		"strings":  bomb("\x39", "\xf8"),
		"binaries": bomb("\x49", "\xf8"),
		"structs":  bomb("\x59", "\xfc"),
		"rows":     bomb("\x79", "\xf9"),
		"maps":     bomb("\xa9", "\xfb"),
		"liar":     bomb("\x59", "\xf1"),
	}
	for name, args := range bombs {
		t.Run(name, func(t *testing.T) {
			s, _, _ := serveLoads(t, ServerConfig{Sizes: Sizes{Frame: frame}}, &loads{})
			bomb := zippedFrame(t, "loads", "weigh_it", flat.Compact, args)
			if len(bomb) > 3000 {
				t.Fatalf("the bomb has %d bytes", len(bomb))
			}
			took := memtest.Allocated(func() {
				nc := send(t, s.addr, bomb)
				_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
				answer, err := transport.NewReader(nc, theader.Limits{}, nil).Frame()
				if err != nil || !strings.Contains(answer, TooLarge.String()) {
					t.Errorf("%v, answer %q", err, answer)
				}
			})
			if took > most {
				t.Errorf("%d bytes took %d bytes of memory, at most %d are allowed", len(bomb), took, most)
			}
			nothingHeld(t, s)
		})
	}
}

// All messages together take at most Sizes.Requests. Further ones are refused as not executed, and
// pass after others have ended.
func TestDecodedMemoryOfAll(t *testing.T) {
	l := &loads{hold: make(chan struct{}), read: make(chan struct{}, 8)}
	s, _, c := serveLoads(t, ServerConfig{Sizes: Sizes{Requests: 4 << 20}}, l)
	call := func() error {
		tc, err := c.Service("loads", ServiceOptions{Timeout: 20 * time.Second, Retries: new(int)})
		if err != nil {
			return err
		}
		_, err = echo.NewLoadsClient(
			tc,
		).WeighIt(
			t.Context(),
			&echo.Load{},
			many(2_000+1_200*(64/strconv.IntSize-1), &echo.Load{}),
		) // 1.7 MB of 0.2
		return err
	}
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- call() }()
		select {
		case <-l.read:
		case err := <-done:
			t.Fatal(err)
		}
	}
	wantCode(t, call(), Overloaded, NotExecuted)
	if used := s.requests.Used(); used > 4<<20 {
		t.Errorf("%d bytes are counted", used)
	}
	close(l.hold)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	nothingHeld(t, s)
	if err := call(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A reply that becomes too large ends only its own call.
func TestReplyBomb(t *testing.T) {
	l := &loads{give: &echo.Load{Blobs: many(32_000_000/strconv.IntSize, []byte{})}} // a byte, three words in memory
	s, _, _ := serveLoads(t, ServerConfig{}, l)
	c := client(
		t,
		ClientConfig{Sizes: Sizes{Frame: 1 << 20}},
		&Endpoint{ID: "e", Service: "loads", Addr: s.addr, Protocol: "framed-compact"},
	)
	tc, err := c.Service("loads", ServiceOptions{Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	took := memtest.Allocated(func() {
		_, err = echo.NewLoadsClient(tc).Give(t.Context(), 1)
		wantCode(t, err, TooLarge, WasExecuted)
	})
	if took > (decodedFrames+4)<<20 {
		t.Errorf("%d bytes were taken for it", took)
	}
	if n := c.replies.Used(); n != 0 {
		t.Errorf("%d bytes are counted afterwards", n)
	}
	l.give = &echo.Load{}
	if _, err := echo.NewLoadsClient(tc).Give(t.Context(), 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
