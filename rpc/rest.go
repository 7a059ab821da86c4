package rpc

import (
	"crypto/tls"
	"net"
	"time"
)

// A connection that carries calls, or did so lately, is watched closely. One
// that rests is asked by its kernel now and then: with thirty peers each, the
// close watch would cost every host forty packets a second, and who still calls
// a host that has vanished tells the others (package broadcast).
const restAfter = 5 * time.Second // without a sign of use

var restKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: time.Second, Count: 3}

// rest is how a connection's kernel watches its connection. The sweeper owns it.
type rest struct {
	set  func(net.KeepAliveConfig) error // nil: there is nothing to set
	used time.Duration                   // when a sign of use was last seen
	deep bool                            // it rests
}

func newRest(nc net.Conn, now time.Duration) rest {
	r := rest{used: now}
	if tc := tcpOf(nc); tc != nil {
		r.set = tc.SetKeepAliveConfig
	}
	return r
}

// look changes the watch when the connection begins to rest, or is used again.
func (r *rest) look(now time.Duration, inUse bool) {
	if inUse {
		r.used = now
	}
	deep := now-r.used >= restAfter
	if deep == r.deep || r.set == nil {
		return
	}
	r.deep = deep
	how := clientKeepAlive
	if deep {
		how = restKeepAlive
	}
	_ = r.set(how) // a connection that refuses is at its end
}

// tcpOf is the TCP connection under a connection, nil for none.
func tcpOf(nc net.Conn) *net.TCPConn {
	for {
		switch c := nc.(type) {
		case *net.TCPConn:
			return c
		case *tls.Conn:
			nc = c.NetConn()
		case *conduit:
			nc = c.Conn
		default:
			return nil
		}
	}
}
