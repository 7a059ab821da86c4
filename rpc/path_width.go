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

// Some paths lose every large packet and tell neither end, as behind a switch
// or tunnel with a smaller MTU than the hosts believe. A connection stands
// there, small messages pass, and the first large one stops it for good: TCP
// keeps the order. So a connection that has died of silence is believed again
// only when packets as large as the path should take have passed both ways.

// ErrSilent is what Watcher.Down is told when a connection gave no sign of life
// any more. A new connection, or a small reply, does not mend that; Client.Check
// does.
var ErrSilent = errors.New("no sign of life")

const (
	padMost       = 12 << 10 // bytes of padding in a ping or pong; the largest Ethernet packet has 9,000
	narrowSegment = 536      // that every path takes (RFC 9293, 3.7.1)
)

// pathWidth holds what connections have shown of the path to an endpoint.
type pathWidth struct {
	doubted atomic.Bool  // one has died of silence, and no full packets have passed since
	segment atomic.Int32 // bytes of the TCP segments of new connections; 0 = as the kernel chooses
	said    atomic.Bool  // the log has it that full packets do not pass
}

// noteSilence learns from the end of a connection, and returns the error for the
// watcher.
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

// probeFull finds out whether full packets pass, on a connection of its own: it
// would never be used again if they do not.
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

// fullPassed notes that full packets pass.
func (p *connPool) fullPassed() {
	p.path.doubted.Store(false)
	p.path.said.Store(false)
	p.setSegment(0)
}

// fullLost notes that small packets pass, and that full ones had no answer.
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

// setSegment has new connections use TCP segments of so many bytes; 0 = as the
// kernel chooses. Those that stand get no new calls.
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

// retire ends a connection that gets no new calls when its last one is over.
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

// askPadded asks the other end by full packets, and has it answer by as many.
func (l *clientConn) askPadded(ctx context.Context) (size int, err error) {
	size = min(2*transport.SegmentSize(l.nc), padMost)
	ctx, cancel := context.WithTimeout(ctx, l.pool.c.cfg.ConnectTimeout)
	defer cancel()
	_, err = l.ask(ctx, func(seq int32) []byte { return appendPadded(nil, controlPing, seq, size) })
	return size, err
}

// appendPadded writes a control frame with so many bytes of padding behind dst.
func appendPadded(dst []byte, kind string, seq int32, size int) []byte {
	return appendPair(dst, kind, seq, keyPad, strings.Repeat(".", min(size, padMost)))
}
