package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// unknownMethod is the method of a ping to a plain server. The answer that there is no such method
// shows that the server is awake. A frozen process, or one without a free thread, accepts
// connections as well.
const unknownMethod = "skerry_check"

// pingPlain pings a plain Thrift or HTTP server.
func (p *connPool) pingPlain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*p.c.cfg.ConnectTimeout)
	defer cancel()
	switch {
	case p.ep.Protocol == protocolHTTP:
		return p.pingHTTP(ctx)
	case p.path.doubted.Load():
		return p.pingPlainFull(ctx)
	}
	return p.pingPlainMethod(ctx, unknownMethod)
}

// pingPlainFull pings by full packets a plain server that has not answered a call in time. Most
// servers repeat the method's name in their answer, so full packets come back as well.
func (p *connPool) pingPlainFull(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, p.c.cfg.ConnectTimeout)
	defer cancel()
	size := 2 * transport.UsualSegment
	err := p.pingPlainMethod(asking, unknownMethod+strings.Repeat("_", size))
	if err == nil {
		p.fullPassed()
		return nil
	}
	if p.pingPlainMethod(ctx, unknownMethod) != nil {
		return err
	}
	return p.fullLost(size, err)
}

// pingPlainMethod pings a plain Thrift server. Closing the connection in answer is a sign of life
// as well.
func (p *connPool) pingPlainMethod(ctx context.Context, method string) error {
	var l *clientConn
	if method == unknownMethod {
		p.mu.Lock()
		l = p.plain.newest() // a server with a single thread may serve no other connection
		p.mu.Unlock()
	}
	if l != nil {
		defer p.releasePlain(l)
	} else {
		var err error
		if l, err = p.attempt(ctx, 0); err != nil {
			return err
		}
		defer l.fail(errUnused)
	}
	w := flat.NewWriter(p.dialect.encoding, p.c.cfg.Sizes.Frame)
	defer w.Free()
	err := errors.Join(w.WriteMessageBegin(ctx, multiplexed(p.ep.Prefix, method), thrift.CALL, 1),
		w.WriteFieldStop(ctx), w.WriteMessageEnd(ctx))
	if err != nil {
		return err
	}
	m := outgoing{body: w.Bytes()}
	if p.dialect.header {
		if m.head, err = appendCallHead(nil, 0, &Call{Service: p.ep.Service}, nil, "", p.c.cfg.ConnectTimeout,
			l.in.Limits); err != nil {
			return err
		}
	}
	_, sent, err := l.call(ctx, time.Time{}, &m)
	if err != nil && sent && ctx.Err() == nil {
		return nil // it has closed the connection
	}
	return unanswered(p.ep.Addr, err)
}

// pingHTTP pings an HTTP server by the request that RFC 9110 (9.3.7) has for it. Any answer shows
// that it is awake.
func (p *connPool) pingHTTP(ctx context.Context) error {
	nc, err := p.c.dialNet(ctx, p.ep)
	if err != nil {
		return err
	}
	defer nc.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err = fmt.Fprintf(
		nc,
		"OPTIONS * HTTP/1.1\r\nHost: %s\r\nUser-Agent: skerry\r\nConnection: close\r\n\r\n",
		p.ep.Addr,
	)
	if err == nil {
		_, err = io.ReadFull(nc, make([]byte, 1))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return unanswered(p.ep.Addr, err)
}

func unanswered(addr string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("connected to %s, but it does not answer: %w", addr, err)
}

// multiplexed is the name of a method in Thrift's multiplexed protocol.
func multiplexed(prefix, method string) string {
	if prefix == "" {
		return method
	}
	return prefix + thrift.MULTIPLEXED_SEPARATOR + method
}
