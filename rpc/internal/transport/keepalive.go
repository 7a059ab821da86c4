package transport

import (
	"crypto/tls"
	"net"
	"time"
)

// A client detects within seconds that a peer has vanished, even on an idle connection. A server
// may take longer.
var (
	clientKeepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}
	serverKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
)

const (
	clientUserTimeout = 3 * time.Second  // sent bytes may stay unacknowledged for this long
	serverUserTimeout = 30 * time.Second // the same
)

// A connection with calls now or recently gets frequent keepalives. An idle one gets few, because
// with thirty peers each, frequent ones would cost every host forty packets a second. A process
// that still calls a vanished host tells the others (package broadcast).
const idleAfter = 5 * time.Second // without use

var idleKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: time.Second, Count: 3}

// IdleKeepalive makes the kernel probe a connection less often while it is idle.
// One goroutine uses it.
type IdleKeepalive struct {
	set  func(net.KeepAliveConfig) error // nil: the connection has no keepalives
	used time.Duration                   // when use was last seen
	idle bool                            // few keepalives are set
}

// NewIdleKeepalive watches a connection in use. now is the time of any clock.
func NewIdleKeepalive(nc net.Conn, now time.Duration) IdleKeepalive {
	r := IdleKeepalive{used: now}
	if tc := tcpOf(nc); tc != nil {
		r.set = tc.SetKeepAliveConfig
	}
	return r
}

// Update changes the interval when the connection has become idle, or is used again.
func (r *IdleKeepalive) Update(now time.Duration, inUse bool) {
	if inUse {
		r.used = now
	}
	idle := now-r.used >= idleAfter
	if idle == r.idle || r.set == nil {
		return
	}
	r.idle = idle
	how := clientKeepAlive
	if idle {
		how = idleKeepAlive
	}
	_ = r.set(how) // a connection that refuses is ending
}

// tcpOf returns the TCP connection under nc, or nil.
func tcpOf(nc net.Conn) *net.TCPConn {
	for {
		switch c := nc.(type) {
		case *net.TCPConn:
			return c
		case *tls.Conn:
			nc = c.NetConn()
		case *TLSBuffer:
			nc = c.Conn
		default:
			return nil
		}
	}
}

// TuneAccepted sets a server's socket options.
func TuneAccepted(nc net.Conn) {
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetKeepAliveConfig(serverKeepAlive)
		setUserTimeout(tc, serverUserTimeout)
	}
}
