package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/internal/rollout/participant"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
	"github.com/skerry/skerry/rpc/internal/transport"
)

// serverCall is one call on the server's side. Each call has its own; TestSizeOfRequest bounds its
// size.
type serverCall struct {
	conn      *serverConn
	payload   string
	arrived   time.Time
	seq       int32 // of the frame, or of the message when there is no header
	messageID int32
	abandoned atomic.Bool // the client has said that it no longer waits
	encoding  flat.Protocol
	unordered bool // the client accepts replies in any order
	internal  bool // it has a place of the internal services, not of users
	inlineAt  int8 // its place in inlineRuns, from 1; 0: a worker runs the call

	name    string // as in the message, perhaps with the service's name, which info.Method lacks
	served  *served
	kind    *method
	counted *counted

	held   int64       // bytes of the message that Server.requests counts
	memory account     // memory of its decoded elements
	limits *limitsHeld // of the site's policy; nil: none

	began time.Duration // from its arrival to the start of its inline run; or queued

	handler handlerRun
	info    CallInfo
	ctx     callContext
	trace   participant.Trace // with ctx.trace set
}

// queued is began of a call that waits behind others, or for the rules.
const queued = -1

// header reads the call's header.
func (r *serverCall) header(h *theader.Header) {
	r.seq, r.encoding = h.Seq, flat.Protocol(h.Protocol)
	r.unordered = h.Flags&theader.OutOfOrder != 0
	switch remaining := readCallHeader(h, &r.info); {
	case remaining < 0:
		r.info.Deadline = r.arrived
	case remaining > 0:
		r.info.Deadline = r.arrived.Add(remaining)
	}
	r.keepContext(h)
}

// begin reads the beginning of the message. A message other than a call ends the connection.
func (r *serverCall) begin() error {
	name, kind, id, err := flat.Begin(r.encoding, r.payload)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", theader.ErrMalformed, err)
	case kind != thrift.CALL && kind != thrift.ONEWAY:
		return fmt.Errorf("%w: message type %d is no call", theader.ErrMalformed, kind)
	}
	if len(name) > maxMethodName {
		return fmt.Errorf("%w: the name of a method has %d bytes, at most %d are allowed",
			theader.ErrMalformed, len(name), maxMethodName)
	}
	r.name, r.messageID = name, id
	r.unordered = r.unordered || r.conn.unordered
	if !r.conn.dialect.header {
		r.seq, r.info.Attempt = id, 1
	}
	r.info.OneWay = kind == thrift.ONEWAY
	r.info.Peer, r.info.from = r.conn.peer, r.conn.info.Load()
	r.info.mirrored = mirrored(&r.info)
	r.ctx.base, r.ctx.deadline, r.ctx.info = r.conn.base, r.info.Deadline, &r.info
	return nil
}

// admit admits the call or refuses it. relieved says that this goroutine has run the call and that
// another one reads the connection now.
func (r *serverCall) admit() (relieved bool) {
	c, s := r.conn, r.conn.s
	if s.unknown != nil && (r.name == loginMethod || !c.loggedIn) {
		r.login()
		return false
	}
	if s.unknown != nil && r.isSent() {
		r.sent()
		return false
	}
	if code, err := r.findMethod(); err != nil {
		r.refuse(code, err)
		return false
	}
	if r.served.internal {
		r.admitInternal()
		return false
	}
	r.counted = c.count(countKey{r.served, r.kind, r.info.Caller})
	if code, err := r.prepareStream(); err != nil {
		r.refuse(code, err)
		return false
	}
	if code, err := r.barred(); err != nil {
		r.refuse(code, err)
		return false
	}
	now := c.now()
	r.began = now.Sub(r.arrived)
	r.findKind()
	if code, err := r.obeyPolicy(now); err != nil {
		r.refuse(code, err)
		return false
	}
	agent := s.cfg.Rollout
	known := r.kind.admission == nil || agent.Ready()
	quick := known && !r.info.OneWay && r.info.stream == nil && r.counted.inline.allows(now, c.in.Ready())
	running := s.running.Add(1)
	s.cfg.Recent.Running(now, running)
	if code, err := r.reserve(running, !quick); err != nil {
		s.ended()
		r.refuse(code, err)
		return false
	}
	if quick {
		return r.tryInline()
	}
	c.clock = time.Time{}
	if known || !c.spawn(func() { agent.Await(&r.ctx); r.began = queued; r.start() }) {
		r.start()
	}
	return false
}

// findMethod finds the service and the method of the call, or returns the reason to refuse it.
func (r *serverCall) findMethod() (Code, error) {
	c := r.conn
	served, kind, method, err := c.route(&r.info, r.name)
	r.info.Method = method
	if err != nil {
		if errors.Is(err, errDeparted) {
			return Draining, err
		}
		return UnknownService, err
	}
	r.served, r.kind = served, kind
	if r.info.Version = served.version; served != c.s.unknown {
		r.info.Service = served.name
	}
	if kind == nil {
		if !served.internal {
			r.counted = c.count(countKey{served, &served.missing, r.info.Caller})
		}
		return UnknownMethod, fmt.Errorf("service %s has no method %q", served.name, method)
	}
	if served.internal && c.dialect.header && c.head.Zipped {
		return BadMessage, errZippedInternal
	}
	if len(served.methods) > 0 {
		r.info.Method = kind.name
	}
	return Unknown, nil
}

// barred returns why calls of this kind are refused on the connection.
func (r *serverCall) barred() (Code, error) {
	if r.conn.clear {
		if err := r.inClear(); err != nil {
			return NotSealed, err
		}
	}
	return WrongVersion, r.counted.bad
}

// tryInline runs the call on the reader if there is a place for it.
func (r *serverCall) tryInline() (relieved bool) {
	code, err := r.joinTrace()
	if err == nil {
		if r.conn.workers.inline.start(r, r.conn.in.Ready()) {
			return r.runInline()
		}
		if code, err = r.reserve(0, true); err == nil {
			r.enqueue()
			return false
		}
	}
	r.refuseAdmitted(code, err)
	return false
}

// start joins the call to its trace and gives it to a worker, or refuses it.
func (r *serverCall) start() {
	if code, err := r.joinTrace(); err != nil {
		r.refuseAdmitted(code, err)
		return
	}
	r.enqueue()
}

// enqueue gives the call to a worker.
func (r *serverCall) enqueue() {
	if !r.passedOn() {
		r.accept()
	}
	if !r.conn.workers.submit(r) {
		r.refuseAdmitted(Draining, errServerStopped)
	}
}

// passedOn reports whether the handler of HandleUnknown serves the call.
func (r *serverCall) passedOn() bool { return r.served == r.conn.s.unknown }

// accept tells a skerry client that its one-way call was accepted. That is before the handler runs,
// or after it when the handler passes the call on.
func (r *serverCall) accept() {
	if r.info.OneWay && r.conn.dialect.header && r.unordered {
		r.answer(nil, 0, MaybeExecuted)
	}
}

// refuseAdmitted refuses a call that was admitted already.
func (r *serverCall) refuseAdmitted(code Code, err error) {
	r.ctx.end()
	r.endSpan()
	r.unregister()
	r.releaseInternal()
	r.conn.s.ended()
	r.refuse(code, err)
}

// releaseInternal gives back the place of an internal call.
func (r *serverCall) releaseInternal() {
	if r.internal {
		r.conn.s.internal.release(r.internalKey(), r.info.outside)
	}
}

// runInline runs the call in the reader.
func (r *serverCall) runInline() (relieved bool) {
	c := r.conn
	select {
	case <-c.done: // closed before the inline run was visible
		r.ctx.end()
	default:
	}
	end, relieved := r.run()
	if !relieved {
		c.clock = end
		r.counted.inline.record(r.ranFor(end), end)
	}
	return relieved
}

// ranFor returns how long the reader has run the call.
func (r *serverCall) ranFor(now time.Time) time.Duration { return now.Sub(r.arrived) - r.began }

// lastPlaces: one in so many places of MaxCalls is kept for connections without a running call. So a
// client with very many calls does not keep out a client that has none.
const lastPlaces = 16

// reserve returns nil when there is room for the call; n calls run with it. With keep it registers
// the call, so that it can be cancelled. While the reader runs a call it reads no cancellation, so
// handOff registers that call when another goroutine begins to read.
func (r *serverCall) reserve(n int64, keep bool) (Code, error) {
	c, s := r.conn, r.conn.s
	n -= s.streamCount.Load() // streams have limits of their own
	if n > int64(s.cfg.MaxCalls-s.cfg.MaxCalls/lastPlaces) {
		n -= s.internal.running()
	}
	switch {
	case s.draining.Load():
		return Draining, errors.New("the server is stopping")
	case n > int64(s.cfg.MaxCalls) && r.stream() == nil:
		return Overloaded, fmt.Errorf("%d calls are running here, the limit", s.cfg.MaxCalls)
	case r.held > 0 && s.requests.Full():
		return Overloaded, fmt.Errorf("large calls of %d bytes are running here, the limit", s.cfg.Sizes.Requests)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := len(c.running) - int(c.streamCount.Load())
	switch {
	case c.closed:
		return Canceled, errPeerClosed
	case r.stream() != nil && c.running[r.seq] == nil:
	case calls >= s.cfg.MaxConnCalls:
		return Overloaded, fmt.Errorf("%d calls are running on one connection, the limit", s.cfg.MaxConnCalls)
	case n > int64(s.cfg.MaxCalls-s.cfg.MaxCalls/lastPlaces) && calls > 0:
		return Overloaded, fmt.Errorf(
			"%d calls are running here; the last places are for connections that have none",
			n-1,
		)
	case c.running[r.seq] != nil:
		return BadMessage, fmt.Errorf("sequence number %d is in use on this connection", r.seq)
	}
	if keep {
		c.running[r.seq] = r
	}
	return Unknown, nil
}

// register registers a call of an internal service, so that it can be cancelled, or returns why the
// call is refused.
func (r *serverCall) register() (Code, error) {
	c := r.conn
	if c.s.draining.Load() {
		return Draining, errors.New("the server is stopping")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return Canceled, errPeerClosed
	case c.running[r.seq] != nil:
		return BadMessage, fmt.Errorf("sequence number %d is in use on this connection", r.seq)
	}
	c.running[r.seq] = r
	return Unknown, nil
}

func (r *serverCall) unregister() {
	c := r.conn
	c.mu.Lock()
	if c.running[r.seq] == r {
		delete(c.running, r.seq)
	}
	ended := c.endSentWaits(r)
	if c.idle != nil && len(c.running) == 0 {
		close(c.idle)
		c.idle = nil
	}
	c.mu.Unlock()
	for _, sent := range ended {
		sent.answerWaited()
	}
}

// connectionEnded ends the call's context with its connection. A one-way call has no reply that its
// client could miss, and the client may leave once it has sent the call: its context ends with Serve.
func (r *serverCall) connectionEnded(err error) {
	if r.stream() != nil {
		r.stream().cut(ConnectionLost, err)
	}
	if !r.info.OneWay || errors.Is(err, errServerStopped) {
		r.ctx.end()
		return
	}
	r.conn.s.alone.Store(r, context.AfterFunc(r.conn.serving, r.ctx.end))
	if r.ctx.ended() { // run may have called forgetAlone before the function was stored
		r.forgetAlone()
	}
}

// forgetAlone undoes connectionEnded for a one-way call that has ended.
func (r *serverCall) forgetAlone() {
	if forget, ok := r.conn.s.alone.LoadAndDelete(r); ok {
		forget.(func() bool)()
	}
}

// cancel ends the call's context after its client has given up.
func (r *serverCall) cancel() {
	r.abandoned.Store(true)
	r.ctx.end()
	if r.stream() != nil {
		r.stream().cut(Canceled, errors.New("the caller has closed the stream"))
	}
}

// releaseOrder lets the next call of an ordered client begin.
func (r *serverCall) releaseOrder() {
	if !r.unordered {
		<-r.conn.ordered
	}
}

// run executes an admitted call. It returns when the call ended, and whether another goroutine
// reads the connection now.
func (r *serverCall) run() (end time.Time, relieved bool) {
	if r.began == queued {
		r.began = time.Since(r.arrived)
	}
	outcome := r.execute()
	if r.info.stream != nil && r.info.stream.later != nil {
		later := r.info.stream.later
		if later.leave() {
			return time.Now(), false
		}
		outcome = later.conclude()
	}
	return r.finish(outcome)
}

// finish gives back what the call holds, once it is answered.
func (r *serverCall) finish(outcome health.Outcome) (end time.Time, relieved bool) {
	if r.stream() != nil {
		r.closeStream(r.howEnded(outcome))
	}
	if r.passedOn() {
		r.accept()
	}
	r.ctx.end()
	if r.info.OneWay {
		r.forgetAlone()
	}
	r.endSpan()
	end = time.Now()
	took := end.Sub(r.arrived)
	if r.stream() != nil {
		took = r.stream().began // a stream is open for as long as its user likes
	}
	r.record(outcome, took)
	r.keepSpan(outcome, took)
	if r.info.mirrored && outcome.Failed() { // the policy may have refused a call that the copy made
		outcome = health.Mirrored
	}
	r.remember(took, recentServed(outcome))
	if p := r.inline(); p == nil || !p.CompareAndSwap(r, nil) {
		r.unregister()
		if relieved = p != nil; relieved {
			r.conn.out.Flush() // the reply may be queued for the reader to write
		}
	}
	r.releaseOrder()
	r.releaseMemory()
	r.releaseLimits()
	r.releaseInternal()
	r.conn.s.ended()
	return end, relieved
}

// record counts the call.
func (r *serverCall) record(o health.Outcome, took time.Duration) {
	if r.info.mirrored {
		r.counted.cell.RecordCopy(o, took)
		return
	}
	r.counted.cell.Record(o, took)
}

// hold counts the memory of the message.
func (r *serverCall) hold(n int64) {
	r.held += n
	r.conn.s.requests.Add(n)
}

// releaseMemory releases all memory of the message.
func (r *serverCall) releaseMemory() {
	r.hold(-r.held)
	r.memory.close()
}

// tooLate returns why it is too late to begin.
func (r *serverCall) tooLate() error {
	switch {
	case r.inlineAt == 0: // it has waited for a worker
		return r.ctx.Err()
	case !r.info.Deadline.IsZero() && r.began >= r.info.Deadline.Sub(r.arrived):
		return context.DeadlineExceeded
	}
	return nil
}

var errZippedInternal = errors.New("calls of the framework's own services must not be compressed")

// inflate undoes the compression of the payload, within the account of all large messages.
func (r *serverCall) inflate() error {
	if strings.HasPrefix(r.info.Service, internalPrefix) {
		return fmt.Errorf("%w: %w", theader.ErrMalformed, errZippedInternal)
	}
	all := &r.conn.s.requests
	payload, err := theader.Inflate(r.payload, r.conn.in.Limits, func(n int) error {
		if !all.Take(int64(n), 2) {
			return transport.ErrBudget
		}
		r.held += int64(n)
		return nil
	})
	r.payload = payload
	return err
}
