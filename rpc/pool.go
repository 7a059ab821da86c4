package rpc

import (
	"context"
	"slices"
	"time"
)

// A plain Thrift server gives a thread to each connection, and has few of them:
// what a client keeps without need is missing to other clients.
const (
	plainIdle = time.Second // that a connection is kept between calls; it is closed within another second
	plainLife = time.Second // of a connection, after which the next caller's turn comes, be it another process
	idleLinks = 4           // connections that are kept between calls, when the server's concurrency is not known
)

// plainPool is the connections to a plain Thrift server: one for each call at a
// time. The peer's mutex guards it.
type plainPool struct {
	most  int          // that stand at a time; 0 = no limit
	keep  int          // of them between calls
	used  int          // that stand or are being made
	idle  []*link      // between calls, the one that was used last at the end
	queue []chan *link // calls that wait for one, first come first
}

func newPlainPool(concurrency int) plainPool {
	if concurrency <= 0 {
		return plainPool{keep: idleLinks}
	}
	most := max(1, concurrency/2)
	return plainPool{most: most, keep: most}
}

// take returns a connection for one call; release must follow.
func (p *peer) take(ctx context.Context, patience time.Duration) (*link, error) {
	p.mu.Lock()
	if l := p.plain.newest(); l != nil {
		p.mu.Unlock()
		return l, nil
	}
	if p.plain.most == 0 || p.plain.used < p.plain.most {
		p.plain.used++
		p.mu.Unlock()
		return p.fill(ctx, patience)
	}
	turn := make(chan *link, 1)
	p.plain.queue = append(p.plain.queue, turn)
	p.mu.Unlock()
	select {
	case l := <-turn:
		if l != nil && l.alive() {
			return l, nil
		}
		return p.fill(ctx, patience)
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(p.plain.queue, turn)
	if i >= 0 {
		p.plain.queue = slices.Delete(p.plain.queue, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 { // its turn came in the same moment
		p.give(<-turn)
	}
	return nil, ctx.Err()
}

// fill makes a connection for a place that is taken already.
func (p *peer) fill(ctx context.Context, patience time.Duration) (*link, error) {
	l, err := p.open(ctx, patience)
	if err != nil {
		p.give(nil)
	}
	return l, err
}

// release gives a link back.
func (p *peer) release(l *link) {
	if !p.dialect.shared {
		p.give(l)
	}
}

// give passes a connection on to the call that has waited longest, keeps it,
// or closes it. nil is the place of one that has ended.
func (p *peer) give(l *link) {
	if l != nil {
		if l.alive() && p.keep(l) {
			return
		}
		l.fail(errUnused) // before its place is another's
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plain.next(nil)
}

// keep reports whether a connection has been passed on, or kept.
func (p *peer) keep(l *link) bool {
	now := p.c.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case now-l.made >= plainLife:
		return false
	case len(p.plain.queue) > 0:
		p.plain.next(l)
	case len(p.plain.idle) < p.plain.keep && !p.ep.gone.Load():
		l.idleSince = now
		p.plain.idle = append(p.plain.idle, l)
	default:
		return false
	}
	return true
}

// next gives a connection, or its place, to the call that has waited longest.
func (q *plainPool) next(l *link) {
	if len(q.queue) == 0 {
		q.used--
		return
	}
	turn := q.queue[0]
	q.queue = slices.Delete(q.queue, 0, 1)
	turn <- l
}

// newest takes the idle connection that was used last.
func (q *plainPool) newest() *link {
	for n := len(q.idle); n > 0; n = len(q.idle) {
		l := q.idle[n-1]
		q.idle = q.idle[:n-1]
		if l.alive() {
			return l
		}
		q.next(nil)
	}
	return nil
}

// lost takes a connection out that has ended between calls.
func (q *plainPool) lost(l *link) {
	if i := slices.Index(q.idle, l); i >= 0 {
		q.idle = slices.Delete(q.idle, i, i+1)
		q.next(nil)
	}
}

// giveBack closes the connections that no call has used for a while.
func (p *peer) giveBack() {
	if p.dialect.shared {
		return
	}
	since := p.c.now() - plainIdle
	p.mu.Lock()
	var old []*link
	p.plain.idle = slices.DeleteFunc(p.plain.idle, func(l *link) bool {
		if l.idleSince > since {
			return false
		}
		old = append(old, l)
		return true
	})
	for range old {
		p.plain.next(nil)
	}
	p.mu.Unlock()
	for _, l := range old {
		l.fail(errUnused)
	}
}
