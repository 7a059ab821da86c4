package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skerry/skerry/rpc/internal/transport"
)

// Some paths lose every large packet without telling either end, for example behind a switch or
// tunnel with a smaller MTU than the hosts assume. A connection stands there and small messages
// pass. The first large one blocks it for good, because TCP keeps the order. After a connection has
// died of silence, the endpoint therefore counts as good only when packets of the path's full size
// have passed both ways.

// ErrSilent is the error of Watcher.Down for a connection without a sign of life. Only Client.Check
// repairs this state; a new connection or a small reply does not.
var ErrSilent = errors.New("no sign of life")

const (
	padMost       = 12 << 10 // bytes of padding in a ping or pong; the largest Ethernet packet has 9,000
	narrowSegment = 536      // that every path takes (RFC 9293, 3.7.1)
)

// pathWidth is what connections to an endpoint have shown about the path to it.
type pathWidth struct {
	doubted atomic.Bool  // a connection has died of silence, and no full packets have passed since
	segment atomic.Int32 // bytes of the TCP segments of new connections; 0 = as the kernel chooses
	said    atomic.Bool  // the log says that full packets do not pass
}

// noteSilence records the end of a connection, and returns the error for the watcher.
func (p *connPool) noteSilence(why error) error {
	switch {
	case errors.Is(why, ErrSilent):
	case p.dialect.shared && errors.Is(why, syscall.ETIMEDOUT):
		why = fmt.Errorf("%w: %w", ErrSilent, why)
	case !p.dialect.shared && errors.Is(why, errTimedOut):
	default:
		return why
	}
	p.path.doubted.Store(true)
	if p.dialect.shared {
		p.path.segment.Store(narrowSegment) // until a check has shown that full ones pass
	}
	return why
}

// probeFull finds out whether full packets pass. It uses a connection of its own, because a lost
// packet blocks the connection for good.
func (p *connPool) probeFull(ctx context.Context) error {
	l, err := p.attempt(ctx, 0)
	if err != nil {
		return err
	}
	defer l.fail(errUnused)
	size, err := l.askPadded(ctx)
	switch {
	case err == nil:
		p.fullPassed()
		return nil
	case ctx.Err() != nil:
		return err
	}
	return p.fullLost(size, err)
}

// fullPassed records that full packets pass.
func (p *connPool) fullPassed() {
	p.path.doubted.Store(false)
	p.path.said.Store(false)
	p.setSegment(0)
}

// fullLost records that small packets pass, and that full ones got no answer.
func (p *connPool) fullLost(size int, err error) error {
	p.setSegment(narrowSegment)
	if !p.path.said.Swap(true) {
		p.c.cfg.Logger.Warn("large packets to an instance vanish on the way: "+
			"calls go to other instances, and to this one in small packets if there is no other",
			"service", p.ep.Service, "instance", p.ep.Addr, "segment", narrowSegment,
			"do", "skerry doctor on this host names the largest packet that passes")
	}
	return fmt.Errorf("small packets pass, and full ones do not, %d bytes got no answer (%w): "+
		"a switch or tunnel on the way has a smaller MTU than this host or %s; skerry doctor measures it",
		size, err, p.ep.Addr)
}

// setSegment makes new connections use TCP segments of so many bytes; 0 = as the kernel chooses.
// Standing connections get no new calls.
func (p *connPool) setSegment(segment int32) {
	if p.path.segment.Swap(segment) == segment {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.shared {
		l := p.shared[i].conn.Load()
		if l == nil || !p.shared[i].conn.CompareAndSwap(l, nil) {
			continue
		}
		p.c.spawn(func() { l.retire(p.c.ctx) })
	}
}

// retire closes a connection that gets no new calls after its last call.
func (l *clientConn) retire(ctx context.Context) {
	tick := time.NewTicker(tidyPeriod)
	defer tick.Stop()
	for l.alive() && l.pending.waiting.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	l.fail(errUnused)
}

// askPadded pings the other end by full packets, and requests an answer of the same size.
func (l *clientConn) askPadded(ctx context.Context) (size int, err error) {
	size = min(2*transport.SegmentSize(l.nc), padMost)
	ctx, cancel := context.WithTimeout(ctx, l.pool.c.cfg.ConnectTimeout)
	defer cancel()
	_, err = l.ask(ctx, func(seq int32) []byte { return appendPadded(nil, controlPing, seq, size) })
	return size, err
}

// appendPadded appends to dst a control frame with so many bytes of padding.
func appendPadded(dst []byte, kind string, seq int32, size int) []byte {
	return appendPair(dst, kind, seq, keyPad, strings.Repeat(".", min(size, padMost)))
}
