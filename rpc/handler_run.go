package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/rpc/internal/flat"
)

// execute calls the handler and sends its reply.
func (r *serverCall) execute() health.Outcome {
	if err := r.tooLate(); err != nil {
		return r.exception(giveUpCode(err, Canceled), NotExecuted, fmt.Errorf("before it began: %w", err))
	}
	r.memory.decodeLimits = &r.conn.s.decodeLimits
	mem := flat.Memory{Account: &r.memory, Shape: r.kind.shape, Copy: r.served.internal}
	in := flat.NewReader(r.encoding, r.payload, mem)
	out := flat.NewWriter(r.encoding, r.conn.s.cfg.Sizes.Frame)
	defer in.Free()
	defer out.Free()
	r.handler = handlerRun{in: in, out: out}
	err := r.intercept(&r.ctx, r.conn.s.cfg.Interceptors)
	defer func() { r.handler = handlerRun{} }()
	if s := r.info.stream; s != nil && s.later != nil {
		if err == nil {
			return health.OK // its answer comes later
		}
		s.later = nil
	}
	return r.conclude(&r.handler, err)
}

// handlerRun is one run of a handler.
type handlerRun struct {
	in      flat.Reader
	out     flat.Writer
	started bool
	ok      bool // result of Process
}

// intercept runs the interceptors from the first to the last, then the
// handler. A panic of any of them becomes an error.
func (r *serverCall) intercept(ctx context.Context, chain []ServerInterceptor) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	if len(chain) == 0 {
		return r.process(ctx)
	}
	return chain[0](ctx, &r.info, func(ctx context.Context) error { return r.intercept(ctx, chain[1:]) })
}

func (r *serverCall) process(ctx context.Context) error {
	h := &r.handler
	if h.started {
		return errors.New("an interceptor has called next twice")
	}
	if handler, ok := r.served.processor.(RawHandler); ok {
		return r.raw(ctx, handler)
	}
	processor := r.served.processor
	if streams, ok := processor.(*StreamProcessor); ok {
		if m := streams.methods[r.info.Method]; m != nil {
			return r.serveStream(ctx, m)
		}
		processor = streams.TProcessor
	}
	h.started = true
	var in thrift.TProtocol = h.in
	if r.name != r.info.Method {
		_, kind, id, err := h.in.ReadMessageBegin(ctx) // the name in it begins with the service's name
		if err != nil {
			return err
		}
		in = thrift.NewStoredMessageProtocol(h.in, r.info.Method, kind, id)
	}
	ok, err := processor.Process(ctx, in, h.out)
	h.ok = ok
	if err != nil { // avoids a nil pointer in an interface
		return err
	}
	return nil
}

// panicked is the value of a handler's panic.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("the handler panicked: %v", p.value) }
