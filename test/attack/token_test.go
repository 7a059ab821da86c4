//go:build linux

package attack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/skerry/skerry/internal/lab"
	"github.com/skerry/skerry/internal/rollout"
)

// holdLines bound how long traces of strangers may delay a drain.
const (
	outsideHold = 4 * time.Second
	holdLines   = "rollout: {outside_hold: 4s}\n"
)

// callWith makes one call of auth with a token, and returns the whole answer.
func callWith(nc net.Conn, seq uint32, token rollout.Token, hold string, patience time.Duration) (string, error) {
	argument := append([]byte{0x18, byte(len(hold))}, hold...)
	info := []string{"sk-s", "auth", "sk-t", string(token.AppendRaw(nil))}
	_ = nc.SetDeadline(time.Now().Add(patience))
	if _, err := nc.Write(frame(seq, false, info, message("verify", argument))); err != nil {
		return "", err
	}
	var size [4]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return "", err
	}
	answer := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(nc, answer)
	return string(answer), err
}

// strangersTokens: calls of strangers with tokens of an old generation delay a drain only within
// bounds, and tokens that no log has are refused.
func strangersTokens(t *testing.T, s *site) {
	first := s.step(t, "v1")
	mark := func(e rollout.Entry) uint32 {
		var b [4]byte
		_, err := fmt.Sscanf(e.Hash()[:8], "%02x%02x%02x%02x", &b[0], &b[1], &b[2], &b[3])
		must(t, err)
		return binary.BigEndian.Uint32(b[:])
	}
	old := rollout.Token{Generation: first.Generation, Entry: mark(first), Seed: 1}
	nc, err := s.wire(t, s.addr("provider"), s.evil(t))
	must(t, err)
	defer nc.Close()
	if answer, err := callWith(nc, 1, old, "1ms", 20*time.Second); err != nil ||
		!bytes.Contains([]byte(answer), []byte("provider")) {
		t.Fatalf("a call by the newest rules: %q, %v", answer, err)
	}
	for what, bad := range map[string]rollout.Token{
		"far ahead":         {Generation: rollout.Generation{N: 1 << 61}, Entry: 7, Seed: 1},
		"of another log":    {Generation: first.Generation, Entry: mark(first) + 1, Seed: 1},
		"of a far timeline": {Generation: rollout.Generation{Timeline: 1<<31 - 1, N: 1}, Entry: 7, Seed: 1},
	} {
		began := time.Now()
		answer, err := callWith(nc, 2, bad, "1ms", 30*time.Second)
		if err != nil || bytes.Contains([]byte(answer), []byte("provider")) &&
			!bytes.Contains([]byte(answer), []byte("sk-e")) {
			t.Errorf("a token %s: %q after %v, %v", what, answer, time.Since(began), err)
		}
	}

	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	refused := make(chan string, 8)
	for range 4 {
		c, err := s.wire(t, s.addr("provider"), s.evil(t))
		must(t, err)
		defer c.Close()
		all.Go(func() {
			for seq := uint32(1); ctx.Err() == nil; seq++ {
				answer, err := callWith(c, seq, old, "500ms", 20*time.Second)
				if err != nil || bytes.Contains([]byte(answer), []byte("expired")) {
					refused <- fmt.Sprint(answer, err)
					return
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	second := s.li.signed(t, s.entry(t, first.Position(), "v1", func(e *rollout.Entry) {
		e.Session = &rollout.Release{Name: "attack", By: "li", Mark: "m", State: rollout.Switched, Since: e.Generation,
			Modules: []rollout.Module{{Service: "auth", Old: "v0", New: "v1"}}}
	}))
	for _, p := range []string{"provider", "consumer"} {
		_, err := s.member(t).internal(t, s.addr(p)).Bring(t.Context(), records(second))
		must(t, err)
	}
	began := time.Now()
	c := s.member(t).internal(t, s.addr("provider"))
	round, seen := int64(1), false
	lab.Eventually(t, outsideHold+20*time.Second, func() bool {
		var r rollout.Report
		b, err := c.Report(t.Context(), round, second.Generation.String(), 0)
		must(t, err)
		mustJSON(t, b, &r)
		round = int64(r.Round) + 1 // other commands may have counted far
		held := 0
		for _, h := range r.Inflight {
			if h.Outside && h.From != "" {
				held++
			}
		}
		seen = seen || held > 0
		time.Sleep(50 * time.Millisecond)
		return seen && len(r.Inflight) == 0
	}, func() string { return fmt.Sprintf("the strangers hold nothing any more (held once: %v)", seen) })
	t.Logf("held for %v", time.Since(began))
	if time.Since(began) < outsideHold/2 {
		t.Error("nothing was held: the attack proves nothing")
	}
	for range 4 {
		select {
		case answer := <-refused:
			if !bytes.Contains([]byte(answer), []byte("expired")) {
				t.Errorf("a stranger's call ends with %q", answer)
			}
		case <-time.After(20 * time.Second):
			t.Error("a stranger's calls go on")
		}
	}
}

// manyFarTokens: calls with tokens far ahead cause few questions.
func manyFarTokens(t *testing.T, s *site) {
	nc, err := s.wire(t, s.addr("provider"), s.evil(t))
	must(t, err)
	defer nc.Close()
	const calls = 300
	began := time.Now()
	_ = nc.SetDeadline(began.Add(time.Minute))
	answered := make(chan error, 1)
	go func() {
		for range calls {
			var size [4]byte
			if _, err := io.ReadFull(nc, size[:]); err != nil {
				answered <- err
				return
			}
			if _, err := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(size[:]))); err != nil {
				answered <- err
				return
			}
		}
		answered <- nil
	}()
	for n := range calls {
		token := rollout.Token{Generation: rollout.Generation{N: uint64(1e12) + uint64(n)}, Entry: 7, Seed: 1}
		info := []string{"sk-s", "auth", "sk-t", string(token.AppendRaw(nil))}
		if _, err := nc.Write(frame(uint32(n+1), false, info, message("verify", []byte{0x18, 0}))); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-answered; err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("the calls are not answered: %v", err)
	}
	t.Logf("%d calls were answered after %v", calls, time.Since(began))
}
