package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A plain Thrift server gives a thread to each connection, and has few of them. Connections that a
// client keeps without need take threads from other clients.
const (
	plainIdle = time.Second // a connection without a call for so long is closed within another second
	plainLife = time.Second // an older connection is closed after its call, so that other processes get its thread
	idleConns = 4           // kept between calls when the server's concurrency is unknown
)

var errPoolFull = errors.New("every connection that the server's pool may have is in use")

// errPoolEnded is the error of a call to a server with a pool of its own that has closed a connection
// between two calls. The server may be another program now, to which the message is not addressed.
var errPoolEnded = errors.New("the server has closed its connection before the call")

// plainConns holds the connections to a plain Thrift server, each for one call at a time.
// connPool.mu guards it.
type plainConns struct {
	most  int                // largest number of connections; 0 = no limit
	keep  int                // largest number of connections that are kept between calls
	used  int                // connections that stand or are opening
	own   Pool               // Endpoint.Pool, set if no other client calls the server
	idle  []*clientConn      // between calls, the one that was used last at the end
	queue []chan *clientConn // calls that wait for one, first come first
}

func newPlainConns(e *Endpoint) plainConns {
	if e.Pool.Most > 0 {
		return plainConns{most: e.Pool.Most, keep: e.Pool.Most, own: e.Pool}
	}
	concurrency := e.Concurrency
	if concurrency <= 0 {
		return plainConns{keep: idleConns}
	}
	most := max(1, concurrency/2)
	return plainConns{most: most, keep: most}
}

// acquirePlain returns a connection for one call; release must follow.
func (p *connPool) acquirePlain(ctx context.Context, patience time.Duration) (*clientConn, error) {
	p.mu.Lock()
	if l := p.plain.newest(); l != nil {
		p.mu.Unlock()
		if p.plain.own.Most == 0 || !l.endedUnread() {
			return l, nil
		}
		p.releasePlain(l)
		p.dropEnded()
		return nil, errPoolEnded
	}
	if p.plain.most == 0 || p.plain.used < p.plain.most {
		p.plain.used++
		p.mu.Unlock()
		return p.openPlain(ctx, patience)
	}
	if p.plain.own.Most > 0 {
		p.mu.Unlock()
		return nil, fmt.Errorf("%w: %d", errPoolFull, p.plain.own.Most)
	}
	turn := make(chan *clientConn, 1)
	p.plain.queue = append(p.plain.queue, turn)
	p.mu.Unlock()
	select {
	case l := <-turn:
		if l != nil && l.alive() {
			return l, nil
		}
		return p.openPlain(ctx, patience)
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(p.plain.queue, turn)
	if i >= 0 {
		p.plain.queue = slices.Delete(p.plain.queue, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // its turn came in the same moment
		p.releasePlain(<-turn)
	}
	return nil, ctx.Err()
}

// endedUnread reports whether the server has closed a connection between two calls, while no
// goroutine reads it. Unrequested bytes also end it.
func (l *clientConn) endedUnread() bool {
	if !l.role.CompareAndSwap(readByNone, readByCaller) {
		return !l.alive()
	}
	defer l.yieldRole()
	if l.in.Quiet() {
		return false
	}
	l.fail(io.EOF)
	return true
}

// dropEnded drops all connections that the server has closed between calls.
func (p *connPool) dropEnded() {
	p.mu.Lock()
	idle := slices.Clone(p.plain.idle)
	p.mu.Unlock()
	for _, l := range idle {
		l.endedUnread() // which removes it
	}
}

// openPlain makes a connection for a place that the caller has taken in used.
func (p *connPool) openPlain(ctx context.Context, patience time.Duration) (*clientConn, error) {
	l, err := p.open(ctx, patience)
	if err != nil {
		p.releasePlain(nil)
	}
	return l, err
}

// release returns a connection to the pool.
func (p *connPool) release(l *clientConn) {
	if !p.dialect.shared {
		p.releasePlain(l)
	}
}

// releasePlain passes a connection on to the call that has waited longest, keeps it, or closes it.
// nil is the place of an ended connection.
func (p *connPool) releasePlain(l *clientConn) {
	if l != nil {
		if l.alive() && p.keep(l) {
			return
		}
		l.fail(errUnused) // before another connection takes its place
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plain.passOn(nil)
}

// keep reports whether a connection has been passed on, or kept.
func (p *connPool) keep(l *clientConn) bool {
	now := p.c.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case now-l.made >= plainLife && p.plain.own.Most == 0:
		return false
	case len(p.plain.queue) > 0:
		p.plain.passOn(l)
	case len(p.plain.idle) < p.plain.keep && !p.ep.gone.Load():
		l.idleSince = now
		p.plain.idle = append(p.plain.idle, l)
	default:
		return false
	}
	return true
}

// passOn gives a connection, or its place, to the call that has waited longest.
func (q *plainConns) passOn(l *clientConn) {
	if len(q.queue) == 0 {
		q.used--
		return
	}
	turn := q.queue[0]
	q.queue = slices.Delete(q.queue, 0, 1)
	turn <- l
}

// newest takes the idle connection that was used last, or returns nil.
func (q *plainConns) newest() *clientConn {
	for n := len(q.idle); n > 0; n = len(q.idle) {
		l := q.idle[n-1]
		q.idle = q.idle[:n-1]
		if l.alive() {
			return l
		}
		q.passOn(nil)
	}
	return nil
}

// remove removes a connection that has ended between calls.
func (q *plainConns) remove(l *clientConn) {
	if i := slices.Index(q.idle, l); i >= 0 {
		q.idle = slices.Delete(q.idle, i, i+1)
		q.passOn(nil)
	}
}

// closeIdlePlain closes the connections that no call has used for a while.
func (p *connPool) closeIdlePlain() {
	if p.dialect.shared {
		return
	}
	idle := plainIdle
	if p.plain.own.Most > 0 {
		idle = p.plain.own.Idle
	}
	if p.ep.gone.Load() {
		idle = 0
	}
	since := p.c.now() - idle
	p.mu.Lock()
	var old []*clientConn
	p.plain.idle = slices.DeleteFunc(p.plain.idle, func(l *clientConn) bool {
		if l.idleSince > since {
			return false
		}
		old = append(old, l)
		return true
	})
	for range old {
		p.plain.passOn(nil)
	}
	p.mu.Unlock()
	for _, l := range old {
		l.fail(errUnused)
	}
}
