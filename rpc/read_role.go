package rpc

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The values of readRole.role: which goroutine reads a connection.
const (
	readByNone int32 = iota
	readByReader
	readByCaller
)

// soloReplies is the number of replies that must come one by one, with no other call waiting,
// before the resident leaves reading to the callers.
const soloReplies = 4

// readRole determines which goroutine reads a connection. A caller that finds no reader reads for
// itself, and for calls that come meanwhile, so a lone call wakes no other goroutine. When it has
// its reply and other calls wait, the connection's own goroutine, the resident, goes on. The
// resident also reads when no call has come for a while, because the server may send control
// frames.
type readRole struct {
	role   atomic.Int32
	wake   chan struct{} // signalled when the resident gets the role
	nudged atomic.Bool   // a read deadline was set only to wake the reader

	mu  sync.Mutex
	seq int32           // of the reading caller's call; 0 = none
	ctx context.Context // of that call; nil = it can't end
}

// runReader is the resident, the connection's own goroutine.
func (l *clientConn) runReader() {
	for range l.wake {
		for solo, batch := 0, 0; l.role.Load() == readByReader; {
			if !l.readOne() {
				return
			}
			if batch++; l.in.Ready() {
				continue
			}
			if solo++; batch > 1 || l.pending.waiting.Load() > 0 || l.streams.number.Load() > 0 {
				solo = 0
			}
			if batch = 0; solo == soloReplies {
				l.yieldRole()
				solo = 0
			}
		}
		if !l.alive() {
			return
		}
	}
}

// readOne reads one message and dispatches it. It reports false when the connection has ended.
func (l *clientConn) readOne() bool {
	frame, err := l.dialect.read(l.in)
	switch {
	case err == nil:
		l.received.Store(true)
		err = l.dispatch(frame)
	case errors.Is(err, os.ErrDeadlineExceeded) && l.nudged.Swap(false):
		err = l.nc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		l.in.Release()
		l.fail(err)
		return false
	}
	return true
}

// awaitReply waits for a call's outcome, and reads for it when no goroutine does. An error means
// that the caller has given up.
func (l *clientConn) awaitReply(ctx context.Context, s *pendingCall, seq int32) error {
	if l.role.Load() == readByNone && l.role.CompareAndSwap(readByNone, readByCaller) {
		l.readFor(ctx, s, seq)
	}
	return l.await(ctx, s, seq)
}

// readFor reads until the call has its outcome or its context has ended.
func (l *clientConn) readFor(ctx context.Context, s *pendingCall, seq int32) {
	if ctx.Done() == nil {
		ctx = nil
	}
	l.setReadFor(seq, ctx)
	for s.state.Load() == seq && (ctx == nil || ctx.Err() == nil) && l.readOne() {
	}
	l.setReadFor(0, nil)
	l.yieldRole()
}

func (l *clientConn) setReadFor(seq int32, ctx context.Context) {
	l.readRole.mu.Lock()
	l.readRole.seq, l.readRole.ctx = seq, ctx
	l.readRole.mu.Unlock()
}

// yieldRole gives up the role, in favour of the resident if calls wait.
func (l *clientConn) yieldRole() {
	l.role.Store(readByNone)
	if l.pending.waiting.Load() > 0 || l.streams.number.Load() > 0 || !l.alive() {
		l.wakeReader()
	}
	l.pool.c.sweeper.rouse() // the sweeper wakes the resident when no call comes
}

// wakeReader makes the resident read if no goroutine does.
func (l *clientConn) wakeReader() {
	if l.role.CompareAndSwap(readByNone, readByReader) {
		select {
		case l.wake <- struct{}{}:
		default: // the last signal is still unread
		}
	}
}

// wakeIdleCaller wakes a caller that still reads after its own call has ended.
func (l *clientConn) wakeIdleCaller() {
	r := &l.readRole
	r.mu.Lock()
	over := r.seq != 0 && (!l.pending.isWaiting(r.seq) || r.ctx != nil && r.ctx.Err() != nil)
	r.mu.Unlock()
	if over {
		r.nudged.Store(true)
		_ = l.nc.SetReadDeadline(time.Unix(1, 0))
	}
}
