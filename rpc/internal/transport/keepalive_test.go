package transport

import (
	"crypto/tls"
	"net"
	"slices"
	"testing"
	"time"
)

// TestIdleKeepalive: an unused connection gets fewer keepalives, and frequent ones once it is used.
func TestIdleKeepalive(t *testing.T) {
	var idle []time.Duration
	r := IdleKeepalive{set: func(c net.KeepAliveConfig) error { idle = append(idle, c.Idle); return nil }}
	for ms := range 30_000 {
		now := time.Duration(ms) * time.Millisecond
		if ms%10 == 0 {
			r.Update(now, now < 2*time.Second || now == 20*time.Second)
		}
	}
	want := []time.Duration{idleKeepAlive.Idle, clientKeepAlive.Idle, idleKeepAlive.Idle}
	if !slices.Equal(idle, want) {
		t.Errorf("the kernel was told %v, want %v", idle, want)
	}
	if quiet := idleAfter + idleKeepAlive.Idle; quiet < clientUserTimeout {
		t.Errorf("a link rests after %v", quiet)
	}
}

// TestIdleKeepaliveOfTLS: the option is set on the TCP connection below TLS.
func TestIdleKeepaliveOfTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if tcpOf(tls.Client(&TLSBuffer{Conn: nc}, &tls.Config{})) != nc {
		t.Error("the TCP connection under TLS was not found")
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if r := NewIdleKeepalive(a, 0); r.set != nil {
		t.Error("a pipe has no kernel to watch it")
	}
}
