package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// The outcomes of a call without a reply.
var (
	errTimedOut    = errors.New("no answer in time")
	errSilent      = errors.New("no sign of life for so long that another instance is asked")
	errBye         = error(bye{})
	errPendingFull = fmt.Errorf("%d calls wait on one connection", indexMask+1)
)

// bye is the error of a connection that its server has announced to end.
type bye struct{}

// Error says what the end means for a call.
func (bye) Error() string { return "the server has stopped without executing the call" }

// Is reports bye as io.EOF: an announced end is also the end of the connection.
func (bye) Is(target error) bool { return target == io.EOF }

const (
	leastPatience = 100 * time.Millisecond // a call waits at least this long on a silent connection before it moves

	quietLimit = time.Second // the client pings after this long without a byte, while it expects one
	pingLimit  = time.Second // the connection is broken when a ping has no answer for this long
)

// clientConn is one connection of a client. A shared one carries many calls at
// once. Any other carries one at a time, and ends when a call on it fails.
type clientConn struct {
	pool    *connPool
	nc      net.Conn
	dialect dialect
	in      *transport.Reader
	out     transport.Writer
	pending pendingCalls
	streams clientStreams
	readRole

	single    atomic.Int32          // the call on a connection that is not shared
	ended     atomic.Pointer[error] // why the connection is over; nil while it stands
	proven    atomic.Bool           // an answer has shown that the intended server is there
	replyHead atomic.Pointer[replyHead]
	itemHead  atomic.Pointer[replyHead] // the same of items of streams
	streaming atomic.Bool               // the server takes streams
	leaving   atomic.Bool
	received  atomic.Bool // something has come since the sweeper looked
	abandoned atomic.Bool // a call was given up since the sweeper looked

	made      time.Duration // when it was made, on the client's clock
	idleSince time.Duration // when its last call ended, at a plain server; guarded by connPool.mu

	// Owned by the sweeper.
	trust      *siteTrust    // of a site connection
	quietSince time.Duration // since when an answer is expected and no byte has come; 0 = none is expected
	pinged     bool          // a ping was sent since then
	unanswered int           // sweeps since the ping
	keepalive  transport.IdleKeepalive
}

func newClientConn(p *connPool, nc net.Conn) *clientConn {
	l := &clientConn{
		pool:      p,
		nc:        nc,
		dialect:   p.dialect,
		made:      p.c.now(),
		keepalive: transport.NewIdleKeepalive(nc, p.c.now()),
	}
	if t, ok := nc.(*tls.Conn); ok && p.ep.Site {
		l.trust = &siteTrust{site: p.c.cfg.Site, state: t.ConnectionState()}
	}
	l.role.Store(readByReader)
	l.wake = make(chan struct{}, 1)
	l.wake <- struct{}{}
	l.in = transport.NewReader(nc, p.c.cfg.Sizes.frames(), nil)
	l.out = transport.NewWriter(nc, p.c.cfg.Sizes.Queue, nil, p.c.spawn, l.fail)
	l.out.Start()
	return l
}

// alive reports whether calls may be sent.
func (l *clientConn) alive() bool { return l.ended.Load() == nil }

// fail ends the connection and every call on it. Only the first reason counts.
func (l *clientConn) fail(err error) {
	if !l.ended.CompareAndSwap(nil, &err) {
		return
	}
	l.out.Stop(err)
	_ = l.nc.Close()
	l.pool.connEnded(l, err) // before the calls, so that retries go elsewhere
	l.pending.each(func(seq int32, _, _ time.Duration) { l.pending.resolve(seq, "", err) })
	l.streams.end(err)
	l.wakeReader() // so that runReader ends
}

// dispatch hands a reply to the call that waits for it.
func (l *clientConn) dispatch(frame string) error {
	if !l.dialect.shared {
		if !l.pending.resolve(l.single.Load(), frame, nil) {
			return errors.New("a reply came that no call waits for")
		}
		return nil
	}
	seq, err := theader.Seq(frame)
	if err != nil {
		return err
	}
	if seq != 0 {
		if s := l.streams.find(seq); s != nil {
			return s.frame(frame)
		}
		l.pending.resolve(seq, frame, nil) // late replies are dropped
		return nil
	}
	var h theader.Header
	if _, err := theader.Parse(frame, &h, l.in.Limits); err != nil {
		return err
	}
	switch h.Get(keyControl) {
	case controlGoaway:
		if of := h.Get(keyService); (of == "" || of == l.pool.ep.Service) && !l.leaving.Swap(true) {
			l.pool.c.watch.Leaving(l.pool.ep)
		}
		for _, s := range l.streams.all() {
			if of := h.Get(keyService); of == "" || of == s.service.name {
				s.move()
			}
		}
	case controlBye:
		return errBye
	case controlCredit:
		seq, n, err := readCredit(&h)
		if s := l.streams.find(seq); s != nil && err == nil {
			err = s.credit(n)
		}
		return err
	case controlMoving:
		seq, err := readTarget(&h)
		if s := l.streams.find(seq); s != nil {
			s.move()
		}
		return err
	}
	return nil
}

// outgoing is a message that is ready to be sent.
type outgoing struct {
	head   []byte // nil for peers that take no header; completed when it is sent
	body   []byte // the Thrift message
	seqAt  int    // offset of the sequence number in body; 0 = leave it at 1
	seq    int32  // the sequence number, once sent
	name   string // of the method, as it stands in body
	oneWay bool
	behind []byte // a second call, sent after a one-way call, which ends when this one is answered; nil: none

	// patience is how long the connection may be silent before the call is given up; 0: no limit.
	patience time.Duration
}

// call sends m and waits for the reply. sent is false when no byte of m can have reached the peer.
// A one-way call returns when a skerry peer has accepted it, or at any other peer when it is written.
func (l *clientConn) call(ctx context.Context, deadline time.Time, m *outgoing) (frame string, sent bool, err error) {
	s, seq := l.pending.add(l.pool.c.onClock(deadline))
	if s == nil {
		return "", false, errPendingFull
	}
	if m.patience > 0 && l.dialect.shared {
		s.patience.Store(int64(m.patience))
	}
	defer l.pending.free(s)
	if !l.dialect.shared {
		l.single.Store(seq)
	}
	l.pool.c.sweeper.rouse()
	if err := l.send(seq, m); err != nil {
		if !l.pending.claim(s, seq) {
			<-s.done
		}
		return "", false, err
	}
	if m.oneWay && !l.dialect.shared && m.behind == nil {
		if !l.pending.claim(s, seq) {
			<-s.done
		}
		return "", true, s.err
	}
	if err := l.awaitReply(ctx, s, seq); err != nil {
		return "", true, err
	}
	if s.err == errTimedOut || s.err == errSilent {
		l.giveUp(seq)
	}
	return s.frame, s.err == nil || !errors.Is(s.err, errBye), s.err
}

// send queues the message. It checks the connection again, which may have ended before the call was
// pending.
func (l *clientConn) send(seq int32, m *outgoing) error {
	if ended := l.ended.Load(); ended != nil {
		return *ended
	}
	m.seq = 1
	if m.seqAt > 0 {
		m.seq = seq
		putSeq(m.body[m.seqAt:], seq)
	}
	var room [4]byte
	head, err := m.head, error(nil)
	if head != nil {
		err = finishHead(head, seq, len(m.body), l.in.Limits)
	} else {
		head, err = appendHead(room[:0], l.dialect, nil, seq, len(m.body), l.in.Limits)
	}
	if err != nil {
		return err
	}
	if err := l.out.Send(head, m.body, l.others()); err != nil || m.behind == nil {
		return err
	}
	return l.out.Send(m.behind, nil, 0)
}

// others returns how many other callers of this connection may soon send their next call; 0 when no
// other call is under way.
func (l *clientConn) others() int {
	if !l.dialect.shared || l.pending.waiting.Load() <= 1 {
		return 0
	}
	return int(l.pending.most.Load()) - 1
}

// await blocks until the call has its outcome or the caller gives up.
func (l *clientConn) await(ctx context.Context, s *pendingCall, seq int32) error {
	if ctx.Done() == nil {
		<-s.done
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	if !l.pending.claim(s, seq) { // the outcome came in the same moment
		<-s.done
		return nil
	}
	l.giveUp(seq)
	return ctx.Err()
}

// giveUp tells the peer that no caller waits any more. A connection without control frames ends,
// because its next reply would be the wrong one.
func (l *clientConn) giveUp(seq int32) {
	l.abandoned.Store(true)
	if !l.dialect.shared {
		l.fail(errTimedOut)
		return
	}
	_ = l.out.Send(appendControl(nil, controlCancel, 0, seq), nil, 0)
}

// ping waits for a sign of life.
func (l *clientConn) ping(ctx context.Context) error {
	_, err := l.ask(ctx, func(seq int32) []byte { return appendControl(nil, controlPing, seq, 0) })
	return err
}

// ask sends a control frame and waits for the answer.
func (l *clientConn) ask(ctx context.Context, frame func(seq int32) []byte) (answer string, err error) {
	s, seq := l.pending.add(0)
	if s == nil {
		return "", errPendingFull
	}
	defer l.pending.free(s)
	err = l.out.Send(frame(seq), nil, 0)
	if err == nil && !l.alive() {
		err = *l.ended.Load()
	}
	if err == nil {
		err = l.awaitReply(ctx, s, seq)
	} else if !l.pending.claim(s, seq) {
		<-s.done
	}
	return s.frame, errors.Join(err, s.err)
}

// silentFor reports whether no byte has come for d, not even the answer to a ping. It also requires
// enough sweeps since the ping: after a pause of this process, the reader first gets time to read
// the bytes that came meanwhile.
func (l *clientConn) silentFor(d, now time.Duration) bool {
	return l.pinged && !l.received.Load() && now-l.quietSince >= d && l.unanswered >= int(d/(8*sweepPeriod))
}

// sweep is called every sweepPeriod while a call waits. It times calls out, finds dead peers, and
// reports whether it must be called again.
func (l *clientConn) sweep(now time.Duration) bool {
	impatient, doubt := quietLimit, false // impatient: ping after this silence, half of the least patience
	l.pending.each(func(seq int32, deadline, patience time.Duration) {
		switch {
		case deadline != 0 && now >= deadline:
			l.pending.resolve(seq, "", errTimedOut)
		case patience == 0:
		case l.silentFor(patience, now):
			doubt = l.pending.resolve(seq, "", errSilent) || doubt
		default:
			impatient = min(impatient, patience/2)
		}
	})
	if doubt {
		l.pool.c.watch.Down(l.pool.ep, false, errSilent)
	}
	busy, missed, heard := l.pending.waiting.Load() > 0, l.abandoned.Swap(false), l.received.Swap(false)
	l.keepalive.Update(now, busy || heard)
	l.pending.most.Store(l.pending.waiting.Load())
	l.wakeIdleCaller()
	unread, open := l.role.Load() != readByReader, l.streams.number.Load() > 0
	if unread && !heard {
		l.wakeReader()
	}
	if !l.dialect.shared {
		return busy || unread
	}
	if heard {
		l.quietSince, l.pinged, l.unanswered = 0, false, 0
	}
	switch quiet := now - l.quietSince; {
	case l.quietSince == 0:
		if busy || missed || open {
			l.quietSince = max(1, now)
		}
	case quiet >= quietLimit+pingLimit:
		l.fail(fmt.Errorf("%w for %v", ErrSilent, quiet.Round(time.Millisecond)))
		return false
	case l.pinged:
		l.unanswered++
	case quiet >= impatient:
		l.pinged = true
		_ = l.out.Send(appendControl(nil, controlPing, 0, 0), nil, 0)
	}
	// A connection with streams alone is looked at once a second, until a ping is under way.
	return l.quietSince != 0 && (busy || missed || l.pinged || !open) || unread
}
