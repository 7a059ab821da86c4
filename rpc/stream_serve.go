package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// serverStream is the provider's end of a stream. The call that opened it is its handler's, and the reply to
// that call ends the stream.
type serverStream struct {
	stream
	call     *serverCall
	mode     StreamMode
	began    time.Duration // from the arrival of the opening to its acceptance
	released bool          // owned by the goroutine of the call, like answer
	answer   Code          // why the handler's reply was an error; Unknown: it was none

	moves streamMoves
}

// prepareStream makes the call ready to be served as a stream or by a promise, if it is one.
func (r *serverCall) prepareStream() (Code, error) {
	m := r.served.streams[r.info.Method]
	switch head := r.info.stream; {
	case head != nil && head.mode != "":
		return r.openStream(m)
	case m != nil && m.async:
		r.info.streamHead()
	}
	return Unknown, nil
}

// openStream gives a call that opens a stream its stream, or returns why it gets none.
func (r *serverCall) openStream(m *StreamMethod) (Code, error) {
	c, s, head := r.conn, r.conn.s, r.info.stream
	switch {
	case m == nil:
		return Unsupported, fmt.Errorf("%s.%s is no stream here", r.served.name, r.info.Method)
	case string(m.mode) != head.mode:
		return Unsupported, fmt.Errorf("%s.%s is a %s stream here, and was opened as %.20q",
			r.served.name, r.info.Method, m.mode, head.mode)
	case !c.dialect.header || !r.unordered || r.info.OneWay:
		return BadMessage, errors.New("a stream needs a connection of a skerry client")
	}
	st := &serverStream{call: r, mode: m.mode}
	if m.mode.down() {
		n, err := readWindow(head.window)
		if err != nil {
			return BadMessage, err
		}
		if err := st.send.Grant(n); err != nil {
			return BadMessage, err
		}
	}
	limits := &s.streams.limits
	switch {
	case s.streamCount.Load() >= int64(limits.Most):
		return Overloaded, fmt.Errorf("%d streams are open here, the limit", limits.Most)
	case c.streamCount.Load() > 0 && s.streamCount.Load() >= int64(limits.Most-limits.Most/lastPlaces):
		return Overloaded, fmt.Errorf("%d streams are open here; the last places are for connections that have none",
			s.streamCount.Load())
	case int(c.streamCount.Load()) >= limits.Conn:
		return Overloaded, fmt.Errorf("%d streams are open on one connection, the limit", limits.Conn)
	case s.streams.bytes.Full():
		return Overloaded, fmt.Errorf("items that no handler has taken hold %d bytes here, the limit", limits.Memory)
	}
	lane := c.streamLane()
	if lane == nil {
		return Draining, errServerStopped
	}
	st.init(r.seq, r.info.Method, r.encoding, lane, &s.streams, c.in.Limits)
	if s.leaving.Load() {
		st.move()
	}
	s.streamCount.Add(1)
	c.streamCount.Add(1)
	head.open = st
	return Unknown, nil
}

// stream returns the stream that the call has opened, nil for an ordinary call.
func (r *serverCall) stream() *serverStream {
	if r.info.stream == nil {
		return nil
	}
	return r.info.stream.open
}

// howEnded is the end that the census counts for a stream when its call has had an outcome.
func (r *serverCall) howEnded(outcome health.Outcome) string {
	switch st := r.stream(); {
	case st.whyCut() != Unknown:
		return st.whyCut().String()
	case st.answer != Unknown:
		return st.answer.String()
	case outcome == health.OK || outcome == health.AppError:
		return endedWell
	}
	return outcome.String()
}

// closeStream ends the stream of a call, if it has one. how is the end that the census counts.
func (r *serverCall) closeStream(how string) {
	st := r.stream()
	if st == nil || st.released {
		return
	}
	st.released = true
	st.stop(errFinal, false)
	st.moves.end()
	st.memory.census.end(&st.stream, how)
	r.conn.streamCount.Add(-1)
	r.conn.s.streamCount.Add(-1)
}

// streamLane returns the lane of the connection's streams, nil when the server has stopped.
func (c *serverConn) streamLane() *streamLane {
	if c.lane == nil {
		lane := newStreamLane(&c.out, c.done)
		if !c.spawn(lane.run) {
			return nil
		}
		c.lane = lane
	}
	return c.lane
}

// accept tells the client that the handler runs.
func (st *serverStream) accept() {
	r := st.call
	st.began = time.Since(r.arrived)
	dst := theader.Start(make([]byte, 0, 96), theader.OutOfOrder, byte(r.encoding))
	n := 1
	dst = theader.AppendPair(dst, keyFrame, frameAccept)
	if st.mode.up() {
		n++
		dst = appendNumber(dst, keyWindow, st.receive.Window())
	}
	pair := func(key, value string) {
		if value != "" {
			n++
			dst = theader.AppendPair(dst, key, value)
		}
	}
	pair(keyVersion, r.info.Version)
	pair(keyInstance, r.conn.s.cfg.Instance)
	dst, err := theader.Close(dst, n, st.limits)
	if err == nil {
		theader.SetSeq(dst, r.seq)
		if err = setLength(dst, 0, st.limits); err == nil {
			err = st.lane.sendNow(dst, nil)
		}
	}
	if err != nil {
		r.conn.close(err)
	}
	st.memory.census.begin(&st.stream, st.kind())
	st.moves.accepted.Store(true)
	st.obeyRules()
}

// fail returns the error by which the stream ends for its handler.
func (st *serverStream) fail(code Code, err error) *Error {
	r := st.call
	return &Error{
		Code:     code,
		Executed: WasExecuted,
		Service:  r.info.Service,
		Method:   r.info.Method,
		Instance: r.conn.peer,
		Attempt:  r.info.Attempt,
		Err:      err,
	}
}

// cut ends the stream for its handler, which then answers with the code.
func (st *serverStream) cut(code Code, err error) {
	st.stop(st.fail(code, err), false)
	st.call.ctx.end()
}

// whyCut returns the code with which the stream was cut; Unknown: it was not.
func (st *serverStream) whyCut() Code {
	st.mu.Lock()
	defer st.mu.Unlock()
	return CodeOf(st.over)
}

// next returns the next item of the client.
func (st *serverStream) next(ctx context.Context) (received, error) {
	item, err := st.take(ctx, nil)
	return item, st.explain(ctx, err)
}

// explain turns the error of the stream's core into that of its handler.
func (st *serverStream) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case err == io.EOF, errors.As(err, &e):
		return err
	case err == errFinal:
		return st.fail(Canceled, errors.New("the handler has returned"))
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		if why := st.whyOver(nil); errors.As(why, &e) { // the context has ended with the stream
			return why
		}
		return st.fail(giveUpCode(err, Canceled), err)
	}
	return st.fail(itemCode(err), err)
}

// sent turns the error of put into that of its handler.
func (st *serverStream) sent(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var bad *itemError
	switch {
	case errors.Is(err, errStall):
		st.cut(SlowReader, err)
		return st.whyOver(err)
	case errors.As(err, &bad):
		return st.fail(TooLarge, bad.error)
	}
	return st.explain(ctx, err)
}

// streamFrame handles a frame of an open stream.
func (c *serverConn) streamFrame(r *serverCall, kind, payload string, size int, zipped bool) error {
	st := c.findStream(r.seq)
	switch {
	case st == nil: // it was under way when the stream ended
		return nil
	case kind == frameEnd && st.mode.up():
		st.endItems(io.EOF)
		return nil
	case kind != frameItem: // a frame of a later version
		return nil
	case zipped || !st.mode.up():
		return fmt.Errorf("%w: an item of %s that is compressed or has no receiver", theader.ErrMalformed, st.method)
	}
	return st.arrive(payload, r.encoding, size)
}

// learnItemHead remembers the head of an item's frame, so that the next ones need no parsing.
func (c *serverConn) learnItemHead(frame, payload string, e flat.Protocol) {
	if back := len(frame) - len(payload); back-headBackAt <= maxKnownHead {
		c.itemHead = &replyHead{
			front: strings.Clone(frame[:headSeqAt]), back: strings.Clone(frame[headBackAt:back]), encoding: e,
		}
	}
}

// knownItem handles a frame that begins like the latest item's. ok is false for any other frame.
func (c *serverConn) knownItem(frame string) (ok bool, err error) {
	k := c.itemHead
	if !k.fits(frame) {
		return false, nil
	}
	seq, err := theader.Seq(frame)
	if err != nil {
		return true, err
	}
	if st := c.findStream(seq); st != nil && st.mode.up() {
		return true, st.arrive(frame[headBackAt+len(k.back):], k.encoding, len(frame))
	}
	return true, nil
}

func (c *serverConn) findStream(seq int32) *serverStream {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.running[seq]; r != nil {
		return r.stream()
	}
	return nil
}

// eachStream calls f with every open stream, of one service or of all for "".
func (s *Server) eachStream(service string, f func(*serverStream)) {
	if s.streamCount.Load() == 0 {
		return
	}
	for _, c := range s.connections(nil) {
		var list []*serverStream
		c.mu.Lock()
		for _, r := range c.running {
			if r.stream() != nil && (service == "" || r.served.name == service) {
				list = append(list, r.stream())
			}
		}
		c.mu.Unlock()
		for _, st := range list {
			f(st)
		}
	}
}

// cutStreams ends the streams that are still open when their time to end is over.
func (s *Server) cutStreams() {
	s.eachStream("", func(st *serverStream) { st.cut(Draining, errors.New("the server is stopping")) })
}

type streamKey struct{}

// Moving returns a channel that is closed when the stream that a handler serves should end soon at a point of
// its choice: its process is leaving, or its service has moved to another version. The stream is cut some time
// later. It is nil outside the handler of a stream.
func Moving(ctx context.Context) <-chan struct{} {
	if st, ok := ctx.Value(streamKey{}).(*serverStream); ok && st != nil {
		return st.moving
	}
	return nil
}

// serveStream runs the handler of a stream, or refuses a plain call of its method when it takes none.
func (r *serverCall) serveStream(ctx context.Context, m *StreamMethod) error {
	h := &r.handler
	if r.stream() == nil && m.noPlain != nil {
		return &Error{Code: UnknownMethod, Executed: NotExecuted, Err: m.noPlain}
	}
	h.started = true
	_, _, id, err := h.in.ReadMessageBegin(ctx)
	if err != nil {
		return err
	}
	ok, failed := m.serve(ctx, r, id, h.in, h.out)
	h.ok = ok
	if failed != nil {
		return failed
	}
	return nil
}
