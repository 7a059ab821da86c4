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
)

// What resolves a call other than its reply.
var (
	errTimedOut  = errors.New("no answer in time")
	errSilent    = errors.New("no sign of life for so long that another instance is asked")
	errBye       = error(bye{})
	errSlotsFull = fmt.Errorf("%d calls wait on one connection", slotMask+1)
)

// bye is a connection's end that its server has said beforehand.
type bye struct{}

// Error is error's.
func (bye) Error() string { return "the server has stopped without executing the call" }

// Is makes it an end like one without a word.
func (bye) Is(target error) bool { return target == io.EOF }

const (
	leastPatience = 100 * time.Millisecond // of a call with a silent connection

	quietLimit = time.Second // without a byte, while something is expected: ping
	pingLimit  = time.Second // without an answer to the ping: broken
)

// link is one connection of a client. A shared link carries many calls at
// once; any other carries one, and none after a call on it has failed.
type link struct {
	peer    *peer
	nc      net.Conn
	dialect dialect
	in      *frameReader
	out     writer
	slots   slots
	reading

	solo    atomic.Int32          // the call on a link that is not shared
	ended   atomic.Pointer[error] // why the link is over; nil while it stands
	up      atomic.Bool           // it has proved itself
	known   atomic.Pointer[replyHead]
	leaving atomic.Bool
	heard   atomic.Bool // something has come since the sweeper looked
	missed  atomic.Bool // a call was given up since the sweeper looked

	made      time.Duration // on the client's clock
	idleSince time.Duration // a plain server's between calls; guarded by peer.mu

	// Owned by the sweeper.
	trust      *siteTrust    // of a site connection
	quietSince time.Duration // when something began to be expected in vain; 0 = nothing is
	pinged     bool
	unanswered int // sweeps since then
	rest       rest
}

func newLink(p *peer, nc net.Conn) *link {
	l := &link{peer: p, nc: nc, dialect: p.dialect, made: p.c.now(), rest: newRest(nc, p.c.now())}
	if t, ok := nc.(*tls.Conn); ok && p.ep.Site {
		l.trust = &siteTrust{site: p.c.cfg.Site, state: t.ConnectionState()}
	}
	l.role.Store(readResident)
	l.bell = make(chan struct{}, 1)
	l.bell <- struct{}{}
	l.in = newFrameReader(nc, p.c.cfg.Sizes.frames())
	l.out = newWriter(nc, p.c.cfg.Sizes.Queue, p.c.spawn, l.fail)
	l.out.start()
	return l
}

// alive reports whether calls may be sent.
func (l *link) alive() bool { return l.ended.Load() == nil }

// fail ends the link and every call on it. Only the first reason counts.
func (l *link) fail(err error) {
	if !l.ended.CompareAndSwap(nil, &err) {
		return
	}
	l.out.stop(err)
	_ = l.nc.Close()
	l.peer.lost(l, err) // before the calls: who tries again is to go elsewhere
	l.slots.each(func(seq int32, _, _ time.Duration) { l.slots.resolve(seq, "", err) })
	l.summon() // so that the resident ends
}

// dispatch hands a reply to the call that waits for it.
func (l *link) dispatch(frame string) error {
	if !l.dialect.shared {
		if !l.slots.resolve(l.solo.Load(), frame, nil) {
			return errors.New("a reply came that no call waits for")
		}
		return nil
	}
	seq, err := theader.Seq(frame)
	if err != nil {
		return err
	}
	if seq != 0 {
		l.slots.resolve(seq, frame, nil) // late ones are dropped
		return nil
	}
	var h theader.Header
	if _, err := theader.Parse(frame, &h, l.in.limits); err != nil {
		return err
	}
	switch h.Get(keyControl) {
	case controlGoaway:
		if of := h.Get(keyService); (of == "" || of == l.peer.ep.Service) && !l.leaving.Swap(true) {
			l.peer.c.watch.Leaving(l.peer.ep)
		}
	case controlBye:
		return errBye
	}
	return nil
}

// outgoing is a message that is ready to be sent.
type outgoing struct {
	head   []byte // nil for peers that take no header; completed when it is sent
	body   []byte // the Thrift message
	seqAt  int    // where the sequence number stands in body; 0 = leave it at 1
	seq    int32  // what stands there once it is sent
	name   string // of the method, as it stands in body
	oneWay bool

	patience time.Duration // how long the connection may be silent until the call is given up; 0 = for as long as it stands
}

// call sends m and waits for the reply. sent is false when nothing of it can
// have reached the peer. A one-way call is done when it has been accepted, by
// a peer that says so, or written.
func (l *link) call(ctx context.Context, deadline time.Time, m *outgoing) (frame string, sent bool, err error) {
	s, seq := l.slots.take(l.peer.c.since(deadline))
	if s == nil {
		return "", false, errSlotsFull
	}
	if m.patience > 0 && l.dialect.shared {
		s.patience.Store(int64(m.patience))
	}
	defer l.slots.give(s)
	if !l.dialect.shared {
		l.solo.Store(seq)
	}
	l.peer.c.sweeper.rouse()
	if err := l.send(seq, m); err != nil {
		if !l.slots.claim(s, seq) {
			<-s.done
		}
		return "", false, err
	}
	if m.oneWay && !l.dialect.shared {
		if !l.slots.claim(s, seq) {
			<-s.done
		}
		return "", true, s.err
	}
	if err := l.attend(ctx, s, seq); err != nil {
		return "", true, err
	}
	if s.err == errTimedOut || s.err == errSilent {
		l.giveUp(seq)
	}
	return s.frame, s.err == nil || !errors.Is(s.err, errBye), s.err
}

// send queues the message. The link may have ended before the call stood in
// its slot, so it is asked again here.
func (l *link) send(seq int32, m *outgoing) error {
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
		err = finishHead(head, seq, len(m.body), l.in.limits)
	} else {
		head, err = appendHead(room[:0], l.dialect, nil, seq, len(m.body), l.in.limits)
	}
	if err != nil {
		return err
	}
	return l.out.write(head, m.body, l.others())
}

// others is how many calls besides one may soon be followed by the next, 0
// when no other is under way.
func (l *link) others() int {
	if !l.dialect.shared || l.slots.waiting.Load() <= 1 {
		return 0
	}
	return int(l.slots.most.Load()) - 1
}

// await blocks until the call has its outcome or the caller gives up.
func (l *link) await(ctx context.Context, s *slot, seq int32) error {
	if ctx.Done() == nil {
		<-s.done
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	if !l.slots.claim(s, seq) { // the outcome came in the same moment
		<-s.done
		return nil
	}
	l.giveUp(seq)
	return ctx.Err()
}

// giveUp tells the peer that nobody waits any more. A link that can't tell
// ends: its next reply would be the wrong one.
func (l *link) giveUp(seq int32) {
	l.missed.Store(true)
	if !l.dialect.shared {
		l.fail(errTimedOut)
		return
	}
	_ = l.out.write(appendControl(nil, controlCancel, 0, seq), nil, 0)
}

// ping waits for a sign of life.
func (l *link) ping(ctx context.Context) error {
	_, err := l.question(ctx, func(seq int32) []byte { return appendControl(nil, controlPing, seq, 0) })
	return err
}

// question sends a control frame and waits for the answer.
func (l *link) question(ctx context.Context, frame func(seq int32) []byte) (answer string, err error) {
	s, seq := l.slots.take(0)
	if s == nil {
		return "", errSlotsFull
	}
	defer l.slots.give(s)
	err = l.out.write(frame(seq), nil, 0)
	if err == nil && !l.alive() {
		err = *l.ended.Load()
	}
	if err == nil {
		err = l.attend(ctx, s, seq)
	} else if !l.slots.claim(s, seq) {
		<-s.done
	}
	return s.frame, errors.Join(err, s.err)
}

// silentFor reports whether nothing has come for so long, not even the answer
// to a ping. Sweeps are counted so that a pause of this process is not blamed on
// the other side: what has come meanwhile is read in between.
func (l *link) silentFor(d, now time.Duration) bool {
	return l.pinged && !l.heard.Load() && now-l.quietSince >= d && l.unanswered >= int(d/(8*sweepPeriod))
}

// sweep is called every sweepPeriod while something is expected. It times
// calls out and finds dead peers; it reports whether it wants to be called
// again.
func (l *link) sweep(now time.Duration) bool {
	impatient, doubt := quietLimit, false // half of the least patience
	l.slots.each(func(seq int32, deadline, patience time.Duration) {
		switch {
		case deadline != 0 && now >= deadline:
			l.slots.resolve(seq, "", errTimedOut)
		case patience == 0:
		case l.silentFor(patience, now):
			doubt = l.slots.resolve(seq, "", errSilent) || doubt
		default:
			impatient = min(impatient, patience/2)
		}
	})
	if doubt {
		l.peer.c.watch.Down(l.peer.ep, false, errSilent)
	}
	busy, missed, heard := l.slots.waiting.Load() > 0, l.missed.Swap(false), l.heard.Swap(false)
	l.rest.look(now, busy || heard)
	l.slots.most.Store(l.slots.waiting.Load())
	l.nudge()
	unread := l.role.Load() != readResident
	if unread && !heard {
		l.summon()
	}
	if !l.dialect.shared {
		return busy || unread
	}
	if heard {
		l.quietSince, l.pinged, l.unanswered = 0, false, 0
	}
	switch quiet := now - l.quietSince; {
	case l.quietSince == 0:
		if busy || missed {
			l.quietSince = max(1, now)
		}
	case quiet >= quietLimit+pingLimit:
		l.fail(fmt.Errorf("%w for %v", ErrSilent, quiet.Round(time.Millisecond)))
		return false
	case l.pinged:
		l.unanswered++
	case quiet >= impatient:
		l.pinged = true
		_ = l.out.write(appendControl(nil, controlPing, 0, 0), nil, 0)
	}
	return l.quietSince != 0 || unread
}
