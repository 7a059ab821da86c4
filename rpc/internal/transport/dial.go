package transport

import (
	"context"
	"errors"
	"net"
	"time"
)

// DialTCP connects to host:port and sets a client's socket options. It starts goroutines by spawn,
// and the connection's owner joins them.
func DialTCP(ctx context.Context, addr string, spawn func(func()) bool) (net.Conn, error) {
	d, begun := net.Dialer{KeepAliveConfig: clientKeepAlive, ControlContext: limitSegment}, time.Now()
	nc, err := race(ctx, spawn, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) })
	if err != nil {
		return nil, err
	}
	extendOpen(ctx, time.Since(begun))
	setUserTimeout(nc, clientUserTimeout)
	return nc, nil
}

// ErrDialStopped is the error of DialTCP when spawn starts no goroutine, because the client is closed.
var ErrDialStopped = errors.New("the client is closed")

// A LAN connects within a millisecond. When the SYN is lost, the kernel repeats it after a second,
// which is too late for ClientConfig.ConnectTimeout. DialTCP therefore begins a second attempt after
// dialPatience, and a third one when twice dialPatience more has passed. The earlier ones go on.
const (
	dialPatience = 100 * time.Millisecond
	dialAttempts = 3
)

// race returns the result of the first attempt that ends, a connection or an error. It closes the
// connections of the other attempts.
func race(
	ctx context.Context,
	spawn func(func()) bool,
	dial func(context.Context) (net.Conn, error),
) (net.Conn, error) {
	ctx, over := context.WithCancel(ctx)
	defer over()
	type result struct {
		nc  net.Conn
		err error
	}
	results := make(chan result)
	attempt := func() {
		nc, err := dial(ctx)
		select {
		case results <- result{nc, err}:
		case <-ctx.Done():
			if err == nil {
				_ = nc.Close()
			}
		}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for begun := 0; ; {
		select {
		case r := <-results:
			return r.nc, r.err
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()} // like the attempts' own errors
		case <-next.C:
			if !spawn(attempt) {
				return nil, ErrDialStopped
			}
			if begun++; begun < dialAttempts {
				next.Reset(time.Duration(begun) * dialPatience)
			}
		}
	}
}
