package rpc

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/skerry/skerry/rpc/internal/flat"
)

// sentMethod is a method without arguments that clients of other languages call at a server with
// HandleUnknown. The empty reply says that the handlers of all earlier one-way calls on the
// connection have ended. With a context ("ctx=CONTEXT;skerry.sent") it waits only for the one-way
// calls with that context.
const sentMethod = "skerry.sent"

// sentWait is a call of sentMethod that waits.
type sentWait struct {
	call *serverCall
	left map[*serverCall]struct{} // the one-way calls that still run
}

// isSent reports whether the call is one of sentMethod.
func (r *serverCall) isSent() bool {
	_, name := splitContext(r.name)
	return name == sentMethod
}

// sent serves a call of sentMethod. Draining does not refuse such a call, because the one-way calls
// that it waits for were accepted before.
func (r *serverCall) sent() {
	r.info.Method = sentMethod
	switch left, code, err := r.awaitSent(); {
	case err != nil:
		r.refuse(code, err)
	case left == 0:
		r.answerSent()
	}
}

// awaitSent registers the call when one-way calls that came before it still run, and returns their
// number.
func (r *serverCall) awaitSent() (left int, code Code, err error) {
	c, s := r.conn, r.conn.s
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &sentWait{r, c.oneWayCalls(r.callerContext())}
	switch {
	case len(w.left) == 0:
		return 0, Unknown, nil
	case c.closed:
		return 0, Canceled, errPeerClosed
	case len(c.running) >= s.cfg.MaxConnCalls:
		return 0, Overloaded, fmt.Errorf("%d calls are running on one connection, the limit", s.cfg.MaxConnCalls)
	case c.running[r.seq] != nil:
		return 0, BadMessage, fmt.Errorf("sequence number %d is in use on this connection", r.seq)
	}
	c.running[r.seq] = r // so that the connection is kept until the answer is written
	c.sentWaits = append(c.sentWaits, w)
	s.running.Add(1)
	return len(w.left), Unknown, nil
}

// oneWayCalls returns the running one-way calls with a context, or all for "". The caller holds mu.
func (c *serverConn) oneWayCalls(text string) map[*serverCall]struct{} {
	list := map[*serverCall]struct{}{}
	for _, r := range c.running {
		if r.info.OneWay && (text == "" || r.callerContext() == text) {
			list[r] = struct{}{}
		}
	}
	return list
}

// endSentWaits ends the waits for r, a one-way call that has ended. It returns the calls of sentMethod
// that now wait for none. The caller holds mu.
func (c *serverConn) endSentWaits(r *serverCall) (ended []*serverCall) {
	rest := c.sentWaits[:0]
	for _, w := range c.sentWaits {
		delete(w.left, r)
		if len(w.left) == 0 {
			ended = append(ended, w.call)
		} else {
			rest = append(rest, w)
		}
	}
	clear(c.sentWaits[len(rest):])
	c.sentWaits = rest
	return ended
}

// answerWaited answers a call of sentMethod that has waited, and ends it.
func (r *serverCall) answerWaited() {
	r.answerSent()
	r.unregister()
	r.conn.s.ended()
}

// answerSent answers a call of sentMethod.
func (r *serverCall) answerSent() {
	r.releaseMemory()
	w := flat.NewWriter(r.encoding, r.conn.s.cfg.Sizes.Frame)
	defer w.Free()
	ctx := context.Background()
	err := errors.Join(
		w.WriteMessageBegin(ctx, sentMethod, thrift.REPLY, r.messageID),
		w.WriteFieldStop(ctx),
		w.WriteMessageEnd(ctx),
	)
	if err == nil && !r.info.OneWay {
		r.answer(w.Bytes(), Unknown, WasExecuted)
	}
	r.releaseOrder()
}
