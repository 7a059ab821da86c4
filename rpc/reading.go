package rpc

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Who reads a link.
const (
	readNobody int32 = iota
	readResident
	readCaller
)

// soloReplies is how many replies must come one by one, with no other call
// waiting, before the resident leaves reading to the callers.
const soloReplies = 4

// reading is whose turn it is to read a link. A caller that finds nobody
// reading reads for itself, and for others that come meanwhile: so a lone call
// wakes no other goroutine. When it has its reply, and others still wait, the
// resident goroutine goes on; so it does when no call has come for a while,
// because what a server says unasked must be heard, too.
type reading struct {
	role   atomic.Int32
	bell   chan struct{} // rung when the resident has been given the role
	nudged atomic.Bool   // a reader's deadline has been set only to wake it

	mu  sync.Mutex
	seq int32           // of the reading caller's call; 0 = none
	ctx context.Context // of that call; nil = can't end
}

// reside is the link's own goroutine.
func (l *link) reside() {
	for range l.bell {
		for solo, batch := 0, 0; l.role.Load() == readResident; {
			if !l.readOne() {
				return
			}
			if batch++; l.in.ready() {
				continue
			}
			if solo++; batch > 1 || l.slots.waiting.Load() > 0 {
				solo = 0
			}
			if batch = 0; solo == soloReplies {
				l.pass()
				solo = 0
			}
		}
		if !l.alive() {
			return
		}
	}
}

// readOne reads and hands on one message. It reports false when the link has
// ended.
func (l *link) readOne() bool {
	frame, err := l.dialect.read(l.in)
	switch {
	case err == nil:
		l.heard.Store(true)
		err = l.dispatch(frame)
	case errors.Is(err, os.ErrDeadlineExceeded) && l.nudged.Swap(false):
		err = l.nc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		l.in.release()
		l.fail(err)
		return false
	}
	return true
}

// attend waits for a call's outcome, and reads for it when nobody does. An
// error means that the caller has given up.
func (l *link) attend(ctx context.Context, s *slot, seq int32) error {
	if l.role.Load() == readNobody && l.role.CompareAndSwap(readNobody, readCaller) {
		l.readFor(ctx, s, seq)
	}
	return l.await(ctx, s, seq)
}

// readFor reads until the call has its outcome or its context has ended.
func (l *link) readFor(ctx context.Context, s *slot, seq int32) {
	if ctx.Done() == nil {
		ctx = nil
	}
	l.readsFor(seq, ctx)
	for s.state.Load() == seq && (ctx == nil || ctx.Err() == nil) && l.readOne() {
	}
	l.readsFor(0, nil)
	l.pass()
}

func (l *link) readsFor(seq int32, ctx context.Context) {
	l.reading.mu.Lock()
	l.reading.seq, l.reading.ctx = seq, ctx
	l.reading.mu.Unlock()
}

// pass gives up the role, to the resident if calls wait.
func (l *link) pass() {
	l.role.Store(readNobody)
	if l.slots.waiting.Load() > 0 || !l.alive() {
		l.summon()
	}
	l.peer.c.sweeper.rouse() // which summons when no call comes
}

// summon has the resident read if nobody does.
func (l *link) summon() {
	if l.role.CompareAndSwap(readNobody, readResident) {
		select {
		case l.bell <- struct{}{}:
		default: // it has not heard the last one yet
		}
	}
}

// nudge wakes a caller that reads although its own call is over.
func (l *link) nudge() {
	r := &l.reading
	r.mu.Lock()
	over := r.seq != 0 && (!l.slots.waits(r.seq) || r.ctx != nil && r.ctx.Err() != nil)
	r.mu.Unlock()
	if over {
		r.nudged.Store(true)
		_ = l.nc.SetReadDeadline(time.Unix(1, 0))
	}
}
