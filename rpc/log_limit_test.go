package rpc

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// A noisy peer hides neither another peer nor another reason, and all together write a bounded
// number of lines.
func TestComplaintsAreBounded(t *testing.T) {
	c := logLimit{every: time.Second}
	now := time.Now()
	noisy, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	lines := 0
	say := func(reason string, from netip.Addr) bool {
		ok, _ := c.allow(now, reason, from)
		if ok {
			lines++
		}
		return ok
	}
	for range 1000 {
		say("malformed", noisy)
	}
	if lines != 1 {
		t.Errorf("%d lines for one reason of one address", lines)
	}
	if !say("malformed", other) || !say("made room", noisy) {
		t.Error("another address or reason is hidden")
	}
	if say("malformed", other) || say("made room", noisy) {
		t.Error("they are said twice")
	}
	for i := range 1000 { // from many addresses
		say("malformed", netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}))
	}
	if lines != 1+maxSources {
		t.Errorf("%d lines, want %d", lines, 1+maxSources)
	}
	now = now.Add(time.Second)
	if ok, kept := c.allow(now, "malformed", noisy); !ok || kept != 1000-1 {
		t.Errorf("in the next second: %v, %d kept back", ok, kept)
	}
	if n := len(c.reasons["malformed"].said); len(c.reasons) != 2 || n != 1 {
		t.Errorf("%d reasons, %d addresses are kept", len(c.reasons), n)
	}
}

func TestClosingReasons(t *testing.T) {
	seen := map[string]bool{}
	for _, why := range []error{
		errMadeRoom,
		fmt.Errorf("%w: 5, the limit", errFull),
		fmt.Errorf("%w: %w", errHandshake, errPlainPort),
		fmt.Errorf("%w: %w", errHandshake, transport.ErrSlowHandshake),
		fmt.Errorf("%w: something else", errHandshake),
		fmt.Errorf("%w: bad byte", theader.ErrMalformed),
		fmt.Errorf("unframed message is %w", theader.ErrTooLarge),
		transport.ErrBudget,
		transport.ErrWriteQueue,
		&net.OpError{Op: "read", Err: timeoutOf(t)},
		fmt.Errorf("what no list has"),
	} {
		reason := closeReason(why)
		if seen[reason] {
			t.Errorf("%q shares a budget with another reason: %q", why, reason)
		}
		seen[reason] = true
	}
}

// timeoutOf returns the error of a read that times out.
func timeoutOf(t *testing.T) error {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	_ = a.SetReadDeadline(time.Now().Add(-time.Second))
	_, err := a.Read(make([]byte, 1))
	return err
}

// A server with a log full of one reason still logs the next one.
func TestNoisyPeerHidesNoReason(t *testing.T) {
	log := &quietLog{}
	s := serve(
		t,
		ServerConfig{Logger: slog.New(slog.NewTextHandler(log, nil)), Sizes: Sizes{Frame: 1 << 16}},
		&handler{},
	)
	for range 5 {
		wantClosed(t, send(t, s.addr, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")))
	}
	wantClosed(t, send(t, s.addr, []byte("\x00\x7f\xff\xff\x0f\xff\x00\x00\x00\x00\x00\x01")))
	within(5*time.Second, func() bool { return strings.Contains(log.String(), "over the limit") })
	if text := log.String(); !strings.Contains(text, "HTTP") || !strings.Contains(text, "over the limit") {
		t.Errorf("the log hides a reason:\n%s", text)
	}
}
