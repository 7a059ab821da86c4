package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/memtest"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/rpc/internal/echo"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// frameOf returns a frame of a caller that calls echo.who, or echo.note with a text.
func frameOf(t testing.TB, seq int32, caller, text string) []byte {
	t.Helper()
	w := flat.NewWriter(flat.Binary, 1<<24)
	defer w.Free()
	ctx := t.Context()
	var err error
	if text == "" {
		_ = w.WriteMessageBegin(ctx, "who", thrift.CALL, seq)
		err = (&echo.BaseWhoArgs{}).Write(ctx, w)
	} else {
		_ = w.WriteMessageBegin(ctx, "note", thrift.ONEWAY, seq)
		err = (&echo.EchoNoteArgs{Text: text}).Write(ctx, w)
	}
	if err != nil {
		t.Fatal(err)
	}
	h := &theader.Header{Flags: theader.OutOfOrder}
	h.Set(keyService, "echo")
	h.Set(keyCaller, caller)
	frame, err := appendHead(nil, dialect{header: true}, h, seq, len(w.Bytes()), theader.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return append(frame, w.Bytes()...)
}

// callAs calls echo.who under each name, one after the other.
func callAs(t testing.TB, nc net.Conn, names ...string) {
	t.Helper()
	in := transport.NewReader(nc, theader.Limits{}, nil)
	for i, name := range names {
		if _, err := nc.Write(frameOf(t, int32(i+1), name, "")); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Frame(); err != nil {
			t.Fatal(err)
		}
	}
}

func callerNames(prefix string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(prefix, i))
	}
	return names
}

// countedBy returns how many calls the recorder has counted by caller.
func countedBy(r *health.Recorder) map[string]int64 {
	calls := map[string]int64{}
	for _, row := range r.Rows() {
		calls[row.Peer] += row.Calls()
	}
	return calls
}

func TestCallerNamesAreChecked(t *testing.T) {
	r := health.NewRecorder(health.Config{})
	seen := make(chan string, 1)
	s := serve(
		t,
		ServerConfig{Health: r},
		&handler{seen: func(ctx context.Context) { seen <- CallInfoFrom(ctx).Caller }},
	)
	nc := send(t, s.addr, nil)
	for _, name := range []string{"nul\x00", "\x1b[2J", "line\nbreak", "\xff", "-x", "a b", strings.Repeat("x", 64),
		strings.Repeat("x", 8000)} {
		callAs(t, nc, name)
		if got := <-seen; got != "?" {
			t.Errorf("the handler was told that %.20q calls: %.20q", name, got)
		}
	}
	callAs(t, nc, "portal-2.a_b")
	if got := <-seen; got != "portal-2.a_b" {
		t.Errorf("a good name became %q", got)
	}
	if calls := countedBy(r); calls["?"] != 8 || calls["portal-2.a_b"] != 1 || len(calls) != 2 {
		t.Errorf("counted by %v", calls)
	}
}

// An address has 64 names while it is connected. Listed names do not count.
func TestCallersOfOneAddress(t *testing.T) {
	r := health.NewRecorder(health.Config{})
	listed := func(name string) bool { return strings.HasPrefix(name, "listed") }
	s := serve(t, ServerConfig{Health: r, Listed: listed}, &handler{})
	first, second := send(t, s.addr, nil), send(t, s.addr, nil)
	callAs(t, first, callerNames("a", 50)...)
	callAs(t, second, callerNames("b", 50)...)
	callAs(t, second, callerNames("listed", 100)...)
	callAs(t, second, "a7", "a7", "b49", "b49") // known names, and names without room
	calls := countedBy(r)
	if calls["?"] != 36+2 || calls["a7"] != 3 || calls["b13"] != 1 || calls["b14"] != 0 || calls["listed99"] != 1 ||
		len(calls) != 64+100+1 {
		t.Errorf(
			"%d names; %d calls without, %d by a7, %d by b13, %d by b14",
			len(calls),
			calls["?"],
			calls["a7"],
			calls["b13"],
			calls["b14"],
		)
	}
	_, _ = first.Close(), second.Close()
	eventually(t, "the names are forgotten", func() bool {
		s.callers.mu.Lock()
		defer s.callers.mu.Unlock()
		return s.callers.names == 0 && len(s.callers.at) == 0
	})
	callAs(t, send(t, s.addr, nil), "c")
	if calls := countedBy(r); calls["c"] != 1 {
		t.Errorf("afterwards: %v", calls)
	}
}

// All addresses together have 1,024 names.
func TestCallersOfAllAddresses(t *testing.T) {
	var table callers
	unnamedCalls, conns := 0, []*serverConn{}
	for host := range 40 {
		c := &serverConn{addr: fmt.Sprint("10.0.0.", host)}
		c.info.Store(&PeerInfo{})
		conns = append(conns, c)
		for i := range 70 {
			if table.name(c, fmt.Sprint("x", i)) == unnamed {
				unnamedCalls++
			}
		}
	}
	if want := 40*70 - maxCallersUnknown; unnamedCalls != want || table.names != maxCallersUnknown ||
		len(table.at) != 16 {
		t.Errorf(
			"%d calls without a name, want %d; %d names of %d addresses",
			unnamedCalls,
			want,
			table.names,
			len(table.at),
		)
	}
	for _, c := range conns {
		table.forget(c)
		if name := table.name(c, "late"); name != unnamed {
			t.Errorf("a connection that has ended brought %q", name)
		}
	}
	if table.names != 0 || len(table.at) != 0 {
		t.Errorf("%d names of %d addresses are left", table.names, len(table.at))
	}
}

func TestAddressOf(t *testing.T) {
	for peer, want := range map[string]string{
		"10.0.0.1:700": "10.0.0.1", "[::ffff:10.0.0.1]:700": "10.0.0.1", "[::1]:700": "::1", "memory": "memory",
		"[2001:db8:1:2:3:4:5:6]:700": "2001:db8:1:2::/64", "[fe80::1%eth0]:700": "fe80::/64",
	} {
		if got := addressOf(peer); got != want {
			t.Errorf("%s: %s, want %s", peer, got, want)
		}
	}
}

// Calls under ever new names, each with a large payload, leave no memory behind: neither a name nor
// a method keeps its frame.
func TestNamesKeepNoFrames(t *testing.T) {
	h := &handler{}
	r := health.NewRecorder(health.Config{})
	agent, err := participant.New(participant.Config{Process: "host/1/a"})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, ServerConfig{Health: r, Rollout: agent}, h)
	if _, err := s.Handle("bare", "v1", bare{echo.NewEchoProcessor(h)}); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 1<<20)
	nc := send(t, s.addr, nil)
	in := transport.NewReader(nc, theader.Limits{}, nil)
	before := memtest.Held()
	for i := range 40 {
		frame := frameOf(t, int32(i+1), fmt.Sprint("caller", i), text)
		if i%2 == 1 {
			frame = []byte(strings.Replace(string(frame), keyService+"\x04echo", keyService+"\x04bare", 1))
		}
		if _, err := nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Frame(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all were handled", func() bool { return h.calls.Load() == 40 })
	nothingHeld(t, s)
	if held := memtest.Held() - before; held > 4<<20 {
		t.Errorf("%d bytes are held after 40 calls of 1 MiB", held)
	}
	if calls := countedBy(r); calls["caller39"] != 1 || len(calls) != 40 {
		t.Errorf("counted by %v", calls)
	}
	runtime.KeepAlive(s)
}

// bare is a processor that does not list its methods.
type bare struct{ thrift.TProcessor }

func (bare) ProcessorMap() map[string]thrift.TProcessorFunction { return nil }

// For a processor that lists no methods, a bounded number is counted separately, only under valid
// names.
func TestLearnedMethodsAreBounded(t *testing.T) {
	v := &served{anyAdmission: &admission{}}
	for i := range 1000 {
		if m := v.method(fmt.Sprint("m", i)); m.admission != v.anyAdmission ||
			(m.name == health.Overflow) != (i >= maxLearned) {
			t.Fatalf("method %d is %q", i, m.name)
		}
	}
	for _, name := range []string{"nul\x00", strings.Repeat("x", 100), ""} {
		if m := v.method(name); m.name != health.Overflow {
			t.Errorf("%q is counted apart", name)
		}
	}
	first := v.method("m7")
	if n := len(v.learned.known); n != maxLearned || v.method("m7") != first {
		t.Errorf("%d methods", n)
	}
}

// The name of a method is bounded before any use.
func TestLongMethodNames(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	name := strings.Repeat("\x00", 8<<20)
	message := append([]byte("\x80\x01\x00\x01"), binary.BigEndian.AppendUint32(nil, uint32(len(name)))...)
	message = append(append(message, name...), 0, 0, 0, 1, 0)
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
	took := memtest.Allocated(func() { wantClosed(t, send(t, s.addr, frame)) })
	if took > 20<<20 { // the received frame
		t.Errorf("%d bytes were taken", took)
	}
	nothingHeld(t, s)
}

// Kinds of calls that a connection remembers are bounded.
func TestKindsOfCallsAreBounded(t *testing.T) {
	s := serve(
		t,
		ServerConfig{Health: health.NewRecorder(health.Config{}), Listed: func(string) bool { return true }},
		&handler{},
	)
	callAs(t, send(t, s.addr, nil), callerNames("x", 1000)...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if n := len(c.counts); n > maxKinds {
			t.Errorf("%d kinds are remembered", n)
		}
	}
}

// Numbers of the other side stay within the range of the counters.
func TestHostileNumbers(t *testing.T) {
	for _, tt := range []struct {
		attempt, deadline string
		wantAttempt       int
		wantLeft          time.Duration
	}{
		{"9223372036854775807", "9223372036854775807", maxAttempt, maxRemaining},
		{"99999999999999999999999", "99999999999999999999999", 1, 0},
		{"-9223372036854775808", "-9223372036854775808", 1, -1},
		{"1048577", "31536000001", maxAttempt, maxRemaining},
		{"3", "0", 3, -1},
		{"0x10", "1e9", 1, 0},
	} {
		h := &theader.Header{}
		h.Set(keyAttempt, tt.attempt)
		h.Set(keyDeadline, tt.deadline)
		var info CallInfo
		left := readCallHeader(h, &info)
		if info.Attempt != tt.wantAttempt || left != tt.wantLeft {
			t.Errorf("%s, %s: attempt %d, %v left", tt.attempt, tt.deadline, info.Attempt, left)
		}
		call := &Call{Service: "s", chain: info.Attempt, Attempt: 3}
		head, err := appendCallHead(nil, 0, call, nil, "", left, theader.Limits{})
		if err != nil || tt.wantAttempt == maxAttempt && !strings.Contains(string(head), fmt.Sprint(maxAttempt+2)) {
			t.Errorf("%s: the next call's head is %q, %v", tt.attempt, head, err)
		}
	}
	s := serve(t, ServerConfig{}, &handler{name: "a"})
	for _, target := range []string{"-2147483648", "2147483647", "0"} {
		h := theader.Header{Flags: theader.OutOfOrder}
		h.Set(keyControl, controlCancel)
		h.Set(keyTarget, target)
		callAs(t, send(t, s.addr, appendControlFrame(nil, &h)), "x")
	}
	for _, target := range []string{"2147483648", "-2147483649", "x", ""} {
		h := theader.Header{Flags: theader.OutOfOrder}
		h.Set(keyControl, controlCancel)
		h.Set(keyTarget, target)
		wantClosed(t, send(t, s.addr, appendControlFrame(nil, &h)))
	}
}

// A server's error text is bounded before it is kept, and keeps no frame.
func TestTextsOfErrorsAreBounded(t *testing.T) {
	s := serve(t, ServerConfig{}, &handler{})
	if _, err := s.Handle("loads", "v1", echo.NewLoadsProcessor(&loads{})); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 1<<20)
	a := &attempt{
		s:    &serviceClient{c: client(t, ClientConfig{}, s.endpoint())},
		call: &Call{Method: "m", Result: &echo.EchoFailResult{}},
	}
	a.ctx = &callContext{base: t.Context()}
	w := flat.NewWriter(flat.Binary, 4<<20)
	defer w.Free()
	_ = w.WriteMessageBegin(t.Context(), "m", thrift.EXCEPTION, 1)
	_ = thrift.NewTApplicationException(thrift.INTERNAL_ERROR, text).Write(t.Context(), w)
	frame := string(w.Bytes())
	_, err := a.message(
		flat.Binary,
		frame,
		&replyStatus{seq: 1, memory: &account{decodeLimits: &decodeLimits{limit: 1 << 20}}},
	)
	e := wantCode(t, err, HandlerFailed, WasExecuted)
	if n := len(e.Err.Error()); n > maxText+10 || isPart(e.Err.Error(), frame) {
		t.Errorf("the error has %d bytes", n)
	}
}
