package rpc

import (
	"errors"
	"net"
	"runtime"
	"testing"
	"time"
)

// Unframed bytes count while they come, and announced bytes take no memory.
func TestUnframedMessagesAreCounted(t *testing.T) {
	s := serve(t, ServerConfig{Sizes: Sizes{Requests: 1 << 20}}, &handler{})
	begin := "\x80\x01\x00\x01\x00\x00\x00\x04note\x00\x00\x00\x01\x0b\x00\x01\x00\x80\x00\x00" // a string of 8 MiB
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	waiting := send(t, s.addr, []byte(begin))
	nc := send(t, s.addr, []byte(begin))
	_ = nc.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = nc.Write(make([]byte, 4<<20))
	wantClosed(t, nc) // more than twice the limit
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
		t.Errorf("%d bytes were taken", took)
	}
	nothingHeld(t, s)
	_ = waiting.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := waiting.Read(make([]byte, 1)); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("a message that has only begun: %v", err)
	}
}
