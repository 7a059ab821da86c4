package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rollout"
	"github.com/skerry/skerry/rpc/internal/flat"
	"github.com/skerry/skerry/rpc/internal/theader"
)

// request is one call as a server sees it.
type request struct {
	conn      *serverConn
	encoding  flat.Protocol
	payload   string
	seq       int32 // of the frame, or of the message when there is no header
	unordered bool  // the client takes replies in any order
	arrived   time.Time

	name      string // as it stands in the message
	messageID int32
	method    string // without a service's name
	served    *served
	cell      *health.Cell

	info      CallInfo
	ctx       callContext
	trace     rollout.Trace // with ctx.trace set
	abandoned atomic.Bool   // the client has said that it does not wait any more
}

// header takes what the call's header says.
func (r *request) header(h *theader.Header) {
	r.seq, r.encoding = h.Seq, flat.Protocol(h.Protocol)
	r.unordered = h.Flags&theader.OutOfOrder != 0
	switch remaining := readCallHeader(h, &r.info); {
	case remaining < 0:
		r.info.Deadline = r.arrived
	case remaining > 0:
		r.info.Deadline = r.arrived.Add(remaining)
	}
}

// begin reads the beginning of the message and finds the service. What is no
// call ends the connection.
func (r *request) begin() error {
	in := flat.NewReader(r.encoding, r.payload)
	defer in.Free()
	name, kind, id, err := in.ReadMessageBegin(context.Background())
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", theader.ErrMalformed, err)
	case kind != thrift.CALL && kind != thrift.ONEWAY:
		return fmt.Errorf("%w: message type %d is no call", theader.ErrMalformed, kind)
	}
	r.name, r.messageID = name, id
	if !r.conn.dialect.header {
		r.seq, r.info.Attempt = id, 1
	}
	r.info.OneWay = kind == thrift.ONEWAY
	r.info.Peer = r.conn.peer
	r.ctx.base, r.ctx.deadline, r.ctx.info = r.conn.base, r.info.Deadline, &r.info
	return nil
}

// admit lets the call run, or refuses it.
func (r *request) admit() {
	c, s := r.conn, r.conn.s
	served, method, err := s.routes.find(r.info.Service, r.name)
	r.method, r.info.Method = method, method
	if err != nil {
		r.refuse(UnknownService, err)
		return
	}
	r.served = served
	r.info.Service, r.info.Version = served.name, served.version
	if len(served.methods) > 0 && served.methods[method] == nil {
		r.refuse(UnknownMethod, fmt.Errorf("service %s has no method %q", served.name, method))
		return
	}
	r.cell = c.count(countKey{served, method, r.info.Caller})
	if code, err := r.room(s.running.Add(1)); err != nil {
		s.ended()
		r.refuse(code, err)
		return
	}
	if agent := s.cfg.Rollout; served.doors == nil || agent.Known() || !c.spawn(func() { agent.Await(&r.ctx); r.start() }) {
		r.start()
	}
}

// start brings the call into its trace and to a worker, or refuses it.
func (r *request) start() {
	c := r.conn
	code, err := r.join()
	if err == nil {
		if r.info.OneWay && c.dialect.header && r.unordered {
			r.answer(nil, 0, MaybeExecuted) // accepted
		}
		if c.pool.submit(r) {
			return
		}
		code, err = Draining, errServerStopped
		r.part()
	}
	r.ctx.end()
	r.forget()
	c.s.ended()
	r.refuse(code, err)
}

// room registers the call when there is room for it.
func (r *request) room(n int64) (Code, error) {
	c, s := r.conn, r.conn.s
	switch {
	case s.draining.Load():
		return Draining, errors.New("the server is stopping")
	case n > int64(s.cfg.MaxCalls):
		return Overloaded, fmt.Errorf("%d calls are running here, the limit", s.cfg.MaxCalls)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return Canceled, errPeerClosed
	case len(c.running) >= s.cfg.MaxConnCalls:
		return Overloaded, fmt.Errorf("%d calls are running on one connection, the limit", s.cfg.MaxConnCalls)
	case c.running[r.seq] != nil:
		return BadMessage, fmt.Errorf("sequence number %d is in use on this connection", r.seq)
	}
	c.running[r.seq] = r
	return Unknown, nil
}

func (r *request) forget() {
	c := r.conn
	c.mu.Lock()
	delete(c.running, r.seq)
	c.mu.Unlock()
}

// cancel ends the call's context: its client has given up.
func (r *request) cancel() {
	r.abandoned.Store(true)
	r.ctx.end()
}

// release lets the next call of an ordered client begin.
func (r *request) release() {
	if !r.unordered {
		<-r.conn.turn
	}
}

// run executes an admitted call in a worker.
func (r *request) run() {
	outcome := r.execute()
	r.ctx.end()
	r.part()
	r.cell.Record(outcome, time.Since(r.arrived))
	r.forget()
	r.release()
	r.conn.s.ended()
}

// execute calls the handler and sends its reply.
func (r *request) execute() health.Outcome {
	if err := r.ctx.Err(); err != nil { // it has waited too long for a worker
		return r.exception(giveUpCode(err, Canceled), NotExecuted, fmt.Errorf("before it began: %w", err))
	}
	in := flat.NewReader(r.encoding, r.payload)
	out := flat.NewWriter(r.encoding, r.conn.s.cfg.Sizes.Frame)
	defer in.Free()
	defer out.Free()
	h := handling{r: r, in: in, out: out}
	err := h.intercept(&r.ctx, r.conn.s.cfg.Interceptors)
	return r.conclude(&h, err)
}

// handling is a handler at work.
type handling struct {
	r       *request
	in      flat.Reader
	out     flat.Writer
	started bool
	ok      bool // what Process returned
}

// intercept runs the interceptors from the first to the last, then the
// handler. A panic of any of them becomes an error.
func (h *handling) intercept(ctx context.Context, chain []ServerInterceptor) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	if len(chain) == 0 {
		return h.process(ctx)
	}
	return chain[0](ctx, &h.r.info, func(ctx context.Context) error { return h.intercept(ctx, chain[1:]) })
}

func (h *handling) process(ctx context.Context) error {
	if h.started {
		return errors.New("an interceptor has called next twice")
	}
	h.started = true
	var in thrift.TProtocol = h.in
	if h.r.name != h.r.method {
		_, kind, id, err := h.in.ReadMessageBegin(ctx) // its name has the service's in front
		if err != nil {
			return err
		}
		in = thrift.NewStoredMessageProtocol(h.in, h.r.method, kind, id)
	}
	ok, err := h.r.served.processor.Process(ctx, in, h.out)
	h.ok = ok
	if err != nil {
		return err
	}
	return nil
}

// panicked is what a handler panicked with.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("the handler panicked: %v", p.value) }
